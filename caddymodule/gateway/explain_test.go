package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// The line of a bad signature has what was verified, and where it came from.
func TestBadSignatureIsExplained(t *testing.T) {
	for _, test := range []struct {
		name, base string
		trusted    bool
		header     http.Header
		want       string // scheme, host and path come from, ignored headers
	}{
		{"request", "", false, nil, "request|request|request|"},
		{"trusted proxy", "", true, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"wiki.example"}}, "X-Forwarded header|X-Forwarded header|request|"},
		{"untrusted proxy", "", false, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"wiki.example"}}, "request|request|request|X-Forwarded-Proto,X-Forwarded-Host"},
		{"a list", "", true, http.Header{"X-Forwarded-Proto": {"https,http"}, "X-Forwarded-Host": {"wiki.example"}}, "request|X-Forwarded header|request|X-Forwarded-Proto"},
		{"two lines", "", true, http.Header{"X-Forwarded-Host": {"a", "b"}}, "request|request|request|X-Forwarded-Host"},
		{"an odd scheme", "", true, http.Header{"X-Forwarded-Proto": {"gopher"}}, "request|request|request|X-Forwarded-Proto"},
		{"base_url", "https://wiki.example", true, http.Header{"X-Forwarded-Proto": {"http"}}, "base_url|base_url|request|X-Forwarded-Proto"},
		{"base_url without a scheme", "//wiki.example", true, http.Header{"X-Forwarded-Proto": {"https"}}, "X-Forwarded header|base_url|request|"},
		{"base_url with a path", "https://wiki.example/svc", false, nil, "base_url|base_url|base_url and request|"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := deny(validator.BadSignature)
			d.SignedMethod, d.SignedURL = "GET", "https://wiki.example/\xffa"+strings.Repeat("b", 2000)
			s := newShell(t, &Handler{BaseURL: test.base}, d)
			r := get("/a?oauth_signature=hunter2")
			maps.Copy(r.Header, test.header)
			outer := newShell(t, &Handler{Mode: modeStrip}, validator.Decision{})
			outer.next = func(w http.ResponseWriter, r *http.Request) error {
				caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, test.trusted)
				return s.ServeHTTP(w, r, s.next)
			}
			if _, err := outer.serve(t, r); err != nil {
				t.Fatal(err)
			}
			lines := s.logged(t)
			if len(lines) != 1 || strings.Contains(s.logs.String(), "hunter") {
				t.Fatalf("logged %s", s.logs)
			}
			var ignored []string
			if list, ok := lines[0]["forwarded_ignored"].([]any); ok {
				for _, name := range list {
					ignored = append(ignored, fmt.Sprint(name))
				}
			}
			got := fmt.Sprintf("%v|%v|%v|%s", lines[0]["scheme_from"], lines[0]["host_from"], lines[0]["path_from"], strings.Join(ignored, ","))
			url, _ := lines[0]["signed_url"].(string)
			if got != test.want || lines[0]["signed_method"] != "GET" || !strings.HasPrefix(url, "https://wiki.example/?a") || len(url) > maxLoggedURL {
				t.Errorf("logged %s, want %s", got, test.want)
			}
		})
	}
	s := newShell(t, &Handler{}, deny(validator.UnknownToken))
	if _, err := s.serve(t, get("/")); err != nil || strings.Contains(s.logs.String(), "signed_url") {
		t.Errorf("error %v, logged %s", err, s.logs)
	}
}
