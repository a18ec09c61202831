package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

// TestPrefixStrippingProxy signs for the URL of a proxy that takes a prefix away
// before the gateway sees the request.
func TestPrefixStrippingProxy(t *testing.T) {
	for _, rules := range []string{"standard", "mediawiki"} {
		g := harness.New(t, harness.Options{Settings: []string{"base_url https://api.example.org/svc", "rules " + rules}})
		gateway := &url.URL{Scheme: "http", Host: g.HTTP}
		proxy := httptest.NewServer(http.StripPrefix("/svc", httputil.NewSingleHostReverseProxy(gateway)))
		t.Cleanup(proxy.Close)
		for _, tt := range []struct{ name, signed, want string }{
			{"as the client sent it", "https://api.example.org/svc/a?x=1&y=%7E", "ok"},
			{"without the prefix", "https://api.example.org/a?x=1&y=%7E", "bad_signature"},
			{"another prefix", "https://api.example.org/Svc/a?x=1&y=%7E", "bad_signature"},
			{"another query", "https://api.example.org/svc/a?x=2", "bad_signature"},
		} {
			r := g.Request(t, "GET", proxy.URL+"/svc/a?x=1&y=%7E", "", "Authorization", harness.Sign(t, g.Wiki.HMAC, "GET", tt.signed, ""), "X-Forwarded-Prefix", "/Svc")
			a := g.Do(t, r)
			a.Want(t, tt.want)
			if a.Seen != nil && a.Seen.Target != "/a?x=1&y=%7E" {
				t.Errorf("%s, rules %s: %s arrives", tt.name, rules, a.Seen.Target)
			}
		}
		if log := g.Log(t); !strings.Contains(log, `"signed_url":"https://api.example.org/svc/a"`) || !strings.Contains(log, `"path_from":"base_url and request"`) {
			t.Errorf("rules %s: the log does not say what was verified", rules)
		}
	}
}
