package gateway

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/sent"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// ServeHTTP lets a request pass to next with a proven identity, or refuses it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if h.mode == modeStrip && outcome.Decided(r, h.names.Prefix()) {
		return next.ServeHTTP(w, r) // a site verifies some paths and strips all: what is there now is ours
	}
	// Identity headers that the client sent are removed, even if the request is
	// refused later.
	h.names.Strip(r)
	if h.mode == modeStrip {
		return next.ServeHTTP(w, r) // an answer that does not depend on the credential
	}
	header := w.Header()
	header["Vary"] = append(header["Vary"], "Authorization")

	wiki := h.asked(r)
	if h.cors != nil {
		if asksPreflight(r) {
			return h.preflight(w, r, wiki)
		}
		edited := h.allowOrigin(w, r)
		defer edited.finish()
		w = edited
	}
	d := h.decide(w, r, wiki)
	if d.Verdict == validator.Allow && !h.names.Set(r.Header, &d) {
		d.Verdict, d.Reason = validator.Deny, validator.IdentityTooLarge
	}

	metrics.decided(&d)
	outcome.Publish(r, outcome.Outcome{Decision: d, Wiki: wiki, Prefix: h.names.Prefix()})
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
		return h.judgeAnonymous(r)
	}
	return d
}

// verify asks the core that is for the wiki. An id from a request opens nothing but what is configured: no other one
// gets to a cache or a database.
func (h *Handler) verify(w http.ResponseWriter, r *http.Request, wiki string) validator.Decision {
	request, ok := sent.Describe(w, r, h.peerMayBeClient)
	if !ok {
		return validator.Decision{Reason: validator.MethodNotAllowed}
	}
	l, err := h.enter()
	if err != nil {
		return validator.Decision{Verdict: validator.Unavailable, Reason: validator.StoreUnavailable, Err: err}
	}
	defer l.release()
	v, served := l.verifiers[wiki]
	if !served {
		return validator.Decision{Reason: validator.UnknownWiki}
	}
	return v.Verify(r.Context(), request)
}

// judgeAnonymous decides about a request that carries no credential.
func (h *Handler) judgeAnonymous(r *http.Request) validator.Decision {
	if h.mode == modeOptional {
		return validator.Decision{Verdict: validator.Anonymous}
	}
	if h.passPreflight && isPreflight(r) {
		barePreflight(r)
		return validator.Decision{Verdict: validator.Anonymous}
	}
	return validator.Decision{Verdict: validator.Deny, Reason: validator.NoCredentials}
}

// pass hands a request with a proven credential to next.
func (h *Handler) pass(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, inQuery bool) error {
	if h.stripCredentials {
		stripCredentials(r, inQuery)
	}
	if !inQuery {
		return next.ServeHTTP(w, r)
	}
	// A shared cache knows a request by its URL alone, and this one's URL is a credential.
	private := newHeaderWriter(w, makePrivate)
	defer private.finish()
	return next.ServeHTTP(private, r)
}
