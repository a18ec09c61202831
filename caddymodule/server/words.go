package server

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
)

const (
	protocol1 = "1.0a"
	protocol2 = "2.0"

	kindMediaWiki = "mediawiki"
	kindPlain     = "plain"

	sessionCaddy     = "caddy"
	sessionMediaWiki = "mediawiki"

	infinity = "infinity"
	on       = "on"
	off      = "off"
)

var (
	protocolWords  = grammar.Words{Setting: "protocols", Built: []string{protocol1, protocol2}}
	endpointWords  = grammar.Words{Setting: "endpoints", Built: []string{kindMediaWiki, kindPlain}}
	sessionWords   = grammar.Words{Setting: "session", Built: []string{sessionCaddy, sessionMediaWiki}, Unquoted: true}
	stateWords     = grammar.Words{Setting: "state", Built: []string{"memory"}, Later: []string{"redis"}, Unquoted: true}
	pkceWords      = grammar.Words{Setting: "require_pkce", Built: []string{"public", "all", off}}
	loopbackWords  = grammar.Words{Setting: "loopback_port", Built: []string{on, off}}
	secureWords    = grammar.Words{Setting: "secure_token_transfer", Built: []string{on, off}}
	grantTypeWords = grammar.Words{Setting: "grant_types", Built: []string{"authorization_code", "refresh_token", "client_credentials"}}
	issWords       = grammar.Words{Setting: "authorization_response_iss", Built: []string{on, off}}
)

var pkceChoices = map[string]authserver.PKCE{
	"public": authserver.PKCEPublic, "all": authserver.PKCEAll, off: authserver.PKCEOff,
}

// checkIssuer holds an issuer to RFC 8414 section 2, but allows http on loopback.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" || strings.ContainsAny(issuer, "?#"):
		return errors.New("issuer: not a URL of scheme, host and path: write one like https://wiki.example")
	case strings.HasSuffix(issuer, "/"):
		return errors.New("issuer: remove the / at its end, which would be a part of its name")
	case u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	default:
		return errors.New("issuer: use https, or http on loopback")
	}
}

// checkLogin holds the address where users sign in to what a browser may be sent
// to: http or https with a host, or a path of this site.
func checkLogin(login string) error {
	wrong := errors.New("login: not an address to sign in at: write one like https://login.example/?back={return}, or a path like /login?back={return}")
	if strings.ContainsFunc(login, func(r rune) bool { return r <= ' ' || r >= 0x7F || r == '\\' }) {
		return wrong
	}
	u, err := url.Parse(strings.ReplaceAll(login, returnPlaceholder, ""))
	switch {
	case err != nil || u.User != nil || u.Opaque != "":
		return wrong
	case (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "":
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(login, "/"):
	default:
		return wrong
	}
	if before, _, found := strings.Cut(login, returnPlaceholder); found && !strings.ContainsAny(before, "?#") {
		return errors.New("login: {return} is percent-encoded: write it into the query, such as ?back={return}")
	}
	return nil
}

func checkHost(host string) error {
	u, err := url.Parse("https://" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || strings.ContainsAny(host, " /?#@\\") {
		return fmt.Errorf("host: %s is not a host", grammar.Quoted(host))
	}
	return nil
}

// checkLifetime is for life times that may be infinite.
func checkLifetime(setting string) func(string) error {
	return func(text string) error {
		if _, ok := parseLifetime(text); !ok {
			return fmt.Errorf("%s: %s is not a life time: use a duration like 1h, or infinity", setting, grammar.Quoted(text))
		}
		return nil
	}
}

func parseLifetime(text string) (time.Duration, bool) {
	if text == infinity {
		return authserver.Infinite, true
	}
	d, err := caddy.ParseDuration(text)
	return d, err == nil && d >= time.Second
}

// checkGrantName holds the name of a grant to what a scope may be (RFC 6749 section
// 3.3).
func checkGrantName(name string) error {
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7F || r == '"' || r == '\\' }
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, odd) {
		return fmt.Errorf("grant: %s is not a name: use 1 to 64 printable ASCII characters without blanks", grammar.Quoted(name))
	}
	return nil
}

// check reports what is wrong with a session.
func (s *Session) check() error {
	if s.Kind == sessionMediaWiki {
		return s.checkMediaWiki()
	}
	if s.URL != "" || s.Host != "" || s.CA != "" || s.Timeout != 0 {
		return errors.New("session caddy takes no URL, host, ca or timeout: they are those of session mediawiki")
	}
	if s.Name == "" {
		return errors.New("session caddy: name is missing: write the placeholder that holds the user's name, such as {http.auth.user.id}")
	}
	return errors.Join(checkPlaceholder("session caddy: name", s.Name), checkPlaceholder("session caddy: id", s.ID))
}

// checkPlaceholder holds a setting to one placeholder of the request.
func checkPlaceholder(setting, text string) error {
	if text == "" {
		return nil
	}
	name, opened := strings.CutPrefix(text, "{")
	name, closed := strings.CutSuffix(name, "}")
	if !opened || !closed || name == "" || strings.ContainsAny(name, "{} ") {
		return fmt.Errorf("%s: not a placeholder of the request: write one like {http.auth.user.id}", setting)
	}
	for _, prefix := range []string{"env.", "file.", "system.", "time."} {
		if strings.HasPrefix(name, prefix) {
			return fmt.Errorf("%s: {%s…} is the same for every request: write one like {http.auth.user.id}", setting, prefix)
		}
	}
	return nil
}

// saidByClients reports whether a placeholder holds what a client sends.
func saidByClients(placeholder string) bool {
	for _, prefix := range []string{"{http.request.header.", "{http.request.cookie.", "{http.request.uri", "{http.request.orig_uri", "{http.request.body"} {
		if strings.HasPrefix(placeholder, prefix) {
			return true
		}
	}
	return false
}

// protocolSetting is a setting that only one protocol has.
type protocolSetting struct {
	name, protocol string
	given          bool
}

func (h *Handler) ofOneProtocol() []protocolSetting {
	l := cmp.Or(h.Lifetimes, new(Lifetimes))
	return []protocolSetting{
		{"secure_token_transfer", protocol1, h.SecureTokenTransfer != ""},
		{"state", protocol1, h.State != nil},
		{"lifetimes: request_token", protocol1, l.RequestToken != 0},
		{"lifetimes: code", protocol2, l.Code != 0},
		{"lifetimes: access_token", protocol2, l.AccessToken != ""},
		{"lifetimes: refresh_token", protocol2, l.RefreshToken != ""},
		{"lifetimes: refresh_grace", protocol2, l.RefreshGrace != 0},
		{"require_pkce", protocol2, h.RequirePKCE != ""},
		{"loopback_port", protocol2, h.LoopbackPort != ""},
		{"authorization_response_iss", protocol2, h.AuthorizationResponseISS != ""},
	}
}

// withoutEffect finds settings without effect.
func (e *Endpoints) withoutEffect() error {
	if slices.Contains(e.Kinds, kindMediaWiki) {
		return nil
	}
	for _, setting := range []struct {
		name  string
		given bool
	}{
		{"script_path", e.ScriptPath != ""},
		{"article_path", e.ArticlePath != ""},
		{"special_page", len(e.SpecialPage) > 0},
	} {
		if setting.given {
			return fmt.Errorf("endpoints plain: %s has no effect: add mediawiki, or leave it out", setting.name)
		}
	}
	return nil
}
