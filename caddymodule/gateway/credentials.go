package gateway

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// stripCredentials takes a credential that has served out of the request, and
// out of what Caddy remembers of it: FastCGI backends are told the original
// target.
func stripCredentials(r *http.Request, inQuery bool) {
	if !inQuery {
		delete(r.Header, "Authorization") // of another scheme when the credential is in the query
	}
	r.URL.RawQuery = validator.StripQuery(r.URL.RawQuery)
	if path, query, found := strings.Cut(r.RequestURI, "?"); found {
		r.RequestURI = joinQuery(path, validator.StripQuery(query))
	}
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		original.URL.RawQuery = validator.StripQuery(original.URL.RawQuery)
	}
}

func joinQuery(path, query string) string {
	if query == "" {
		return path
	}
	return path + "?" + query
}
