package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/browser"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// A user signs in, approves an app, and takes the approval back, in a browser: the
// app's token passes the directive oauth of the same site, and cannot be refreshed
// after the withdrawal. The app's callback is on another origin, and redirects to a
// third one.
func TestIssuingInABrowser(t *testing.T) {
	t.Cleanup(browser.Stop)
	i := newIssuer(t)
	done := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "connected")
	}))
	t.Cleanup(done.Close)
	app := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(done.URL, "127.0.0.1", "done.test", 1)+"/?"+r.URL.RawQuery, http.StatusFound)
	}))
	t.Cleanup(app.Close)
	callback := strings.Replace(app.URL, "127.0.0.1", "app.test", 1) + "/callback"
	i.Wiki.Exec(t, fmt.Sprintf("UPDATE %s SET oarc_callback_url = '%s'", i.Wiki.Table("oauth_registered_consumer"), callback))

	site := strings.Replace(i.HTTPS, "127.0.0.1", "wiki.test", 1)
	authorize := "/oauth2/authorize?response_type=code&state=kept&client_id=" + i.app2.Key
	tab := browser.NewTab(t, browser.Options{Language: "ar", Width: 320})
	if status := tab.Open(t, "https://Bob:bob-password@"+site+authorize); status != http.StatusOK {
		t.Fatalf("status %d: %s", status, tab.Text(t))
	}
	if text := tab.Text(t); !strings.Contains(text, "oauth2 app") || !strings.Contains(text, "https://app.test") || !strings.Contains(text, "السماح") {
		t.Errorf("the consent page:\n%s", text)
	}
	for _, found := range tab.Barriers(t) {
		t.Error(found)
	}
	tab.ClickThrough(t, "button[name=approve]")
	address, err := url.Parse(tab.URL(t))
	if err != nil || !strings.HasPrefix(address.Host, "done.test:") || tab.Text(t) != "connected" {
		t.Fatalf("the browser is at %s: %q", address, tab.Messages())
	}
	code, err := url.ParseQuery(address.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	got := i.token(t, "/oauth2/", "grant_type", "authorization_code", "code", code.Get("code"))
	i.Get(t, "/w/api.php", "Bearer "+got.Access).Want(t, "ok")

	tab.Open(t, "https://"+site+"/oauth2/apps?uselang=en")
	for _, found := range tab.Barriers(t) {
		t.Error(found)
	}
	withdraw := fmt.Sprintf(`button[aria-label="Withdraw access from %s"]`, i.app2.Name)
	if tab.ClickThrough(t, withdraw); !strings.Contains(tab.Text(t), "Access withdrawn") {
		t.Errorf("after the withdrawal:\n%s", tab.Text(t))
	}
	i.Get(t, "/w/api.php", "Bearer "+got.Access).Want(t, "token_revoked")
	if next := i.token(t, "/oauth2/", "grant_type", "refresh_token", "refresh_token", got.Refresh); next.Error == "" || next.Access != "" {
		t.Errorf("a refresh after the withdrawal: %+v", next)
	}

	tab.Open(t, "https://"+site+authorize)
	tab.ClickThrough(t, "button[name=cancel]")
	if address := tab.URL(t); !strings.Contains(address, "//done.test:") || !strings.Contains(address, "error=access_denied") {
		t.Errorf("after cancelling, the browser is at %s", address)
	}
	if slices.ContainsFunc(tab.Messages(), func(m string) bool { return strings.Contains(m, "Content Security Policy") }) {
		t.Errorf("the browser says %q", tab.Messages())
	}
}

// The handshake of OAuth 1.0a by the keyboard alone, in a dark theme, for an app
// with a scheme of its own.
func TestIssuingByKeyboard(t *testing.T) {
	t.Cleanup(browser.Stop)
	i := newIssuer(t)
	i.Wiki.Exec(t, fmt.Sprintf("UPDATE %s SET oarc_callback_url = 'myapp://done'", i.Wiki.Table("oauth_registered_consumer")))
	c := sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}
	request := tokenPair(t, i.signed(t, "/oauth/initiate", c, sign.Options{Callback: "oob"}))
	tab := browser.NewTab(t, browser.Options{Language: "de", Dark: true})
	site := strings.Replace(i.HTTPS, "127.0.0.1", "wiki.test", 1)
	tab.Open(t, "https://Bob:bob-password@"+site+"/oauth/authorize?oauth_token="+request.Get("oauth_token"))
	for _, found := range tab.Barriers(t) {
		t.Error(found)
	}
	var focus string
	for range 2 { // over the link to the page of apps
		tab.Press(t, browser.KeyTab)
		tab.Eval(t, "document.activeElement.name || document.activeElement.pathname", &focus)
	}
	if focus != "approve" {
		t.Fatalf("the focus is on %s", focus)
	}
	tab.Press(t, browser.KeyEnter)
	back := ""
	tab.Await(t, "the redirect to the app", func() bool {
		for _, r := range tab.Requests() {
			if strings.HasPrefix(r.URL, "myapp://done?") && r.Status == http.StatusSeeOther {
				back = r.URL
			}
		}
		return back != ""
	})
	address, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	params, err := url.ParseQuery(address.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	c.Token, c.TokenSecret = request.Get("oauth_token"), request.Get("oauth_token_secret")
	access := tokenPair(t, i.signed(t, "/oauth/token", c, sign.Options{Verifier: params.Get("oauth_verifier")}))
	c.Token, c.TokenSecret = access.Get("oauth_token"), access.Get("oauth_token_secret")
	i.signed(t, "/w/api.php?action=query", c, sign.Options{}).Want(t, "ok")
}
