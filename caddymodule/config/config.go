// Package config has the settings that the directives oauth and oauth_server
// share: the types of their JSON fields, how a Caddyfile and the global option
// are read, and what they resolve to.
package config

import (
	"cmp"
	"crypto/rsa"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Site points to the fields of a module that both directives have. The fields
// are the module's own, because they are its manual.
type Site struct {
	Store              **Store
	Wiki               *string
	Wikis              *map[string]Wiki
	Users              **Users
	MediaWiki          *string
	Rules              *string
	SecretKey          *string
	PublicKey          *[]string
	BaseURL            *string
	Consumers          *[]Consumer
	BlockDisablesLogin *Blocks
	TimestampWindow    *caddy.Duration
	MaxFormSize        *int64
	Cache              **Cache
	Nonces             **Nonces
	Realm              *string
}

// Repeated are the subdirectives of a Site that may be given more than once.
var Repeated = []string{"consumer"}

// Subdirectives returns what reads each subdirective of a Caddyfile.
func (s Site) Subdirectives() map[string]grammar.Subdirective {
	return map[string]grammar.Subdirective{
		"store":                s.readStore,
		"wiki":                 s.readWiki,
		"users":                s.readUsers,
		"mediawiki":            grammar.Text(s.MediaWiki, checkRelease),
		"rules":                grammar.Choice(s.Rules, rulesWords),
		"secret_key":           grammar.Secret(s.SecretKey),
		"public_key":           grammar.Texts(s.PublicKey),
		"base_url":             grammar.Text(s.BaseURL, checkBaseURL),
		"consumer":             s.readConsumer,
		"block_disables_login": grammar.Choice((*string)(s.BlockDisablesLogin), blocksWords),
		"timestamp_window":     grammar.Duration(s.TimestampWindow),
		"max_form_size":        grammar.Size(s.MaxFormSize),
		"cache":                s.readCache,
		"nonces":               s.readNonces,
		"realm":                grammar.Text(s.Realm, checkRealm),
	}
}

// Missing returns the names of the required settings that are not there.
func (s Site) Missing() (names []string) {
	for _, required := range []struct {
		name  string
		given bool
	}{
		{"store", *s.Store != nil},
		{"wiki", *s.Wiki != ""},
		{"mediawiki", *s.MediaWiki != "" || s.releasesByWiki()},
		{"secret_key", *s.SecretKey != ""},
	} {
		if !required.given {
			names = append(names, required.name)
		}
	}
	return names
}

// releasesByWiki reports whether every wiki of a farm names its release.
func (s Site) releasesByWiki() bool {
	for _, w := range *s.Wikis {
		if w.MediaWiki == "" {
			return false
		}
	}
	return len(*s.Wikis) > 0
}

// Settings are those of a Site with defaults filled in, placeholders replaced
// and files read.
type Settings struct {
	// Database is where the tables are, and CentralAuth where those of
	// CentralAuth are, if that is another server.
	Database    store.Config
	CentralAuth *store.Config
	// DatabaseFiles are the contents of the files that Database names.
	DatabaseFiles []string
	// Placeholder is the one of the request that names the wiki of a farm.
	Placeholder string
	// Tables and Policy are what all wikis have in common, or those of the only
	// wiki.
	Tables store.Wiki
	Policy validator.Policy
	// Served are the wikis, sorted by id.
	Served []Served
	// Consumers are those that are kept in configuration.
	Consumers []validator.Consumer
	// Keys verify bearer tokens.
	Keys  []*rsa.PublicKey
	Cache cache.Config
	// NonceMemory is the size of the memory of nonces, in bytes.
	NonceMemory int64
	Realm       string
}

// Served is one wiki that requests may be for.
type Served struct {
	Tables store.Wiki
	// Server is where the wiki's own tables are, if that is another server than
	// the store's.
	Server *store.Config
	Policy validator.Policy
	// Consumers reports whether the wiki knows the consumers that are kept in
	// configuration.
	Consumers bool
}

// WikiOf returns the id of the wiki that a request is for. In a farm it is
// whatever the request makes of the placeholder, and has not been checked.
func (s *Settings) WikiOf(r *http.Request) string {
	if s.Placeholder == "" {
		return s.Policy.Wiki
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	id, _ := repl.GetString(s.Placeholder)
	return id
}

// Serves reports whether the id is that of a configured wiki.
func (s *Settings) Serves(id string) bool { return s.find(id) != nil }

// PolicyOf returns the policy of a wiki, or the common one for a wiki that is not
// served.
func (s *Settings) PolicyOf(id string) *validator.Policy {
	if found := s.find(id); found != nil {
		return &found.Policy
	}
	return &s.Policy
}

func (s *Settings) find(id string) *Served {
	i, found := slices.BinarySearchFunc(s.Served, id, func(w Served, id string) int { return cmp.Compare(w.Tables.ID, id) })
	if !found {
		return nil
	}
	return &s.Served[i]
}

// SharedTables returns two wikis that would read the same tables of users, which
// is hardly meant.
func (s *Settings) SharedTables() (one, other string, found bool) {
	type tables struct{ dsn, database, prefix string }
	seen := make(map[tables]string, len(s.Served))
	for _, w := range s.Served {
		t := tables{database: w.Tables.Database, prefix: w.Tables.TablePrefix}
		if w.Server != nil {
			t.dsn = w.Server.DSN
		}
		if before, taken := seen[t]; taken {
			return before, w.Tables.ID, true
		}
		seen[t] = w.Tables.ID
	}
	return "", "", false
}

// hasPlaceholder reports whether a value can only be checked once its
// placeholders are known.
func hasPlaceholder(value string) bool { return strings.Contains(value, "{") }
