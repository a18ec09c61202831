package server

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pages"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// settings is a Handler's configuration with its defaults filled in, its
// placeholders replaced and its files read.
type settings struct {
	site            config.Settings
	peerMayBeClient bool
	writer          store.Config
	stateSize       int64
	sessions        map[string]authserver.Sessions // by wiki id
	api             *WikiAPI                       // nil: off
	consumers       []authserver.Consumer          // those that are kept in configuration
	paths           *paths
	issuing         map[string]authserver.Config // by wiki id
	// responders are by wiki id. A wiki that is not configured has none, and needs
	// none: its answers are no pages.
	responders map[string]*responder
}

const (
	defaultStateSize = 64 << 20 // bytes
	minStateKey      = 32       // characters
	minPrivateKey    = 2048     // bits
)

// resolve fills in and checks the configuration. It reports all its mistakes at
// once.
func (h *Handler) resolve() (settings, error) {
	r := resolver{config.NewResolver("oauth_server")}
	if missing := h.missing(); len(missing) > 0 {
		r.Check(fmt.Errorf("oauth_server needs %s", strings.Join(missing, ", ")))
	}
	s := settings{
		site:            r.Site(h.site(), r.policy(h)),
		peerMayBeClient: r.Choice(config.PeerWords, h.TrustedPeer) == config.PeerClient,
	}
	s.paths = r.paths(h.Endpoints)
	s.writer = r.writer(&s, h.Writer)
	s.stateSize = r.state(h.State)
	s.sessions = r.sessions(h.Session, &s)
	s.api = r.publicAPI(h.WikiAPI, &s)
	s.consumers = r.configured(h.Consumers, s.site.Consumers)
	common := r.common(h, &s)
	login := r.login(h.Login)
	s.issuing, s.responders = map[string]authserver.Config{}, map[string]*responder{}
	for i := range s.site.Served {
		w := &s.site.Served[i]
		c := r.issuing(h, &s, common, w)
		p := *s.paths
		p.base = base(&w.Policy, c.Issuer)
		if p.wiki != nil {
			c.IndexURL = p.base + p.script + "/index.php"
		}
		s.issuing[w.Tables.ID] = c
		s.responders[w.Tables.ID] = &responder{
			site: pages.Site{Wiki: hostOf(c.Issuer), Apps: p.address(authserver.Apps, nil)}, paths: &p, login: login,
			wikiLogin: h.Session != nil && h.Session.Kind == sessionMediaWiki && login == "" && p.wiki != nil,
		}
	}
	return s, r.Err()
}

// resolver resolves the settings of issuing.
type resolver struct{ *config.Resolver }

// missing returns the names of the required settings that only this directive has
// and that are not there.
func (h *Handler) missing() (names []string) {
	if h.Writer == nil {
		names = append(names, "writer")
	}
	if h.Session == nil {
		names = append(names, "session")
	}
	return names
}

// configured are the apps that are kept in configuration, as they were resolved,
// with what only issuing needs of them.
func (r resolver) configured(from []config.Consumer, resolved []validator.Consumer) []authserver.Consumer {
	var all []authserver.Consumer
	for i := range resolved {
		c := &from[i]
		setting := "consumer " + grammar.Shown(c.Key) + ": "
		for _, word := range c.GrantTypes {
			words := grantTypeWords
			words.Setting = setting + words.Setting
			r.Check(words.Check(word))
		}
		all = append(all, authserver.Consumer{
			Consumer: resolved[i], CallbackURL: r.Text(setting+"callback_url", c.CallbackURL), CallbackIsPrefix: c.CallbackIsPrefix,
			Description: r.Text(setting+"description", c.Description), AppVersion: c.Version, Grants: authserver.Grants(c.Grants...),
			HasRSAKey: c.RSAKey != "", GrantTypes: c.GrantTypes, Confidential: c.Confidential,
		})
	}
	return all
}

// policy resolves those parts of the policy that a site does not have.
func (r resolver) policy(h *Handler) validator.Policy {
	return validator.Policy{
		MaxBodySize: validator.DefaultMaxBodySize,
		ClockSkew:   r.ClockSkew(h.ClockSkew, h.Rules),
	}
}

// common resolves what all wikis have in common.
func (r resolver) common(h *Handler, s *settings) authserver.Config {
	c := authserver.Config{
		PrivateKey:          r.privateKey(h.PrivateKey, s.site.Keys),
		RequirePKCE:         pkceChoices[r.Choice(pkceWords, h.RequirePKCE)],
		SecureTokenTransfer: r.Choice(secureWords, h.SecureTokenTransfer) == on,
		ResponseIssuer:      r.Choice(issWords, h.AuthorizationResponseISS) == on,
		ReadOnly:            h.ReadOnly,
		StateKeys:           r.stateKeys(h.StateKey),
	}
	if h.Realm != "" {
		c.Realm = s.site.Realm
	}
	if len(h.Protocols) > 0 {
		r.Check(checkWords(h.Protocols, protocolWords))
	}
	all := len(h.Protocols) == 0
	c.OAuth1 = all || slices.Contains(h.Protocols, protocol1)
	c.OAuth2 = all && h.PrivateKey != "" || slices.Contains(h.Protocols, protocol2)
	for _, setting := range h.ofOneProtocol() {
		switch {
		case setting.given && setting.protocol == protocol1 && !c.OAuth1, setting.given && setting.protocol == protocol2 && !c.OAuth2:
			r.Check(fmt.Errorf("%s has no effect without protocols %s: leave it out", setting.name, setting.protocol))
		}
	}
	switch {
	case c.OAuth2 && h.PrivateKey == "":
		r.Check(errors.New("protocols 2.0: private_key is missing, which signs access tokens"))
	case !c.OAuth2 && h.PrivateKey != "":
		r.Check(errors.New("private_key has no effect without protocols 2.0: leave it out"))
	}
	return c
}

// issuing resolves what is one wiki's own.
func (r resolver) issuing(h *Handler, s *settings, c authserver.Config, w *config.Served) authserver.Config {
	c.Policy = w.Policy
	c.Issuer = r.issuer(h.Issuer, s, &w.Policy)
	c.Lifetimes = r.lifetimes(h.Lifetimes, w.Policy.Release)
	c.Grants = r.grants(h.Grants, w.Policy.Release)
	if c.RequirePKCE == authserver.PKCEOff && w.Policy.Release >= 47 {
		r.once(errors.New("require_pkce off: MediaWiki 1.47 always asks public clients for a code challenge"))
	}
	if h.LoopbackPort == "" {
		c.LoopbackPort = w.Policy.Release >= 46
	} else {
		c.LoopbackPort = r.Choice(loopbackWords, h.LoopbackPort) == on
	}
	if len(h.StateKey) == 0 && w.Policy.SiteKey != "" {
		key, err := authserver.DeriveStateKey(w.Policy.SiteKey)
		r.Check(err)
		c.StateKeys = [][]byte{key}
	} else if len(h.StateKey) == 0 && h.SecretKey != "" {
		r.once(errors.New("state_key is missing: without secret_key there is nothing to derive it from"))
	}
	return c
}

// once notes a mistake that each wiki of a farm has.
func (r resolver) once(err error) {
	if !strings.Contains(fmt.Sprint(r.Err()), err.Error()) {
		r.Check(err)
	}
}

// issuer is what the operator says, or scheme and host of the wiki.
func (r resolver) issuer(text string, s *settings, p *validator.Policy) string {
	switch {
	case text != "" && s.site.Placeholder != "":
		r.once(errors.New("issuer: in a farm it is each wiki's base_url: leave it out"))
		return ""
	case text != "":
		return r.Checked("issuer", text, checkIssuer)
	case p.BaseScheme == "" || p.BaseHost == "":
		r.once(errors.New("issuer is missing: without a base_url of scheme and host there is nothing to take it from"))
		return ""
	}
	issuer := p.BaseScheme + "://" + p.BaseHost
	if err := checkIssuer(issuer); err != nil {
		r.once(fmt.Errorf("base_url: it cannot be the issuer: %w", err))
	}
	return issuer
}

// base is scheme, host and path in front of the paths of our own pages.
func base(p *validator.Policy, issuer string) string {
	if p.BaseScheme != "" && p.BaseHost != "" {
		return p.BaseScheme + "://" + p.BaseHost + p.BasePath
	}
	scheme, rest, _ := strings.Cut(issuer, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + cmp.Or(p.BaseHost, host) + p.BasePath
}

func hostOf(issuer string) string {
	_, rest, _ := strings.Cut(issuer, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}
