package pages

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/browser"
)

// attacker is a page of another site.
func attacker(t *testing.T, page string) string {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(page))
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "evil.test", 1)
}

// No other page can show the consent page in a frame.
func TestFrames(t *testing.T) {
	s := newSite(t)
	tab := s.signIn(t, "Alice", browser.Options{})
	tab.Open(t, attacker(t, fmt.Sprintf(`<!DOCTYPE html><title>x</title><iframe src="%s"></iframe>`, strings.ReplaceAll(s.consent2(), "&", "&amp;"))))
	tab.Await(t, "the refusal of the frame", func() bool {
		return strings.Contains(strings.Join(tab.Messages(), "\n"), "frame-ancestors 'none'")
	})
}

// A form that another site sends decides nothing, even if the browser sends the
// user's cookie with it and it has a token that another user got.
func TestForgedForms(t *testing.T) {
	s := newSite(t)
	thief := s.signIn(t, "Bob", browser.Options{})
	thief.Open(t, s.consent2())
	var token string
	thief.Eval(t, `document.querySelector("[name=csrf]").value`, &token)
	var form strings.Builder
	for name, value := range map[string]string{
		"response_type": "code", "client_id": s.app2.Key, "state": "kept", "approve": "1", "csrf": token,
	} {
		fmt.Fprintf(&form, `<input type="hidden" name="%s" value="%s">`, name, value)
	}
	tab := s.signIn(t, "Alice", browser.Options{})
	tab.Open(t, attacker(t, fmt.Sprintf(`<!DOCTYPE html><title>x</title><form method="post" action="%s/oauth2/authorize">%s<button>Win</button></form>`, s.url, &form)))
	if status := tab.ClickThrough(t, "button"); status != http.StatusForbidden || !strings.Contains(tab.Text(t), "Signed in as Alice") {
		t.Errorf("status %d: %s", status, tab.Text(t))
	}
	if n := s.given(); n != 0 {
		t.Errorf("%d acceptances, want none", n)
	}
	// The page that is shown instead is ours, and works.
	tab.ClickThrough(t, approveButton)
	s.arrived(t, tab, "code=")
}

// A name that is written from right to left, or that turns the direction round,
// stays within itself.
func TestDirectionOfNames(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"خرائط 7", "\u202Egpj.exe", "\u2067ok\u202E", "a\u200F!"} {
		s.app2.Name = name
		tab := s.signIn(t, "Alice", browser.Options{})
		tab.Open(t, s.consent2())
		var at []float64
		tab.Eval(t, `(() => {
			const bdi = document.querySelector("main p bdi"), left = (node, i) => {
				const r = document.createRange();
				r.setStart(node, i);
				r.setEnd(node, i + 1);
				return r.getBoundingClientRect().left;
			};
			const before = bdi.previousSibling, after = bdi.nextSibling;
			return [left(before, before.length - 1), bdi.getBoundingClientRect().left, left(after, 0), left(after, 3)];
		})()`, &at)
		if len(at) != 4 || at[0] >= at[1] || at[1] >= at[2] || at[2] >= at[3] {
			t.Errorf("%q: the text before and after it stands at %v", name, at)
		}
	}
}

// The language that uselang chooses stays when a form is sent.
func TestLanguageOfForms(t *testing.T) {
	s := newSite(t)
	tab := s.signIn(t, "Alice", browser.Options{Language: "en"})
	tab.Open(t, s.consent1(t)+"&uselang=ar")
	var align string
	tab.Eval(t, `getComputedStyle(document.querySelector("h1")).direction`, &align)
	if align != "rtl" {
		t.Errorf("the heading runs %s", align)
	}
	var left, right float64
	tab.Eval(t, `document.querySelector("button[name=cancel]").getBoundingClientRect().left`, &left)
	tab.Eval(t, `document.querySelector("button[name=approve]").getBoundingClientRect().left`, &right)
	if left >= right {
		t.Errorf("cancel stands at %v, approve at %v: the first button belongs to the right", left, right)
	}
	tab.ClickThrough(t, cancelButton)
	if !strings.Contains(tab.Text(t), "لم تسمح بالوصول") {
		t.Errorf("the next page is not in Arabic:\n%s", tab.Text(t))
	}
}

// A user who cannot go on is told why, with MediaWiki's code.
func TestErrorPages(t *testing.T) {
	s := newSite(t)
	ownerOnly, other := s.newApp(1, "cccccccccccccccccccccccccccccccc"), s.newApp(1, "dddddddddddddddddddddddddddddddd")
	ownerOnly.ID, ownerOnly.OwnerOnly, other.ID, other.Wiki = 3, true, 4, "otherwiki"
	s.apps = append(s.apps, ownerOnly, other)
	page := func(app *authserver.Consumer) string {
		token := "token-of-" + app.Key
		if err := s.state.Create(t.Context(), authserver.RequestToken{
			Key: token, ConsumerKey: app.Key, OwnerID: 1, Callback: "oob", Expires: time.Now().Add(time.Minute),
		}); err != nil {
			t.Fatal(err)
		}
		return s.url + "/authorize?" + url.Values{"oauth_token": {token}, "oauth_consumer_key": {app.Key}}.Encode()
	}
	used := s.consent1(t)
	tab := s.signIn(t, "Alice", browser.Options{})
	tab.Open(t, used)
	tab.ClickThrough(t, approveButton)
	for _, tt := range []struct {
		user, address string
		status        int64
		code, text    string
	}{
		{"Alice", s.url + "/verified", 400, "E001", "verification code is missing"},
		{"Alice", s.url + "/nothing", 400, "E002", "Page not found"},
		{"Alice", s.url + "/authorize?oauth_token=x&oauth_consumer_key=" + s.app1.Key, 400, "E004", "has expired"},
		{"Alice", page(other), 400, "E005", "“Map Maker” is not approved"},
		{"Alice", s.url + "/authorize?oauth_token=x", 400, "E006", "unknown here"},
		{"Alice", used, 400, "E009", "already been completed"},
		{"Alice", page(ownerOnly), 400, "E010", "“Map Maker” may only be used by its owner"},
		{"Alice", s.url + "/oauth2/authorize?response_type=code&client_id=x", 403, "", "unknown here"},
		{"Carol", s.consent2(), 403, "E008", "does not exist"},
		{"-", s.consent2(), 401, "", "Sign in to the wiki"},
		{"-", s.url + "/apps", 401, "", "Sign in to the wiki"},
	} {
		tab.SetCookie(t, s.url, "user", tt.user)
		status := tab.Open(t, tt.address)
		text := tab.Text(t)
		if status != tt.status || !strings.Contains(text, tt.text) || strings.Contains(text, "Code: ") != (tt.code != "") || !strings.Contains(text, tt.code) {
			t.Errorf("%s: status %d, want %d with %s and %q:\n%s", tt.address, status, tt.status, tt.code, tt.text, text)
		}
	}
}
