package gateway

import (
	"cmp"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/rs/cors"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/idheaders"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikipath"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// settings is a Handler's configuration with its defaults filled in, its placeholders replaced and its files read.
type settings struct {
	mode             string
	database         store.Config
	databaseFiles    []string         // contents of the TLS files: they matter as much as their names
	central          *store.Config    // where CentralAuth's tables are, when that is another server
	wiki             store.Wiki       // what all wikis have in common, or the only one
	policy           validator.Policy // likewise
	placeholder      string           // of the request, that names the wiki of a farm
	served           []wiki           // sorted by id
	apps             []validator.Consumer
	keys             []*rsa.PublicKey
	cache            cache.Config
	nonces           int64 // bytes
	names            idheaders.Headers
	passPreflight    bool
	cors             *cors.Cors     // nil: the gateway answers no preflights itself
	handshake        *wikipath.Wiki // finds what is left to the wiki; nil: nothing
	peerMayBeClient  bool
	stripCredentials bool
	answer           string // of refusals
	challenges       validator.Challenges
}

const (
	defaultPrefix     = "X-OAuth-"
	defaultRealm      = "MediaWiki"
	defaultCacheSize  = 64 << 20  // bytes, like those below
	defaultNoncesSize = 192 << 20 // one user may sign 2,000 requests a second for the default timestamp_window
	minMemory         = 1 << 20
	maxFile           = 1 << 20 // of a file that a setting names
)

// resolve fills in and judges the configuration. It tells all its mistakes at once.
func (h *Handler) resolve() (settings, error) {
	r := resolver{repl: caddy.NewReplacer()}
	mode := cmp.Or(h.Mode, modeRequired)
	r.check(modeChoice.Check(mode))
	if missing := h.missing(); len(missing) > 0 {
		r.check(fmt.Errorf("oauth needs %s", strings.Join(missing, ", ")))
	}
	s := settings{
		mode:             mode,
		names:            r.names(h.Headers),
		peerMayBeClient:  r.choice(peerChoice, h.TrustedPeer) == peerClient,
		passPreflight:    r.choice(preflightChoice, h.CORSPreflight) == preflightPass,
		stripCredentials: r.choice(credentialsChoice, h.Credentials) == credentialsStrip,
		answer:           r.choice(errorsChoice, h.Errors),
	}
	rules := r.choice(rulesChoice, h.Rules)
	s.handshake = r.handshake(h.Handshake)
	if mode == modeStrip {
		return s, errors.Join(r.mistakes...)
	}
	s.cors = r.crossOrigin(h)
	r.database(&s, h.Store)
	s.policy = r.policy(h)
	if rules == rulesMediaWiki {
		s.policy.Rules = validator.MediaWiki
	} else if h.ClockSkew == nil {
		s.policy.ClockSkew = validator.DefaultClockSkew
	}
	blocks := string(h.BlockDisablesLogin)
	if blocks == "" && rules == rulesMediaWiki {
		blocks = off
	}
	blocks = r.choice(blocksChoice, blocks)
	s.policy.BlockDisablesLogin, s.policy.OnlySitewideBlocks = blocks != off, blocks == blocksSitewide
	r.users(&s, h.Users)
	r.wikis(&s, h)
	r.apps(&s, h.Consumers)
	if h.SecretKey != none {
		r.siteKeys(&s, r.checked("secret_key", h.SecretKey, checkSecretKey))
	}
	s.keys = r.publicKeys(h.PublicKey)
	s.cache = r.cache(h.Cache)
	s.nonces = r.nonces(h.Nonces)
	s.challenges = validator.NewChallenges(r.checked("realm", cmp.Or(h.Realm, defaultRealm), checkRealm), s.policy.Require)
	return s, errors.Join(r.mistakes...)
}

// resolver replaces placeholders and collects mistakes.
type resolver struct {
	repl     *caddy.Replacer
	mistakes []error
}

func (r *resolver) check(err error) {
	if err != nil {
		r.mistakes = append(r.mistakes, err)
	}
}

func (r *resolver) choice(c grammar.Words, word string) string {
	word = cmp.Or(word, c.Built[0])
	r.check(c.Check(word))
	return word
}

// placeholder is a name that Caddy gives, as far as it can be told from a secret that holds braces.
var placeholder = regexp.MustCompile(`\{(?:env|file|system|time|http|vars)\.[A-Za-z0-9_./-]+\}`)

// text replaces the placeholders of a setting. What it says of a mistake names setting and placeholder, never the
// value: Caddy's own message quotes whatever stands in braces, which may be a part of a password.
func (r *resolver) text(setting, value string) string {
	out, err := r.repl.ReplaceOrErr(value, true, true)
	if err == nil {
		return out
	}
	if name := placeholder.FindString(err.Error()); name != "" {
		r.check(fmt.Errorf("%s: placeholder %s is empty or unknown", setting, name))
	} else {
		r.check(fmt.Errorf("%s: a placeholder is empty or unknown", setting))
	}
	return ""
}

// checked is text that is checked once its placeholders are known.
func (r *resolver) checked(setting, value string, check func(string) error) string {
	before := len(r.mistakes)
	out := r.text(setting, value)
	if len(r.mistakes) > before || value == "" {
		return out // said already
	}
	r.check(check(out))
	return out
}

func (r *resolver) names(headers string) idheaders.Headers {
	prefix := r.checked("headers", headers, checkPrefix)
	if headers == off || prefix == "" {
		return idheaders.New(defaultPrefix, headers != off)
	}
	return idheaders.New(prefix, true)
}

func (r *resolver) database(s *settings, from *Store) {
	if from == nil {
		return // missing, and said so
	}
	before := len(r.mistakes)
	defer func() {
		if len(r.mistakes) == before {
			r.check(tryStore("store", s.database))
		}
	}()
	r.check(driverChoice.Check(from.Driver))
	s.database = store.Config{
		Driver:          from.Driver,
		DSN:             r.text("store", from.DSN),
		OAuthDatabase:   r.checked("oauth_database", from.OAuthDatabase, checkDatabase("oauth_database")),
		QueryTimeout:    r.duration("query_timeout", from.QueryTimeout, store.DefaultQueryTimeout),
		ConnMaxLifetime: r.duration("conn_max_lifetime", from.ConnMaxLifetime, store.DefaultConnMaxLifetime),
		MaxOpenConns:    cmp.Or(from.MaxOpenConns, store.DefaultMaxOpenConns),
		Observe:         metrics.observeQuery,
	}
	if from.DSN == "" {
		r.check(errors.New("store: DSN missing"))
	}
	if from.MaxOpenConns < 0 {
		r.check(fmt.Errorf("max_open_conns: %d is not a positive number", from.MaxOpenConns))
	}
	for _, dsn := range from.Replicas {
		s.database.Replicas = append(s.database.Replicas, r.text("replica", dsn))
	}
	s.wiki = store.Wiki{TablePrefix: r.checked("table_prefix", from.TablePrefix, checkDatabase("table_prefix"))}
	if from.TLS == nil {
		return
	}
	s.database.TLS = &store.TLS{ServerName: r.text("server_name", from.TLS.ServerName)}
	for _, file := range []struct {
		setting, path string
		to            *string
	}{
		{"tls ca", from.TLS.CA, &s.database.TLS.CA},
		{"tls cert", from.TLS.Cert, &s.database.TLS.Cert},
		{"tls key", from.TLS.Key, &s.database.TLS.Key},
	} {
		if *file.to = r.text(file.setting, file.path); *file.to != "" {
			s.databaseFiles = append(s.databaseFiles, r.file(file.setting, *file.to))
		}
	}
}

// tryStore lets the driver judge its settings. It connects to nothing.
func tryStore(setting string, c store.Config) error {
	p, err := store.Open(c)
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	return p.Close()
}

func (r *resolver) policy(h *Handler) validator.Policy {
	p := validator.Policy{
		TimestampWindow: r.duration("timestamp_window", h.TimestampWindow, validator.DefaultTimestampWindow),
		MaxFormSize:     cmp.Or(h.MaxFormSize, validator.DefaultMaxFormSize),
		MaxBodySize:     cmp.Or(h.MaxBodySize, validator.DefaultMaxBodySize),
	}
	if h.ClockSkew != nil {
		p.ClockSkew = time.Duration(*h.ClockSkew)
	}
	if p.ClockSkew < 0 || p.ClockSkew > time.Minute {
		r.check(fmt.Errorf("clock_skew: %v is not within 0s and 1m", p.ClockSkew))
	}
	if release := r.checked("mediawiki", h.MediaWiki, checkRelease); release != "" {
		p.Release, _ = validator.ParseRelease(release) // what is wrong has been said
	}
	if url := r.checked("base_url", h.BaseURL, checkBaseURL); url != "" {
		p.BaseScheme, p.BaseHost, p.BasePath, _ = validator.ParseBaseURL(url)
	}
	if p.TimestampWindow < time.Second || p.TimestampWindow > time.Hour {
		r.check(fmt.Errorf("timestamp_window: %v is not within 1s and 1h", p.TimestampWindow))
	}
	if p.MaxFormSize < 0 || p.MaxFormSize > 1<<30 {
		r.check(fmt.Errorf("max_form_size: %d is not within 1 and %d bytes", p.MaxFormSize, 1<<30))
	}
	if p.MaxBodySize < 0 || p.MaxBodySize > 1<<30 {
		r.check(fmt.Errorf("max_body_size: %d is not within 1 and %d bytes", p.MaxBodySize, 1<<30))
	}
	for _, required := range h.Require {
		if err := required.check(); err != nil {
			r.check(err)
			continue
		}
		line := validator.Requirement{Kind: required.kind()}
		for _, value := range required.Values {
			line.Values = append(line.Values, r.checked("require "+required.Kind, value, required.checkValue))
		}
		p.Require = append(p.Require, line)
	}
	return p
}

// users finds where user ids come from.
func (r *resolver) users(s *settings, from *Users) {
	u := cmp.Or(from, new(Users))
	if r.choice(usersChoice, u.Source) != usersCentralAuth {
		if u.Database != "" || u.DSN != "" {
			r.check(errors.New("users local takes no database and no dsn"))
		}
		s.policy.SharedUserIDs = u.SharedIDs
		return
	}
	if u.SharedIDs {
		r.check(errSharedCentralAuth)
	}
	s.policy.Users, s.wiki.Users = validator.CentralAuth, validator.CentralAuth
	s.wiki.CentralAuthDatabase = r.checked("users centralauth", u.Database, checkDatabase("users centralauth"))
	switch driver := s.database.Driver; {
	case driver == sqlite && u.Database != "":
		r.check(errors.New("users centralauth: SQLite has one database in a file: give no name, but a dsn where CentralAuth's tables are in another file"))
	case driver != sqlite && driver != "" && u.Database == "" && u.DSN == "":
		r.check(errors.New("users centralauth: the database of CentralAuth's tables is missing"))
	}
	if u.DSN != "" {
		s.central = r.server(s.database, "users centralauth", u.DSN)
	}
}

// server is another server than the store's, reached in the same way.
func (r *resolver) server(like store.Config, setting, dsn string) *store.Config {
	before := len(r.mistakes)
	like.DSN, like.Replicas, like.OAuthDatabase = r.text(setting+": dsn", dsn), nil, ""
	if len(r.mistakes) == before && like.Driver != "" {
		r.check(tryStore(setting, like))
	}
	return &like
}

// publicKeys reads each value, PEM or the path of a PEM file.
func (r *resolver) publicKeys(values []string) []*rsa.PublicKey {
	var keys []*rsa.PublicKey
	for _, value := range values {
		pem := r.pem("public_key", value)
		if value == "" {
			r.check(errors.New("public_key: value missing"))
		}
		if pem == "" {
			continue
		}
		parsed, err := validator.ParseIssuerKeys([]byte(pem))
		if err != nil {
			r.check(fmt.Errorf("public_key: PEM: %w", err))
		}
		keys = append(keys, parsed...)
	}
	return keys
}

// pem gives PEM that is a setting itself, or in the file that it names.
func (r *resolver) pem(setting, value string) string {
	pem := r.text(setting, value)
	if pem == "" || strings.Contains(pem, "-----BEGIN") {
		return pem
	}
	return r.file(setting, pem)
}

func (r *resolver) cache(from *Cache) cache.Config {
	c := cmp.Or(from, new(Cache))
	return cache.Config{
		Size:        r.memory("cache size", c.Size, defaultCacheSize),
		TTL:         r.duration("cache ttl", c.TTL, time.Minute),
		NegativeTTL: r.duration("cache negative_ttl", c.NegativeTTL, 5*time.Second),
		MaxStale:    r.duration("cache max_stale", c.MaxStale, 5*time.Minute),
	}
}

func (r *resolver) nonces(from *Nonces) int64 {
	n := cmp.Or(from, new(Nonces))
	r.choice(noncesChoice, n.Backend)
	return r.memory("nonces size", n.Size, defaultNoncesSize)
}

func (r *resolver) duration(setting string, value caddy.Duration, otherwise time.Duration) time.Duration {
	if value < 0 {
		r.check(fmt.Errorf("%s: %v is negative", setting, time.Duration(value)))
	}
	return cmp.Or(time.Duration(value), otherwise)
}

func (r *resolver) memory(setting string, value, otherwise int64) int64 {
	value = cmp.Or(value, otherwise)
	if value < minMemory {
		r.check(fmt.Errorf("%s: %d is less than %d bytes", setting, value, minMemory))
	}
	return value
}

// file reads a small file of the configuration. What it says of a mistake does
// not tell the path, because a key may stand where a path belongs.
func (r *resolver) file(setting, path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		err = fmt.Errorf("not a regular file of at most %d bytes", maxFile)
	default:
		var content []byte
		if content, err = os.ReadFile(path); err == nil { //nolint:gosec // the operator names the file
			return string(content)
		}
	}
	if failed := new(fs.PathError); errors.As(err, &failed) {
		err = failed.Err
	}
	r.check(fmt.Errorf("%s: the file cannot be read: %w", setting, err))
	return ""
}
