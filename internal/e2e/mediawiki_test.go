package e2e_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/browser"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// mediaWikiSite issues in front of a real wiki, which has the accounts and the
// login. Requests of apps pass oauth.
const mediaWikiSite = `
route {
	oauth_server {
		import settings
		{$WRITER}
		endpoints mediawiki plain
		session mediawiki http://{$WIKI}/w/api.php {
			host {$HOST}
		}
		lifetimes {
			refresh_token 1h
		}
	}
	@app header Authorization *
	route @app {
		oauth {
			import settings
		}
		import backend
	}
	@article path_regexp title ^/wiki/(.+)$
	rewrite @article /w/index.php?title={re.title.1}&{query}
	reverse_proxy {$WIKI}
}
`

// A person signs in to a real MediaWiki, through Caddy, and allows an app of each
// protocol: the app acts for that person. A user who signs out of the wiki has to
// sign in again.
func TestRealMediaWiki(t *testing.T) {
	t.Cleanup(browser.Stop)
	m := harness.NewMediaWiki(t)
	done := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "connected") }))
	t.Cleanup(done.Close)
	app1, app2 := wikidb.NewConsumer(1, 1), wikidb.NewConsumer(2, 1)
	app2.Version = 2
	m.Insert(t, app1, app2)
	m.Exec(t, fmt.Sprintf("UPDATE %s SET oarc_callback_url = '%s/cb'", m.Table("oauth_registered_consumer"), strings.Replace(done.URL, "127.0.0.1", "app.test", 1)))

	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(m.IssuerKey)}))
	lines := "writer {file." + file("writer", m.Writer(t).DSN) + "}\nprivate_key " + file("key.pem", key)
	site := strings.NewReplacer("{$WRITER}", lines, "{$WIKI}", m.Addr, "{$HOST}", "wiki.test").Replace(mediaWikiSite)
	g := harness.New(t, harness.Options{Wiki: m.Wiki, Site: site, Settings: []string{"base_url https://wiki.test"}})
	base := "https://" + strings.Replace(g.HTTPS, "127.0.0.1", "wiki.test", 1)
	if err := g.Load(t, "base_url "+base); err != nil {
		t.Fatal(err)
	}
	m.Serve(t, base)
	i := &issuer{Gateway: g, app1: app1, app2: app2}
	tab := browser.NewTab(t, browser.Options{Language: "en"})

	// OAuth 2: not signed in, so first to the wiki's login, and back.
	authorize := base + "/w/rest.php/oauth2/authorize?response_type=code&state=s%20%26t&client_id=" + app2.Key
	tab.Open(t, authorize)
	if at := tab.URL(t); !strings.Contains(at, "title=Special:UserLogin") {
		t.Fatalf("a user who is not signed in is at %s:\n%s", at, tab.Text(t))
	}
	var filled bool
	tab.Eval(t, fmt.Sprintf("(wpName1.value = 'Bob', wpPassword1.value = %q, true)", harness.UserPassword), &filled)
	tab.ClickThrough(t, "#wpLoginAttempt")
	if at := tab.URL(t); !strings.HasPrefix(at, base+"/w/index.php?title=Special:OAuth/authorize2&") || !strings.Contains(tab.Text(t), app2.Name) {
		t.Fatalf("after signing in at %s:\n%s", at, tab.Text(t))
	}
	tab.ClickThrough(t, "button[name=approve]")
	back := callback(t, tab.URL(t))
	if back.Get("state") != "s &t" {
		t.Errorf("the app is told %v", back)
	}
	got := i.token(t, "/oauth2/", "grant_type", "authorization_code", "code", back.Get("code"))
	a := i.Get(t, "/w/api.php", "Bearer "+got.Access)
	if a.Want(t, "ok"); a.Identity("User-Name") != "Bob" {
		t.Errorf("the backend sees %q", a.Identity("User-Name"))
	}

	// OAuth 1.0a: still signed in.
	c := sign.Credentials{ConsumerKey: app1.Key, ConsumerSecret: i.secret(app1)}
	signed := func(target string, o sign.Options) *harness.Answer {
		header, err := sign.Header(c, http.MethodGet, base+target, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		return i.Get(t, target, header)
	}
	request := tokenPair(t, signed("/wiki/Special:OAuth/initiate", sign.Options{Callback: "oob"}))
	handshake := base + "/wiki/Special:OAuth/authorize?oauth_token=" + request.Get("oauth_token")
	tab.Open(t, handshake)
	tab.ClickThrough(t, "button[name=approve]")
	c.Token, c.TokenSecret = request.Get("oauth_token"), request.Get("oauth_token_secret")
	access := tokenPair(t, signed("/wiki/Special:OAuth/token", sign.Options{Verifier: callback(t, tab.URL(t)).Get("oauth_verifier")}))
	c.Token, c.TokenSecret = access.Get("oauth_token"), access.Get("oauth_token_secret")
	if a := signed("/w/api.php?action=query", sign.Options{}); a.Identity("User-Name") != "Bob" {
		t.Errorf("the backend sees %d %s", a.Status, a.Body)
	}

	// Signed out of the wiki: each page of ours asks to sign in again.
	tab.Open(t, base+"/w/rest.php/oauth2/apps")
	if !strings.Contains(tab.Text(t), app1.Name) {
		t.Errorf("connected apps:\n%s", tab.Text(t))
	}
	tab.Open(t, base+"/w/index.php?title=Special:UserLogout")
	tab.ClickThrough(t, "#mw-content-text button[type=submit]")
	if !strings.Contains(tab.Text(t), "You are now logged out") {
		t.Fatalf("signing out:\n%s", tab.Text(t))
	}
	c.Token, c.TokenSecret = "", ""
	handshake = base + "/wiki/Special:OAuth/authorize?oauth_token=" + tokenPair(t, signed("/wiki/Special:OAuth/initiate", sign.Options{Callback: "oob"})).Get("oauth_token")
	for _, page := range []string{authorize, handshake, base + "/w/rest.php/oauth2/apps"} {
		tab.Open(t, page)
		if at := tab.URL(t); !strings.Contains(at, "title=Special:UserLogin") {
			t.Errorf("after signing out, %s is at %s:\n%s", page, at, tab.Text(t))
		}
	}
}

// callback is the query that the app's callback is called with.
func callback(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(u.Host, "app.test:") {
		t.Fatalf("the browser is at %s", address)
	}
	return u.Query()
}
