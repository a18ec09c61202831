package idheaders

import (
	"io"
	"net/http"
)

// stripTrailers gives the request a trailer map without our names. Deleting them
// from the map that it has would not help: the server fills that when the body
// ends, with whatever came, and reverse_proxy copies it then.
func (h *Headers) stripTrailers(r *http.Request) {
	if r.Trailer == nil && len(r.TransferEncoding) == 0 {
		return // nothing is announced, and the body cannot have any either
	}
	source := r.Trailer
	if source != nil {
		r.Trailer = make(http.Header, len(source))
		for name, values := range source {
			if !h.own(name) {
				r.Trailer[name] = values
			}
		}
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &trailedBody{ReadCloser: r.Body, headers: h, request: r, source: source}
	}
}

// trailedBody fills the request's trailers, without our names, when the body
// ends, before its reader learns of the end.
type trailedBody struct {
	io.ReadCloser
	headers *Headers
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
		// When the server's own request was handed on, not a copy, it has put
		// them here itself.
		for name := range b.request.Trailer {
			if b.headers.own(name) {
				delete(b.request.Trailer, name)
			}
		}
	}
	return n, err
}
