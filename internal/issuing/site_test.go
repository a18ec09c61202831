package issuing_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"golang.org/x/crypto/bcrypt"

	_ "github.com/caddy-mwoauth/caddy-mwoauth"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// site is the servers of a replay on one database.
type site struct {
	urls    map[string]string // by variant
	command string            // reads SQL and prints rows
}

// stranger signs in here, and has no account on the wiki.
const stranger, strangerPassword = "Stranger", "Invented-stranger"

// lines are what each variant of the recorded wiki is configured like, and the
// variants for refusals that no recorded flow reaches.
var lines = map[string]string{
	"main":          "",
	"blockdisables": "block_disables_login on",
	"secure":        "secure_token_transfer on",
	"secure_rel":    "secure_token_transfer on",
	"readonly":      "read_only",
	"short":         "lifetimes {\naccess_token 3s\nrefresh_token 3s\n}",
	"loose":         "require_pkce off\nlifetimes {\naccess_token infinity\nrefresh_token infinity\n}",

	"clients":   "",
	"brief":     "lifetimes {\ncode 1s\n}",
	"mismatch":  "",
	"nobody":    "",
	"later":     "mediawiki 1.41",
	"fewnonces": "nonces memory size 1MiB",
}

// browserPages matches the pages that a browser opens, and nothing else: an app's own
// Basic credentials must reach the token endpoint.
const browserPages = "expression `header({'Authorization': 'Basic *'}) && (path('/oauth/authorize', '/oauth/authenticate', '/oauth/verified', '/oauth2/authorize', '/oauth2/apps', '/rest.php/oauth2/authorize', '/wiki/Special:OAuth/authorize') || " +
	"query({'title': ['Special:OAuth/authorize', 'Special:OAuth/authenticate', 'Special:OAuth/verified']}))`"

// recordedLines are what a replay needs: MediaWiki 1.39 sends no iss, and rows are
// changed by others while it goes on.
const recordedLines = "authorization_response_iss off\ncache {\nttl 1ms\nnegative_ttl 1ms\n}\n"

// gateway is the directive oauth behind oauth_server, in front of a service that
// answers with the identity.
func gateway(db database, f fixtures, keys keyFiles) string {
	return fmt.Sprintf(`oauth {
			store %s "%s"
			wiki enwiki
			mediawiki 1.39
			rules mediawiki
			secret_key %s
			public_key %s
			block_disables_login off
		}
		respond "{http.request.header.X-OAuth-User-Name} {http.request.header.X-OAuth-Consumer-Key}"
`, db.driver, db.reader, f.Site.OAuthSecretKey, keys.public)
}

// pathsOf are the addresses of a kind of endpoints, as replay.py takes them. The
// recorded wiki had its scripts at the root: some answers hold their addresses.
var pathsOf = map[string][2]string{
	"mediawiki": {"{base}/index.php?title=Special:OAuth/{page}", "{base}/rest.php"},
	"plain":     {"{base}/oauth/{page}", "{base}"},
}

// sites are the sites of a test, all in one Caddy.
type sites struct {
	on      map[string]site // by kind of database
	metrics string          // where the counters are
}

// startSites starts databases of the recorded wiki and a Caddy with one site for
// each variant on each.
func startSites(t *testing.T, f fixtures, kinds ...string) sites {
	t.Helper()
	addrs := freeAddrs(t, len(kinds)*len(lines)+1)
	_, port, _ := strings.Cut(addrs[0], ":")
	var caddyfile strings.Builder
	fmt.Fprintf(&caddyfile, `{
	admin off
	persist_config off
	auto_https off
	storage file_system %s
	log {
		output discard
	}
}
http://:%s {
	bind 127.0.0.1
	metrics /metrics
}
`, t.TempDir(), port)
	b := builder{api: startWikiAPI(t, f), users: basicUsers(t, f), keys: writeKeys(t, f), f: f}
	all := sites{map[string]site{}, "http://" + addrs[0] + "/metrics"}
	for i, kind := range kinds {
		at := map[string]string{}
		for j, variant := range slices.Sorted(maps.Keys(lines)) {
			at[variant] = addrs[1+i*len(lines)+j]
		}
		// Each OAuth database has a memory of nonces of its own.
		open := kindsOfDatabase[kind]
		db, other := open(t, "http://"+at["main"]), open(t, "http://"+at["main"])
		s := site{map[string]string{}, db.command}
		for variant, addr := range at {
			s.urls[variant] = "http://" + addr
			if variant == "fewnonces" {
				b.write(&caddyfile, variant, addr, other)
			} else {
				b.write(&caddyfile, variant, addr, db)
			}
		}
		all.on[kind] = s
	}
	startCaddy(t, caddyfile.String())
	return all
}

// builder writes sites of a Caddyfile.
type builder struct {
	api, users string
	keys       keyFiles
	f          fixtures
}

func (b *builder) write(caddyfile *strings.Builder, variant, addr string, db database) {
	browser, behind := browserPages, ""
	switch variant {
	case "nobody":
		browser = "path /never"
	case "clients":
		behind = gateway(db, b.f, b.keys)
	}
	_, port, _ := strings.Cut(addr, ":")
	fmt.Fprintf(caddyfile, `
http://:%s {
	bind 127.0.0.1
	route {
		@browser %s
		basic_auth @browser {
			%s
		}
		%s
		%s
	}
}
`, port, browser, b.users, b.directive(variant, addr, db), behind)
}

// directive is oauth_server of a variant at an address.
func (b *builder) directive(variant, addr string, db database) string {
	base, release, identity, more := "http://"+addr, "mediawiki 1.39", "name {http.auth.user.id}", recordedLines
	script := "/"
	switch variant {
	case "secure_rel":
		base = "//" + addr
	case "later":
		release = ""
	case "mismatch":
		identity += "\nid {http.request.port}"
	case "clients":
		more, script = "", "/w"
	}
	if !strings.Contains(lines[variant], "block_disables_login") {
		release += "\nblock_disables_login off"
	}
	if !strings.Contains(lines[variant], "secure_token_transfer") {
		release += "\nsecure_token_transfer off"
	}
	if b.api != "" {
		release += "\nwiki_api " + b.api
	}
	return fmt.Sprintf(`oauth_server {
			store %s "%s"
			writer "%s"
			wiki enwiki
			rules mediawiki
			secret_key %s
			public_key %s
			private_key %s
			base_url %s
			issuer http://%s
			endpoints mediawiki plain {
				script_path %s
			}
			session caddy {
				%s
			}
			%s
			%s
		}
`, db.driver, db.reader, db.writer, b.f.Site.OAuthSecretKey, b.keys.public, b.keys.private,
		base, addr, script, identity, release, more+lines[variant])
}

func startCaddy(t *testing.T, caddyfile string) {
	t.Helper()
	adapted, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, caddyfile)
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			t.Errorf("Caddyfile: %s", w)
		}
	}
	if err := caddy.Load(adapted, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// basicUsers are the lines of basic_auth for the recorded users. The cost of their
// hashes is the least there is.
func basicUsers(t *testing.T, f fixtures) string {
	t.Helper()
	passwords := map[string]string{stranger: strangerPassword}
	for name, u := range f.Users {
		passwords[name] = u.Password
	}
	var out strings.Builder
	for name, password := range passwords {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%q %s\n", name, hash)
	}
	return out.String()
}

type keyFiles struct{ public, private string }

// writeKeys writes the wiki's keys as PEM files.
func writeKeys(t *testing.T, f fixtures) keyFiles {
	t.Helper()
	dir := t.TempDir()
	files := keyFiles{filepath.Join(dir, "public.pem"), filepath.Join(dir, "private.pem")}
	for file, key := range map[string][2]string{
		files.public: {"PUBLIC KEY", "oauth2_public_der"}, files.private: {"PRIVATE KEY", "oauth2_private"},
	} {
		der, err := base64.StdEncoding.DecodeString(f.Keys[key[1]])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: key[0], Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
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

var reached = regexp.MustCompile(`(?m)^caddy_oauth_server_events_total\{.*reason="(\w+)".*\}`)

// refusals are the reasons that the sites have counted so far.
func (s sites) refusals(t *testing.T) map[string]bool {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // the test may have ended
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.metrics, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, text := send(t, r)
	reasons := map[string]bool{}
	for _, m := range reached.FindAllStringSubmatch(text, -1) {
		reasons[m[1]] = true
	}
	return reasons
}

// crowd sends requests for random apps, from one address and more at once than may
// wait, until one is refused.
func (s site) crowd(t *testing.T) {
	t.Helper()
	const streams = 200
	var wg sync.WaitGroup
	var refused atomic.Bool
	for range streams {
		wg.Go(func() {
			for end := time.Now().Add(time.Minute); !refused.Load() && time.Now().Before(end); {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
					s.urls["main"]+"/oauth/initiate?oauth_signature_method=HMAC-SHA1&oauth_signature=x&oauth_consumer_key="+wikidb.RandomHex(16), nil)
				if err != nil {
					t.Error(err)
					return
				}
				response, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_ = response.Body.Close() // the status is enough
				if response.StatusCode == http.StatusTooManyRequests && response.Header.Get("Retry-After") != "" {
					refused.Store(true)
				}
			}
		})
	}
	wg.Wait()
	if !refused.Load() {
		t.Errorf("%d requests of one address at once, for apps that do not exist, are all looked up", streams)
	}
}

// fillNonces uses up the share of an app in the smallest memory of nonces.
func (s site) fillNonces(t *testing.T, app fixtureConsumer) {
	t.Helper()
	target := s.urls["fewnonces"] + "/oauth/initiate?oauth_callback=oob"
	for range 20_000 {
		header, err := sign.Header(sign.Credentials{ConsumerKey: app.Key, ConsumerSecret: app.Secret}, http.MethodPost, target, nil, sign.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		if response, _ := send(t, r); response.StatusCode == http.StatusTooManyRequests {
			return
		}
	}
	t.Fatal("20,000 nonces of one app are kept in the smallest memory")
}
