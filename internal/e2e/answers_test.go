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
		// In the query: nobody else's cache may keep it, whatever the backend says.
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

func TestCORSPreflightRefused(t *testing.T) {
	g := harness.New(t, harness.Options{Sites: `http://:{$HTTP2} {
		oauth {
			import settings
			cors_preflight check
		}
		import backend
	}
	`})
	preflight := []string{"Origin", "https://app.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization"}
	for _, tt := range []struct {
		name, method, url string
		headers           []string
		want              string
	}{
		{"preflight", "OPTIONS", g.URL("/"), preflight, "ok"},
		{"preflight with another's identity", "OPTIONS", g.URL("/"), append([]string{"X-OAuth-User-Id", "1"}, preflight...), "ok"},
		{"checked", "OPTIONS", "http://" + g.HTTP2 + "/", preflight, "no_credentials"},
		{"no origin", "OPTIONS", g.URL("/"), preflight[2:], "no_credentials"},
		{"no method", "OPTIONS", g.URL("/"), preflight[:2], "no_credentials"},
		{"another method", "GET", g.URL("/"), preflight, "no_credentials"},
		{"POST that calls itself OPTIONS", "POST", g.URL("/"), append([]string{"X-HTTP-Method-Override", "OPTIONS"}, preflight...), "no_credentials"},
		{"with a broken credential", "OPTIONS", g.URL("/"), append([]string{"Authorization", "Bearer a.b.c"}, preflight...), "malformed_token"},
		{"with a good one", "OPTIONS", g.URL("/"), append([]string{"Authorization", g.Wiki.Bearer(t, g.Wiki.OAuth2)}, preflight...), "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := g.Do(t, g.Request(t, tt.method, tt.url, "", tt.headers...))
			a.Want(t, tt.want)
			if a.Seen != nil && (a.Identity("User-Id") == "1" || a.Identity("User-Id") != "" != (tt.name == "with a good one")) {
				t.Errorf("identity %q", a.Identity("User-Id"))
			}
			if tt.want == "ok" && !strings.Contains(strings.Join(a.Header["Vary"], ","), "Authorization") {
				t.Error("the answer does not vary")
			}
		})
	}
}
