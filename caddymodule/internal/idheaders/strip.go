// Package idheaders removes the identity headers that a client sends, and sets
// those of a proven identity.
package idheaders

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Headers are the identity headers of one prefix.
type Headers struct {
	set    bool   // whether identity headers are set at all
	folded string // the prefix, folded
	names  [numHeaders]string
}

// New returns the headers of a prefix. If set is false, they are removed from
// requests and never set.
func New(prefix string, set bool) Headers {
	h := Headers{set: set, folded: Fold(prefix)}
	for i, suffix := range headerSuffixes {
		h.names[i] = http.CanonicalHeaderKey(prefix + suffix)
	}
	return h
}

// Prefix returns the prefix, folded.
func (h *Headers) Prefix() string { return h.folded }

// Names returns the names of all identity headers.
func (h *Headers) Names() []string { return h.names[:] }

// Fold returns a header name as backends may take it.
func Fold(name string) string {
	folded := []byte(name)
	for i, c := range folded {
		folded[i] = fold[c]
	}
	return string(folded)
}

// fold maps a byte of a header name to what backends may take it for. CGI, WSGI,
// PHP and many proxies map letters to one case, and "-", "_", "." and other signs
// to one sign, so X_OAuth.User!Id would be read as our own.
var fold = func() (table [256]byte) {
	for i := range table {
		switch c := byte(i); {
		case c >= 'A' && c <= 'Z':
			table[i] = c + 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			table[i] = c
		default:
			table[i] = '-'
		}
	}
	return table
}()

// own reports whether a header name is one of ours, or could be taken for one.
func (h *Headers) own(name string) bool {
	if len(name) < len(h.folded) {
		return false
	}
	for i := range len(h.folded) {
		if fold[name[i]] != h.folded[i] {
			return false
		}
	}
	return true
}

// Strip removes our names from everything in which a client can send them:
// headers, trailers, and the lists of header names that a proxy acts on.
func (h *Headers) Strip(r *http.Request) {
	for name := range r.Header {
		if h.own(name) {
			delete(r.Header, name)
		}
	}
	// reverse_proxy deletes the headers that Connection names, after we have set
	// them: a client could make its request arrive without an identity.
	h.stripList(r.Header, "Connection")
	h.stripList(r.Header, "Trailer")
	h.stripTrailers(r)
	// Over any other protocol, such as h2c, a backend would take whole requests
	// from the client whose headers are not stripped. A client that asks for
	// another protocol gets an ordinary response instead (RFC 9110 section 7.8).
	if lines := r.Header["Upgrade"]; len(lines) > 0 && (len(lines) > 1 || !strings.EqualFold(lines[0], "websocket")) {
		delete(r.Header, "Upgrade")
	}
}

// stripList takes our names out of a comma-separated list of header names.
func (h *Headers) stripList(from http.Header, list string) {
	if !slices.ContainsFunc(from[list], h.listed) {
		return
	}
	var lines []string
	for _, line := range from[list] {
		var kept []string
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" && !h.own(name) {
				kept = append(kept, name)
			}
		}
		if len(kept) > 0 {
			lines = append(lines, strings.Join(kept, ", "))
		}
	}
	if len(lines) == 0 {
		delete(from, list)
		return
	}
	from[list] = lines
}

func (h *Headers) listed(line string) bool {
	for name := range strings.SplitSeq(line, ",") {
		if h.own(textproto.TrimString(name)) {
			return true
		}
	}
	return false
}
