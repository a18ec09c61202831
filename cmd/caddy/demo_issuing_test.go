package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/browser"
)

// step is a step of a handshake: lines for the shell of the steps before.
type step struct{ title, lines string }

const boundary = "-- the next step --"

// steps reads the handshakes that the demonstration prints.
func steps(t *testing.T, printed string) (list []step) {
	t.Helper()
	_, printed, found := strings.Cut(printed, "\n"+issuingText)
	if !found {
		t.Fatal("nothing is printed of issuing")
	}
	for block := range strings.SplitSeq(printed, "\n\n") {
		if title, lines, found := strings.Cut(strings.TrimPrefix(block, "# "), "\n"); found && strings.HasPrefix(block, "# ") {
			list = append(list, step{title, lines})
		}
	}
	return list
}

// pasteSteps runs steps as if they were pasted in one terminal, and returns what
// each of them printed.
func pasteSteps(t *testing.T, list []step) []string {
	t.Helper()
	t.Setenv("TEST_AS_CADDY", "1")
	var script strings.Builder
	for _, s := range list {
		script.WriteString(s.lines + "\nprintf '%s\\n' '" + boundary + "'\n")
	}
	answers := strings.Split(paste(t, script.String()), boundary+"\n")
	if len(answers) != len(list)+1 {
		t.Fatalf("%d answers to %d steps", len(answers)-1, len(list))
	}
	return answers[:len(list)]
}

// find returns the step whose title begins so.
func find(t *testing.T, list []step, title string) step {
	t.Helper()
	for _, s := range list {
		if strings.HasPrefix(s.title, title) {
			return s
		}
	}
	t.Fatalf("no step %q", title)
	return step{}
}

const asBob = `"X-Oauth-User-Name": "Bob",\n`

// Each step of both handshakes is pasted, in the order in which it is printed.
func TestDemoHandshakes(t *testing.T) {
	printed, stop := startDemo(t, os.Interrupt)
	list := steps(t, printed)
	wants := map[string]string{
		"what the lines below share": `^$`,
		"OAuth 1.0a, 1: ":            `^oauth_token=[0-9a-f]{32}&oauth_token_secret=[0-9a-f]+&oauth_callback_confirmed=true\n$`,
		"OAuth 1.0a, 2: ":            `^http://127\.0\.0\.1:\d+/callback\?oauth_verifier=[0-9a-f]{32}&oauth_token=[0-9a-f]{32}\n$`,
		"open what this prints":      `^http://127\.0\.0\.1:\d+/sign-in/\w+/oauth/authorize\?oauth_token=[0-9a-f]{32}\n$`,
		"OAuth 1.0a, 3: ":            `^oauth_token=[0-9a-f]{32}&oauth_token_secret=[0-9a-f]+&oauth_callback_confirmed=true\n$`,
		"OAuth 1.0a, 4: ":            asBob,
		"OAuth 1.0a, 5: ":            `^[\w-]+\.[\w-]+\.[\w-]+\n$`,
		"OAuth 2, 1: ":               `^http://127\.0\.0\.1:\d+/callback\?code=[\w-]+&state=[0-9a-f]{16}&iss=http%3A%2F%2F127\.0\.0\.1%3A\d+\n$`,
		"OAuth 2, 2: ":               `"access_token":"[\w.-]+","refresh_token":"[\w-]+"`,
		"OAuth 2, 3: ":               asBob,
		"OAuth 2, 4: ":               `"username":"Bob"`,
		"OAuth 2, 5: ":               `"access_token":"[\w.-]+","refresh_token":"[\w-]+"`,
		"OAuth 2, 6: ":               asBob,
		"OAuth 2, 7: ":               `"reason":"token_revoked"`,
		"OAuth 2, 8: ":               `^\{"token_type":"Bearer","expires_in":3600,"access_token":"[\w.-]+"\}\n$`,
		"OAuth 2, 9: ":               `"X-Oauth-Consumer-Name": "New OAuth 2 app",\n`,
	}
	answers := pasteSteps(t, list)
	if len(list) != len(wants) {
		t.Errorf("%d steps, want %d", len(list), len(wants))
	}
	for title, want := range wants {
		s := find(t, list, title)
		for i := range list {
			if list[i] == s && !regexp.MustCompile(want).MatchString(answers[i]) {
				t.Errorf("%s\n%s\nanswers %q\nwant %s", s.title, s.lines, answers[i], want)
			}
		}
	}
	if last := answers[len(answers)-1]; strings.Contains(last, "X-Oauth-User") {
		t.Errorf("an app that acts for itself has a user: %s", last)
	}
	checkSignIn(t, printed)
	checkManual(t, printed)
	caddyfile, err := os.ReadFile(filepath.Join(demoDirectory(t, printed), "Caddyfile"))
	if err != nil || !strings.Contains(string(caddyfile), "refresh_token 30d\n") {
		t.Errorf("refresh tokens do not live for 30 days: %v\n%s", err, caddyfile)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// checkManual holds what the manual shows to what is printed. Three dots stand for
// what it leaves out.
func checkManual(t *testing.T, printed string) {
	t.Helper()
	manual, err := os.ReadFile("../../docs/issuing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(manual), "\n```\n"+issuingText)
	shown, _, found := strings.Cut(shown, "\n```\n")
	if !found {
		t.Fatal("the manual does not show what is printed of issuing")
	}
	consent, _ := links(t, printed)
	host := strings.Split(consent, "/")[2]
	for part := range strings.FieldsFuncSeq(shown, func(r rune) bool { return r == '\n' || r == '…' }) {
		if part = strings.TrimSpace(strings.ReplaceAll(part, "127.0.0.1:9080", host)); !strings.Contains(printed, part) {
			t.Errorf("the manual shows %q, which is not printed", part)
		}
	}
}

// links are the links to the consent page and to the list of apps.
func links(t *testing.T, printed string) (consent, apps string) {
	t.Helper()
	found := regexp.MustCompile(`(?m)^http://127\.0\.0\.1:\d+/sign-in/\S+$`).FindAllString(printed, -1)
	if len(found) != 2 {
		t.Fatalf("links %q, want 2", found)
	}
	return found[0], found[1]
}

// checkSignIn holds the links to what they are for: they set a cookie that no
// script can read and no form of another site brings along, and lead nowhere else.
func checkSignIn(t *testing.T, printed string) {
	t.Helper()
	_, link := links(t, printed)
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + u.Host
	token := strings.Split(u.Path, "/")[2]
	get := func(target, cookie string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+target, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if cookie != "" {
			r.Header.Set("Cookie", "demo_sign_in="+cookie)
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close() //nolint:errcheck // only its header counts
		return response
	}
	signedIn := get("/sign-in/"+token+"/oauth2/apps", "")
	if signedIn.StatusCode != http.StatusSeeOther || !strings.HasPrefix(signedIn.Header.Get("Location"), "/oauth2/apps") {
		t.Errorf("the link: %d, Location %q", signedIn.StatusCode, signedIn.Header.Get("Location"))
	}
	if got, want := signedIn.Header["Set-Cookie"], "demo_sign_in="+token+"; Path=/; HttpOnly; SameSite=Lax"; len(got) != 1 || got[0] != want {
		t.Errorf("Set-Cookie %q, want %q", got, want)
	}
	if got := signedIn.Header.Get("Referrer-Policy"); got != "no-referrer" {
		t.Errorf("Referrer-Policy %q", got)
	}
	for _, target := range []string{
		"/sign-in/" + token + "//evil.example/oauth2/apps", "/sign-in/" + token + "/oauth2/apps/../../evil", "/sign-in/" + token + "/%5Cevil.example",
		"/sign-in/x;Domain=example/oauth2/apps", "/sign-in/x%0d%0aX-Evil:1/oauth2/apps", "/sign-in/x%0aX/oauth2/apps",
	} {
		if a := get(target, ""); a.StatusCode != http.StatusUnauthorized || a.Header.Get("Location") != "" || a.Header["Set-Cookie"] != nil {
			t.Errorf("%s: %d %v", target, a.StatusCode, a.Header)
		}
	}
	for cookie, want := range map[string]int{
		token: http.StatusOK, "": http.StatusUnauthorized, token[:len(token)-4] + "MDAw": http.StatusUnauthorized, "Qm9iOg==": http.StatusUnauthorized,
	} {
		if a := get("/oauth2/apps", cookie); a.StatusCode != want {
			t.Errorf("signed in by %q: %d, want %d", cookie, a.StatusCode, want)
		}
	}
}

// A person opens the link, allows the app, and takes it back.
func TestDemoInTheBrowser(t *testing.T) {
	printed, stop := startDemo(t, os.Interrupt)
	consent, apps := links(t, printed)
	tab := browser.NewTab(t, browser.Options{})
	if status := tab.Open(t, consent); status != http.StatusOK {
		t.Fatalf("%d: %s", status, tab.Text(t))
	}
	if text := tab.Text(t); !strings.Contains(text, "New OAuth 2 app") || !strings.Contains(text, "Bob") || !strings.Contains(text, "Alice") {
		t.Errorf("the consent page: %s", text)
	}
	if status := tab.ClickThrough(t, "button[name=approve]"); status != http.StatusOK || !strings.Contains(tab.Text(t), "paste the address of this page as back='...'") {
		t.Errorf("the callback: %d %s", status, tab.Text(t))
	}

	list := steps(t, printed)
	call := find(t, list, "OAuth 2, 3: ")
	tokens := find(t, list, "OAuth 2, 2: ")
	answers := pasteSteps(t, []step{list[0], {"", "back='" + tab.URL(t) + "'"}, tokens, call})
	if !regexp.MustCompile(asBob).MatchString(answers[3]) {
		t.Fatalf("the code of the browser: %q", answers)
	}
	if status := tab.Open(t, apps); status != http.StatusOK || !strings.Contains(tab.Text(t), "New OAuth 2 app") {
		t.Errorf("the list of apps: %d %s", status, tab.Text(t))
	}
	tab.ClickThrough(t, "button[aria-label*='New OAuth 2 app']")
	got := pasteSteps(t, []step{list[0], {"", "tokens='" + strings.TrimSpace(answers[2]) + "'"}, call})
	if !strings.Contains(got[2], `"reason":"no_acceptance"`) && !strings.Contains(got[2], `"reason":"token_revoked"`) {
		t.Errorf("after the withdrawal: %s", got[2])
	}

	// The same for OAuth 1.0a, whose link is printed on the way.
	answers = pasteSteps(t, []step{list[0], find(t, list, "OAuth 1.0a, 1: "), find(t, list, "open what this prints")})
	if status := tab.Open(t, strings.TrimSpace(answers[2])); status != http.StatusOK || !strings.Contains(tab.Text(t), "New app") {
		t.Fatalf("the consent page of OAuth 1.0a: %d %s", status, tab.Text(t))
	}
	tab.ClickThrough(t, "button[name=approve]")
	answers = pasteSteps(t, []step{
		list[0],
		{"", "request='" + strings.TrimSpace(answers[1]) + "' back='" + tab.URL(t) + "'"},
		find(t, list, "OAuth 1.0a, 3: "), find(t, list, "OAuth 1.0a, 4: "),
	})
	if !regexp.MustCompile(asBob).MatchString(answers[3]) {
		t.Errorf("the verifier of the browser: %q", answers)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
