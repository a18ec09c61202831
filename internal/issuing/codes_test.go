package issuing_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// codes are MediaWiki's codes of errors. Those that only pages tell have the page
// that tells them.
var codes = []string{"E001", "E002", "E003", "E004", "E005", "E006", "E007", "E008", "E009", "E010", "E011", "E012"}

// compareReached expects that each refusal of the catalogue was reached, and that
// each code belongs to one.
func (s sites) compareReached(t *testing.T) {
	t.Helper()
	reached, known := s.refusals(t), map[string]bool{}
	for _, r := range authserver.Reasons() {
		switch {
		case reached[r.String()]:
			known[(&authserver.Refusal{Reason: r}).Code()] = true
		case r != authserver.NoReason:
			t.Errorf("no request of this test is refused with %s", r)
		}
	}
	for _, code := range codes {
		if !known[code] {
			t.Errorf("no request of this test is refused with %s", code)
		}
	}
}

// compareCodes expects that pages tell the codes.
func (s site) compareCodes(t *testing.T, f fixtures) {
	t.Helper()
	alice, mallory := f.Users["Alice"].Password, f.Users["Mallory"].Password
	const unknown = "00000000000000000000000000000000"
	for code, p := range map[string]struct{ page, user, password string }{
		"E001": {s.urls["main"] + "/oauth/verified", "Alice", alice},
		"E002": {s.urls["main"] + "/oauth/nonsense", "Alice", alice},
		"E003": {s.urls["main"] + "/oauth/nonsense?oauth_consumer_key=" + f.Consumers["plain"].Key, "Alice", alice},
		"E004": {s.urls["main"] + "/oauth/authorize?oauth_token=" + unknown + "&oauth_consumer_key=" + f.Consumers["plain"].Key, "Alice", alice},
		"E005": {s.authorizePage(t, "main", f.Consumers["disabled"]), "Alice", alice},
		"E006": {s.urls["main"] + "/oauth/authorize?oauth_token=" + unknown, "Alice", alice},
		"E007": {s.authorizePage(t, "blockdisables", f.Consumers["plain"]), "Mallory", mallory},
		"E008": {s.authorizePage(t, "main", f.Consumers["plain"]), stranger, strangerPassword},
		"E012": {s.authorizePage(t, "later", f.Consumers["o2"]), "Alice", alice},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.page, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(p.user, p.password)
		response, text := send(t, r)
		if response.StatusCode < 400 || response.StatusCode > 499 || !strings.Contains(text, code) {
			t.Errorf("%s: %d, want a page with %s\n%s", p.page, response.StatusCode, code, text)
		}
	}
}

// authorizePage is the page of consent for a fresh request token of an app.
func (s site) authorizePage(t *testing.T, variant string, app fixtureConsumer) string {
	t.Helper()
	target := s.urls[variant] + "/oauth/initiate"
	header, err := sign.Header(sign.Credentials{ConsumerKey: app.Key, ConsumerSecret: app.Secret}, http.MethodPost, target, nil,
		sign.Options{Callback: "oob"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", header)
	_, text := send(t, r)
	token, err := url.ParseQuery(text)
	if err != nil || token.Get("oauth_token") == "" {
		t.Fatalf("%s: no request token: %s", target, text)
	}
	return s.urls[variant] + "/oauth/authorize?oauth_token=" + token.Get("oauth_token")
}
