package parity_test

import (
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestMain(m *testing.M) { mariadb.Main(m) }

// openWiki makes one wiki of the recorded farm. The OAuth tables are enwiki's; those of the others are empty.
func openWiki(t *testing.T, driver, wiki string) storetest.Wiki {
	t.Helper()
	w := storetest.Backend{Driver: driver, Release: validator.Release139}.Open(t)
	for _, statement := range parity.Rows(t, wiki) {
		w.Exec(t, statement)
	}
	return w
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
			w := openWiki(t, driver, wiki)
			for _, c := range counts {
				var got int
				row := w.Rows.Conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+c.of)
				if err := row.Scan(&got); err != nil || got != c.want {
					t.Errorf("%s, %s: %d rows of %s, %v, want %d", driver, wiki, got, c.of, err, c.want)
				}
			}
		}
	}
}
