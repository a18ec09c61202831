package wikidb_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/postgres"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestMain(m *testing.M) { process.Main(m) }

// create runs the statements in a new database.
func create(t *testing.T, driver string, statements []string) *sql.DB {
	t.Helper()
	dsn := filepath.Join(t.TempDir(), "wiki.sqlite")
	name := driver
	switch driver {
	case wikidb.MySQL:
		s := mariadb.Start(t)
		dsn = s.RootDSN(s.CreateDatabase(t))
	case wikidb.Postgres:
		s := postgres.Start(t)
		name, dsn = postgres.Driver, s.RootDSN(s.CreateDatabase(t))
	}
	conn, err := sql.Open(name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for _, statement := range statements {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%v\n%s", err, statement)
		}
	}
	return conn
}

// TestRecordedRowsFit loads what was recorded of a farm with CentralAuth.
func TestRecordedRowsFit(t *testing.T) {
	for _, driver := range []string{wikidb.MySQL, wikidb.SQLite} {
		for name, test := range map[string]struct {
			schema []string
			count  string
			want   int
		}{
			"centralauth": {
				wikidb.CentralAuthSchema(driver, validator.Release139, ""),
				"globaluser JOIN localuser ON lu_name = gu_name WHERE lu_wiki = 'frwiki' AND gu_hidden_level > 0 AND gu_locked = 0", 2,
			},
			"dewiki": {wikidb.WikiSchema(driver, validator.Release139, ""), "user JOIN user_groups ON ug_user = user_id WHERE user_name = 'Judy'", 1},
			"frwiki": {wikidb.WikiSchema(driver, validator.Release139, ""), "user WHERE user_id > 500", 13},
		} {
			conn := create(t, driver, append(test.schema, parity.Rows(t, "1.39", name)...))
			var got int
			row := conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+test.count)
			if err := row.Scan(&got); err != nil || got != test.want {
				t.Errorf("%s, %s: %d rows, %v, want %d", driver, name, got, err, test.want)
			}
		}
	}
}

func TestRowsFitTheSchemas(t *testing.T) {
	for _, driver := range []string{wikidb.MySQL, wikidb.SQLite, wikidb.Postgres} {
		for _, release := range []validator.Release{35, 38, 39, 42, 43, 47} {
			if driver == wikidb.Postgres && release < 39 {
				continue // the extension came to PostgreSQL with 1.39
			}
			t.Run(driver+" "+release.String(), func(t *testing.T) {
				conn := create(t, driver, append(wikidb.Schema(driver, release, "pre_"), wikidb.CentralAuthSchema(driver, release, "pre_")...))
				db := wikidb.DB{Conn: conn, Driver: driver, Release: release, Prefix: "pre_"}
				c := wikidb.NewConsumer(1, 2)
				a := wikidb.NewAcceptance(3, c, 4)
				a.Token = "a\x00'\"\\\xff% "
				if driver == wikidb.Postgres { // text is UTF-8 without NUL
					a.Token = "a'\"\\% "
				}
				if err := db.Insert(
					t.Context(), c, a, wikidb.Token{Identifier: wikidb.RandomHex(40), AcceptanceID: 3},
					wikidb.User{ID: 4, Name: "Zoë"}, wikidb.Group{UserID: 4, Name: "sysop"},
					wikidb.Block{UserID: 4, Name: "Zoë", Expiry: wikidb.Infinity},
					wikidb.GlobalUser{ID: 5, Name: "Zoë", Locked: true, Hidden: wikidb.Suppressed},
					wikidb.Attachment{Wiki: "enwiki", Name: "Zoë", LocalID: 4, GlobalID: 5},
					wikidb.GlobalGroup{UserID: 5, Name: "steward", Expiry: wikidb.Infinity},
				); err != nil {
					t.Fatal(err)
				}
				var token []byte
				row := conn.QueryRowContext(t.Context(), "SELECT oaac_access_token FROM pre_oauth_accepted_consumer")
				if err := row.Scan(&token); err != nil || string(token) != a.Token {
					t.Errorf("token %q read back as %q, %v", a.Token, token, err)
				}
				if err := db.Insert(t.Context(), c); err == nil {
					t.Error("a second consumer of the same key was taken")
				}
			})
		}
	}
}
