package server

import (
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikipath"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/grants"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func (r resolver) privateKey(text string, public []*rsa.PublicKey) *rsa.PrivateKey {
	text = r.PEM("private_key", text)
	if text == "" {
		return nil
	}
	key, err := parsePrivateKey([]byte(text))
	if err != nil {
		r.Check(fmt.Errorf("private_key: %w", err))
		return nil
	}
	if !slices.ContainsFunc(public, func(k *rsa.PublicKey) bool { return k.Equal(&key.PublicKey) }) {
		r.Check(errors.New("private_key: its public half is not among public_key: add it, otherwise the tokens that it signs are refused"))
	}
	return key
}

func parsePrivateKey(text []byte) (*rsa.PrivateKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("not one private key in PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, errors.New("not a private key in PEM: use one of PRIVATE KEY or RSA PRIVATE KEY, without a passphrase")
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	switch {
	case err != nil || !ok:
		return nil, errors.New("not an RSA key without a passphrase")
	case rsaKey.N.BitLen() < minPrivateKey:
		return nil, fmt.Errorf("a key of %d bits is too weak: use %d or more", rsaKey.N.BitLen(), minPrivateKey)
	}
	return rsaKey, nil
}

func (r resolver) stateKeys(texts []string) (keys [][]byte) {
	for _, text := range texts {
		text = r.Checked("state_key", text, func(s string) error {
			if len(s) < minStateKey {
				return fmt.Errorf("state_key: too short: use at least %d random characters", minStateKey)
			}
			return nil
		})
		if text == "" {
			continue // said already
		}
		key, err := authserver.DeriveStateKey(text)
		r.Check(err)
		keys = append(keys, key)
	}
	return keys
}

func (r resolver) lifetimes(from *Lifetimes, release validator.Release) authserver.Lifetimes {
	l := cmp.Or(from, new(Lifetimes))
	refresh := time.Minute // $wgOAuth2RefreshTokenTTL PT1M
	if release >= 42 {
		refresh = 30 * 24 * time.Hour // P1M
	}
	return authserver.Lifetimes{
		RequestToken: r.bounded("request_token", l.RequestToken, 10*time.Minute),
		Code:         r.bounded("code", l.Code, 10*time.Minute),
		AccessToken:  r.lifetime("access_token", l.AccessToken, time.Hour),
		RefreshToken: r.lifetime("refresh_token", l.RefreshToken, refresh),
		RefreshGrace: r.bounded("refresh_grace", l.RefreshGrace, 0),
	}
}

// bounded is a life time of what is kept or replaced: at most an hour.
func (r resolver) bounded(setting string, value caddy.Duration, otherwise time.Duration) time.Duration {
	if d := time.Duration(value); d < 0 || d > 0 && d < time.Second || d > time.Hour {
		r.once(fmt.Errorf("%s: %v is not within 1s and 1h", setting, d))
	}
	return cmp.Or(time.Duration(value), otherwise)
}

func (r resolver) lifetime(setting, text string, otherwise time.Duration) time.Duration {
	if text == "" {
		return otherwise
	}
	d, ok := parseLifetime(r.Text(setting, text))
	if !ok {
		r.once(checkLifetime(setting)(text))
	}
	return d
}

// grants are those of the release, with what the operator says of them.
func (r resolver) grants(from []Grant, release validator.Release) map[string]authserver.Grant {
	all := authserver.CoreGrants(release)
	seen := map[string]bool{}
	for _, g := range from {
		if err := checkGrantName(g.Name); err != nil {
			r.once(err)
			continue
		}
		if seen[g.Name] {
			r.once(fmt.Errorf("grant %s is given more than once", g.Name))
		}
		seen[g.Name] = true
		known := all[g.Name]
		known.Describe = r.Text("grant "+g.Name+": describe", g.Describe)
		known.Hidden = known.Hidden || g.Hidden
		if len(g.Rights) > 0 {
			known.Rights = g.Rights
		}
		all[g.Name] = known
	}
	return all
}

func (r resolver) paths(from *Endpoints) *paths {
	e := cmp.Or(from, new(Endpoints))
	p := new(paths)
	kinds := e.Kinds
	if len(kinds) == 0 {
		kinds = endpointWords.Built
	}
	r.Check(checkWords(kinds, endpointWords))
	p.plain = slices.Contains(kinds, kindPlain)
	p.wikiFirst = kinds[0] == kindMediaWiki
	if !slices.Contains(kinds, kindMediaWiki) {
		r.Check(e.withoutEffect())
		return p
	}
	c := wikipath.Config{
		ScriptPath:  r.Checked("script_path", e.ScriptPath, wikipath.CheckScriptPath),
		ArticlePath: r.Checked("article_path", e.ArticlePath, wikipath.CheckArticlePath),
	}
	for _, name := range e.SpecialPage {
		c.SpecialPages = append(c.SpecialPages, r.Text("special_page", name))
	}
	p.script = strings.TrimSuffix(cmp.Or(c.ScriptPath, wikipath.DefaultScriptPath), "/")
	found, err := wikipath.New(c)
	if err != nil {
		r.once(err)
	}
	p.wiki = found
	return p
}

// writer is the account that writes, on the store's server.
func (r resolver) writer(s *settings, from *Writer) store.Config {
	if from == nil || s.site.Database.Driver == "" {
		return store.Config{} // missing, and said so
	}
	c := store.Config{
		Writes: true, Driver: s.site.Database.Driver, TLS: s.site.Database.TLS, OAuthDatabase: s.site.Database.OAuthDatabase, Observe: s.site.Database.Observe,
		DSN:             r.Text("writer", from.DSN),
		QueryTimeout:    r.Duration("writer: query_timeout", from.QueryTimeout, store.DefaultQueryTimeout),
		ConnMaxLifetime: r.Duration("writer: conn_max_lifetime", from.ConnMaxLifetime, store.DefaultConnMaxLifetime),
		MaxOpenConns:    cmp.Or(from.MaxOpenConns, grants.DefaultMaxOpenConns),
	}
	switch {
	case from.DSN == "":
		r.Check(errors.New("writer: DSN missing"))
	case from.MaxOpenConns < 0:
		r.Check(fmt.Errorf("writer: max_open_conns: %d is not a positive number", from.MaxOpenConns))
	case c.DSN == "":
		// said already
	case !store.HasAccounts(c.Driver) && c.DSN != s.site.Database.DSN:
		r.Check(errors.New("writer: a file has no accounts: name the path that the store names"))
	default:
		r.Check(checkWriter(c, s.site.Database))
	}
	return c
}

// checkWriter holds how the tables are written to how the store reads them. Neither
// is asked.
func checkWriter(c, from store.Config) error {
	pool, err := grants.Open(c)
	if err == nil {
		defer pool.Close()                                     //nolint:errcheck // it has no connections
		if reader, failed := store.Open(from); failed == nil { // otherwise it was said already
			defer reader.Close() //nolint:errcheck // likewise
			err = pool.CheckWriter(reader)
		}
	}
	if err != nil {
		return fmt.Errorf("writer: %w", err)
	}
	return nil
}

func (r resolver) state(from *State) int64 {
	s := cmp.Or(from, new(State))
	r.Choice(stateWords, s.Backend)
	return r.Memory("state size", s.Size, defaultStateSize)
}

func (r resolver) publicAPI(from *WikiAPI, s *settings) *WikiAPI {
	if from == nil {
		return nil
	}
	r.oneHost("wiki_api", s)
	if from.Host != "" && s.site.Placeholder != "" {
		r.Check(errors.New("wiki_api: host: in a farm it is that of each wiki's base_url: leave it out"))
	}
	if from.URL == "" {
		r.Check(errors.New("wiki_api: URL missing"))
	}
	return &WikiAPI{URL: r.Checked("wiki_api", from.URL, checkAPI("wiki_api")), Host: r.Checked("wiki_api host", from.Host, checkHost)}
}

// login is the address where users sign in. {return} is filled in for each request.
func (r resolver) login(text string) string {
	if text == "" {
		return ""
	}
	parts := strings.Split(text, returnPlaceholder)
	for i, part := range parts {
		if part != "" {
			parts[i] = r.Text("login", part)
		}
	}
	login := strings.Join(parts, returnPlaceholder)
	r.Check(checkLogin(login))
	return login
}
