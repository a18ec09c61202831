package e2e_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// wantNoRedirect expects a refusal that sends the browser nowhere.
func wantNoRedirect(t *testing.T, name string, a *harness.Answer) {
	t.Helper()
	if a.Status/100 != 4 || a.Header.Get("Location") != "" || a.Seen != nil {
		t.Errorf("%s: %d %v", name, a.Status, a.Header)
	}
}

// A verifier goes to the callback of /initiate alone, whoever approves and whatever
// the link says; who approves second gets nothing, and ends nothing.
func TestIssuingRequestTokenFixation(t *testing.T) {
	i := newIssuer(t)
	app := i.Wiki.NewApp(t, i.Wiki.Alice, func(c *wikidb.Consumer) { c.Name = "app with a prefix" }).Consumer
	i.Wiki.Exec(t, "UPDATE oauth_registered_consumer SET oarc_callback_is_prefix = 1 WHERE oarc_consumer_key = '"+app.Key+"'")
	c := i.handshake(t, app, appCallback+"/mine")
	target := "/oauth/authorize?oauth_token=" + c.Token
	late := i.form(t, target)
	link := target + "&oauth_callback=https%3A%2F%2Fevil.example%2F&callback=https%3A%2F%2Fevil.example%2F&returnto=https%3A%2F%2Fevil.example%2F"
	a := i.press(t, link, "approve")
	if where := a.Header.Get("Location"); a.Status != http.StatusSeeOther || !strings.HasPrefix(where, appCallback+"/mine?") {
		t.Fatalf("the verifier goes to %d %q", a.Status, where)
	}
	verifier := query(t, a).Get("oauth_verifier")
	wantNoRedirect(t, "a second approval", i.submit(t, target, late, "Bob"))
	wantNoRedirect(t, "an approval by another user", i.submit(t, target, late, "Alice"))
	wantNoRedirect(t, "a page for another user", i.Get(t, target, basic("Alice", "alice-password")))
	access := tokenPair(t, i.signed(t, "/oauth/token", c, sign.Options{Verifier: verifier}))
	c.Token, c.TokenSecret = access.Get("oauth_token"), access.Get("oauth_token_secret")
	if a := i.signed(t, "/w/api.php?action=query", c, sign.Options{}); a.Identity("User-Name") != "Bob" {
		t.Errorf("the token is %q's, who has not approved", a.Identity("User-Name"))
	}
}

// A browser is sent to a callback that the app has registered, or to login with a
// page of ours to come back to.
func TestIssuingOpenRedirect(t *testing.T) {
	i := newIssuer(t, "login https://login.example/?rd={return}")
	for _, callback := range []string{
		"https://evil.example/", "https://app.example.evil.example/callback", "https://app.example/callback@evil.example", "//evil.example",
		"https://app.example/callback/../../x", "https://app.example@evil.example/callback", "javascript:alert(1)", "https://app.example/callback\r\nX-Evil: 1", "",
	} {
		a := i.Get(t, authorizeApp(i.app2, "&state=s&redirect_uri="+url.QueryEscape(callback)), basic("Bob", "bob-password"))
		wantNoRedirect(t, callback, a)
		c := sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}
		if a := i.signed(t, "/oauth/initiate", c, sign.Options{Callback: callback}); callback != "" && strings.Contains(string(a.Body), "oauth_token=") {
			t.Errorf("/initiate takes the callback %q: %s", callback, a.Body)
		}
	}
	// Whoever registers an app makes no address that a link of the wiki leads to,
	// unless the app is approved: an error is a page, too.
	for name, change := range map[string]string{"proposed": "oarc_stage = 0", "rejected": "oarc_stage = 2", "suppressed": "oarc_deleted = 1", "elsewhere": "oarc_wiki = 'dewiki'"} {
		app := i.Wiki.NewApp(t, i.Wiki.Alice, func(c *wikidb.Consumer) { c.Name, c.Version = name, 2 }).Consumer
		i.Wiki.Exec(t, "UPDATE oauth_registered_consumer SET "+change+" WHERE oarc_consumer_key = '"+app.Key+"'")
		for _, more := range []string{"", "&scope=nonsense", "&scope=patrol"} {
			wantNoRedirect(t, name+more, i.Get(t, authorizeApp(app, pkce+"&state=s"+more), basic("Bob", "bob-password")))
		}
	}
	// Registered, but nowhere that a browser may be sent to.
	for _, callback := range []string{"javascript:alert(1)//", "data:text/html,x", "https://user@app.example/", "//evil.example/"} {
		app := i.Wiki.NewApp(t, i.Wiki.Alice, func(c *wikidb.Consumer) { c.Name, c.Version = "app at "+callback[:4], 2 }).Consumer
		i.Wiki.Exec(t, "UPDATE oauth_registered_consumer SET oarc_callback_url = '"+callback+"' WHERE oarc_consumer_key = '"+app.Key+"'")
		wantNoRedirect(t, callback, i.Get(t, authorizeApp(app, ""), basic("Bob", "bob-password")))
	}
	// No user is signed in where the authentication handler does not run.
	for _, more := range []string{"", "&returnto=//evil.example", "&return=https://evil.example/", "&rd=https://evil.example/"} {
		a := i.Get(t, "/w/index.php?title=Special:OAuth/%61uthorize&oauth_token=x"+more, "")
		u, err := url.Parse(a.Header.Get("Location"))
		if err != nil || a.Status != http.StatusFound || u.Host != "login.example" || len(u.Query()) != 1 {
			t.Errorf("%s: %d %q, %v", more, a.Status, a.Header.Get("Location"), err)
			continue
		}
		if back := u.Query().Get("rd"); !strings.HasPrefix(back, "https://wiki.example/") || strings.Contains(back, "evil") {
			t.Errorf("%s: back to %q", more, back)
		}
	}
}

// A form counts from the issuer's own pages, for the user, app and request that it
// was made for; no page is shown in a frame.
func TestIssuingForgedForms(t *testing.T) {
	i := newIssuer(t)
	other := i.Wiki.NewApp(t, i.Wiki.Alice, func(c *wikidb.Consumer) { c.Name, c.Version = "other app", 2 }).Consumer
	target := authorizeApp(i.app2, "&state=s")
	form := i.form(t, target)
	for name, headers := range map[string][]string{
		"another site":   {"Sec-Fetch-Site", "cross-site"},
		"a sister site":  {"Sec-Fetch-Site", "same-site"},
		"another origin": {"Origin", "https://evil.example"},
		"no origin":      {"Origin", "null"},
	} {
		wantNoRedirect(t, name, i.submit(t, target, form, "Bob", headers...))
	}
	wantNoRedirect(t, "another user", i.submit(t, target, form, "Alice"))
	wantNoRedirect(t, "no token", i.submit(t, target, url.Values{"approve": {"1"}}, "Bob"))
	changed := func(name, value string) url.Values {
		out := maps.Clone(form)
		out.Set(name, value)
		return out
	}
	wantNoRedirect(t, "another app", i.submit(t, authorizeApp(other, "&state=s"), changed("client_id", other.Key), "Bob"))
	c := i.handshake(t, i.app1, "oob")
	c2 := i.handshake(t, i.app1, "oob")
	form1 := i.form(t, "/oauth/authorize?oauth_token="+c.Token)
	form1.Set("oauth_token", c2.Token)
	wantNoRedirect(t, "another request token", i.submit(t, "/oauth/authorize?oauth_token="+c2.Token, form1, "Bob"))
	if a := i.submit(t, target, form, "Bob"); query(t, a).Get("code") == "" {
		t.Errorf("the form as it was shown: %d %v", a.Status, a.Header)
	}

	for _, page := range []string{target, "/oauth2/apps", "/oauth/authorize?oauth_token=" + c2.Token, "/oauth/authorize?oauth_token=x", "/oauth/verified?oauth_verifier=a&oauth_token=b"} {
		h := i.Get(t, page, basic("Bob", "bob-password")).Header
		if !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") ||
			h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", page, h)
		}
	}
}

// Names, callbacks and states become neither markup nor lines of a header.
func TestIssuingInjection(t *testing.T) {
	i := newIssuer(t)
	const markup = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`
	app := i.Wiki.NewApp(t, i.Wiki.Alice, func(c *wikidb.Consumer) { c.Name, c.Version = markup, 2 }).Consumer
	const split = "a\r\nSet-Cookie: x=1\r\n\r\n<b>&\"'"
	target := authorizeApp(app, "&state="+url.QueryEscape(split+markup)+"&scope="+url.QueryEscape("basic "))
	for _, page := range []string{
		target, "/oauth2/authorize?response_type=" + url.QueryEscape(markup), authorizeApp(app, "&redirect_uri="+url.QueryEscape(split+markup)),
		"/oauth/authorize?oauth_token=" + url.QueryEscape(markup), "/oauth/verified?oauth_token=b&oauth_verifier=" + url.QueryEscape(markup),
		"/oauth2/authorize?response_type=code&client_id=" + url.QueryEscape(split+markup), "/oauth/authorize?uselang=" + url.QueryEscape(markup),
		"/oauth/initiate?format=html&oauth_consumer_key=" + url.QueryEscape(split+markup), "/oauth2/resource/" + url.PathEscape(markup),
	} {
		a := i.Get(t, page, basic("Bob", "bob-password"))
		for _, bad := range []string{"<script", "<img", "<b>&"} {
			if strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") && strings.Contains(string(a.Body), bad) {
				t.Errorf("%s: the page holds %s:\n%s", page, bad, a.Body)
			}
		}
		if len(a.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s: %v", page, a.Header)
		}
	}
	for _, button := range []string{"approve", "cancel"} {
		a := i.press(t, target, button)
		where := a.Header.Get("Location")
		if strings.ContainsAny(where, "\r\n <>\"") || len(a.Header["Set-Cookie"]) > 0 || query(t, a).Get("state") != split+markup {
			t.Errorf("%s: %q, state %q", button, where, query(t, a).Get("state"))
		}
	}
	a := i.Get(t, "/oauth2/apps", basic("Bob", "bob-password"))
	if !strings.Contains(string(a.Body), "&lt;script&gt;alert(1)") || strings.Contains(string(a.Body), "<script") {
		t.Errorf("the page of apps: %d %s", a.Status, a.Body)
	}
}
