package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/sent"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikipath"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Handshake is about requests for those pages and endpoints of the OAuth
// extension whose credentials the extension checks by itself: Special:OAuth with
// its subpages, and rest.php/oauth2/.
type Handshake struct {
	// `verify` (default): they are requests like any other, so that the first
	// steps of OAuth 1.0a, which are signed without a token, are refused.
	// `pass`: they reach the wiki unverified, with their own credential and
	// cookies and without identity headers, in every mode. A request passes
	// only if its target, as the client sent it, is `index.php` of the script
	// path with the page's title in query, form or behind it, the article path
	// or `/index.php/` with the title, or `rest.php/oauth2/` of the script
	// path. If several places name a title, all must name the page. A request
	// that a wiki could take for another is verified.
	Mode string `json:"mode,omitempty"`

	// `$wgScriptPath`, or `/` for the root. Default: `/w`.
	ScriptPath string `json:"script_path,omitempty"`

	// `$wgArticlePath` without `$1`. Default: `/wiki/`.
	ArticlePath string `json:"article_path,omitempty"`

	// The wiki's own names of the namespace Special, such as `Spezial`, or
	// whole names of the page, such as `Spezial:OAuth`. `Special`, `OAuth` and
	// `MWOAuth` are names on every wiki.
	SpecialPage []string `json:"special_page,omitempty"`
}

func (h *Handler) readHandshake(line *caddyfile.Dispenser) error {
	s := new(Handshake)
	h.Handshake = s
	if !line.NextArg() {
		return line.Err("handshake takes verify or pass")
	}
	s.Mode = line.Val()
	if err := handshakeWords.Check(s.Mode); err != nil {
		return line.WrapErr(err)
	}
	return errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"script_path":  grammar.Text(&s.ScriptPath, wikipath.CheckScriptPath),
		"article_path": grammar.Text(&s.ArticlePath, wikipath.CheckArticlePath),
		"special_page": s.readSpecialPage,
	}), grammar.Wrap(line, s.check()))
}

func (s *Handshake) readSpecialPage(line *caddyfile.Dispenser) error {
	mistakes := []error{grammar.Texts(&s.SpecialPage)(line)}
	for _, name := range s.SpecialPage {
		if name != "" && !strings.Contains(name, "{") {
			mistakes = append(mistakes, grammar.Wrap(line, wikipath.CheckSpecialPage(name)))
		}
	}
	return errors.Join(mistakes...)
}

// check finds settings without effect.
func (s *Handshake) check() error {
	if s.Mode == handshakePass {
		return nil
	}
	for _, setting := range []struct {
		name  string
		given bool
	}{
		{"script_path", s.ScriptPath != ""},
		{"article_path", s.ArticlePath != ""},
		{"special_page", len(s.SpecialPage) > 0},
	} {
		if setting.given {
			return fmt.Errorf("handshake verify: %s has no effect: write handshake pass, or leave it out", setting.name)
		}
	}
	return nil
}

// resolveHandshake returns what finds the requests that are left to the wiki, or
// nil if all are verified.
func resolveHandshake(r *config.Resolver, from *Handshake) *wikipath.Wiki {
	s := cmp.Or(from, new(Handshake))
	r.Check(s.check())
	if r.Choice(handshakeWords, s.Mode) != handshakePass {
		return nil
	}
	c := wikipath.Config{
		ScriptPath:  r.Checked("script_path", s.ScriptPath, wikipath.CheckScriptPath),
		ArticlePath: r.Checked("article_path", s.ArticlePath, wikipath.CheckArticlePath),
	}
	for _, name := range s.SpecialPage {
		c.SpecialPages = append(c.SpecialPages, r.Text("special_page", name))
	}
	if r.Err() != nil {
		return nil
	}
	found, err := wikipath.New(c)
	r.Check(err)
	return found
}

// leavesToWiki reports whether the extension checks a request by itself, and
// the configuration says to let it. A request for a wiki that is not configured
// is refused as any other.
func (h *Handler) leavesToWiki(w http.ResponseWriter, r *http.Request, wiki string) bool {
	if h.cfg.handshake == nil || !h.cfg.site.Serves(wiki) {
		return false
	}
	method, target := sent.Target(r)
	request := wikipath.Request{Method: method, Target: target, Header: r.Header}
	if read := validator.BodyReader(w, r); read != nil && r.ContentLength != 0 {
		request.Form = func(limit int64) ([]byte, error) {
			return read(validator.BodyLimit{Size: limit, Client: sent.Client(r)})
		}
	}
	_, found := h.cfg.handshake.Endpoint(&request)
	return found
}

// handshakeHint returns what an operator may have to set when a request without
// a token is refused that looks like a step of the handshake.
func (h *Handler) handshakeHint(r *http.Request, d *validator.Decision) string {
	if d.Reason != validator.MissingToken {
		return ""
	}
	method, target := sent.Target(r)
	switch {
	case !wikipath.Resembles(method, target, r.Header["Content-Type"]):
		return ""
	case h.cfg.handshake == nil:
		return "set handshake pass, if this is the wiki's own Special:OAuth"
	default:
		return "check script_path, article_path and special_page of handshake pass, if this is the wiki's own Special:OAuth"
	}
}
