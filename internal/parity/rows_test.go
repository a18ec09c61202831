package parity_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestMain(m *testing.M) { mariadb.Main(m) }

// fill makes one wiki of the recorded farm in an empty database. The OAuth tables are enwiki's.
func fill(t *testing.T, driver, dsn, wiki string) *sql.DB {
	t.Helper()
	conn, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	schema := wikidb.WikiSchema
	if wiki == "enwiki" {
		schema = wikidb.Schema
	}
	for _, statement := range append(schema(driver, validator.Release139, ""), parity.Rows(t, wiki)...) {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s on %s: %v\n%.200s", wiki, driver, err, statement)
		}
	}
	return conn
}

func TestRows(t *testing.T) {
	type count struct {
		of   string
		want int
	}
	for wiki, counts := range map[string][]count{
		"enwiki": {
			{"oauth_registered_consumer", 64},
			{"oauth_registered_consumer WHERE oarc_rsa_key LIKE '-----BEGIN PUBLIC KEY-----%'", 3},
			{"oauth_accepted_consumer", 141},
			{"oauth2_access_tokens", 66},
			{"user WHERE user_name = 'Zoë Müller 日本' AND user_id = 11", 1},
		},
		"dewiki": {{"ipblocks WHERE ipb_expiry = 'infinity'", 3}},
		"frwiki": {{"user_groups WHERE ug_user = 501", 3}},
	} {
		for _, driver := range []string{wikidb.MySQL, wikidb.SQLite} {
			dsn := filepath.Join(t.TempDir(), "wiki.sqlite")
			if driver == wikidb.MySQL {
				server := mariadb.Start(t)
				dsn = server.RootDSN(server.CreateDatabase(t))
			}
			conn := fill(t, driver, dsn, wiki)
			for _, c := range counts {
				var got int
				row := conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+c.of)
				if err := row.Scan(&got); err != nil || got != c.want {
					t.Errorf("%s, %s: %d rows of %s, %v, want %d", driver, wiki, got, c.of, err, c.want)
				}
			}
		}
	}
}
