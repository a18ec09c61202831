package server

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/sent"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikipath"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// oauth1Pages are the subpages of Special:OAuth, and the plain endpoints below
// /oauth/.
var oauth1Pages = map[string]authserver.Endpoint{
	"initiate":     authserver.Initiate,
	"authorize":    authserver.Authorize,
	"authenticate": authserver.Authenticate,
	"verified":     authserver.Verified,
	"token":        authserver.TokenExchange,
	"identify":     authserver.Identify,
}

// oauth2Paths are the paths below rest.php/oauth2/, and below /oauth2/.
var oauth2Paths = map[string]authserver.Endpoint{
	"authorize":        authserver.Authorize2,
	"access_token":     authserver.AccessToken,
	"resource/profile": authserver.ResourceProfile,
	"resource/scopes":  authserver.ResourceScopes,
	"apps":             authserver.Apps,
}

// titles are the subpages of Special:OAuth that a user comes back to from the
// wiki's own login, because it returns to titles alone.
var titles = map[string]authserver.Endpoint{
	"authorize2": authserver.Authorize2,
	"apps":       authserver.Apps,
}

const (
	plainOAuth1 = "/oauth/"
	plainOAuth2 = "/oauth2/"
)

// paths finds the endpoint that a request is for, and writes the addresses of our
// own pages.
type paths struct {
	plain bool
	wiki  *wikipath.Wiki // nil: no endpoints of MediaWiki's
	// script is $wgScriptPath, without a slash at its end. It is used only if wiki
	// is not nil.
	script    string
	wikiFirst bool
	// base is scheme, host and path that stand before each path.
	base string
}

// match is what a request is for.
type match struct {
	endpoint authserver.Endpoint
	name     string // of an unknown type, or the path of an endpoint of OAuth 2
	busy     error  // there was no memory to find it out
}

// find returns the endpoint that a request is for. It is false for requests that
// are left to the next handler.
func (p *paths) find(w http.ResponseWriter, r *http.Request) (match, bool) {
	method, target := sent.Target(r)
	target = wikipath.WithoutOrigin(target)
	if p.plain {
		if f, ok := findPlain(target); ok {
			return f, true
		}
	}
	if p.wiki == nil {
		return match{}, false
	}
	var busy error
	f, ours := p.findWiki(wikiRequest(w, r, method, target, &busy))
	f.busy = busy
	return f, ours
}

// findPlain finds a plain endpoint. A page below /oauth/ that does not exist is
// answered as on the wiki; other paths are not ours.
func findPlain(target string) (match, bool) {
	path, _, _ := strings.Cut(target, "?")
	if page, ok := strings.CutPrefix(path, plainOAuth1); ok {
		endpoint, known := oauth1Pages[page]
		if !known {
			endpoint = authserver.UnknownPage
		}
		return match{endpoint: endpoint}, known || page != "" && !strings.Contains(page, "/")
	}
	if name, ok := strings.CutPrefix(path, plainOAuth2); ok {
		f := findOAuth2(name)
		return f, f.endpoint != authserver.UnknownRoute
	}
	return match{}, false
}

// findOAuth2 finds what follows rest.php/oauth2/.
func findOAuth2(name string) match {
	if endpoint, known := oauth2Paths[name]; known {
		return match{endpoint: endpoint, name: plainOAuth2 + name}
	}
	if kind, ok := strings.CutPrefix(name, "resource/"); ok && kind != "" && !strings.Contains(kind, "/") {
		return match{endpoint: authserver.UnknownType, name: kind}
	}
	return match{endpoint: authserver.UnknownRoute, name: plainOAuth2 + name}
}

// findWiki finds an endpoint at MediaWiki's own paths. What MediaWiki would take
// for one is ours as well, so that two issuers never run side by side, but for the
// registration of apps, which stays with the wiki.
func (p *paths) findWiki(r *wikipath.Request) (match, bool) {
	if !p.wiki.Mentions(r) {
		return match{}, false
	}
	switch e, ok := p.wiki.Endpoint(r); {
	case !ok:
		path, _, _ := strings.Cut(r.Target, "?")
		return match{endpoint: authserver.UnknownRoute, name: path}, true
	case e.Kind == wikipath.REST:
		if e.Name == "client" || strings.HasPrefix(e.Name, "client/") {
			return match{}, false
		}
		return findOAuth2(e.Name), true
	default:
		if endpoint, known := titles[e.Name]; known {
			return match{endpoint: endpoint}, true
		}
		endpoint, known := oauth1Pages[e.Name]
		if !known {
			endpoint = authserver.UnknownPage
		}
		return match{endpoint: endpoint}, true
	}
}

// wikiRequest is what decides which page MediaWiki would show. PHP takes titles
// from the forms of a POST alone. busy is set if there is no memory to look into
// the form.
func wikiRequest(w http.ResponseWriter, r *http.Request, method, target string, busy *error) *wikipath.Request {
	q := &wikipath.Request{Method: http.MethodGet, Target: target}
	if method != http.MethodPost || r.ContentLength == 0 {
		return q
	}
	read := validator.BodyReader(w, r)
	kinds := strings.ToLower(strings.Join(r.Header["Content-Type"], ","))
	if read == nil || !strings.Contains(kinds, "multipart/") && !strings.Contains(kinds, "x-www-form-urlencoded") {
		return q
	}
	q.Method, q.Header = method, http.Header{}
	for _, name := range []string{"Authorization", "Content-Encoding", "Content-Type"} {
		if lines, sent := r.Header[name]; sent {
			q.Header[name] = lines
		}
	}
	q.Form = func(limit int64) ([]byte, error) {
		body, err := read(validator.BodyLimit{Size: max(limit, wikipath.MaxForm), Client: sent.Client(r)})
		if errors.Is(err, validator.ErrBodiesBusy) {
			*busy = err
		}
		if err == nil && limit == 0 && !bytes.Contains(body, []byte("title")) {
			return nil, nil // a multipart form without a title is none to be afraid of
		}
		if err == nil && int64(len(body)) > limit {
			err = validator.ErrBodyTooLarge
		}
		return body, err
	}
	return q
}

// address returns the address of a page of ours.
func (p *paths) address(e authserver.Endpoint, fields []authserver.Field) string {
	path, query := p.path(e), encode(fields)
	switch {
	case query == "":
		return p.base + path
	case strings.Contains(path, "?"):
		return p.base + path + "&" + query
	default:
		return p.base + path + "?" + query
	}
}

// encode writes fields as a query, in their order.
func encode(fields []authserver.Field) string {
	query := make([]string, len(fields))
	for i, f := range fields {
		query[i] = url.QueryEscape(f.Name) + "=" + url.QueryEscape(f.Value)
	}
	return strings.Join(query, "&")
}

// wikiLogin returns the address of the wiki's own login, which leads back to a page
// of ours by its title.
func (p *paths) wikiLogin(e authserver.Endpoint, fields []authserver.Field) string {
	page := "apps"
	for _, pages := range []map[string]authserver.Endpoint{oauth1Pages, titles} {
		for name, endpoint := range pages {
			if endpoint == e {
				page = name
			}
		}
	}
	login := p.base + p.script + "/index.php?title=Special:UserLogin&returnto=" + url.QueryEscape("Special:OAuth/"+page)
	if query := encode(fields); query != "" {
		login += "&returntoquery=" + url.QueryEscape(query)
	}
	return login
}

// path returns the path of an endpoint, in the first kind of endpoints that is
// served.
func (p *paths) path(e authserver.Endpoint) string {
	for name, endpoint := range oauth1Pages {
		if endpoint == e && p.wikiFirst {
			return p.script + "/index.php?title=Special:OAuth/" + name
		} else if endpoint == e {
			return plainOAuth1 + name
		}
	}
	for name, endpoint := range oauth2Paths {
		if endpoint == e && p.wikiFirst {
			return p.script + "/rest.php" + plainOAuth2 + name
		} else if endpoint == e {
			return plainOAuth2 + name
		}
	}
	return ""
}
