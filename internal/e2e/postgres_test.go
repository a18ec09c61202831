package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/postgres"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestPostgres sends requests of both protocols through Caddy to a wiki in
// PostgreSQL, while its rows change and its server stops.
func TestPostgres(t *testing.T) {
	for _, release := range []validator.Release{release139, release147} {
		t.Run(release.String(), func(t *testing.T) {
			w := harness.NewPostgresWiki(t, release)
			g := harness.New(t, harness.Options{Wiki: w, Settings: []string{"cache {\n\tttl 1s\n\tnegative_ttl 1s\n\tmax_stale 1h\n}"}})
			bearer := w.Bearer(t, w.OAuth2)

			for name, a := range map[string]*harness.Answer{"oauth1": g.Signed(t, w.HMAC, "/x"), "oauth2": g.Get(t, "/x", bearer)} {
				a.Want(t, "ok")
				if groups := "," + a.Identity("Groups") + ","; a.Identity("User-Name") != "Alice" ||
					!strings.Contains(groups, ",sysop,") || strings.Contains(groups, ",bot,") {
					t.Errorf("%s: %d, user %q, groups %q", name, a.Status, a.Identity("User-Name"), groups)
				}
			}
			// Bytes that no text of PostgreSQL holds are an unknown token, and no
			// failure of anything: any number of them leaves the server in use.
			for range 20 {
				stranger := w.HMAC
				stranger.Credentials.Token = "a\x00b\xff"
				g.Signed(t, stranger, "/").Want(t, "unknown_token")
			}
			g.Signed(t, w.RSA, "/").Want(t, "ok")

			w.Insert(t, wikidb.Block{UserID: w.Bob.ID, Name: "Bob", Expiry: wikidb.Infinity})
			g.Signed(t, w.BobsHMAC, "/").Want(t, "user_blocked")
			w.Exec(t, "UPDATE oauth2_access_tokens SET oaat_revoked = 1")
			eventually(t, "a revocation counts", func() bool { return g.Get(t, "/", bearer).Reason == "token_revoked" })

			s := postgres.Start(t)
			s.Stop(t)
			time.Sleep(1100 * time.Millisecond) // the ttl is over
			g.Signed(t, w.HMAC, "/").Want(t, "ok")
			g.Signed(t, w.OwnerOnly, "/").Want(t, "store_unavailable")
			s.Restart(t)
			eventually(t, "requests pass again", func() bool { return g.Signed(t, w.OwnerOnly, "/").Status == http.StatusOK })
		})
	}
}
