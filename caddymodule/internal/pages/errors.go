package pages

import (
	"sync"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
)

// maxErrorPages bounds the error pages that are remembered, of about 3 KiB each.
const maxErrorPages = 256

// errorPage is what an error page depends on that names neither a user nor an app.
// Strangers can ask for any number of those, so that each is rendered once.
type errorPage struct {
	site     Site
	language string
	reason   authserver.Reason
}

// errorPageOf returns what the page depends on. same is false if it depends on
// more.
func errorPageOf(p *authserver.Page, site Site, t *texts) (key errorPage, same bool) {
	if p.Kind != authserver.ErrorPage || p.Again || p.Visitor != "" || p.App != nil || p.Refusal == nil || p.Refusal.App != nil {
		return errorPage{}, false
	}
	return errorPage{site, t.tag, p.Refusal.Reason}, true
}

// errorPages are those of all sites of the process.
var errorPages = renderedPages{bodies: map[errorPage][]byte{}}

// renderedPages remembers pages. A body must not be changed.
type renderedPages struct {
	mu     sync.RWMutex
	bodies map[errorPage][]byte
}

func (r *renderedPages) get(key errorPage) (body []byte, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	body, known = r.bodies[key]
	return body, known
}

// add remembers a page. When there is no room, all others are forgotten.
func (r *renderedPages) add(key errorPage, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.bodies) >= maxErrorPages {
		clear(r.bodies)
	}
	r.bodies[key] = body
}
