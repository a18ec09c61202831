package storetest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// classes are the failures that a driver tells apart. That of a full queue is the
// store's own.
var classes = []validator.Failure{
	validator.KeyFailure, validator.TableFailure, validator.LimitFailure, validator.ServerFailure,
}

// noFailure lists the classes that a kind of database does not have.
var noFailure = map[string][]validator.Failure{
	wikidb.SQLite: {validator.LimitFailure}, // a file has no limit of connections
}

// Failures provokes a failure of every class on every driver that is registered,
// and wants it told as what it is.
func Failures(t *testing.T) {
	for _, driver := range store.Drivers() {
		for _, class := range classes {
			if slices.Contains(noFailure[driver], class) {
				continue
			}
			t.Run(driver+" "+class.String(), func(t *testing.T) {
				w := Backend{Driver: driver, Release: validator.Release147}.Open(t)
				w.Config.QueryTimeout = time.Second
				key := w.insertOne(t)
				if _, err := w.Store(t).Lookup(t.Context(), key); err != nil {
					t.Fatal(err)
				}
				w.provoke(t, class)
				_, err := w.Store(t).Lookup(t.Context(), key)
				if err == nil || validator.FailureOf(err) != class {
					t.Fatalf("%v, class %v, want %v", err, validator.FailureOf(err), class)
				}
				for _, secret := range []string{Password, key.Token} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("the error holds a secret: %v", err)
					}
				}
			})
		}
	}
}

// insertOne inserts what a lookup of the key finds.
func (w Wiki) insertOne(tb testing.TB) validator.Key {
	tb.Helper()
	c := wikidb.NewConsumer(1, 1)
	a := wikidb.NewAcceptance(1, c, 1)
	w.Insert(tb, c, a, wikidb.User{ID: 1, Name: "Alice"})
	return validator.Key{Wiki: "enwiki", Protocol: validator.OAuth1, Consumer: c.Key, Token: a.Token}
}

// provoke lets later lookups fail.
func (w *Wiki) provoke(t *testing.T, class validator.Failure) {
	t.Helper()
	switch class {
	case validator.TableFailure:
		w.Exec(t, "DROP TABLE "+w.Table("user_groups"))
	case validator.LimitFailure:
		w.server.exhaust(t, User)
	case validator.KeyFailure:
		w.spoilRow(t)
	case validator.ServerFailure:
		if w.Driver == wikidb.SQLite {
			w.Config.DSN = filepath.Join(t.TempDir(), "missing.sqlite")
			return
		}
		free, err := loopback.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		w.Config.DSN = strings.Replace(w.Config.DSN, w.server.TCPAddr(), free, 1)
	case validator.QueueFailure:
		t.Fatal("no driver tells that")
	}
}

// spoilRow leaves an id that is not a number. In PostgreSQL the statement fails,
// which compares it with one.
func (w *Wiki) spoilRow(t *testing.T) {
	t.Helper()
	table := w.Table("oauth_accepted_consumer")
	switch w.Driver {
	case wikidb.MySQL:
		w.Exec(t, "ALTER TABLE "+table+" MODIFY oaac_user_id VARCHAR(20)")
	case wikidb.Postgres:
		w.Exec(t, "ALTER TABLE "+table+" ALTER oaac_user_id TYPE TEXT")
	}
	w.Exec(t, "UPDATE "+table+" SET oaac_user_id = 'nobody'")
}
