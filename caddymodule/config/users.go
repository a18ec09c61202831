package config

import (
	"cmp"
	"errors"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Users is where user ids come from.
type Users struct {
	// `local` (default): the wiki's own user table. `centralauth`: the global
	// accounts of CentralAuth.
	Source string `json:"source,omitempty"`

	// For `local`: the ids in the OAuth tables are central ones, as in a wiki
	// whose `$wgMWOAuthCentralWiki` names itself. A user id that the wiki does
	// not have is then refused as `unknown_user`, where MediaWiki up to 1.45
	// otherwise takes such a request for nobody's. A wiki whose OAuth tables
	// are in another database than its own has central ids without it, and so
	// has `centralauth`, which does not take it.
	SharedIDs bool `json:"shared_ids,omitempty"`

	// The database with CentralAuth's tables (`$wgCentralAuthDatabase`). It may
	// be left out where `dsn` names it. SQLite has none: the tables are in the
	// file of `dsn`, or of the store.
	Database string `json:"database,omitempty"`

	// Where CentralAuth's tables are, when that is another server than the
	// store's. The store's settings of TLS and connections
	// hold for it too, but not its replicas.
	DSN string `json:"dsn,omitempty"`
}

func (s Site) readUsers(line *caddyfile.Dispenser) error {
	u := new(Users)
	*s.Users = u
	if !line.NextArg() {
		return line.Err("users takes local or centralauth")
	}
	u.Source = line.Val()
	if err := usersWords.Check(u.Source); err != nil {
		return line.WrapErr(err)
	}
	if u.Source == usersLocal {
		return errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
			"shared_ids": grammar.Flag(&u.SharedIDs),
		}))
	}
	if line.NextArg() {
		u.Database = line.Val()
	}
	return errors.Join(grammar.Wrap(line, u.check()), grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"dsn":        grammar.Secret(&u.DSN),
		"shared_ids": func(line *caddyfile.Dispenser) error { return line.WrapErr(errSharedCentralAuth) },
	}))
}

var errSharedCentralAuth = errors.New("users centralauth: leave out shared_ids: the ids of CentralAuth are central ones already")

func (u Users) check() error {
	if u.Database == "" || hasPlaceholder(u.Database) {
		return nil // left out, or checked when it is known
	}
	return checkName("users centralauth")(u.Database)
}

// users finds where user ids come from.
func (r *Resolver) users(s *Settings, from *Users) {
	u := cmp.Or(from, new(Users))
	if r.Choice(usersWords, u.Source) != usersCentralAuth {
		if u.Database != "" || u.DSN != "" {
			r.Check(errors.New("users local takes no database and no dsn"))
		}
		s.Policy.SharedUserIDs = u.SharedIDs
		return
	}
	if u.SharedIDs {
		r.Check(errSharedCentralAuth)
	}
	s.Policy.Users, s.Tables.Users = validator.CentralAuth, validator.CentralAuth
	s.Tables.CentralAuthDatabase = r.Checked("users centralauth", u.Database, checkName("users centralauth"))
	switch {
	case u.Database != "" && s.oneDatabase():
		r.Check(errors.New("users centralauth: SQLite has one database in a file: give no name, but a dsn where CentralAuth's tables are in another file"))
	case u.Database == "" && u.DSN == "" && store.ReachesDatabases(s.Database.Driver):
		r.Check(errors.New("users centralauth: the database of CentralAuth's tables is missing"))
	}
	if u.DSN != "" {
		s.CentralAuth = r.server(s.Database, "users centralauth", u.DSN)
	}
}
