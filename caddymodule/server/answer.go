package server

import (
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pages"
)

// returnPlaceholder stands in the setting login for the page to come back to.
const returnPlaceholder = "{return}"

// responder writes answers.
type responder struct {
	site  pages.Site
	paths *paths
	// login is where a user signs in, or empty.
	login string
	// wikiLogin is true if users sign in at the wiki's own Special:UserLogin.
	wikiLogin bool
}

// write writes an answer. A user who must sign in first is sent to do so, where
// the operator has named the place.
func (p *responder) write(w http.ResponseWriter, r *http.Request, a *authserver.Answer) error {
	h := w.Header()
	maps.Copy(h, a.Headers)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // our addresses hold tokens and states
	h.Add("Vary", "Authorization")
	switch {
	case a.Login != nil && (p.login != "" || p.wikiLogin):
		h.Add("Vary", "Cookie")
		h.Set("Location", p.signIn(a.Login))
		w.WriteHeader(redirectStatus(r))
		return nil
	case a.Location != "":
		h.Add("Vary", "Cookie")
		h.Set("Location", a.Location)
		w.WriteHeader(a.Status)
		return nil
	case a.Page != nil:
		return p.page(w, r, a)
	}
	if a.ContentType != "" {
		h.Set("Content-Type", a.ContentType)
	}
	return send(w, r, a.Status, a.Body)
}

func (p *responder) page(w http.ResponseWriter, r *http.Request, a *authserver.Answer) error {
	body, language, err := pages.Render(a.Page, p.site, r)
	if err != nil {
		return err
	}
	h := w.Header()
	pages.SetHeaders(h)
	h.Add("Vary", "Cookie")
	h.Add("Vary", "Accept-Language")
	h.Set("Content-Language", language)
	return send(w, r, a.Status, body)
}

// send writes status and body. The answer to HEAD has no body.
func send(w http.ResponseWriter, r *http.Request, status int, body []byte) error {
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	return err
}

// redirectStatus is that of a redirect which makes a POST a GET.
func redirectStatus(r *http.Request) int {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return http.StatusFound
	}
	return http.StatusSeeOther
}

// signIn returns the address where a user signs in. The page to come back to is
// made of the parameters that were read, so that it is always one of ours.
func (p *responder) signIn(l *authserver.Login) string {
	if p.wikiLogin {
		return p.paths.wikiLogin(l.Endpoint, l.Fields)
	}
	back := p.paths.address(l.Endpoint, l.Fields)
	return strings.ReplaceAll(p.login, returnPlaceholder, url.QueryEscape(back))
}
