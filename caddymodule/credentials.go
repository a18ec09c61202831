package caddymodule

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// stripCredentials takes a credential that has served out of the request, and out of what Caddy remembers of it:
// FastCGI backends are told the original target.
func stripCredentials(r *http.Request, inQuery bool) {
	if !inQuery {
		delete(r.Header, "Authorization") // of another scheme when the credential is in the query
	}
	r.URL.RawQuery = stripQuery(r.URL.RawQuery)
	if path, query, found := strings.Cut(r.RequestURI, "?"); found {
		r.RequestURI = joinQuery(path, stripQuery(query))
	}
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		original.URL.RawQuery = stripQuery(original.URL.RawQuery)
	}
}

func joinQuery(path, query string) string {
	if query == "" {
		return path
	}
	return path + "?" + query
}

// stripQuery takes the oauth_ parameters out of a query and leaves the rest as it is, byte for byte.
func stripQuery(query string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(decodePercent(name), "oauth_") {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// decodePercent decodes what is percent-encoded and leaves alone what is broken.
func decodePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if high, low := unhex(s[i+1]), unhex(s[i+2]); high < 16 && low < 16 {
				b = append(b, high<<4|low)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
