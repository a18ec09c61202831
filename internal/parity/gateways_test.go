package parity_test

import (
	"encoding/json"
	"fmt"
	"maps"
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

// site is how the recorded wiki of one variant was configured.
type site struct {
	wiki, base, secret string
	more               string // further subdirectives
}

// sites are the variants that a gateway can be configured like, as fixtures.json describes them.
func sites(f fixtures) map[string]site {
	const base = "http://127.0.0.1:8039"
	central := "users centralauth centralauth" //nolint:dupword // the source of users, and the name of its database
	return map[string]site{
		"main":           {"enwiki", base, f.OAuthSecretKey, ""},
		"blockdisables":  {"enwiki", base, f.OAuthSecretKey, "block_disables_login on"},
		"cdn":            {"enwiki", base, f.OAuthSecretKey, ""}, // with trusted_proxies
		"http80":         {"enwiki", "http://wiki.example.org", f.OAuthSecretKey, ""},
		"protorel":       {"enwiki", "//wiki.example.org", f.OAuthSecretKey, ""},
		"nosecret":       {"enwiki", base, f.SecretKey, ""},
		"dewiki":         {"dewiki", "http://127.0.0.1:8046", f.OAuthSecretKey, ""},
		"centralauth":    {"enwiki", base, f.OAuthSecretKey, central},
		"centralauth_fr": {"frwiki", "http://127.0.0.1:8056", f.OAuthSecretKey, central},
	}
}

// variants are the names of the sites.
var variants = slices.Sorted(maps.Keys(sites(fixtures{})))

// ruleSets are the values of the rules subdirective.
var ruleSets = []string{"standard", "mediawiki"}

// startGateways runs one Caddy with a site for each set of rules and each variant, in front of a backend that answers
// with the headers it got, and returns their URLs.
func startGateways(t *testing.T) map[string]map[string]string {
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
	farm := openFarm(t)
	addrs := freeAddrs(t, len(ruleSets)*len(variants))
	urls := map[string]map[string]string{}
	var caddyfile, servers strings.Builder
	for _, rules := range ruleSets {
		urls[rules] = map[string]string{}
		for variant, s := range sites(f) {
			addr := addrs[0]
			addrs = addrs[1:]
			urls[rules][variant] = "http://" + addr
			if variant == "cdn" {
				fmt.Fprintf(&servers, "servers %s {\ntrusted_proxies static 127.0.0.1/32\ntrusted_proxies_strict\n}\n", addr)
			}
			if !strings.Contains(s.more, "block_disables_login") {
				s.more += "\n\t\tblock_disables_login off"
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
		mediawiki 1.39
		rules %s
		mode optional
		secret_key %s
		public_key %s
		base_url %s
		%s
	}
	reverse_proxy %s
}
`, port, farm.DSN(farmUser, farmPassword, s.wiki), s.wiki, rules, s.secret, publicKey, s.base, s.more, backend.Listener.Addr())
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

// freeAddrs returns loopback addresses that nobody listens on.
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
