package server

import (
	"errors"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikipath"
)

// issuingSubdirectives are those that only oauth_server has.
func (h *Handler) issuingSubdirectives() map[string]grammar.Subdirective {
	return map[string]grammar.Subdirective{
		"writer":                     h.readWriter,
		"private_key":                grammar.Secret(&h.PrivateKey),
		"issuer":                     grammar.Text(&h.Issuer, checkIssuer),
		"protocols":                  readWords(&h.Protocols, protocolWords),
		"endpoints":                  h.readEndpoints,
		"session":                    h.readSession,
		"login":                      h.readLogin,
		"wiki_api":                   h.readWikiAPI,
		"state":                      h.readState,
		"state_key":                  grammar.Texts(&h.StateKey),
		"lifetimes":                  h.readLifetimes,
		"require_pkce":               grammar.Choice(&h.RequirePKCE, pkceWords),
		"loopback_port":              grammar.Choice(&h.LoopbackPort, loopbackWords),
		"secure_token_transfer":      grammar.Choice(&h.SecureTokenTransfer, secureWords),
		"grant":                      h.readGrant,
		"authorization_response_iss": grammar.Choice(&h.AuthorizationResponseISS, issWords),
		"read_only":                  grammar.Flag(&h.ReadOnly),
		"messages":                   readMessages,
	}
}

// readWords reads any number of words, each once.
func readWords(to *[]string, of grammar.Words) grammar.Subdirective {
	return func(line *caddyfile.Dispenser) error {
		*to = line.RemainingArgs()
		return errors.Join(grammar.Wrap(line, checkWords(*to, of)), grammar.NoBlock(line))
	}
}

func checkWords(words []string, of grammar.Words) error {
	if len(words) == 0 {
		return errors.New(of.Setting + " takes " + grammar.OneOf(of.Built) + ", or both")
	}
	var mistakes []error
	for i, word := range words {
		mistakes = append(mistakes, of.Check(word))
		if slices.Contains(words[:i], word) {
			mistakes = append(mistakes, errors.New(of.Setting+": "+grammar.Shown(word)+" is given more than once"))
		}
	}
	return errors.Join(mistakes...)
}

func (h *Handler) readWriter(line *caddyfile.Dispenser) error {
	w := new(Writer)
	h.Writer = w
	var mistakes []error
	if args := line.RemainingArgs(); len(args) == 1 && args[0] != "" {
		w.DSN = args[0]
	} else {
		mistakes = append(mistakes, line.Err("writer takes one DSN")) // which may hold a password: it is not quoted
	}
	return errors.Join(append(mistakes, grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"query_timeout":     grammar.Duration(&w.QueryTimeout),
		"max_open_conns":    grammar.Number(&w.MaxOpenConns),
		"conn_max_lifetime": grammar.Duration(&w.ConnMaxLifetime),
	}))...)
}

func (h *Handler) readEndpoints(line *caddyfile.Dispenser) error {
	e := new(Endpoints)
	h.Endpoints = e
	e.Kinds = line.RemainingArgs()
	wrong := grammar.Wrap(line, checkWords(e.Kinds, endpointWords))
	err := grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"script_path":  grammar.Text(&e.ScriptPath, wikipath.CheckScriptPath),
		"article_path": grammar.Text(&e.ArticlePath, wikipath.CheckArticlePath),
		"special_page": e.readSpecialPage,
	})
	if wrong == nil {
		wrong = grammar.Wrap(line, e.withoutEffect())
	}
	return errors.Join(wrong, err)
}

func (e *Endpoints) readSpecialPage(line *caddyfile.Dispenser) error {
	mistakes := []error{grammar.Texts(&e.SpecialPage)(line)}
	for _, name := range e.SpecialPage {
		if name != "" && !strings.Contains(name, "{") {
			mistakes = append(mistakes, grammar.Wrap(line, wikipath.CheckSpecialPage(name)))
		}
	}
	return errors.Join(mistakes...)
}

func (h *Handler) readSession(line *caddyfile.Dispenser) error {
	s := new(Session)
	h.Session = s
	if !line.NextArg() {
		return line.Err("session takes " + grammar.OneOf(sessionWords.Built))
	}
	s.Kind = line.Val()
	if err := sessionWords.Check(s.Kind); err != nil {
		return line.WrapErr(err)
	}
	words := map[string]grammar.Subdirective{
		"name": grammar.Text(&s.Name, nil),
		"id":   grammar.Text(&s.ID, nil),
	}
	if s.Kind == sessionMediaWiki {
		if line.NextArg() {
			s.URL = line.Val()
		}
		words = map[string]grammar.Subdirective{
			"host":    grammar.Text(&s.Host, nil),
			"ca":      grammar.Text(&s.CA, nil),
			"timeout": grammar.Duration(&s.Timeout),
		}
	}
	err := errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, words))
	if err == nil || s.Kind == sessionMediaWiki {
		err = errors.Join(err, grammar.Wrap(line, s.check()))
	}
	return err
}

func (h *Handler) readLogin(line *caddyfile.Dispenser) error {
	if err := grammar.Text(&h.Login, nil)(line); err != nil {
		return err
	}
	if strings.Contains(strings.ReplaceAll(h.Login, returnPlaceholder, ""), "{") {
		return nil
	}
	return grammar.Wrap(line, checkLogin(h.Login))
}

func (h *Handler) readWikiAPI(line *caddyfile.Dispenser) error {
	a := new(WikiAPI)
	h.WikiAPI = a
	var mistakes []error
	if args := line.RemainingArgs(); len(args) == 1 && args[0] != "" {
		if a.URL = args[0]; !strings.Contains(a.URL, "{") {
			mistakes = append(mistakes, grammar.Wrap(line, checkAPI("wiki_api")(a.URL)))
		}
	} else {
		mistakes = append(mistakes, line.Err("wiki_api takes one URL"))
	}
	return errors.Join(append(mistakes, grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"host": grammar.Text(&a.Host, checkHost),
	}))...)
}

func (h *Handler) readState(line *caddyfile.Dispenser) error {
	s := new(State)
	h.State = s
	if !line.NextArg() {
		return line.Err("state takes memory")
	}
	s.Backend = line.Val()
	if err := stateWords.Check(s.Backend); err != nil {
		return line.WrapErr(err)
	}
	if !line.NextArg() {
		return grammar.NoBlock(line)
	}
	if line.Val() != "size" {
		return line.Err("state memory: unknown argument: use size")
	}
	return grammar.Size(&s.Size)(line)
}

func (h *Handler) readLifetimes(line *caddyfile.Dispenser) error {
	l := new(Lifetimes)
	h.Lifetimes = l
	return errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"request_token": grammar.Duration(&l.RequestToken),
		"code":          grammar.Duration(&l.Code),
		"access_token":  grammar.Text(&l.AccessToken, checkLifetime("access_token")),
		"refresh_token": grammar.Text(&l.RefreshToken, checkLifetime("refresh_token")),
		"refresh_grace": readGrace(&l.RefreshGrace),
	}))
}

// readGrace reads a duration whose default is 0.
func readGrace(to *caddy.Duration) grammar.Subdirective {
	return func(line *caddyfile.Dispenser) error {
		var d *caddy.Duration
		err := grammar.DurationOrZero(&d)(line)
		if d != nil {
			*to = *d
		}
		return err
	}
}

func (h *Handler) readGrant(line *caddyfile.Dispenser) error {
	args := line.RemainingArgs()
	if len(args) != 1 {
		return line.Err("grant takes one name and a block")
	}
	g := Grant{Name: args[0]}
	wrong := grammar.Wrap(line, checkGrantName(g.Name))
	if slices.ContainsFunc(h.Grants, func(other Grant) bool { return other.Name == g.Name }) {
		wrong = line.Errf("grant %s is given more than once", grammar.Shown(g.Name))
	}
	err := grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"describe": grammar.Text(&g.Describe, nil),
		"rights":   grammar.Texts(&g.Rights),
		"hidden":   grammar.Flag(&g.Hidden),
	})
	h.Grants = append(h.Grants, g)
	return errors.Join(wrong, err)
}

func readMessages(line *caddyfile.Dispenser) error {
	return line.Err("messages is not built yet")
}
