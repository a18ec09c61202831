package parity_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mwoauth/caddy-mwoauth"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
)

// fixtures is what the recorded wiki was configured with.
type fixtures struct {
	SecretKey      string `json:"wgSecretKey"`
	OAuthSecretKey string `json:"wgOAuthSecretKey"`
	Keys           struct {
		Public string `json:"oauth2_public"`
	}
}

// site is how the recorded wiki of one variant was configured: an entry of
// sites.json.
type site struct {
	Wiki           string
	BaseURL        string `json:"base_url"`
	SecretKey      string `json:"secret_key"` // or the name of the fixture that holds it
	More           []string
	TrustedProxies bool `json:"trusted_proxies"`
}

// readSites reads the variants that a gateway can be configured like, as
// fixtures.json describes them.
func readSites(t *testing.T, release string) (sites map[string]site) {
	t.Helper()
	readJSON(t, parity.Path(t, release, "sites.json"), &sites)
	return sites
}

// ruleSets are the values of the rules subdirective.
var ruleSets = []string{"standard", "mediawiki"}

// startGateways runs one Caddy with a site for each set of rules and each
// variant, in front of a backend that answers with the headers it got, and
// returns their URLs.
func startGateways(t *testing.T, release string, sites map[string]site) map[string]map[string]string {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewEncoder(w).Encode(r.Header); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(backend.Close)

	var f fixtures
	readJSON(t, parity.Path(t, release, "fixtures.json"), &f)
	publicKey := filepath.Join(t.TempDir(), "public.pem")
	if err := os.WriteFile(publicKey, []byte(f.Keys.Public), 0o600); err != nil {
		t.Fatal(err)
	}
	farm := openFarm(t, release)
	addrs := freeAddrs(t, len(ruleSets)*len(sites))
	urls := map[string]map[string]string{}
	var caddyfile, servers strings.Builder
	for _, rules := range ruleSets {
		urls[rules] = map[string]string{}
		for variant, s := range sites {
			addr := addrs[0]
			addrs = addrs[1:]
			urls[rules][variant] = "http://" + addr
			if s.TrustedProxies {
				fmt.Fprintf(&servers, "servers %s {\ntrusted_proxies static 127.0.0.1/32\ntrusted_proxies_strict\n}\n", addr)
			}
			if !slices.ContainsFunc(s.More, func(line string) bool { return strings.HasPrefix(line, "block_disables_login ") }) {
				s.More = append(slices.Clone(s.More), "block_disables_login off")
			}
			_, port, _ := net.SplitHostPort(addr)
			fmt.Fprintf(&caddyfile, `
http://:%s {
	bind 127.0.0.1
	oauth {
		store mysql "%s" {
			oauth_database enwiki
		}
		wiki %s
		mediawiki %s
		rules %s
		mode optional
		secret_key %s
		public_key %s
		base_url %s
		%s
	}
	reverse_proxy %s
}
`, port, farm.DSN(farmUser, farmPassword, s.Wiki), s.Wiki, release, rules, f.secretKey(s.SecretKey), publicKey, s.BaseURL,
				strings.Join(s.More, "\n"), backend.Listener.Addr())
		}
	}
	startCaddy(t, fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	storage file_system %s
	log {
		output discard
	}
	%s
}
%s`, t.TempDir(), servers.String(), caddyfile.String()))
	return urls
}

// secretKey returns the key of that name, or the value itself.
func (f fixtures) secretKey(value string) string {
	switch value {
	case "wgOAuthSecretKey":
		return f.OAuthSecretKey
	case "wgSecretKey":
		return f.SecretKey
	default:
		return value
	}
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

// freeAddrs returns loopback addresses without a listener.
func freeAddrs(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		addr, err := loopback.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, addr)
	}
	return addrs
}
