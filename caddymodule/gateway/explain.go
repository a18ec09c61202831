package gateway

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/logs"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/sent"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// explain returns what helps an operator to find the cause of a refusal.
func (h *Handler) explain(r *http.Request, d *validator.Decision, wiki string) []zap.Field {
	if d.Reason == validator.BadSignature {
		return h.cfg.signedParts(r, d, wiki)
	}
	if hint := h.handshakeHint(r, d); hint != "" {
		return []zap.Field{zap.String("hint", hint)}
	}
	return nil
}

// maxLoggedURL bounds a URL in a log, in bytes.
const maxLoggedURL = 1024

// signedParts returns what a signature that does not match was verified
// against, and where scheme, host and path came from: wrong settings of a proxy
// and wrong secrets look the same otherwise. The query is left out, because it
// may hold the credential.
func (s *settings) signedParts(r *http.Request, d *validator.Decision, wiki string) []zap.Field {
	p := s.site.PolicyOf(wiki)
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	proto, host := r.Header["X-Forwarded-Proto"], r.Header["X-Forwarded-Host"]
	isScheme := strings.EqualFold(sent.Only(proto), "http") || strings.EqualFold(sent.Only(proto), "https")
	// Under the rules of MediaWiki this one counts, whoever sent it.
	byHeader := p.Rules == validator.MediaWiki && p.BaseHost != "" && len(proto) == 1 && proto[0] == "https"
	schemeFrom, schemeIgnored := source(p.BaseScheme != "", trusted && isScheme || byHeader, len(proto) > 0)
	hostFrom, hostIgnored := source(p.BaseHost != "", trusted && sent.Only(host) != "", len(host) > 0)
	pathFrom := "request"
	if p.BasePath != "" {
		pathFrom = "base_url and request"
	}
	fields := []zap.Field{
		zap.String("signed_method", logs.Bounded(d.SignedMethod)), zap.String("signed_url", logs.BoundedTo(d.SignedURL, maxLoggedURL)),
		zap.String("scheme_from", schemeFrom), zap.String("host_from", hostFrom), zap.String("path_from", pathFrom),
	}
	var ignored []string
	if schemeIgnored {
		ignored = append(ignored, "X-Forwarded-Proto")
	}
	if hostIgnored {
		ignored = append(ignored, "X-Forwarded-Host")
	}
	if ignored != nil {
		// Sent by a peer that is not trusted, a list, or overridden by base_url.
		fields = append(fields, zap.Strings("forwarded_ignored", ignored))
	}
	return fields
}

// source names where a part of the signed URL came from, and reports whether a
// header that names it was ignored.
func source(configured, forwarded, sent bool) (name string, ignored bool) {
	switch {
	case configured:
		return "base_url", sent
	case forwarded:
		return "X-Forwarded header", false
	default:
		return "request", sent
	}
}
