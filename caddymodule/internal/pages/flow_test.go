package pages

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/browser"
)

const (
	approveButton = "button[name=approve]"
	cancelButton  = "button[name=cancel]"
)

// arrived reports what is wrong if the browser is not at the last page of the
// app's chain of redirects, with these parameters.
func (s *site) arrived(t *testing.T, tab *browser.Tab, params ...string) {
	t.Helper()
	address := tab.URL(t)
	if !strings.HasPrefix(address, s.done+"/?") || !strings.Contains(tab.Text(t), "The app is connected.") {
		t.Errorf("the browser is at %s: %q", address, tab.Messages())
	}
	for _, param := range params {
		if !strings.Contains(address, param) {
			t.Errorf("%s has no %s", address, param)
		}
	}
	if !slices.ContainsFunc(tab.Requests(), func(r browser.Request) bool {
		return strings.HasPrefix(r.URL, s.callback) && r.Method == http.MethodGet && r.Status == http.StatusSeeOther
	}) {
		t.Errorf("the browser was not sent to %s by a 303: %+v", s.callback, tab.Requests())
	}
}

// quiet reports what the browser complained about, and what it asked of others than
// the wiki.
func (s *site) quiet(t *testing.T, tab *browser.Tab) {
	t.Helper()
	for _, message := range tab.Messages() {
		t.Errorf("the browser says: %s", message)
	}
	for _, r := range tab.Requests() {
		if !strings.HasPrefix(r.URL, s.url+"/") {
			t.Errorf("the page asks %s", r.URL)
		}
	}
}

// A user approves, and the browser follows the app's redirects over two more
// origins, with and without scripts. Nothing is asked of others before.
func TestApprove(t *testing.T) {
	s := newSite(t)
	for _, noScript := range []bool{false, true} {
		for _, open := range []struct {
			address string
			params  []string
		}{
			{s.consent1(t), []string{"oauth_verifier=", "oauth_token="}},
			{s.consent2(), []string{"code=", "state=kept"}},
		} {
			tab := s.signIn(t, "Alice", browser.Options{NoScript: noScript})
			if status := tab.Open(t, open.address); status != http.StatusOK {
				t.Fatalf("status %d: %s", status, tab.Text(t))
			}
			for _, want := range []string{"Map Maker", "Example Wiki", "Edit pages", "Owner", "https://app.test", "Signed in as Alice"} {
				if !strings.Contains(tab.Text(t), want) {
					t.Errorf("the page does not tell %q:\n%s", want, tab.Text(t))
				}
			}
			s.quiet(t, tab)
			tab.ClickThrough(t, approveButton)
			s.arrived(t, tab, open.params...)
		}
	}
	if n := s.given(); n != 4 {
		t.Errorf("%d acceptances, want 4", n)
	}
}

// A state reaches the app byte for byte, though browsers write line ends, NUL bytes
// and what is not UTF-8 otherwise in a form.
func TestStateIsKept(t *testing.T) {
	s := newSite(t)
	for _, state := range []string{"a%0Ab", "a%0Db", "a%0D%0Ab", "%00", "%FF%FEx", "%0A", "%22%3E%3Cb%3E%26amp%3B+%25", "%C3%A9%E2%80%AE%F0%9F%98%80", "%7F%09%0B", ""} {
		tab := s.signIn(t, "Alice", browser.Options{})
		tab.Open(t, strings.Replace(s.consent2(), "state=kept", "state="+state, 1))
		tab.ClickThrough(t, approveButton)
		if address := tab.URL(t); !strings.Contains(address, "code=") || !strings.Contains(address+"&", "&state="+state+"&") {
			t.Errorf("state %s: the browser is at %s:\n%s", state, address, tab.Text(t))
		}
	}
}

// A user cancels: an OAuth 2 app is told, and an OAuth 1.0a app is not.
func TestCancel(t *testing.T) {
	s := newSite(t)
	tab := s.signIn(t, "Alice", browser.Options{})
	tab.Open(t, s.consent2())
	tab.ClickThrough(t, cancelButton)
	s.arrived(t, tab, "error=access_denied", "state=kept")

	tab = s.signIn(t, "Alice", browser.Options{})
	tab.Open(t, s.consent1(t))
	if status := tab.ClickThrough(t, cancelButton); status != http.StatusOK || !strings.Contains(tab.Text(t), "You did not allow access") {
		t.Errorf("status %d: %s", status, tab.Text(t))
	}
	s.quiet(t, tab)
	if n := s.given(); n != 0 {
		t.Errorf("%d acceptances, want none", n)
	}
}

// focus is the element that has the focus, and how it is marked.
type focus struct {
	Name, Outline string
	Width         float64
	Visible       bool
}

const readFocus = `(() => {
	const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
	return {
		name: e.getAttribute("name") || e.getAttribute("href") || e.id || e.tagName, outline: s.outlineStyle, width: parseFloat(s.outlineWidth),
		visible: r.width > 0 && r.top >= 0 && r.bottom <= innerHeight,
	};
})()`

// walk presses Tab once for each name, which must be that of the element that then
// has the focus, visibly.
func walk(t *testing.T, tab *browser.Tab, names ...string) {
	t.Helper()
	for _, name := range names {
		tab.Press(t, browser.KeyTab)
		var f focus
		tab.Eval(t, readFocus, &f)
		if f.Name != name || f.Outline != "solid" || f.Width < 2 || !f.Visible {
			t.Fatalf("the focus is on %+v, want %s", f, name)
		}
	}
}

// The keyboard alone is enough: links, Allow, Cancel, in this order, with a focus
// that is seen, and both keys that press a button.
func TestKeyboard(t *testing.T) {
	s := newSite(t)
	for _, lang := range languages {
		tab := s.signIn(t, "Alice", browser.Options{Language: lang, Width: 320})
		tab.Open(t, s.consent2())
		walk(t, tab, "/apps", "approve")
		tab.PressThrough(t, browser.KeyEnter)
		s.arrived(t, tab, "code=")

		tab.Open(t, s.consent2())
		walk(t, tab, "/apps", "approve", "cancel")
		tab.PressThrough(t, browser.KeySpace)
		s.arrived(t, tab, "error=access_denied")
	}
	tab := s.signIn(t, "Alice", browser.Options{})
	tab.Open(t, s.consent2())
	walk(t, tab, "/apps")
	tab.PressThrough(t, browser.KeyEnter)
	walk(t, tab, "withdraw", "withdraw", "withdraw")
	tab.PressThrough(t, browser.KeySpace)
	if n := s.given(); n != len(languages)-1 {
		t.Errorf("%d acceptances after a withdrawal, want %d", n, len(languages)-1)
	}
}

// The verifier of an app without a callback is shown, and Tab selects all of it, so
// that it can be copied.
func TestVerifierToCopy(t *testing.T) {
	s := newSite(t)
	s.app1.CallbackURL = "oob"
	tab := s.signIn(t, "Alice", browser.Options{Width: 320})
	tab.Open(t, s.consent1(t))
	if text := tab.Text(t); strings.Contains(text, "Takes you to") {
		t.Errorf("the browser stays here:\n%s", text)
	}
	if status := tab.ClickThrough(t, approveButton); status != http.StatusOK {
		t.Fatalf("status %d: %s", status, tab.Text(t))
	}
	walk(t, tab, "/apps", "verifier")
	var copied, shown string
	tab.Eval(t, "getSelection().toString()", &copied)
	tab.Eval(t, `document.querySelector("#verifier").value`, &shown)
	if len(copied) != 32 || copied != shown {
		t.Errorf("Tab selects %q of %q", copied, shown)
	}
	var cut int
	tab.Eval(t, `document.querySelector("#verifier").scrollWidth - document.querySelector("#verifier").clientWidth`, &cut)
	if cut > 0 {
		t.Errorf("%d pixels of the verifier are hidden", cut)
	}
	s.quiet(t, tab)
}

// A user sees what each app may do, and takes it back.
func TestWithdraw(t *testing.T) {
	s := newSite(t)
	tab := s.signIn(t, "Alice", browser.Options{Language: "de"})
	tab.Open(t, s.consent1(t))
	tab.ClickThrough(t, approveButton)
	other := s.signIn(t, "Bob", browser.Options{})
	other.Open(t, s.url+"/apps")
	if text := other.Text(t); !strings.Contains(text, "No app may act for you.") {
		t.Errorf("Bob sees:\n%s", text)
	}

	tab.Open(t, s.url+"/apps")
	var since string
	tab.Eval(t, `document.querySelector("time").dateTime`, &since)
	if text := tab.Text(t); !strings.Contains(text, "Map Maker") || !strings.Contains(text, "Seiten bearbeiten") || len(since) != 10 {
		t.Errorf("since %q:\n%s", since, text)
	}
	if tab.ClickThrough(t, "button[name=withdraw]"); s.given() != 0 || !strings.Contains(tab.Text(t), "Zugriff entzogen") {
		t.Errorf("%d acceptances are left:\n%s", s.given(), tab.Text(t))
	}
	tab.ClickThrough(t, "header a")
	if text := tab.Text(t); !strings.Contains(text, "Keine Anwendung") {
		t.Errorf("Alice sees:\n%s", text)
	}
}

// An app on a phone or a desktop has a scheme of its own: the browser is sent there
// by a 303, and no policy keeps it.
func TestCustomScheme(t *testing.T) {
	s := newSite(t)
	s.app2.CallbackURL = "myapp://done"
	tab := s.signIn(t, "Alice", browser.Options{})
	tab.Open(t, s.consent2())
	if text := tab.Text(t); !strings.Contains(text, "myapp://done") {
		t.Errorf("the page does not tell where the browser goes:\n%s", text)
	}
	tab.Click(t, approveButton)
	tab.Await(t, "the redirect to myapp://done", func() bool {
		return slices.ContainsFunc(tab.Requests(), func(r browser.Request) bool {
			return strings.HasPrefix(r.URL, "myapp://done?code=") && r.Status == http.StatusSeeOther
		})
	})
	for _, message := range tab.Messages() {
		if strings.Contains(message, "Content Security Policy") {
			t.Error(message)
		}
	}
}

// On this machine a wiki works without https. Elsewhere browsers tell such a site
// nothing of where a form comes from, and the directive asks for https.
func TestLoopbackWithoutTLS(t *testing.T) {
	s := siteOn(t, httptest.NewServer)
	tab := s.signIn(t, "Alice", browser.Options{})
	tab.Open(t, s.consent2())
	tab.ClickThrough(t, approveButton)
	s.arrived(t, tab, "code=")
}
