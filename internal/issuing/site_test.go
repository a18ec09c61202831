package issuing_test

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"golang.org/x/crypto/bcrypt"

	_ "github.com/caddy-mwoauth/caddy-mwoauth"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// site is the servers of a replay.
type site struct {
	urls    map[string]string // by variant
	client  string            // the command that reads SQL and prints rows
	metrics string            // where the counters are
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
const browserPages = "expression `path('/oauth/authorize', '/oauth/authenticate', '/oauth/verified', '/oauth2/authorize', '/oauth2/apps', '/w/rest.php/oauth2/authorize', '/wiki/Special:OAuth/authorize') || " +
	"query({'title': ['Special:OAuth/authorize', 'Special:OAuth/authenticate', 'Special:OAuth/verified']})`"

// recordedLines are what a replay needs: MediaWiki 1.39 sends no iss, and rows are
// changed by others while it goes on.
const recordedLines = "authorization_response_iss off\ncache {\nttl 1ms\nnegative_ttl 1ms\n}\n"

// gateway is the directive oauth behind oauth_server, in front of a service that
// answers with the identity.
func gateway(dsn string, f fixtures, keys keyFiles) string {
	return fmt.Sprintf(`oauth {
			store mysql "%s"
			wiki enwiki
			mediawiki 1.39
			rules mediawiki
			secret_key %s
			public_key %s
			block_disables_login off
		}
		respond "{http.request.header.X-OAuth-User-Name} {http.request.header.X-OAuth-Consumer-Key}"
`, dsn, f.Site.OAuthSecretKey, keys.public)
}

// pathsOf are the addresses of a kind of endpoints, as replay.py takes them.
var pathsOf = map[string][2]string{
	"mediawiki": {"{base}/w/index.php?title=Special:OAuth/{page}", "{base}/w/rest.php"},
	"plain":     {"{base}/oauth/{page}", "{base}"},
}

// startSite starts the database of the recorded wiki and a Caddy with one site for
// each variant.
func startSite(t *testing.T, f fixtures) site {
	t.Helper()
	server := mariadb.Start(t)
	database, other := server.CreateDatabase(t), server.CreateDatabase(t)
	api := startWikiAPI(t, f)
	keys := writeKeys(t, f)
	s := site{
		urls:   map[string]string{},
		client: "mariadb --no-defaults -N -B -r -S " + socketOf(server) + " -uroot " + database,
	}
	addrs := freeAddrs(t, len(lines)+1)
	variants := slices.Sorted(maps.Keys(lines))
	for _, name := range []string{database, other} {
		loadRows(t, server, name, "http://"+addrs[slices.Index(variants, "main")])
		createAccounts(t, server, name)
	}
	users := basicUsers(t, f)
	var caddyfile strings.Builder
	for i, variant := range variants {
		addr := addrs[i]
		s.urls[variant] = "http://" + addr
		base, of, release, identity, browser := "http://"+addr, database, "mediawiki 1.39", "name {http.auth.user.id}", browserPages
		switch variant {
		case "secure_rel":
			base = "//" + addr
		case "fewnonces":
			of = other // each OAuth database has a memory of its own
		case "later":
			release = ""
		case "nobody":
			browser = "path /never"
		case "mismatch":
			identity += "\nid {http.request.port}"
		}
		if !strings.Contains(lines[variant], "block_disables_login") {
			release += "\nblock_disables_login off"
		}
		if !strings.Contains(lines[variant], "secure_token_transfer") {
			release += "\nsecure_token_transfer off"
		}
		more, behind := recordedLines+lines[variant], ""
		if variant == "clients" {
			more, behind = "", gateway(server.DSN(reader, password, of), f, keys)
		}
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&caddyfile, `
http://:%s {
	bind 127.0.0.1
	route {
		@browser %s
		basic_auth @browser {
			%s
		}
		oauth_server {
			store mysql "%s"
			writer "%s"
			wiki enwiki
			rules mediawiki
			secret_key %s
			public_key %s
			private_key %s
			base_url %s
			issuer http://%s
			endpoints mediawiki plain
			session caddy {
				%s
			}
			wiki_api %s
			%s
			%s
		}
		%s
	}
}
`, port, browser, users, server.DSN(reader, password, of), server.DSN(writer, password, of), f.Site.OAuthSecretKey, keys.public, keys.private,
			base, addr, identity, api, release, more, behind)
	}
	s.metrics = "http://" + addrs[len(lines)] + "/metrics"
	_, port, _ := net.SplitHostPort(addrs[len(lines)])
	startCaddy(t, fmt.Sprintf(`{
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
%s`, t.TempDir(), port, caddyfile.String()))
	return s
}

// The accounts that read and write have exactly what docs/database.md gives them.
const reader, writer, password = "oauth_gateway", "oauth_writer", "issuing"

var (
	grantStatement = regexp.MustCompile(`(?s)(GRANT [^;]*?)\s+ON enwiki\.(\w+) TO '(\w+)'@'10\.0\.0\.5';`)
	// sharedTables are read by both accounts, with the same columns.
	sharedTables = []string{"user_groups", "ipblocks"}
)

// createAccounts makes both accounts, and gives them their rights on a database.
func createAccounts(t *testing.T, server *mariadb.Server, database string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/database.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{reader, writer} {
		server.Exec(t, "CREATE USER IF NOT EXISTS '"+account+"'@'%' IDENTIFIED BY '"+password+"'")
	}
	tables := 0
	for _, m := range grantStatement.FindAllStringSubmatch(string(text), -1) {
		rights, table, account := m[1], m[2], m[3]
		if strings.HasPrefix(table, "block") {
			continue // of later releases
		}
		tables++
		for _, to := range []string{reader, writer} {
			if to == account || slices.Contains(sharedTables, table) {
				server.Exec(t, rights+" ON "+database+"."+table+" TO '"+to+"'@'%'")
			}
		}
	}
	if tables != 10 {
		t.Fatalf("docs/database.md grants rights on %d tables of MediaWiki 1.39, want 6 for the account that reads and 4 for the other", tables)
	}
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

var inParens = regexp.MustCompile(`\(([^)]*)\)`)

// socketOf is the socket that root reaches the server by.
func socketOf(server *mariadb.Server) string {
	return inParens.FindStringSubmatch(server.RootDSN(""))[1]
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

// refusals are the reasons that the site has counted so far.
func (s site) refusals(t *testing.T) map[string]bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.metrics, nil)
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
