package gateway

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// refuse answers a request that does not pass, or leaves the answer to
// handle_errors.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, d *validator.Decision, wiki string) error {
	if h.cfg.answer == errorsMediaWiki && d.Reason != validator.PreflightRefused { // a browser looks at the status
		site := validator.MediaWikiSite{Wiki: wiki, Release: h.cfg.site.PolicyOf(wiki).Release}
		url := r.URL
		if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
			url = original.URL
		}
		if validator.WriteMediaWiki(w, r, *d, site, url.Path, url.RawQuery) {
			return nil
		}
	}
	h.cfg.challenges.Set(w.Header(), d.Reason)
	// Caddy logs every 5xx that a handler returns, with the whole request: a
	// line each while the database is down. Of our own lines there are only so
	// many, so such a refusal is answered here.
	if h.cfg.answer == errorsCaddy && d.Reason.Status() < http.StatusInternalServerError {
		// Caddy puts the text of the error into placeholders.
		return caddyhttp.Error(d.Reason.Status(), errors.New(d.Reason.String()))
	}
	validator.WriteProblem(w, r, d.Reason)
	return nil
}
