package store_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// farm is a wiki with some rows, and keys that find all there is.
type farm struct {
	storetest.Wiki
	oauth1, oauth2 validator.Key
	consumer       wikidb.Consumer
	acceptance     wikidb.Acceptance
}

func newFarm(tb testing.TB, b storetest.Backend) farm {
	tb.Helper()
	f := farm{Wiki: b.Open(tb)}
	var rows []wikidb.Row
	for i := range uint64(50) { // enough of them that a scan would not be the optimizer's choice
		c := wikidb.NewConsumer(i+1, 1)
		a := wikidb.NewAcceptance(i+1, c, i+1)
		t := wikidb.Token{Identifier: wikidb.RandomHex(40), AcceptanceID: a.ID}
		name := fmt.Sprintf("User %d", i+1)
		if b.CentralAuth {
			rows = append(rows, wikidb.GlobalUser{ID: i + 1, Name: name}, wikidb.Attachment{Wiki: "enwiki", Name: name},
				wikidb.GlobalGroup{UserID: i + 1, Name: "steward"})
		}
		rows = append(rows, c, a, t, wikidb.User{ID: i + 1, Name: name},
			wikidb.Group{UserID: i + 1, Name: "sysop"}, wikidb.Group{UserID: i + 1, Name: "bot"},
			wikidb.Block{UserID: i + 1, Name: name, Expiry: wikidb.Infinity})
		f.consumer, f.acceptance = c, a
		f.oauth1 = validator.Key{Wiki: "enwiki", Protocol: validator.OAuth1, Consumer: c.Key, Token: a.Token}
		f.oauth2 = validator.Key{Wiki: "enwiki", Protocol: validator.OAuth2, Consumer: c.Key, Token: t.Identifier, Subject: i + 1}
	}
	f.Insert(tb, rows...)
	return f
}

func (f farm) keys() map[string]validator.Key {
	client := f.oauth2
	client.Subject = 0
	stranger := f.oauth1
	stranger.Consumer, stranger.Token = "none", "none"
	return map[string]validator.Key{"oauth1": f.oauth1, "oauth2": client, "oauth2 with subject": f.oauth2, "nothing": stranger}
}

func TestOneRoundTrip(t *testing.T) {
	for _, b := range storetest.Backends {
		if b.Driver != wikidb.MySQL {
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			f := newFarm(t, b)
			server := mariadb.Start(t)
			for name, key := range f.keys() {
				t.Run(name, func(t *testing.T) {
					s := f.Store(t) // its connection is made by the first lookup, and is no query
					before := server.Counters(t)
					for range 5 {
						if _, err := s.Lookup(t.Context(), key); err != nil {
							t.Fatal(err)
						}
					}
					want := mariadb.Counters{Queries: 5, Selects: 5, Connections: 1}
					if name != "nothing" { // that ends with the OAuth tables
						want = mariadb.Counters{Queries: uint64(5 * b.Steps()), Selects: uint64(5 * b.Steps()), Connections: uint64(b.Servers())}
					}
					if b.CentralAuth && b.Release == validator.Release135 { // once, for the expiry that it lacks
						want.Queries++
						want.Selects++
					}
					if got := server.Counters(t).Sub(before); got != want {
						t.Errorf("5 lookups on new connections: %+v, want %+v", got, want)
					}
				})
			}
		})
	}
}

// TestRowsSent counts the rows of the answers: a consumer's texts are sent
// once, and the blocks of addresses, which are blocks of user 0, not with every
// acceptance of nobody's.
func TestRowsSent(t *testing.T) {
	for _, b := range storetest.Backends {
		t.Run(b.Name, func(t *testing.T) {
			f := newFarm(t, b)
			a := wikidb.NewAcceptance(999, f.consumer, 0)
			f.Insert(t, a, wikidb.Block{Name: "192.0.2.1", Expiry: wikidb.Infinity}, wikidb.Block{Name: "192.0.2.2", Expiry: wikidb.Infinity})
			nobody := f.oauth1
			nobody.Token = a.Token
			keys := f.keys()
			keys["nobody"] = nobody
			wants := map[string]int{"oauth1": 6, "oauth2": 7, "oauth2 with subject": 11, "nothing": 0, "nobody": 2}
			if b.CentralAuth {
				wants = map[string]int{"oauth1": 8, "oauth2": 9, "oauth2 with subject": 15, "nothing": 0, "nobody": 2}
			}
			s := f.Store(t)
			for name, want := range wants {
				var got int
				for _, asked := range statements(t, s, keys[name]) {
					var n int
					row := f.connect(t, asked.Database).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM ("+named(asked.Text)+") q", asked.Args...)
					if err := row.Scan(&n); err != nil {
						t.Fatal(err)
					}
					got += n
				}
				if got != want {
					t.Errorf("%s: %d rows, want %d", name, got, want)
				}
			}
		})
	}
}

func statements(t *testing.T, s *store.Store, key validator.Key) []store.Asked {
	t.Helper()
	asked, err := store.Statements(t.Context(), s, key)
	if err != nil {
		t.Fatal(err)
	}
	return asked
}

// connect connects the owner of the tables to the database.
func (f farm) connect(t *testing.T, database string) *sql.DB {
	t.Helper()
	if database == f.Database {
		return f.Rows.Conn
	}
	return f.Connect(t, database)
}

// named gives the first SELECT's columns names of their own, as a derived table
// must have.
func named(text string) string {
	head, tail, _ := strings.Cut(text, " FROM ")
	columns := strings.Split(head, ", ")
	for i := range columns {
		columns[i] += fmt.Sprintf(" AS c%d", i)
	}
	return strings.Join(columns, ", ") + " FROM " + tail
}

// TestIndexes explains what the server is asked, and wants each table found by
// a key.
func TestIndexes(t *testing.T) {
	for _, b := range storetest.Backends {
		t.Run(b.Name, func(t *testing.T) {
			f := newFarm(t, b)
			for _, table := range []string{"oauth_registered_consumer", "oauth_accepted_consumer", "oauth2_access_tokens", "user", "user_groups", "globaluser", "localuser", "global_user_groups"} {
				if f.Missing(table) {
					continue
				}
				analyze := "ANALYZE "
				if b.Driver == wikidb.MySQL {
					analyze = "ANALYZE TABLE "
				}
				f.Exec(t, analyze+f.Table(table))
			}
			s := f.Store(t)
			for name, key := range f.keys() {
				t.Run(name, func(t *testing.T) {
					var plan []step
					for _, asked := range statements(t, s, key) {
						plan = append(plan, explain(t, f, asked)...)
					}
					if len(plan) < 5 && name != "nothing" {
						t.Fatalf("the plan has %d steps: %v", len(plan), plan)
					}
					for _, step := range plan {
						if !step.ok {
							t.Errorf("not by a key: %s", step.text)
						}
					}
				})
			}
		})
	}
}

type step struct {
	text string
	ok   bool
}

func explain(t *testing.T, f farm, asked store.Asked) (plan []step) {
	t.Helper()
	prefix, args := "EXPLAIN ", asked.Args
	switch f.Driver {
	case wikidb.SQLite:
		prefix = "EXPLAIN QUERY PLAN "
	case wikidb.Postgres: // which explains nothing that has parameters
		args = append([]any{pgx.QueryExecModeSimpleProtocol}, args...)
	}
	rows, err := f.connect(t, asked.Database).QueryContext(t.Context(), prefix+asked.Text, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, asked.Text)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		cells := make([]any, len(columns))
		texts := make([]*string, len(columns))
		for i := range cells {
			cells[i] = &texts[i]
		}
		if err := rows.Scan(cells...); err != nil {
			t.Fatal(err)
		}
		row := map[string]string{}
		var line []string
		for i, c := range columns {
			value := "NULL"
			if texts[i] != nil {
				value = *texts[i]
			}
			row[c] = value
			line = append(line, c+"="+value)
		}
		s := step{text: strings.Join(line, " ")}
		switch f.Driver {
		case wikidb.SQLite:
			s.ok = !strings.HasPrefix(row["detail"], "SCAN")
		case wikidb.Postgres:
			s.ok = !strings.Contains(row["QUERY PLAN"], "Seq Scan")
		default:
			s.ok = slices.Contains([]string{"const", "eq_ref", "ref", "NULL"}, row["type"]) && !strings.Contains(row["Extra"], "temporary") ||
				row["select_type"] == "UNION RESULT"
		}
		plan = append(plan, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestEveryGrantIsNeeded takes away one column after the other of those that
// docs/database.md lists.
func TestEveryGrantIsNeeded(t *testing.T) {
	for _, b := range storetest.Backends {
		if b.Driver == wikidb.SQLite {
			continue // a file has no grants
		}
		t.Run(b.Name, func(t *testing.T) {
			f := newFarm(t, b)
			s := f.Store(t)
			fails := func() (first error) {
				for _, key := range f.keys() {
					if _, err := s.Lookup(t.Context(), key); err != nil {
						first = err
					}
				}
				return first
			}
			if err := fails(); err != nil {
				t.Fatalf("with all grants: %v", err)
			}
			granted := storetest.Columns(t, b)
			for _, columns := range granted {
				slices.Sort(columns)
			}
			read := store.Columns(s)
			for table, columns := range granted {
				if columns == nil { // the whole table
					granted[table] = read[table]
					f.Deny(t, table)
					f.Allow(t, table, read[table]...)
				}
			}
			if !reflect.DeepEqual(read, granted) {
				t.Errorf("reads %v, granted %v", read, granted)
			}
			for table, columns := range granted {
				for _, column := range columns {
					f.Deny(t, table, column)
					err := fails()
					switch {
					case err == nil:
						t.Errorf("nothing fails without %s of %s", column, table)
					case !strings.Contains(err.Error(), "missing, or not granted to "+map[bool]string{false: "'", true: `"`}[b.Driver == wikidb.Postgres]+storetest.User) ||
						!strings.Contains(err.Error(), table) || !strings.Contains(err.Error(), "docs/database.md"):
						t.Errorf("without %s of %s, the error does not tell: %v", column, table, err)
					}
					f.Allow(t, table, column)
				}
			}
			if err := fails(); err != nil {
				t.Fatalf("with all grants again: %v", err)
			}
		})
	}
}

func TestSQLiteBlobs(t *testing.T) {
	b := storetest.Named(t, "SQLite 1.47")
	f := newFarm(t, b)
	f.Exec(t, "UPDATE "+f.Table("oauth_registered_consumer")+" SET oarc_consumer_key = CAST(oarc_consumer_key AS BLOB), oarc_grants = CAST(oarc_grants AS BLOB)")
	f.Exec(t, "UPDATE "+f.Table("oauth_accepted_consumer")+" SET oaac_access_token = CAST(oaac_access_token AS BLOB)")
	f.Exec(t, "UPDATE "+f.Table("oauth2_access_tokens")+" SET oaat_identifier = CAST(oaat_identifier AS BLOB)")
	f.Exec(t, "UPDATE "+f.Table("user")+" SET user_name = CAST(user_name AS BLOB)")
	for name, key := range map[string]validator.Key{"oauth1": f.oauth1, "oauth2": f.oauth2} {
		facts, err := f.Store(t).Lookup(t.Context(), key)
		if err != nil || facts.Consumer == nil || facts.Acceptance == nil || facts.User == nil || facts.User.Name != "User 50" {
			t.Errorf("%s: %+v, %v", name, facts, err)
		}
	}
}

func TestSQLiteFile(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "SQLite 1.39"))
	path := f.Config.DSN
	f.Config.DSN = filepath.Join(filepath.Dir(path), "missing.sqlite")
	if _, err := f.Store(t).Lookup(t.Context(), f.oauth1); err == nil {
		t.Error("a file that is not there was read")
	}
	if matches, err := filepath.Glob(f.Config.DSN + "*"); err != nil || len(matches) > 0 {
		t.Errorf("reading made %v, %v", matches, err)
	}
	f.Exec(t, "ALTER TABLE user RENAME TO gone")
	f.Config.DSN = path
	if _, err := f.Store(t).Lookup(t.Context(), f.oauth1); err == nil || !strings.Contains(err.Error(), "no such table: user") {
		t.Errorf("without a table: %v", err)
	}
}

func TestUnreadableID(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "SQLite 1.39"))
	f.Exec(t, "UPDATE "+f.Table("oauth_accepted_consumer")+" SET oaac_user_id = 'nobody'")
	if _, err := f.Store(t).Lookup(t.Context(), f.oauth1); err == nil || !strings.Contains(err.Error(), `oaac_user_id is "nobody"`) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, backend := range storetest.Backends {
		f := newFarm(b, backend)
		s := f.Store(b)
		for name, key := range f.keys() {
			b.Run(backend.Name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Lookup(b.Context(), key); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
