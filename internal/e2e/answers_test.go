package e2e_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

func TestResponseCaching(t *testing.T) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Backend-Answered", "yes")
		w.Header().Set("Vary", "Accept-Encoding")
		switch r.URL.Path {
		case "/public":
			w.Header()["Cache-Control"] = []string{"public, max-age=60", "s-maxage=600, stale-while-revalidate=5"}
		case "/304":
			w.Header().Set("Cache-Control", "public")
			w.WriteHeader(http.StatusNotModified)
			return
		case "/early":
			w.Header().Set("Link", "</x>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Cache-Control", "public, max-age=60")
		case "/error":
			w.Header().Set("Cache-Control", "public, max-age=60")
			w.WriteHeader(http.StatusNotFound)
		case "/nothing":
			return
		}
		_, _ = io.WriteString(w, "answer") // the client may have hung up
	})
	g := harness.New(t, harness.Options{Backend: backend, Sites: `http://:{$HTTP2} {
		oauth {
			import settings
			mode optional
		}
		import backend
	}
	`})
	w := g.Wiki
	varies := func(a *harness.Answer) bool {
		return slices.Contains(strings.FieldsFunc(strings.Join(a.Header["Vary"], ","), func(r rune) bool { return r == ',' || r == ' ' }), "Authorization")
	}
	directives := func(a *harness.Answer) []string {
		return strings.FieldsFunc(strings.ToLower(strings.Join(a.Header["Cache-Control"], ",")), func(r rune) bool { return r == ',' || r == ' ' })
	}
	for _, path := range []string{"/public", "/304", "/early", "/error", "/nothing", "/plain"} {
		// By a header: the answer is the backend's, and varies.
		a := g.Signed(t, w.HMAC, path)
		if a.Header.Get("X-Backend-Answered") == "" || !varies(a) || !strings.Contains(strings.Join(a.Header["Vary"], ","), "Accept-Encoding") {
			t.Errorf("%s: %d, Vary %q", path, a.Status, a.Header["Vary"])
		}
		if d := directives(a); path == "/public" && (!slices.Contains(d, "public") || slices.Contains(d, "private")) {
			t.Errorf("%s by header: Cache-Control %q", path, d)
		}
		// The credential is in the query, so a shared cache must not keep the
		// answer, whatever the backend says.
		a = g.Get(t, inQuery(path, harness.Sign(t, w.HMAC, "GET", g.URL(path), "")), "")
		d := directives(a)
		shared := slices.ContainsFunc(d, func(s string) bool { return s == "public" || strings.HasPrefix(s, "s-maxage") })
		if a.Header.Get("X-Backend-Answered") == "" || !varies(a) || shared || !slices.Contains(d, "private") && !slices.Contains(d, "no-store") {
			t.Errorf("%s by query: %d, Vary %q, Cache-Control %q", path, a.Status, a.Header["Vary"], d)
		}
	}
	for name, a := range map[string]*harness.Answer{
		"none":              g.Get(t, "/public", ""),
		"bad token":         g.Get(t, "/public", "Bearer a.b.c"),
		"unreadable":        g.Get(t, "/public", "OAuth x"),
		"may not":           g.Signed(t, w.Restricted, "/public"),
		"in the query":      g.Get(t, inQuery("/public", signAt(t, w.HMAC, "GET", g.URL("/public"), "", "1")), ""),
		"HEAD":              g.Do(t, g.Request(t, "HEAD", g.URL("/public"), "")),
		"not anonymous too": g.Do(t, g.Request(t, "GET", "http://"+g.HTTP2+"/public", "", "Authorization", "Bearer a.b.c")),
	} {
		if a.Status < 400 || !slices.Equal(directives(a), []string{"no-store"}) || !varies(a) {
			t.Errorf("refusal, %s: %d, Vary %q, Cache-Control %q", name, a.Status, a.Header["Vary"], a.Header["Cache-Control"])
		}
	}
	if a := g.Do(t, g.Request(t, "GET", "http://"+g.HTTP2+"/public", "")); a.Status != http.StatusOK || !varies(a) {
		t.Errorf("anonymous: %d, Vary %q", a.Status, a.Header["Vary"])
	}
}

// TestCORSPreflight asks in every mode of cors_preflight, before a backend that
// does not look at the method, as most scripts do.
func TestCORSPreflight(t *testing.T) {
	g := harness.New(t, harness.Options{
		Site: `
		handle /answer/* {
			oauth {
				import settings
				cors_preflight answer {
					origins https://app.example
					methods GET PUT
					headers Authorization
				}
			}
			reverse_proxy {$BACKEND} {
				header_down +Access-Control-Allow-Origin *
				header_down +Access-Control-Allow-Credentials true
			}
		}
		handle /pass/* {
			oauth {
				import settings
				cors_preflight pass
			}
			import backend
		}
		handle {
			oauth {
				import settings
			}
			import backend
		}`,
	})
	question := []string{"Origin", "https://app.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization"}
	more := func(headers ...string) []string { return append(headers, question...) }
	bearer := g.Wiki.Bearer(t, g.Wiki.OAuth2)
	for _, tt := range []struct {
		name, method, target, body string
		headers                    []string
		status                     int
		reason                     string // of a refusal
		reached                    bool
	}{
		{"check", "OPTIONS", "/secret.php", "payload", question, 401, "no_credentials", false},
		{"check, any two headers", "OPTIONS", "/secret.php", "", []string{"Origin", "x", "Access-Control-Request-Method", "x"}, 401, "no_credentials", false},
		{"check, with a credential", "OPTIONS", "/secret.php", "", more("Authorization", bearer), 200, "", true},
		{"check, a broken credential", "OPTIONS", "/secret.php", "", more("Authorization", "Bearer a.b.c"), 401, "malformed_token", false},

		{"answer", "OPTIONS", "/answer/secret.php", "", question, 204, "", false},
		{"answer, with a body and cookies", "OPTIONS", "/answer/secret.php", "payload", more("Cookie", "a=1", "X-HTTP-Method-Override", "GET"), 204, "", false},
		{"answer, with a credential", "OPTIONS", "/answer/secret.php", "", more("Authorization", bearer), 204, "", false},
		{"answer, unknown origin", "OPTIONS", "/answer/secret.php", "", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "GET"}, 403, "preflight_refused", false},
		{"answer, any two headers", "OPTIONS", "/answer/secret.php", "", []string{"Origin", "x", "Access-Control-Request-Method", "x"}, 403, "preflight_refused", false},
		{"answer, OPTIONS that asks nothing", "OPTIONS", "/answer/secret.php", "", question[:2], 401, "no_credentials", false},
		{"answer, no credential", "GET", "/answer/secret.php", "", question, 401, "no_credentials", false},
		{"answer, proven", "GET", "/answer/secret.php", "", more("Authorization", bearer), 200, "", true},

		{"pass", "OPTIONS", "/pass/secret.php", "payload", more("Cookie", "session=1", "X-HTTP-Method-Override", "POST", "X_HTTP_Method_Override", "POST", "X-Http-Method", "POST"), 200, "", true},
		{"pass, another's identity", "OPTIONS", "/pass/secret.php", "", more("X-OAuth-User-Id", "1"), 200, "", true},
		{"pass, any two headers", "OPTIONS", "/pass/secret.php", "", []string{"Origin", "x", "Access-Control-Request-Method", "x y"}, 401, "no_credentials", false},
		{"pass, no origin", "OPTIONS", "/pass/secret.php", "", question[2:], 401, "no_credentials", false},
		{"pass, no method", "OPTIONS", "/pass/secret.php", "", question[:2], 401, "no_credentials", false},
		{"pass, another method", "GET", "/pass/secret.php", "", question, 401, "no_credentials", false},
		{"pass, POST that calls itself OPTIONS", "POST", "/pass/secret.php", "", more("X-HTTP-Method-Override", "OPTIONS"), 401, "no_credentials", false},
		{"pass, a broken credential", "OPTIONS", "/pass/secret.php", "", more("Authorization", "Bearer a.b.c"), 401, "malformed_token", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := g.Do(t, g.Request(t, tt.method, g.URL(tt.target), tt.body, tt.headers...))
			if a.Status != tt.status || a.Reason != tt.reason || (a.Seen != nil) != tt.reached {
				t.Fatalf("status %d, reason %q, reached %v: %s", a.Status, a.Reason, a.Seen != nil, a.Body)
			}
			vary := strings.Join(a.Header["Vary"], ",")
			if !strings.Contains(vary, "Authorization") {
				t.Error("the answer does not vary")
			}
			if strings.HasPrefix(tt.target, "/answer/") {
				origins, known := a.Header["Access-Control-Allow-Origin"], slices.Contains(tt.headers, "https://app.example")
				if !strings.Contains(vary, "Origin") || a.Header["Access-Control-Allow-Credentials"] != nil ||
					known != slices.Equal(origins, []string{"https://app.example"}) || !known && origins != nil {
					t.Errorf("headers %v", a.Header)
				}
			}
			if strings.HasPrefix(tt.name, "pass") && tt.reached {
				if len(a.Seen.Body) > 0 || a.Identity("User-Id") != "" {
					t.Errorf("body %q, identity %q", a.Seen.Body, a.Identity("User-Id"))
				}
				for name := range a.Seen.Header {
					if flat := strings.ReplaceAll(strings.ToLower(name), "_", "-"); flat == "cookie" || strings.HasPrefix(flat, "x-http-method") {
						t.Errorf("%s arrives", name)
					}
				}
			}
		})
	}
}
