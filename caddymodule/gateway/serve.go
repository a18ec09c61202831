package gateway

import (
	"cmp"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/sent"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// ServeHTTP lets a request pass to next with a proven identity, or refuses it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if h.cfg.mode == modeStrip && outcome.Decided(r, h.cfg.headers.Prefix()) {
		// A site may verify some paths and strip all. The identity headers of this
		// request are ours.
		return next.ServeHTTP(w, r)
	}
	// Identity headers that the client sent are removed, even if the request is
	// refused later.
	h.cfg.headers.Strip(r)
	if h.cfg.mode == modeStrip {
		return next.ServeHTTP(w, r) // an answer that does not depend on the credential
	}
	header := w.Header()
	header["Vary"] = append(header["Vary"], "Authorization")

	wiki := h.cfg.site.WikiOf(r)
	if h.cfg.cors != nil {
		if asksPreflight(r) {
			return h.preflight(w, r, wiki)
		}
		edited := h.allowOrigin(w, r)
		defer edited.finish()
		w = edited
	}
	d := h.decide(w, r, wiki)
	if d.Verdict == validator.Allow && !h.cfg.headers.Set(r.Header, &d) {
		d.Verdict, d.Reason = validator.Deny, validator.IdentityTooLarge
	}

	pools.Count(&d)
	outcome.Publish(r, outcome.Outcome{Decision: d, Wiki: wiki, Prefix: h.cfg.headers.Prefix()})
	switch d.Verdict {
	case validator.Allow:
		return h.pass(w, r, next, d.InQuery)
	case validator.Anonymous:
		return next.ServeHTTP(w, r)
	default:
		h.log.Refused(r, &d, wiki, h.explain)
		return h.refuse(w, r, &d, wiki)
	}
}

// decide verifies a request, unless it is left to the wiki.
func (h *Handler) decide(w http.ResponseWriter, r *http.Request, wiki string) validator.Decision {
	if h.leavesToWiki(w, r, wiki) {
		return validator.Decision{Verdict: validator.Anonymous}
	}
	d := h.verify(w, r, wiki)
	if d.Verdict == validator.Anonymous {
		return h.decideAnonymous(r)
	}
	return d
}

// verify asks the verifier of the requested wiki. The id may come from the
// request, so an id that is not configured is refused before a cache or a
// database sees it.
func (h *Handler) verify(w http.ResponseWriter, r *http.Request, wiki string) validator.Decision {
	request, ok := sent.Describe(w, r, h.cfg.peerMayBeClient)
	if !ok {
		return validator.Decision{Reason: validator.MethodNotAllowed}
	}
	l, err := h.enter()
	if err != nil {
		return validator.Decision{Verdict: validator.Unavailable, Reason: validator.StoreUnavailable, Err: err}
	}
	defer l.Release()
	verifier := l.Wikis[wiki].Verifier // without a copy of the rest
	if verifier == nil {
		return validator.Decision{Reason: validator.UnknownWiki}
	}
	return verifier.Verify(r.Context(), request)
}

// enter returns the handler's lease, held. A request may reach the handler after
// its configuration was cleaned up, when a handler before it took long. Such a
// request takes a lease of its own.
func (h *Handler) enter() (*pools.Lease, error) {
	if l := h.lease.Load(); l != nil && l.Hold() {
		return l, nil
	}
	return pools.Open(&h.cfg.site, cmp.Or(h.logger, zap.NewNop()))
}

// decideAnonymous decides about a request that carries no credential.
func (h *Handler) decideAnonymous(r *http.Request) validator.Decision {
	if h.cfg.mode == modeOptional {
		return validator.Decision{Verdict: validator.Anonymous}
	}
	if h.cfg.passPreflight && isPreflight(r) {
		barePreflight(r)
		return validator.Decision{Verdict: validator.Anonymous}
	}
	return validator.Decision{Verdict: validator.Deny, Reason: validator.NoCredentials}
}

// pass hands a request with a proven credential to next.
func (h *Handler) pass(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, inQuery bool) error {
	if h.cfg.stripCredentials {
		stripCredentials(r, inQuery)
	}
	if !inQuery {
		return next.ServeHTTP(w, r)
	}
	// A shared cache tells requests apart by their URL, and the URL of this one
	// holds a credential.
	private := newHeaderWriter(w, makePrivate)
	defer private.finish()
	return next.ServeHTTP(private, r)
}
