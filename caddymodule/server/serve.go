package server

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/sent"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikipath"
)

// ServeHTTP answers the requests for our own endpoints, and passes every other
// request to next.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	f, ours := h.cfg.paths.find(w, r)
	if !ours {
		return next.ServeHTTP(w, r)
	}
	wiki := h.cfg.site.WikiOf(r)
	a := h.answer(w, r, wiki, f)
	a.Event.Endpoint = f.endpoint
	metrics.count(&a.Event)
	h.log.write(r, wiki, &a.Event)
	return h.cfg.responders[wiki].write(w, r, &a)
}

// answer asks the server of the wiki. The wiki may be named by the request, so that
// one which is not configured is refused before anything is looked up.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, wiki string, f match) authserver.Answer {
	if f.busy != nil {
		return authserver.Unable(f.busy)
	}
	description, ok := sent.Describe(w, r, h.cfg.peerMayBeClient)
	if !ok {
		return authserver.NotFound(f.name) // a CONNECT
	}
	l, err := h.enter()
	if err != nil {
		return authserver.Unable(err)
	}
	defer l.Release()
	server, served := l.servers[wiki]
	if !served {
		return authserver.NotFound(f.name)
	}
	return server.Serve(r.Context(), authserver.Request{
		Endpoint: f.endpoint, Name: f.name, HTTP: asSent(r), Sent: description,
	})
}

// asSent is a request with method and target as the client sent them.
func asSent(r *http.Request) *http.Request {
	method, target := sent.Target(r)
	path, query, _ := strings.Cut(wikipath.WithoutOrigin(target), "?")
	original := r.WithContext(r.Context())
	original.Method, original.RequestURI = method, target
	original.URL = &url.URL{Path: path, RawQuery: query}
	return original
}
