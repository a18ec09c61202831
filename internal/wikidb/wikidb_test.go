package wikidb_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestMain(m *testing.M) { mariadb.Main(m) }

func TestRowsFitTheSchemas(t *testing.T) {
	for _, driver := range []string{wikidb.MySQL, wikidb.SQLite} {
		for _, release := range []validator.Release{validator.Release139, validator.Release147} {
			t.Run(driver+" "+release.String(), func(t *testing.T) {
				dsn := filepath.Join(t.TempDir(), "wiki.sqlite")
				if driver == wikidb.MySQL {
					s := mariadb.Start(t)
					dsn = s.RootDSN(s.CreateDatabase(t))
				}
				conn, err := sql.Open(driver, dsn)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				for _, statement := range wikidb.Schema(driver, release, "pre_") {
					if _, err := conn.ExecContext(t.Context(), statement); err != nil {
						t.Fatalf("%v\n%s", err, statement)
					}
				}
				db := wikidb.DB{Conn: conn, Release: release, Prefix: "pre_"}
				c := wikidb.NewConsumer(1, 2)
				a := wikidb.NewAcceptance(3, c, 4)
				a.Token = "a\x00'\"\\\xff% "
				if err := db.Insert(
					t.Context(), c, a, wikidb.Token{Identifier: wikidb.RandomHex(40), AcceptanceID: 3},
					wikidb.User{ID: 4, Name: "Zoë"}, wikidb.Group{UserID: 4, Name: "sysop"},
					wikidb.Block{UserID: 4, Name: "Zoë", Expiry: wikidb.Infinity},
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
