package gateway

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// names are the header names of one prefix.
type names struct {
	set     bool   // whether identity headers are set at all
	folded  string // the prefix, folded
	headers [numHeaders]string
}

func newNames(prefix string, set bool) names {
	folded := []byte(prefix)
	for i, c := range folded {
		folded[i] = fold[c]
	}
	n := names{set: set, folded: string(folded)}
	for i, suffix := range headerSuffixes {
		n.headers[i] = http.CanonicalHeaderKey(prefix + suffix)
	}
	return n
}

// fold maps a byte of a header name to what backends may take it for: CGI, WSGI, PHP and many proxies map letters
// to one case, and "-", "_", "." and other signs to one sign, so X_OAuth.User!Id would be read as our own.
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

// own says whether a header name is one of ours, or could be taken for one.
func (n *names) own(name string) bool {
	if len(name) < len(n.folded) {
		return false
	}
	for i := range len(n.folded) {
		if fold[name[i]] != n.folded[i] {
			return false
		}
	}
	return true
}

// strip takes our names out of everything that a client can send them in, and closes the way around it.
func (n *names) strip(r *http.Request) {
	for name := range r.Header {
		if n.own(name) {
			delete(r.Header, name)
		}
	}
	// reverse_proxy deletes the headers that Connection names, after we have set them: a client could make
	// its request arrive without an identity.
	n.stripList(r.Header, "Connection")
	n.stripList(r.Header, "Trailer")
	n.stripTrailers(r)
	// Over any other protocol, such as h2c, a backend would take whole requests from the client that nobody has
	// stripped. Who asks for one is answered without it (RFC 9110 section 7.8).
	if lines := r.Header["Upgrade"]; len(lines) > 0 && (len(lines) > 1 || !strings.EqualFold(lines[0], "websocket")) {
		delete(r.Header, "Upgrade")
	}
}

// stripList takes our names out of a comma-separated list of header names.
func (n *names) stripList(h http.Header, list string) {
	if !slices.ContainsFunc(h[list], n.listed) {
		return
	}
	var lines []string
	for _, line := range h[list] {
		var kept []string
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" && !n.own(name) {
				kept = append(kept, name)
			}
		}
		if len(kept) > 0 {
			lines = append(lines, strings.Join(kept, ", "))
		}
	}
	if len(lines) == 0 {
		delete(h, list)
		return
	}
	h[list] = lines
}

func (n *names) listed(line string) bool {
	for name := range strings.SplitSeq(line, ",") {
		if n.own(textproto.TrimString(name)) {
			return true
		}
	}
	return false
}
