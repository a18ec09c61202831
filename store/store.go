// Package store reads the tables of MediaWiki and its OAuth extension, and runs
// the transactions of package store/grants. A Pool holds the connections to one
// primary and its replicas; a Store is the view of one wiki through it, and a
// validator.Store. A lookup is one statement in one round trip, or one for each
// server where the tables are on several.
//
// Drivers are packages of their own, registered by being imported: store/mysql,
// store/postgres, store/sqlite.
package store

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Wiki names a wiki and its tables.
type Wiki struct {
	ID       string // wiki id; CentralAuth's tables know the wiki by it
	Database string // of the wiki's tables; empty: the DSN's own
	// TablePrefix is $wgDBprefix. It holds for the OAuth tables too, unless
	// they have their own: the prefix of the wiki that they belong to.
	TablePrefix      string
	OAuthTablePrefix *string
	// Release says which tables are looked for first. Others are found, where
	// the wiki has those.
	Release validator.Release
	// Users says whose ids the OAuth tables hold: this wiki's, or CentralAuth's.
	Users validator.UserSource
	// CentralAuthDatabase is the database of CentralAuth's tables
	// ($wgCentralAuthDatabase). Empty: the DSN's own; TablePrefix holds for
	// them only there, and only without a CentralAuthServer.
	CentralAuthDatabase string
	// Server is where the wiki's own tables are, and CentralAuthServer where
	// CentralAuth's are, when that is not the server of the pool, which has the
	// OAuth tables. Nil: it is, and one query reads all. The caller closes
	// them, after the last lookup.
	Server, CentralAuthServer *Pool
}

// Store is the view of one wiki through a pool. It implements validator.Store.
// It costs little: views of one farm share their connections and the texts of
// their statements.
type Store struct {
	pool         *Pool
	wiki         Wiki
	stages       []stage
	names        [slots]string // of the tables
	foundVariant atomic.Pointer[foundVariant]

	// publicOnly reports that profiles are read without e-mail and real name,
	// because the account may not read them.
	publicOnly atomic.Bool

	idCheck idCheck
	now     func() time.Time
	err     error
}

// stage is one query of a lookup: what is read on one server.
type stage struct {
	pool      *Pool
	tableSets tableSets
}

// Wiki makes the view of one wiki. Where a name cannot be one, every Lookup
// fails and says so.
func (p *Pool) Wiki(w Wiki) *Store {
	s := &Store{pool: p, wiki: w, now: time.Now}
	s.addStage(p, oauthTables)
	if w.Users == validator.CentralAuth {
		s.addStage(s.centralServer(), centralTables)
	}
	s.addStage(s.server(), wikiTables)
	s.err = s.check()
	s.names[slotWiki] = s.server().qualifier(w.Database, w.TablePrefix)
	s.names[slotOAuth] = p.qualifier(p.cfg.OAuthDatabase, w.oauthPrefix())
	s.names[slotCentral] = s.centralServer().qualifier(w.CentralAuthDatabase, "")
	if w.CentralAuthDatabase == "" && w.CentralAuthServer == nil {
		s.names[slotCentral] = p.qualifier("", w.TablePrefix)
	}
	return s
}

func (w *Wiki) oauthPrefix() string {
	if w.OAuthTablePrefix != nil {
		return *w.OAuthTablePrefix
	}
	return w.TablePrefix
}

// addStage reads the sets of tables on the server: with the stage before, where
// that is asked anyway.
func (s *Store) addStage(p *Pool, read tableSets) {
	if last := len(s.stages) - 1; last >= 0 && s.stages[last].pool == p {
		s.stages[last].tableSets |= read
		return
	}
	s.stages = append(s.stages, stage{p, read})
}

func (s *Store) server() *Pool {
	if s.wiki.Server != nil {
		return s.wiki.Server
	}
	return s.pool
}

func (s *Store) centralServer() *Pool {
	if s.wiki.CentralAuthServer != nil {
		return s.wiki.CentralAuthServer
	}
	return s.pool
}

func (s *Store) check() error {
	for _, d := range []struct {
		what, name string
		pool       *Pool
	}{
		{"database", s.wiki.Database, s.server()},
		{"centralauth database", s.wiki.CentralAuthDatabase, s.centralServer()},
	} {
		if d.name != "" && !d.pool.dialect.Databases() {
			return fmt.Errorf("wiki %q: %s %q: a connection of driver %s reaches one database", s.wiki.ID, d.what, d.name, d.pool.cfg.Driver)
		}
		if err := checkName(d.what, d.name); err != nil {
			return err
		}
	}
	if s.wiki.Users == validator.CentralAuth && s.wiki.ID == "" {
		return errors.New("users centralauth: the wiki has no id")
	}
	if err := checkName("table_prefix of the OAuth tables", s.wiki.oauthPrefix()); err != nil {
		return err
	}
	return checkName("table_prefix", s.wiki.TablePrefix)
}

// qualifier is what stands before a table's name: the quote, its database where
// one is named, and its prefix. The names have passed checkName.
func (p *Pool) qualifier(database, prefix string) string {
	quote := p.dialect.Quote()
	if database == "" && p.primary.Catalog != "" {
		database = p.primary.Database
	}
	if database == "" {
		return quote + prefix
	}
	return quote + database + quote + "." + quote + prefix
}

// Identity names everything that facts depend on, besides the key: two stores
// of one identity find the same. It holds no secret.
func (s *Store) Identity() string {
	id := fmt.Sprintf("%s wiki=%q database=%q prefix=%q mediawiki=%s", s.pool.Identity(), s.wiki.ID, s.wiki.Database, s.wiki.TablePrefix, s.wiki.Release)
	if prefix := s.wiki.oauthPrefix(); prefix != s.wiki.TablePrefix {
		id += fmt.Sprintf(" oauth_prefix=%q", prefix)
	}
	if s.wiki.Server != nil {
		id += fmt.Sprintf(" server=(%s)", s.wiki.Server.Identity())
	}
	if s.wiki.Users == validator.LocalUsers {
		return id + " users=local"
	}
	id += fmt.Sprintf(" users=centralauth/%q", s.wiki.CentralAuthDatabase)
	if s.wiki.CentralAuthServer != nil {
		id += fmt.Sprintf(" server=(%s)", s.wiki.CentralAuthServer.Identity())
	}
	return id
}

// SharedUserIDs reports whether the OAuth tables are in another database than
// the wiki's own, or under another prefix, so that user ids are central ones.
func (s *Store) SharedUserIDs() bool {
	own, database := s.server(), s.wiki.Database
	if database == "" {
		database = own.primary.Database
	}
	return own.cfg.Driver != s.pool.cfg.Driver || own.primary.Address != s.pool.primary.Address ||
		own.primary.Catalog != s.pool.primary.Catalog || database != s.pool.oauthDatabase() ||
		s.wiki.TablePrefix != s.wiki.oauthPrefix()
}
