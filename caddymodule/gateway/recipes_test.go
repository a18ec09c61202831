package gateway

import (
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"regexp"
	"strings"
	"testing"
)

// recipe returns lines of the Caddyfile below a heading of docs/operators.md,
// so that a recipe which is run here is the one that is printed there.
func recipe(t *testing.T, heading, pattern string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "### "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n### ")
	lines := regexp.MustCompile("(?s)" + pattern).FindString(section)
	if !found || lines == "" {
		t.Fatalf("docs/operators.md has no recipe %q", heading)
	}
	return lines
}

func TestRecipeOfPlaceholders(t *testing.T) {
	s := newSite(t)
	s.load(t, "headers off", recipe(t, "Applications with a header of their own", `request_header [^\n]*`))
	r := s.signed(t, http.MethodGet, "/", nil)
	r.Header["X-Webauth-User"], r.Header["X_Webauth_User"] = []string{"Admin"}, []string{"Admin"}
	response, body := do(t, r)
	if seen := s.seen.Load(); response.StatusCode != http.StatusOK || seen == nil || strings.Join(seen.Header["X-Webauth-User"], ",") != "Özdemir" ||
		seen.Header["X_webauth_user"] != nil {
		t.Errorf("status %d %s", response.StatusCode, body)
	}
}

// TestRecipeOfRemoteUser has a FastCGI application, which is told of the user's
// id, and with the recipe of the name.
func TestRecipeOfRemoteUser(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // which ends Serve
	go func() {
		_ = fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, fcgi.ProcessEnv(r)["REMOTE_USER"]) // the test reads it
		}))
	}()
	line := recipe(t, "Applications with a header of their own", "env REMOTE_USER [^`\n]*")
	s := newSite(t)
	for lines, want := range map[string]string{"": "7", line: "Özdemir"} {
		s.load(t, "", "handle /index.php {\nphp_fastcgi "+l.Addr().String()+" {\n"+lines+"\n}\n}")
		response, body := do(t, s.signed(t, http.MethodGet, "/index.php", nil))
		if response.StatusCode != http.StatusOK || body != want {
			t.Errorf("with %q: status %d, %s, want %s", lines, response.StatusCode, body, want)
		}
	}
}

func TestRecipeOfWebSockets(t *testing.T) {
	s := newSite(t)
	lines := recipe(t, "WebSockets from browsers", `request_header [^\n]*`)
	s.load(t, "", "")
	_, token, _ := strings.Cut(s.bearer(t), " ")
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+"/socket?access_token="+token, nil)
	if response, _ := do(t, r); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the recipe: status %d", response.StatusCode)
	}
	s.before = "@token query access_token=*\n" + lines
	s.load(t, "", "uri query -access_token")
	response, body := do(t, r)
	if seen := s.seen.Load(); response.StatusCode != http.StatusOK || seen == nil || seen.Header.Get("X-OAuth-User-Id") != "7" || strings.Contains(seen.RequestURI, token) {
		t.Errorf("status %d %s", response.StatusCode, body)
	}
}

func TestRecipeOfAnAuthEndpoint(t *testing.T) {
	s := newSite(t)
	s.load(t, "headers off", recipe(t, "As the auth endpoint of another proxy", `header \{.*?respond 204`))
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+"/", nil)
	r.Header.Set("X-Forwarded-Uri", "/upload?x=1")
	if response, _ := do(t, r); response.StatusCode != http.StatusUnauthorized || response.Header.Get("X-Auth-User") != "" {
		t.Errorf("without a token: status %d", response.StatusCode)
	}
	r.Header.Set("Authorization", s.bearer(t))
	if response, _ := do(t, r); response.StatusCode != http.StatusNoContent || response.Header.Get("X-Auth-User") != "Özdemir" {
		t.Errorf("status %d, headers %v", response.StatusCode, response.Header)
	}
}
