package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// preflightOf returns the question of a browser, with more than it ever sends:
// what a stranger would add to have the backend act.
func preflightOf(origin, method string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodOptions, "/secret.php?_method=POST", strings.NewReader("action=delete"))
	r.Header = http.Header{
		"Origin": {origin}, "Access-Control-Request-Method": {method},
		"Cookie": {"session=1"}, "Proxy-Authorization": {"Basic eDp5"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Expect": {"100-continue"},
		"X-Http-Method-Override": {"POST"}, "X_http_method": {"POST"}, "X-Method-Override": {"POST"}, "x.http.method.override": {"POST"},
		"X_oauth_user_name": {"Admin"},
	}
	if headers != nil {
		r.Header["Access-Control-Request-Headers"] = headers
	}
	return r
}

func TestPreflight(t *testing.T) {
	const app = "https://app.example"
	several := preflightOf(app, "PUT")
	several.Header["Origin"] = []string{app, "https://evil.example"}
	noMethod, noOrigin, get := preflightOf(app, "PUT"), preflightOf(app, "PUT"), preflightOf(app, "PUT")
	delete(noMethod.Header, "Access-Control-Request-Method")
	delete(noOrigin.Header, "Origin")
	get.Method = http.MethodGet
	for _, test := range []struct {
		name, preflight string
		request         *http.Request
		decision        validator.Decision
		passes          bool
	}{
		{"default", "", preflightOf(app, "PUT"), anonymous, false},
		{"check", preflightCheck, preflightOf(app, "PUT"), anonymous, false},
		{"pass", preflightPass, preflightOf(app, "PUT"), anonymous, true},
		{"pass null", preflightPass, preflightOf("null", "GET"), anonymous, true},
		{"with credentials", preflightPass, preflightOf(app, "PUT"), deny(validator.BadSignature), false},
		{"no origin", preflightPass, noOrigin, anonymous, false},
		{"no method", preflightPass, noMethod, anonymous, false},
		{"several origins", preflightPass, several, anonymous, false},
		{"an origin that is none", preflightPass, preflightOf("x", "GET"), anonymous, false},
		{"a method that is none", preflightPass, preflightOf(app, "G T"), anonymous, false},
		{"not OPTIONS", preflightPass, get, anonymous, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShell(t, &Handler{CORSPreflight: test.preflight}, test.decision)
			response, err := s.serve(t, test.request)
			if err != nil {
				t.Fatal(err)
			}
			if passes := s.passed != nil; passes != test.passes {
				t.Fatalf("passed: %v, status %d", passes, response.StatusCode)
			}
			if left := ownNames(test.request.Header); left != nil {
				t.Errorf("left %q", left)
			}
			if !test.passes {
				if response.StatusCode != http.StatusUnauthorized {
					t.Errorf("status %d", response.StatusCode)
				}
				return
			}
			if body, _ := io.ReadAll(s.passed.Body); len(body) > 0 || s.passed.ContentLength != 0 {
				t.Errorf("the body %q passed", body)
			}
			for name := range s.passed.Header {
				if !slices.Contains([]string{"Origin", "Access-Control-Request-Method"}, name) {
					t.Errorf("%s passed", name)
				}
			}
		})
	}
}

func answersOrigins(origins ...string) *Handler {
	return &Handler{CORSPreflight: preflightAnswer, CORS: &CORS{
		Origins: origins, Methods: []string{"GET", "PUT"}, Headers: []string{"authorization", "Content-Type"}, MaxAge: caddy.Duration(10 * time.Minute),
	}}
}

func TestPreflightIsAnswered(t *testing.T) {
	origins := []string{"https://App.example", "https://*.wiki.example", "http://localhost:3000", "moz-extension://0123-ab"}
	several := preflightOf("https://app.example", "PUT")
	several.Header["Origin"] = []string{"https://app.example", "https://evil.example"}
	for _, test := range []struct {
		name    string
		origins []string
		request *http.Request
		allowed string // the origin in the answer; empty: 403
	}{
		{"listed", origins, preflightOf("https://app.example", "PUT", "authorization,content-type"), "https://app.example"},
		{"no headers", origins, preflightOf("https://app.example", "GET"), "https://app.example"},
		{"wildcard", origins, preflightOf("https://a.b.wiki.example", "PUT"), "https://a.b.wiki.example"},
		{"port", origins, preflightOf("http://localhost:3000", "PUT"), "http://localhost:3000"},
		{"an extension", origins, preflightOf("moz-extension://0123-ab", "PUT"), "moz-extension://0123-ab"},
		{"everybody", []string{"*"}, preflightOf("https://evil.example", "PUT", "authorization"), "*"},

		{"unknown", origins, preflightOf("https://evil.example", "PUT", "authorization"), ""},
		{"another scheme", origins, preflightOf("http://app.example", "PUT"), ""},
		{"another port", origins, preflightOf("https://app.example:8443", "PUT"), ""},
		{"another port of localhost", origins, preflightOf("http://localhost:30001", "PUT"), ""},
		{"without a label", origins, preflightOf("https://wiki.example", "PUT"), ""},
		{"ends alike", origins, preflightOf("https://evilwiki.example", "PUT"), ""},
		{"begins alike", origins, preflightOf("https://app.example.evil.example", "PUT"), ""},
		{"null", origins, preflightOf("null", "PUT"), ""},
		{"empty", origins, preflightOf("", "PUT"), ""},
		{"several", origins, several, ""},
		{"another method", origins, preflightOf("https://app.example", "DELETE", "authorization"), ""},
		{"another header", origins, preflightOf("https://app.example", "PUT", "authorization,x-other"), ""},
	} {
		for _, mode := range []string{modeRequired, modeOptional} {
			t.Run(test.name+" "+mode, func(t *testing.T) {
				h := answersOrigins(test.origins...)
				h.Mode, h.Errors = mode, errorsMediaWiki
				s := newShell(t, h, allow())
				r := test.request.Clone(t.Context())
				r.URL.Path, r.RequestURI = "/w/api.php", "/w/api.php"
				response, err := s.serve(t, r)
				if err != nil || s.passed != nil || len(s.core.asked) > 0 {
					t.Fatalf("error %v, passed %v, asked %d times", err, s.passed != nil, len(s.core.asked))
				}
				header, vary := response.Header, strings.Join(response.Header["Vary"], ",")
				if !strings.Contains(vary, "Origin") || header["Access-Control-Allow-Credentials"] != nil {
					t.Errorf("headers %v", header)
				}
				if test.allowed == "" {
					if response.StatusCode != http.StatusForbidden || problemIn(t, response).Reason != "preflight_refused" {
						t.Errorf("status %d", response.StatusCode)
					}
					for name := range header {
						if strings.HasPrefix(name, "Access-Control-") {
							t.Errorf("%s: %q", name, header[name])
						}
					}
					return
				}
				if response.StatusCode != http.StatusNoContent || header.Get("Access-Control-Allow-Origin") != test.allowed ||
					header.Get("Access-Control-Allow-Methods") != test.request.Header.Get("Access-Control-Request-Method") ||
					header.Get("Access-Control-Allow-Headers") != test.request.Header.Get("Access-Control-Request-Headers") ||
					header.Get("Access-Control-Max-Age") != "600" {
					t.Errorf("status %d, headers %v", response.StatusCode, header)
				}
			})
		}
	}
}

// A web app at a listed origin can read every answer, also a refusal, and the
// backend's own CORS headers do not reach any origin.
func TestAnswersToOrigins(t *testing.T) {
	backend := func(w http.ResponseWriter, _ *http.Request) error {
		w.Header()["Access-Control-Allow-Origin"] = append(w.Header()["Access-Control-Allow-Origin"], "https://evil.example")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Access-Control-Expose-Headers", "X-Secret")
		_, err := io.WriteString(w, "passed")
		return err
	}
	fails := func(http.ResponseWriter, *http.Request) error {
		return caddyhttp.Error(http.StatusBadGateway, io.ErrUnexpectedEOF)
	}
	for _, test := range []struct {
		name, origin, errors string
		decision             validator.Decision
		next                 caddyhttp.HandlerFunc
		status               int
		readable             bool
	}{
		{"passed", "https://app.example", "", allow(), backend, 200, true},
		{"credential in the query", "https://app.example", "", func() validator.Decision { d := allow(); d.InQuery = true; return d }(), backend, 200, true},
		{"refused", "https://app.example", "", deny(validator.TokenExpired), backend, 401, true},
		{"refused as MediaWiki does", "https://app.example", errorsMediaWiki, deny(validator.TokenExpired), backend, 200, true},
		{"refused as Caddy does", "https://app.example", errorsCaddy, deny(validator.TokenExpired), backend, 401, true},
		{"no credential", "https://app.example", "", anonymous, backend, 401, true},
		{"unavailable", "https://app.example", "", validator.Decision{Verdict: validator.Unavailable, Reason: validator.StoreUnavailable}, backend, 503, true},
		{"the backend fails", "https://app.example", "", allow(), fails, 502, true},
		{"unknown, passed", "https://evil.example", "", allow(), backend, 200, false},
		{"unknown, refused", "https://evil.example", "", deny(validator.TokenExpired), backend, 401, false},
		{"no origin", "", "", allow(), backend, 200, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := answersOrigins("https://app.example")
			h.Errors = test.errors
			s := newShell(t, h, test.decision)
			s.next = test.next
			r := get("/w/api.php")
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			response, err := s.serve(t, r)
			header := response.Header
			if got := status(response, err); got != test.status {
				t.Errorf("status %d, want %d", got, test.status)
			}
			if vary := strings.Join(header["Vary"], ","); !strings.Contains(vary, "Origin") || !strings.Contains(vary, "Authorization") {
				t.Errorf("Vary %q", vary)
			}
			if header["Access-Control-Allow-Credentials"] != nil {
				t.Error("credentials are allowed")
			}
			if !test.readable {
				if header["Access-Control-Allow-Origin"] != nil || header["Access-Control-Expose-Headers"] != nil {
					t.Errorf("headers %v", header)
				}
				return
			}
			if origins := header["Access-Control-Allow-Origin"]; len(origins) != 1 || origins[0] != test.origin {
				t.Errorf("origins %q", origins)
			}
			if got := header["Access-Control-Expose-Headers"]; len(got) != 1 || got[0] != "Www-Authenticate, Retry-After, Mediawiki-Api-Error" {
				t.Errorf("exposed %q", got)
			}
		})
	}
}

func TestCORSSettings(t *testing.T) {
	for _, test := range []struct {
		c    CORS
		want string // in the error; empty: none
	}{
		{CORS{Origins: []string{"https://app.example.org"}}, ""},
		{CORS{Origins: []string{"HTTPS://app.example.org"}}, "use scheme://host"},
		{CORS{}, "origins missing"},
		{CORS{Origins: []string{"https://app.example.org/"}}, "use scheme://host"},
		{CORS{Origins: []string{"https://u:hunter2@app.example.org"}}, "the value given is not an origin"},
		{CORS{Origins: []string{"app.example.org"}}, `"app.example.org" is not an origin`},
		{CORS{Origins: []string{"https://app.example.org:443"}}, "leave :80 or :443 out"},
		{CORS{Origins: []string{"http://app.example.org:80"}}, "leave :80 or :443 out"},
		{CORS{Origins: []string{"https://app.example.org:80"}}, ""},
		{CORS{Origins: []string{"https://app.example.org:"}}, "use scheme://host"},
		{CORS{Origins: []string{"https://*example.org"}}, "use scheme://host"},
		{CORS{Origins: []string{"https://a.*.example.org"}}, "use scheme://host"},
		{CORS{Origins: []string{"https://*"}}, "use scheme://host"},
		{CORS{Origins: []string{"https://app.example.org:*"}}, "use scheme://host"},
		{CORS{Origins: []string{"https://wiki.exämple.org"}}, "in ASCII"},
		{CORS{Origins: []string{"null"}}, "sandboxed page"},
		{CORS{Origins: []string{"*", "https://app.example.org"}}, "write it alone"},
		{CORS{Origins: []string{"*"}, Methods: []string{"get"}}, "upper case"},
		{CORS{Origins: []string{"*"}, Methods: []string{"*"}}, "upper case"},
		{CORS{Origins: []string{"*"}, Headers: []string{"Content-Type"}}, "headers must list Authorization"},
		{CORS{Origins: []string{"*"}, Headers: []string{"Authorization", "*"}}, "list each by name"},
		{CORS{Origins: []string{"*"}, Headers: []string{"Authorization", "a b"}}, "list each by name"},
		{CORS{Origins: []string{"*"}, MaxAge: caddy.Duration(time.Millisecond)}, "max_age"},
		{CORS{Origins: []string{"*"}, MaxAge: -1}, "max_age"},
	} {
		_, err := complete(t, &Handler{CORSPreflight: preflightAnswer, CORS: &test.c}).resolve()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%+v: %v", test.c, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter")):
			t.Errorf("%+v: %v, want %q", test.c, err, test.want)
		}
	}
	if _, err := complete(t, &Handler{CORS: &CORS{Origins: []string{"*"}}}).resolve(); err == nil || !strings.Contains(err.Error(), "no effect without cors_preflight answer") {
		t.Errorf("cors alone: %v", err)
	}
}
