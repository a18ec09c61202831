package parity_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mwoauth/caddy-mwoauth"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// fixtures is what the recorded wiki was configured with.
type fixtures struct {
	SecretKey      string `json:"wgSecretKey"`
	OAuthSecretKey string `json:"wgOAuthSecretKey"`
	Keys           struct {
		Public string `json:"oauth2_public"`
	}
}

func readFixtures(t *testing.T) (f fixtures) {
	t.Helper()
	text, err := os.ReadFile("testdata/fixtures.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// startGateways runs one Caddy with a site for each variant, in front of a backend that answers with the
// headers it got, and returns their URLs.
func startGateways(t *testing.T) map[string]string {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewEncoder(w).Encode(r.Header); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(backend.Close)

	f := readFixtures(t)
	publicKey := filepath.Join(t.TempDir(), "public.pem")
	if err := os.WriteFile(publicKey, []byte(f.Keys.Public), 0o600); err != nil {
		t.Fatal(err)
	}
	// The variants as fixtures.json describes them.
	type settings struct{ base, secret, blockDisablesLogin string }
	base, secret := "http://127.0.0.1:8039", f.OAuthSecretKey
	sites := map[string]settings{
		"main":          {base, secret, "off"},
		"blockdisables": {base, secret, "on"},
		"cdn":           {base, secret, "off"},
		"http80":        {"http://wiki.example.org", secret, "off"},
		"nosecret":      {base, f.SecretKey, "off"},
	}
	dsn := openWiki(t, wikidb.MySQL, "enwiki").Config.DSN
	urls := map[string]string{}
	var caddyfile strings.Builder
	for _, variant := range variants {
		s, addr := sites[variant], freeAddr(t)
		_, port, _ := net.SplitHostPort(addr)
		fmt.Fprintf(&caddyfile, `
http://:%s {
	bind 127.0.0.1
	oauth {
		store mysql "%s"
		wiki enwiki
		mediawiki 1.39
		rules standard
		mode optional
		secret_key %s
		public_key %s
		base_url %s
		block_disables_login %s
	}
	reverse_proxy %s
}
`, port, dsn, s.secret, publicKey, s.base, s.blockDisablesLogin, backend.Listener.Addr())
		urls[variant] = "http://" + addr
	}
	startCaddy(t, fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	storage file_system %s
	log {
		output discard
	}
	servers %s {
		trusted_proxies static 127.0.0.1/32
		trusted_proxies_strict
	}
}
%s`, t.TempDir(), strings.TrimPrefix(urls["cdn"], "http://"), caddyfile.String()))
	return urls
}

func startCaddy(t *testing.T, caddyfile string) {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, caddyfile)
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			t.Errorf("Caddyfile: %s", w)
		}
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}
