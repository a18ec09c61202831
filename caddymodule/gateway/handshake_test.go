package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/golden"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const initiate = "/w/index.php?title=Special:OAuth/initiate"

// A request that the extension judges by itself reaches the wiki in every mode,
// as it was sent but for identity headers, whatever its credential is worth.
func TestHandshakePass(t *testing.T) {
	for _, mode := range []string{modeRequired, modeOptional} {
		for _, target := range []string{
			initiate, "/wiki/Spezial:MWOAuth/token", "/index.php/Special:OAuth/identify",
			"/w/rest.php/oauth2/access_token",
		} {
			s := newShell(t, &Handler{Mode: mode, Credentials: credentialsStrip, Handshake: &Handshake{Mode: handshakePass, SpecialPage: []string{"Spezial"}}}, deny(validator.TokenRevoked))
			r := get(target)
			r.Header.Set("Authorization", "Bearer dead")
			r.Header.Set("Cookie", "session=1")
			r.Header.Set("X-OAuth-User-Id", "1")
			response, err := s.serve(t, r)
			if err != nil || s.passed == nil {
				t.Fatalf("%s, mode %s: status %d, %v", target, mode, response.StatusCode, err)
			}
			h := s.passed.Header
			if h.Get("Authorization") != "Bearer dead" || h.Get("Cookie") != "session=1" || len(ownNames(h)) > 0 {
				t.Errorf("%s, mode %s: the wiki sees %v", target, mode, h)
			}
			if len(s.core.asked) > 0 {
				t.Errorf("%s, mode %s: the credential is verified", target, mode)
			}
			for _, name := range []string{"http.auth.user.id", "http.auth.user.name", "http.auth.user.consumer_key"} {
				if value, known := s.repl.GetString(name); value != "" || !known {
					t.Errorf("%s is %q, %v", name, value, known)
				}
			}
			if got := response.Header["Vary"]; !slices.Equal(got, []string{"Authorization"}) {
				t.Errorf("Vary %q", got)
			}
		}
	}
}

// Without handshake pass the same requests are verified.
func TestHandshakeVerify(t *testing.T) {
	for _, h := range []*Handshake{nil, {}, {Mode: handshakeVerify}} {
		s := newShell(t, &Handler{Mode: modeOptional, Handshake: h}, deny(validator.BadSignature))
		if response, _ := s.serve(t, get(initiate)); s.passed != nil || response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%+v: status %d, passed %v", h, response.StatusCode, s.passed != nil)
		}
	}
}

// What a handler before has made of the target counts for nothing, either way.
func TestHandshakeByTheOriginalTarget(t *testing.T) {
	s := newShell(t, &Handler{Handshake: &Handshake{Mode: handshakePass}}, deny(validator.BadSignature))
	serve := func(sent, rewritten string) bool {
		r := get(sent)
		s.passed = nil
		r = caddyhttp.PrepareRequest(r, s.repl, httptest.NewRecorder(), s.server)
		other := get(rewritten)
		r.URL, r.RequestURI = other.URL, other.RequestURI
		if err := s.ServeHTTP(httptest.NewRecorder(), r, s.next); err != nil {
			t.Fatal(err)
		}
		return s.passed != nil
	}
	if _, err := s.serve(t, get("/")); err != nil {
		t.Fatal(err)
	}
	if serve("/service", initiate) {
		t.Error("a request passed that was rewritten to the handshake")
	}
	if !serve(initiate, "/index.php") {
		t.Error("a request of the handshake did not pass because it was rewritten")
	}
}

// The form that was read for its title is handed on byte for byte, and a form
// that is too large to be read is verified, whole.
func TestHandshakeForm(t *testing.T) {
	for _, tt := range []struct {
		body     string
		verified bool
	}{
		{"title=Special:MWOAuth%2Finitiate&x=%zz&oauth_callback=oob", false},
		{"title=Special:OAuth/initiate&x=" + strings.Repeat("x", 64<<10), true},
		{"title=Special:OAuth/initiate&title=Main_Page", true},
	} {
		for _, length := range []int64{int64(len(tt.body)), -1} {
			s := newShell(t, &Handler{Handshake: &Handshake{Mode: handshakePass}}, anonymous)
			s.core.verify = func(r validator.Request) validator.Decision {
				if form, err := r.Body(validator.BodyLimit{Size: 1 << 20}); err != nil || string(form) != tt.body {
					t.Errorf("%d bytes to verify, %v", len(form), err)
				}
				return allow()
			}
			r := httptest.NewRequest(http.MethodPost, "/w/index.php", io.NopCloser(strings.NewReader(tt.body)))
			r.ContentLength = length
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if _, err := s.serve(t, r); err != nil || s.passed == nil {
				t.Fatalf("%v, passed %v", err, s.passed != nil)
			}
			got, err := io.ReadAll(s.passed.Body)
			if err != nil || string(got) != tt.body || s.passed.ContentLength != length {
				t.Errorf("the wiki is sent %d bytes, length %d, %v", len(got), s.passed.ContentLength, err)
			}
			if verified := len(s.core.asked) > 0; verified != tt.verified {
				t.Errorf("%.60s: verified %v", tt.body, verified)
			}
		}
	}
}

// A request of the handshake for a wiki that is not configured is refused.
func TestHandshakeOfAnUnknownWiki(t *testing.T) {
	s := newShell(t, &Handler{
		Wiki: "{http.request.host.labels.1}", Wikis: map[string]config.Wiki{"enwiki": {}, "dewiki": {}}, Handshake: &Handshake{Mode: handshakePass},
	}, deny(validator.BadSignature))
	for host, want := range map[string]int{"enwiki.example": 200, "dewiki.example": 200, "frwiki.example": 403, "enwik.example": 403} {
		r := get(initiate)
		r.Host = host
		if response, err := s.serve(t, r); err != nil || response.StatusCode != want {
			t.Errorf("%s: status %d, %v", host, response.StatusCode, err)
		}
	}
}

// The log says what to set when a step of the handshake is refused.
func TestHandshakeHint(t *testing.T) {
	for _, tt := range []struct {
		handshake *Handshake
		target    string
		reason    validator.Reason
		want      string
	}{
		{nil, initiate, validator.MissingToken, `"hint":"set handshake pass`},
		{nil, "/mediawiki/special%3aMWoauth/Token", validator.MissingToken, `"hint":"set handshake pass`},
		{&Handshake{Mode: handshakePass}, "/mediawiki/index.php?title=Special:OAuth/token", validator.MissingToken, `"hint":"check script_path`},
		{nil, initiate, validator.BadSignature, ""},
		{nil, "/w/api.php", validator.MissingToken, ""},
	} {
		s := newShell(t, &Handler{Handshake: tt.handshake}, deny(tt.reason))
		if _, err := s.serve(t, get(tt.target)); err != nil || s.passed != nil {
			t.Fatalf("%v, passed %v", err, s.passed != nil)
		}
		if line := s.logs.String(); !strings.Contains(line, tt.want) || strings.Contains(line, `"hint"`) != (tt.want != "") {
			t.Errorf("%s: %s", tt.target, line)
		}
	}
}

// In mode strip an answer does not depend on the credential.
func TestNoVaryInModeStrip(t *testing.T) {
	s := newShell(t, &Handler{Mode: modeStrip}, validator.Decision{})
	response, err := s.serve(t, get("/"))
	if err != nil || s.passed == nil || response.Header["Vary"] != nil {
		t.Errorf("Vary %q, %v", response.Header["Vary"], err)
	}
}

// The golden file of a whole wiki is the Caddyfile that the documentation has.
func TestWholeWikiIsInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	if input := golden.Files(t)["whole_wiki"].Caddyfile; input == "" || !strings.Contains(string(page), "```caddyfile\n"+input+"```") {
		t.Error("docs/operators.md has another Caddyfile for a whole wiki than testdata/whole_wiki.caddyfiletest")
	}
}
