package gateway

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestModes(t *testing.T) {
	for _, test := range []struct {
		mode     string
		decision validator.Decision
		passes   bool
		reason   string
		identity bool
	}{
		{modeRequired, allow(), true, "ok", true},
		{modeRequired, anonymous, false, "no_credentials", false},
		{modeRequired, deny(validator.BadSignature), false, "bad_signature", false},
		{modeRequired, validator.Decision{}, false, "ok", false}, // the zero value denies
		{modeOptional, allow(), true, "ok", true},
		{modeOptional, anonymous, true, "ok", false},
		{modeOptional, deny(validator.NonceUsed), false, "nonce_used", false},
		{modeOptional, validator.Decision{Verdict: validator.Unavailable, Reason: validator.StoreUnavailable}, false, "store_unavailable", false},
		{modeStrip, allow(), true, "", false},
		{modeStrip, deny(validator.BadSignature), true, "", false},
	} {
		t.Run(test.mode+"/"+test.decision.Verdict.String()+"/"+test.decision.Reason.String(), func(t *testing.T) {
			s := newShell(t, &Handler{Mode: test.mode}, test.decision)
			r := get("http://wiki.example/w/api.php")
			r.Header.Set("X-OAuth-User-Id", "1")
			response, err := s.serve(t, r)
			if err != nil {
				t.Fatal(err)
			}
			if passes := s.passed != nil; passes != test.passes {
				t.Fatalf("passed: %v, want %v", passes, test.passes)
			}
			if reason, _ := s.repl.GetString("http.oauth.reason"); reason != test.reason {
				t.Errorf("reason %q, want %q", reason, test.reason)
			}
			if got := r.Header["X-Oauth-User-Id"]; test.identity != slices.Equal(got, []string{"42"}) || !test.identity && got != nil {
				t.Errorf("X-OAuth-User-Id is %q", got)
			}
			if varies := slices.Contains(response.Header["Vary"], "Authorization"); varies != (test.mode != modeStrip) {
				t.Errorf("Vary is %q", response.Header["Vary"])
			}
			if asked := len(s.core.asked); (asked == 1) != (test.mode != modeStrip) {
				t.Errorf("the core was asked %d times", asked)
			}
		})
	}
}

// A site verifies some paths and strips all others; Caddy runs both handlers on
// the former.
func TestStripAfterVerification(t *testing.T) {
	first := newShell(t, &Handler{}, allow())
	second := newShell(t, &Handler{Mode: modeStrip}, validator.Decision{})
	first.next = func(w http.ResponseWriter, r *http.Request) error { return second.ServeHTTP(w, r, second.next) }
	if _, err := first.serve(t, get("/")); err != nil {
		t.Fatal(err)
	}
	if got := second.passed.Header.Get("X-OAuth-User-Id"); got != "42" {
		t.Errorf("identity %q after the second handler", got)
	}
	other := newShell(t, &Handler{Mode: modeStrip, Headers: "X-Oauth-User-"}, validator.Decision{})
	first.next = func(w http.ResponseWriter, r *http.Request) error { return other.ServeHTTP(w, r, other.next) }
	if _, err := first.serve(t, get("/")); err != nil {
		t.Fatal(err)
	}
	if got := other.passed.Header.Get("X-OAuth-User-Id"); got != "" {
		t.Errorf("a handler with another prefix left %q", got)
	}
}

func TestErrorsOfNextPassUntouched(t *testing.T) {
	s := newShell(t, &Handler{}, allow())
	theirs := errors.New("theirs")
	s.next = func(http.ResponseWriter, *http.Request) error { return theirs }
	if _, err := s.serve(t, get("/")); err != theirs { //nolint:errorlint // the very same one
		t.Errorf("got %v", err)
	}
}

func TestAClosedPoolIsAnError(t *testing.T) {
	s := newShell(t, &Handler{}, allow())
	if err := s.Cleanup(); err != nil {
		t.Fatal(err)
	}
	s.cfg.site.Database.Driver = "none" // so that a new lease cannot be had either
	response, err := s.serve(t, get("/"))
	if err != nil || response.StatusCode != http.StatusServiceUnavailable || s.passed != nil {
		t.Errorf("status %d, error %v, passed %v", response.StatusCode, err, s.passed != nil)
	}
}

func TestConnect(t *testing.T) {
	for _, test := range []struct {
		name   string
		major  int
		proto  string
		header http.Header
		asked  bool
	}{
		{"HTTP/1.1", 1, "HTTP/1.1", http.Header{}, false},
		{"HTTP/2", 2, "HTTP/2.0", http.Header{}, false},
		{"HTTP/2 websocket", 2, "HTTP/2.0", http.Header{":protocol": {"websocket"}}, true},
		{"HTTP/2 connect-udp", 2, "HTTP/2.0", http.Header{":protocol": {"connect-udp"}}, false},
		{"HTTP/3", 3, "HTTP/3.0", http.Header{}, false},
		{"HTTP/3 websocket", 3, "websocket", http.Header{}, true},
		{"HTTP/3 with the header of HTTP/2", 3, "HTTP/3.0", http.Header{":protocol": {"websocket"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShell(t, &Handler{Mode: modeOptional}, allow())
			r := httptest.NewRequest(http.MethodConnect, "/chat", nil)
			r.ProtoMajor, r.Proto, r.Header = test.major, test.proto, test.header
			response, err := s.serve(t, r)
			if err != nil {
				t.Fatal(err)
			}
			if !test.asked {
				if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") == "" || s.passed != nil {
					t.Errorf("status %d, Allow %q", response.StatusCode, response.Header.Get("Allow"))
				}
				if got := problemIn(t, response).Reason; got != "method_not_allowed" {
					t.Errorf("reason %q", got)
				}
				return
			}
			if len(s.core.asked) != 1 || s.core.asked[0].Method != http.MethodGet || s.passed == nil {
				t.Fatalf("asked %+v", s.core.asked)
			}
			if s.passed.Method != http.MethodConnect {
				t.Errorf("method is %s for the next handler", s.passed.Method)
			}
		})
	}
}

func TestQueryCredentialsStayPrivate(t *testing.T) {
	inQuery := allow()
	inQuery.InQuery = true
	for _, test := range []struct {
		name    string
		next    caddyhttp.HandlerFunc
		want    string
		isError bool
	}{
		{"nothing said", func(w http.ResponseWriter, _ *http.Request) error { _, err := io.WriteString(w, "x"); return err }, "private", false},
		{"nothing written", func(http.ResponseWriter, *http.Request) error { return nil }, "private", false},
		{"public", func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Cache-Control", "public, s-maxage=60, max-age=10")
			w.WriteHeader(http.StatusOK)
			return nil
		}, "private, max-age=10", false},
		{"no-store", func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Cache-Control", "no-store")
			return http.NewResponseController(w).Flush()
		}, "private, no-store", false},
		{"read from", func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Cache-Control", "Public")
			_, err := io.Copy(w, chunks{strings.NewReader("x")})
			return err
		}, "private", false},
		{"error", func(http.ResponseWriter, *http.Request) error { return errors.New("later") }, "private", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShell(t, &Handler{}, inQuery)
			s.next = test.next
			response, err := s.serve(t, get("/?oauth_signature=x"))
			if (err != nil) != test.isError {
				t.Fatal(err)
			}
			if got := response.Header.Get("Cache-Control"); got != test.want {
				t.Errorf("Cache-Control %q, want %q", got, test.want)
			}
		})
	}
	s := newShell(t, &Handler{}, allow())
	if response, _ := s.serve(t, get("/")); response.Header.Get("Cache-Control") != "" {
		t.Errorf("Cache-Control %q for a credential in a header", response.Header.Get("Cache-Control"))
	}
}

func TestStripCredentials(t *testing.T) {
	inQuery := allow()
	inQuery.InQuery = true
	for _, test := range []struct {
		name              string
		credentials       string
		decision          validator.Decision
		authorization     string
		target, want      string
		wantAuthorization string
	}{
		{"keep", "", allow(), "OAuth x", "/a?oauth_x=1", "/a?oauth_x=1", "OAuth x"},
		{"header", credentialsStrip, allow(), "OAuth x", "/a?b=%2f&c", "/a?b=%2f&c", ""},
		{"query", credentialsStrip, inQuery, "Basic x", "/a?b=%2f&oauth_signature=y%3D&c&%6Fauth_nonce=1&oauthx=1", "/a?b=%2f&c&oauthx=1", "Basic x"},
		{"query alone", credentialsStrip, inQuery, "", "/a?oauth_signature=y", "/a", ""},
		{"anonymous", credentialsStrip, anonymous, "Basic x", "/a?oauth_x=1", "/a?oauth_x=1", "Basic x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShell(t, &Handler{Mode: modeOptional, Credentials: test.credentials}, test.decision)
			r := get(test.target)
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			if _, err := s.serve(t, r); err != nil {
				t.Fatal(err)
			}
			original := s.passed.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
			for what, got := range map[string]string{
				"URL": s.passed.URL.RequestURI(), "RequestURI": s.passed.RequestURI, "original URL": original.URL.RequestURI(),
			} {
				if got != test.want {
					t.Errorf("%s is %q, want %q", what, got, test.want)
				}
			}
			if got := s.passed.Header.Get("Authorization"); got != test.wantAuthorization {
				t.Errorf("Authorization is %q", got)
			}
		})
	}
}

func TestEarlyHintsAreNotTheAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		private := newHeaderWriter(w, makePrivate)
		private.WriteHeader(http.StatusEarlyHints)
		private.Header().Set("Cache-Control", "public")
		private.WriteHeader(http.StatusOK)
	}))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if got := response.Header.Get("Cache-Control"); got != "private" {
		t.Errorf("Cache-Control %q", got)
	}
}
