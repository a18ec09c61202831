package gateway

import (
	"io"
	"net/http"
)

// stripTrailers gives the request a trailer map without our names. It is no use to delete them from the one it
// has: the server fills that when the body ends, with whatever came, and reverse_proxy copies it then.
func (n *names) stripTrailers(r *http.Request) {
	if r.Trailer == nil && len(r.TransferEncoding) == 0 {
		return // nothing is announced, and the body cannot have any either
	}
	source := r.Trailer
	if source != nil {
		r.Trailer = make(http.Header, len(source))
		for name, values := range source {
			if !n.own(name) {
				r.Trailer[name] = values
			}
		}
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &trailedBody{ReadCloser: r.Body, names: n, request: r, source: source}
	}
}

// trailedBody fills the request's trailers, without our names, when the body ends: before its reader learns that
// it has ended.
type trailedBody struct {
	io.ReadCloser
	names   *names
	request *http.Request
	source  http.Header // where the server puts what came
}

func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name, values := range b.source {
			if values != nil {
				b.request.Trailer[name] = values
			}
		}
		// When the server's own request was handed on, not a copy, it has put them here itself.
		for name := range b.request.Trailer {
			if b.names.own(name) {
				delete(b.request.Trailer, name)
			}
		}
	}
	return n, err
}
