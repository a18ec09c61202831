package e2e_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// signAt signs with a timestamp of one's own.
func signAt(t *testing.T, app harness.App, method, url, form, timestamp string) string {
	t.Helper()
	return signWith(t, app, method, url, form, sign.Options{Timestamp: timestamp})
}

func signWith(t *testing.T, app harness.App, method, url, form string, o sign.Options) string {
	t.Helper()
	value, err := sign.Header(app.Credentials, method, url, []byte(form), o)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestNonceRaced(t *testing.T) {
	const url = "http://wiki.example.org/"
	w := harness.NewWiki(t, release139)
	// Another site of the same database, which differs in all that a nonce does
	// not depend on.
	other := *w
	server, user := mariadb.Start(t), "second_"+w.Database
	server.CreateUser(t, user, "x", w.Grants(t)...)
	other.DSN, other.StoreLines = server.DSN(user, "x", w.Database), []string{"query_timeout 10s"}
	g := harness.New(t, harness.Options{
		Wiki: w, Settings: []string{"base_url http://wiki.example.org"},
		Sites: "http://:{$HTTP2} {\n\toauth {\n" + other.Settings(
			t, "base_url http://wiki.example.org", "realm other", "cache {\n\tttl 7s\n}", "timestamp_window 10m", "block_disables_login off",
		) + "\n\t}\n\timport backend\n}\n",
	})
	for _, tt := range []struct {
		name string
		app  harness.App
		urls []string
	}{
		{"one site", g.Wiki.HMAC, []string{g.URL("/")}},
		{"one site, RSA", g.Wiki.RSA, []string{g.URL("/")}},
		{"two sites of one database", g.Wiki.HMAC, []string{g.URL("/"), "http://" + g.HTTP2 + "/"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const copies = 100
			authorization := harness.Sign(t, tt.app, "GET", url, "")
			var mu sync.Mutex
			reasons := map[string]int{}
			start := make(chan struct{})
			var clients sync.WaitGroup
			for i := range copies {
				r := g.Request(t, "GET", tt.urls[i%len(tt.urls)], "", "Authorization", authorization)
				clients.Go(func() {
					<-start
					a, err := g.Try(r)
					if err != nil {
						t.Error(err)
						return
					}
					if a.Identity("User-Id") == "7" {
						a.Reason = "ok"
					}
					mu.Lock()
					defer mu.Unlock()
					reasons[a.Reason]++
				})
			}
			close(start)
			clients.Wait()
			if reasons["ok"] != 1 || reasons["nonce_used"] != copies-1 {
				t.Errorf("of %d copies: %v", copies, reasons)
			}
		})
	}
	// It is remembered over a reload too, with other settings.
	authorization := harness.Sign(t, g.Wiki.HMAC, "GET", url, "")
	g.Get(t, "/", authorization).Want(t, "ok")
	if err := g.Load(t, "base_url http://wiki.example.org", "secret_key "+g.Wiki.SiteKey, "nonces memory size 32MiB", "max_form_size 1MiB"); err != nil {
		t.Fatal(err)
	}
	g.Get(t, "/", authorization).Want(t, "nonce_used")
}

func TestNonceScopeAndExhaustion(t *testing.T) {
	g := harness.New(t, harness.Options{Settings: []string{"nonces memory size 1MiB"}})
	w := g.Wiki
	// One nonce of several apps, and of one app's several users.
	o := sign.Options{Nonce: "the-same", Timestamp: strconv.FormatInt(time.Now().Unix(), 10)}
	for _, app := range []harness.App{w.HMAC, w.BobsHMAC, w.RSA, w.OwnerOnly} {
		g.Get(t, "/", signWith(t, app, "GET", g.URL("/"), "", o)).Want(t, "ok")
	}
	for _, app := range []harness.App{w.HMAC, w.BobsHMAC, w.RSA, w.OwnerOnly} {
		g.Get(t, "/", signWith(t, app, "GET", g.URL("/"), "", o)).Want(t, "nonce_used")
		later := o
		later.Timestamp = strconv.FormatInt(time.Now().Unix()-100, 10)
		g.Get(t, "/", signWith(t, app, "GET", g.URL("/"), "", later)).Want(t, "nonce_used")
	}
	// Whoever cannot sign uses up nothing.
	stranger := w.HMAC
	stranger.Credentials.ConsumerSecret = "x"
	g.Get(t, "/", signWith(t, stranger, "GET", g.URL("/"), "", sign.Options{Nonce: "burned"})).Want(t, "bad_signature")
	g.Get(t, "/", signWith(t, w.HMAC, "GET", g.URL("/"), "", sign.Options{Nonce: "burned"})).Want(t, "ok")
	if a := spend(t, g, w.HMAC, 0); a == nil {
		t.Fatal("one app may fill a memory of 1 MiB")
	} else if a.Want(t, "nonce_share_used_up"); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", a.Status, a.Header.Get("Retry-After"))
	}
	// It is the share of the user, with any app.
	for _, app := range []harness.App{w.HMAC, w.RSA, w.OwnerOnly} {
		g.Signed(t, app, "/").Want(t, "nonce_share_used_up")
	}
	g.Signed(t, w.BobsHMAC, "/").Want(t, "ok")
	if a := g.Get(t, "/", w.Bearer(t, w.OAuth2)); a.Seen == nil {
		t.Errorf("a bearer token needs no nonce: %s", a.Reason)
	}
	if n := strings.Count(g.Log(t), `"reason":"nonce_share_used_up"`); n == 0 {
		t.Error("nothing in the log")
	}
}

// spend signs with one app until a request is refused, and returns that answer.
// The timestamps lie ahead.
func spend(t *testing.T, g *harness.Gateway, app harness.App, ahead time.Duration) *harness.Answer {
	t.Helper()
	const bound = 20_000
	timestamp := strconv.FormatInt(time.Now().Add(ahead).Unix(), 10)
	for range bound {
		if a := g.Get(t, "/", signAt(t, app, "GET", g.URL("/"), "", timestamp)); a.Status != http.StatusOK {
			return a
		}
	}
	return nil
}

// TestManyTokensOfOneUser has one user spend all that 25 apps of their own may
// use. Other users go on, and the figures say how full the memory is.
func TestManyTokensOfOneUser(t *testing.T) {
	g := harness.New(t, harness.Options{Settings: []string{"nonces memory size 1MiB"}})
	w := g.Wiki
	for range 25 {
		app := w.NewApp(t, w.Alice, func(c *wikidb.Consumer) { c.OwnerOnly, c.OwnerID = true, w.Alice.ID })
		if a := spend(t, g, app, 290*time.Second); a == nil {
			t.Fatal("one app may fill a memory of 1 MiB")
		} else {
			a.Want(t, "nonce_share_used_up")
		}
	}
	for range 300 {
		g.Signed(t, w.BobsHMAC, "/").Want(t, "ok")
	}
	metrics := g.Metrics(t)
	for name, most := range map[string]float64{
		`caddy_oauth_cache_bytes{cache="nonces"} `: 1 << 17, "caddy_oauth_nonces_capacity_bytes ": 1 << 20, "caddy_oauth_nonces_used_ratio ": 0.125,
	} {
		_, after, _ := strings.Cut(metrics, "\n"+name)
		line, _, _ := strings.Cut(after, "\n")
		if value, err := strconv.ParseFloat(line, 64); err != nil || value <= 0 || value > most {
			t.Errorf("%s%s: want at most %v", name, line, most)
		}
	}
}
