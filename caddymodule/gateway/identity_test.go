package gateway

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/idheaders"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestIdentityHeaders(t *testing.T) {
	oauth2 := allow()
	oauth2.Protocol = validator.OAuth2
	alone := validator.Decision{
		Verdict: validator.Allow, Protocol: validator.OAuth2,
		Identity: validator.Identity{Grants: []string{"basic"}, ConsumerKey: "k", ConsumerName: "n", Wiki: "w"},
	}
	for _, test := range []struct {
		name     string
		headers  string
		decision validator.Decision
		want     http.Header
	}{
		{"everything", "", allow(), http.Header{
			"X-Oauth-User-Id": {"42"}, "X-Oauth-User-Name": {"Zo%C3%AB, 50%25"}, "X-Oauth-Groups": {"sysop,a%2Cb"},
			"X-Oauth-Grants": {"basic,editpage"}, "X-Oauth-Consumer-Key": {"0123456789abcdef0123456789abcdef"},
			"X-Oauth-Consumer-Name": {"My app"}, "X-Oauth-Version": {"1.0a"}, "X-Oauth-Wiki": {"enwiki"}, "X-Oauth-Owner-Only": {"true"},
		}},
		{"a client's own token", "", alone, http.Header{
			"X-Oauth-Grants": {"basic"}, "X-Oauth-Consumer-Key": {"k"}, "X-Oauth-Consumer-Name": {"n"}, "X-Oauth-Version": {"2.0"}, "X-Oauth-Wiki": {"w"},
		}},
		{"off", headersOff, oauth2, http.Header{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShell(t, &Handler{Headers: test.headers}, test.decision)
			r := get("/")
			if _, err := s.serve(t, r); err != nil {
				t.Fatal(err)
			}
			if !maps.EqualFunc(r.Header, test.want, func(a, b []string) bool { return len(a) == 1 && len(b) == 1 && a[0] == b[0] }) {
				t.Errorf("got  %v\nwant %v", r.Header, test.want)
			}
		})
	}
}

func TestIdentityTooLarge(t *testing.T) {
	for _, test := range []struct {
		name   string
		grants int
		passes bool
	}{
		{"fits", 7000, true},
		{"too large", 8200, false},
	} {
		d := allow()
		d.Identity.Grants = []string{strings.Repeat("g", test.grants)}
		s := newShell(t, &Handler{}, d)
		r := get("/")
		response, err := s.serve(t, r)
		if err != nil {
			t.Fatal(err)
		}
		if passes := s.passed != nil; passes != test.passes {
			t.Errorf("%s: passed: %v", test.name, passes)
		}
		if !test.passes {
			if p := problemIn(t, response); p.Reason != "identity_too_large" || p.Status != http.StatusForbidden {
				t.Errorf("refused with %+v", p)
			}
			if left := ownNames(r.Header); left != nil {
				t.Errorf("left %q", left)
			}
			if id, _ := s.repl.GetString("http.auth.user.id"); id != "" {
				t.Errorf("user id %q of a refused request", id)
			}
		}
	}
}

func TestIdentityIsSetNotAdded(t *testing.T) {
	n, d := idheaders.New(defaultPrefix, true), allow()
	h := http.Header{"X-Oauth-User-Id": {"1"}}
	if !n.Set(h, &d) || len(h["X-Oauth-User-Id"]) != 1 || h.Get("X-OAuth-User-Id") != "42" {
		t.Errorf("X-OAuth-User-Id is %q", h["X-Oauth-User-Id"])
	}
}

// TestPages holds a list of no pages to what MediaWiki makes of it: no restriction.
func TestPages(t *testing.T) {
	for _, test := range []struct {
		pages []string
		want  []string
	}{{nil, nil}, {[]string{}, nil}, {[]string{""}, []string{""}}, {[]string{"Talk:A, B", "Café"}, []string{"Talk:A%2C B,Caf%C3%A9"}}} {
		d := allow()
		d.Identity.Pages = test.pages
		s := newShell(t, &Handler{}, d)
		r := get("/")
		r.Header["X-Oauth-Pages"] = []string{"Everything"}
		if _, err := s.serve(t, r); err != nil {
			t.Fatal(err)
		}
		if got, found := s.passed.Header["X-Oauth-Pages"]; !slices.Equal(got, test.want) || found != (test.want != nil) {
			t.Errorf("%q: got %q", test.pages, got)
		}
		if got := s.repl.ReplaceAll("{http.auth.user.pages}", ""); got != strings.Join(test.want, "") {
			t.Errorf("%q: placeholder %q", test.pages, got)
		}
	}
	d := allow()
	d.Identity.Pages = []string{strings.Repeat("a", idheaders.MaxSize)}
	s := newShell(t, &Handler{}, d)
	if response, _ := s.serve(t, get("/")); problemIn(t, response).Reason != "identity_too_large" {
		t.Error("too many pages pass")
	}
}
