package parity_test

import (
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
)

func TestMain(m *testing.M) { process.Main(m) }

// openWiki makes one wiki of the recorded farm. The OAuth tables are enwiki's;
// those of the others are empty.
func openWiki(t *testing.T, driver string, release string, wiki string) storetest.Wiki {
	t.Helper()
	w := storetest.Backend{Driver: driver, Release: mustRelease(t, release)}.Open(t)
	for _, statement := range parity.Rows(t, release, wiki) {
		w.Exec(t, statement)
	}
	return w
}

func TestRows(t *testing.T) {
	type count struct {
		of   string
		want int
	}
	for _, test := range []struct {
		release string
		wiki    string
		counts  []count
	}{
		{"1.39", "enwiki", []count{
			{"oauth_registered_consumer", 64},
			{"oauth_registered_consumer WHERE oarc_rsa_key LIKE '-----BEGIN PUBLIC KEY-----%'", 3},
			{"oauth_accepted_consumer", 141},
			{"oauth2_access_tokens", 66},
			{"user WHERE user_name = 'Zoë Müller 日本' AND user_id = 11", 1},
		}},
		{"1.39", "dewiki", []count{{"ipblocks WHERE ipb_expiry = 'infinity'", 3}}},
		{"1.39", "frwiki", []count{{"user_groups WHERE ug_user = 501", 3}}},
		{"1.43", "enwiki", []count{
			{"oauth_registered_consumer", 146},
			{`oauth_registered_consumer WHERE oarc_restrictions = X'7b224950416464726573736573223a5b223132372e302e302e305c2f38225d7d'`, 1},
			{"block JOIN block_target ON bl_target = bt_id WHERE bt_user = 21", 2},
		}},
		{"1.43", "frwiki", []count{{"block_target WHERE bt_user = 1001", 1}}},
	} {
		for _, driver := range []string{wikidb.MySQL, wikidb.SQLite} {
			w := openWiki(t, driver, test.release, test.wiki)
			for _, c := range test.counts {
				var got int
				row := w.Rows.Conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+c.of)
				if err := row.Scan(&got); err != nil || got != c.want {
					t.Errorf("%s, %s, %s: %d rows of %s, %v, want %d", driver, test.release, test.wiki, got, c.of, err, c.want)
				}
			}
		}
	}
}
