package e2e_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestWhatGivesAccessIsNoticed changes rows in the user's favor. The facts in
// the cache are fresh for an hour, and a request later than negative_ttl passes.
func TestWhatGivesAccessIsNoticed(t *testing.T) {
	const negativeTTL = 500 * time.Millisecond
	memory := fmt.Sprintf("cache {\n\tttl 1h\n\tnegative_ttl %v\n}", negativeTTL)
	w := harness.NewWiki(t, release139)
	g := harness.New(t, harness.Options{
		Wiki: w, Settings: []string{memory},
		Sites: site("group", w.Settings(t, memory, "require group bureaucrat")) +
			site("grant", w.Settings(t, memory, "require grant delete")),
	})
	update := func(app harness.App, what string) {
		w.Exec(t, fmt.Sprintf("UPDATE oauth_registered_consumer SET %s WHERE oarc_id = %d", what, app.Consumer.ID))
	}
	newApp := func(change func(*wikidb.Consumer)) harness.App { return w.NewApp(t, w.Bob, change) }
	same := func(*wikidb.Consumer) {}
	key := harness.NewKey(2048)
	rsa := newApp(func(c *wikidb.Consumer) { c.RSAKey = harness.PublicPEM(&key.PublicKey) })
	rsa.Credentials.RSAKey = key
	for _, tt := range []struct {
		name, host string
		app        harness.App
		before     string // the answer before
		refused    string // while what the cache has is believed
		gain       func(app *harness.App)
	}{
		{"secret reset", "", newApp(same), "ok", "bad_signature", func(app *harness.App) {
			secret := wikidb.RandomHex(16)
			update(*app, "oarc_secret_key = '"+secret+"'")
			app.Credentials.ConsumerSecret = sign.Secret(w.SiteKey, secret)
		}},
		{"RSA key changed", "", rsa, "ok", "bad_signature", func(app *harness.App) {
			update(*app, "oarc_rsa_key = '"+w.RSA.Consumer.RSAKey+"'")
			app.Credentials.RSAKey = w.RSA.Credentials.RSAKey
		}},
		{"token secret reset", "", newApp(same), "ok", "bad_signature", func(app *harness.App) {
			secret := wikidb.RandomHex(16)
			w.Exec(t, fmt.Sprintf("UPDATE oauth_accepted_consumer SET oaac_access_secret = '%s' WHERE oaac_id = %d", secret, app.Acceptance.ID))
			app.Credentials.TokenSecret = sign.Secret(w.SiteKey, secret)
		}},
		{"address range widened", "", newApp(func(c *wikidb.Consumer) { c.Restrictions = `{"IPAddresses":["192.0.2.0/24"]}` }), "address_not_allowed", "address_not_allowed", func(app *harness.App) {
			update(*app, `oarc_restrictions = '{"IPAddresses":["192.0.2.0/24","127.0.0.0/8"]}'`)
		}},
		{"stage approved", "", newApp(func(c *wikidb.Consumer) { c.Stage = validator.Proposed }), "consumer_not_usable", "consumer_not_usable", func(app *harness.App) {
			update(*app, fmt.Sprint("oarc_stage = ", int(validator.Approved)))
		}},
		{"wiki widened", "", newApp(func(c *wikidb.Consumer) { c.Wiki = "dewiki" }), "wrong_wiki", "wrong_wiki", func(app *harness.App) {
			update(*app, "oarc_wiki = '*'")
			w.Exec(t, fmt.Sprintf("UPDATE oauth_accepted_consumer SET oaac_wiki = '*' WHERE oaac_id = %d", app.Acceptance.ID))
		}},
		{"group gained", "group", newApp(same), "missing_group", "missing_group", func(*harness.App) {
			w.Insert(t, wikidb.Group{UserID: w.Bob.ID, Name: "bureaucrat"})
		}},
		{"grant gained", "grant", newApp(same), "missing_grant", "missing_grant", func(app *harness.App) {
			w.Exec(t, fmt.Sprintf(`UPDATE oauth_accepted_consumer SET oaac_grants = '["useoauth","delete"]' WHERE oaac_id = %d`, app.Acceptance.ID))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask := func() string {
				send := func() *harness.Answer { return g.Signed(t, tt.app, "/") }
				if tt.host != "" {
					send = func() *harness.Answer { return at(t, g, tt.host, tt.app) }
				}
				a := send()
				if a.Status == http.StatusOK {
					return "ok"
				}
				return a.Reason
			}
			want := func(reason string) {
				t.Helper()
				if got := ask(); got != reason {
					t.Errorf("%s, want %s", got, reason)
				}
			}
			want(tt.before)
			want(tt.before)
			tt.gain(&tt.app)
			if got := ask(); got != tt.refused && got != "ok" { // what the cache has is believed for a while
				t.Errorf("at once: %s, want %s", got, tt.refused)
			}
			time.Sleep(negativeTTL + 20*time.Millisecond)
			want("ok")
		})
	}
}

// TestBadSignaturesDoNotLoadTheDatabase has 10,000 bad signatures of one app,
// which cause at most one query in negative_ttl.
func TestBadSignaturesDoNotLoadTheDatabase(t *testing.T) {
	const negativeTTL = 300 * time.Millisecond
	g := harness.New(t, harness.Options{Settings: []string{fmt.Sprintf("cache {\n\tttl 1h\n\tnegative_ttl %v\n}", negativeTTL)}, LogLevel: "ERROR"})
	app := g.Wiki.HMAC
	g.Signed(t, app, "/").Want(t, "ok")
	app.Credentials.ConsumerSecret = "another"
	server := mariadb.Start(t)
	before, began := server.Counters(t), time.Now()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10_000 / 16 {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL("/"), http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Authorization", harness.Sign(t, app, http.MethodGet, g.URL("/"), ""))
				if a, err := g.Try(r); err != nil || a.Reason != "bad_signature" {
					t.Errorf("%+v, %v", a, err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	got, most := server.Counters(t).Sub(before).Selects, 1+uint64(took/negativeTTL)
	if got > most || got == 0 && took > 2*negativeTTL {
		t.Errorf("%d queries in %v, want at most %d, and one", got, took, most)
	}
}
