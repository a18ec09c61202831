package gateway

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/mysql"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// load loads a handler as Caddy does, and gives what it is told.
func load(tb testing.TB, raw string) (*Handler, error) {
	tb.Helper()
	ctx, cancel := caddy.NewContext(quiet)
	tb.Cleanup(cancel)
	loaded, err := ctx.LoadModuleByID("http.handlers.oauth", json.RawMessage(raw))
	if err != nil {
		return nil, err
	}
	return loaded.(*Handler), nil
}

// mustLoad loads a handler with the required settings and more.
func mustLoad(tb testing.TB, more map[string]any) *Handler {
	tb.Helper()
	h, err := load(tb, withDefaults(tb, more))
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// withDefaults is a configuration with the required settings, but for those
// that more replaces.
func withDefaults(tb testing.TB, more map[string]any) string {
	tb.Helper()
	config := map[string]any{
		"store": map[string]any{"driver": "sqlite", "dsn": filepath.Join(tb.TempDir(), "wiki.sqlite")},
		"wiki":  "enwiki", "mediawiki": "1.47", "secret_key": "none",
	}
	maps.Copy(config, more)
	raw, err := json.Marshal(config)
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}

func write(tb testing.TB, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func pemOfNewKey(tb testing.TB, bits int) string {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestConfigurationErrors(t *testing.T) {
	t.Setenv("OAUTH_TEST_EMPTY", "")
	empty := write(t, "\n")
	for _, test := range []struct {
		name string
		more map[string]any
		want []string // every one of them is in the error
	}{
		{"everything missing", map[string]any{"store": nil, "wiki": "", "mediawiki": "", "secret_key": ""}, []string{"oauth needs store, wiki, mediawiki, secret_key"}},
		{"all at once", map[string]any{
			"mode": "never", "rules": "odd", "errors": "html", "credentials": "lose", "cors_preflight": "x", "headers": "Cookie-ish", "realm": "a\nb",
			"mediawiki": "1.2", "wiki": "en wiki", "base_url": "ftp://x", "timestamp_window": -1, "max_form_size": -1, "max_body_size": -1, "clock_skew": "61s",
			"cache": map[string]any{"size": 1, "ttl": -1}, "nonces": map[string]any{"size": 5, "backend": "disk"}, "users": map[string]any{"source": "ldap"},
			"require": []any{map[string]any{"kind": "right", "values": []string{"x"}}, map[string]any{"kind": "group"}},
		}, []string{
			"mode: unknown", "rules: unknown", "errors: unknown", "credentials: unknown", "cors_preflight: unknown", "headers: ", "realm: ", "mediawiki: \"1.2\" is not a release",
			"wiki: ", "base_url: ", "timestamp_window: ", "max_form_size: ", "max_body_size: ", "clock_skew: 1m1s is not within 0s and 1m", "cache size: ", "cache ttl: ", "nonces size: ", "nonces: unknown", "users: unknown", "require: unknown", "require group: value missing",
		}},
		{"not built yet", map[string]any{
			"mode": "observe", "nonces": map[string]any{"backend": "redis"},
		}, []string{
			"mode observe is not built yet", "nonces redis is not built yet",
		}},
		{"users of another kind", map[string]any{"users": map[string]any{"database": "centralauth"}}, []string{"users local takes no database and no dsn"}},
		{"shared ids of centralauth", map[string]any{"users": map[string]any{"source": "centralauth", "shared_ids": true}}, []string{"users centralauth: leave out shared_ids: "}},
		{"centralauth in a file", map[string]any{"users": map[string]any{"source": "centralauth", "database": "centralauth"}}, []string{"users centralauth: SQLite has one database in a file"}},
		{"centralauth without a name", map[string]any{
			"users": map[string]any{"source": "centralauth"}, "store": map[string]any{"driver": "mysql", "dsn": "u@tcp(db)/w"},
		}, []string{"users centralauth: the database of CentralAuth's tables is missing"}},
		{"centralauth, odd names", map[string]any{
			"users": map[string]any{"source": "centralauth", "database": "a`b", "dsn": "hunter2@"}, "store": map[string]any{"driver": "mysql", "dsn": "u@tcp(db)/w"},
		}, []string{"users centralauth: the value given is not a name", "users centralauth: dsn: "}},
		{"a key that is none to PHP", map[string]any{"secret_key": "0", "mediawiki": "1.41"}, []string{"secret_key: up to 1.41 ", "$wgSecretKey"}},
		{"a farm without wikis", map[string]any{"wiki": "{http.request.host}"}, []string{"wiki {http.request.host}: the wikis that it may be are missing"}},
		{"wikis without a placeholder", map[string]any{"wikis": map[string]any{"dewiki": map[string]any{}}}, []string{"wiki enwiki: a block of wikis needs a placeholder of the request"}},
		{"a wiki by the environment", map[string]any{"wiki": "{env.HOME}", "wikis": map[string]any{"dewiki": map[string]any{}}}, []string{"wiki {env.HOME}: a block of wikis needs a placeholder of the request"}},
		{"a part of a placeholder", map[string]any{"wiki": "x{http.request.host}"}, []string{"wiki: placeholder {http.request.host} is empty or unknown"}},
		{"odd wikis", map[string]any{
			"wiki": "{http.request.host}", "mediawiki": "", "secret_key": "0", "store": map[string]any{"driver": "mysql", "dsn": "u@tcp(db)/w"},
			"wikis": map[string]any{
				"a wiki": map[string]any{"mediawiki": "1.41"},
				"x":      map[string]any{"database": "a`b", "table_prefix": "a.", "base_url": "x", "mediawiki": "2", "dsn": "hunter2@"},
				"y":      map[string]any{},
			},
		}, []string{
			"oauth needs mediawiki", "wiki: the value given is not a wiki id", "wiki x: database: the value given is not a name", "wiki x: table_prefix: \"a.\"", "base_url: \"x\"",
			"mediawiki: \"2\" is not a release", "wiki x: dsn: ", "secret_key: up to 1.41 ",
		}},
		{"a database within a file", map[string]any{"wiki": "{http.request.host}", "wikis": map[string]any{"x": map[string]any{"database": "x"}}}, []string{"wiki x: SQLite has one database in a file"}},
		{"names of the store", map[string]any{
			"store": map[string]any{"driver": "mysql", "dsn": "u@tcp(db)/w", "table_prefix": "a`", "oauth_database": "b`"},
		}, []string{"table_prefix: the value given is not", "oauth_database: the value given is not"}},
		{"empty environment", map[string]any{"secret_key": "{env.OAUTH_TEST_EMPTY}"}, []string{"secret_key: placeholder {env.OAUTH_TEST_EMPTY} is empty or unknown"}},
		{"empty file", map[string]any{"secret_key": "{file." + empty + "}"}, []string{"secret_key: placeholder {file." + empty + "} is empty or unknown"}},
		{"missing file", map[string]any{"secret_key": "{file./nowhere/key}"}, []string{"secret_key: placeholder {file./nowhere/key} is empty or unknown"}},
		{"unknown placeholder", map[string]any{"realm": "{vault.realm}"}, []string{"realm: a placeholder is empty or unknown"}},
		{"braces in a secret", map[string]any{"secret_key": "hunter{hunter}"}, []string{"secret_key: a placeholder is empty or unknown"}},
		{"white space around a key", map[string]any{"secret_key": "{file." + write(t, "hunter2 \n") + "}"}, []string{"secret_key begins or ends with white space"}},
		{"unsafe DSN", map[string]any{"store": map[string]any{"driver": "mysql", "dsn": "u:hunter2@/wiki?multiStatements=true"}}, []string{"store: dsn: "}},
		{"malformed DSN", map[string]any{"store": map[string]any{"driver": "mysql", "dsn": "hunter2@"}}, []string{"store: dsn: "}},
		{"unknown driver", map[string]any{"store": map[string]any{"driver": "hunter", "dsn": "x"}}, []string{"store: unknown value: use mysql, postgres or sqlite"}},
		{"no DSN", map[string]any{"store": map[string]any{"driver": "mysql", "max_open_conns": -2}}, []string{"store: DSN missing", "max_open_conns: -2"}},
		{"no key file", map[string]any{"public_key": []string{"/nowhere/key.pem"}}, []string{"public_key: the file cannot be read: no such file"}},
		{"key is a directory", map[string]any{"public_key": []string{t.TempDir()}}, []string{"public_key: ", "not a regular file"}},
		{"key is none", map[string]any{"public_key": []string{write(t, "hello")}}, []string{"public_key: ", "no PEM block found"}},
		{"weak key", map[string]any{"public_key": []string{pemOfNewKey(t, 1024)}}, []string{"public_key: PEM: RSA key of 1024 bits"}},
		{"TLS files", map[string]any{"store": map[string]any{"driver": "mysql", "dsn": "u@tcp(db)/w", "tls": map[string]any{"ca": "/nowhere/ca"}}}, []string{"tls ca: the file cannot be read: no such file"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			emptied(t)
			_, err := load(t, withDefaults(t, test.more))
			if err == nil {
				t.Fatal("loaded")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("a secret is quoted: %v", err)
			}
			eventually(t, func() bool { return pools.InUse() == [3]int{} })
		})
	}
}

func TestSettings(t *testing.T) {
	t.Setenv("OAUTH_TEST_KEY", "0123456789abcdef0123456789abcdef")
	inline, inFile := pemOfNewKey(t, 2048), pemOfNewKey(t, 2048)
	h := mustLoad(t, map[string]any{
		"secret_key": "{file." + write(t, "from a file\n") + "}",
		"public_key": []string{inline, write(t, inFile+inline), "{file." + write(t, inFile) + "}"},
		"base_url":   "https://Wiki.example:443",
		"require":    []any{map[string]any{"kind": "consumer", "values": []string{"{env.OAUTH_TEST_KEY}", "fedcba9876543210fedcba9876543210"}}},
	})
	if len(h.cfg.site.Keys) != 4 {
		t.Errorf("%d keys", len(h.cfg.site.Keys))
	}
	p := h.cfg.site.Served[0].Policy
	if p.SiteKey != "from a file" || p.BaseScheme != "https" || p.BaseHost != "wiki.example" || !p.BlockDisablesLogin || p.Release != validator.Release147 ||
		p.TimestampWindow != 5*time.Minute || p.MaxFormSize != 8<<20 || p.MaxBodySize != 32<<20 || p.ClockSkew != time.Second || p.Wiki != "enwiki" {
		t.Errorf("policy %+v", p)
	}
	if len(p.Require) != 1 || p.Require[0].Kind != validator.RequireConsumer || !slices.Equal(p.Require[0].Values, []string{"0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"}) {
		t.Errorf("require %+v", p.Require)
	}
	if h.cfg.site.Cache.Size != 64<<20 || h.cfg.site.Cache.TTL != time.Minute || h.cfg.site.Cache.NegativeTTL != 5*time.Second || h.cfg.site.Cache.MaxStale != 5*time.Minute || h.cfg.site.NonceMemory != 192<<20 {
		t.Errorf("cache %+v, nonces %d", h.cfg.site.Cache, h.cfg.site.NonceMemory)
	}
	if d := h.cfg.site.Database; d.QueryTimeout != 2*time.Second || d.MaxOpenConns != 16 || d.ConnMaxLifetime != 5*time.Minute {
		t.Error("the store's settings have other defaults")
	}
	if h.cfg.site.Database.Driver != "sqlite" || h.cfg.site.Policy.Rules != validator.Standard || h.cfg.site.Policy.Users != validator.LocalUsers {
		t.Errorf("policy %+v", h.cfg.site.Policy)
	}
	for value, want := range map[any][2]bool{true: {true, false}, false: {false, false}, "on": {true, false}, "sitewide": {true, true}, "off": {false, false}} {
		if p := mustLoad(t, map[string]any{"block_disables_login": value}).cfg.site.Policy; p.BlockDisablesLogin != want[0] || p.OnlySitewideBlocks != want[1] {
			t.Errorf("block_disables_login %v: %v, only sitewide %v", value, p.BlockDisablesLogin, p.OnlySitewideBlocks)
		}
	}
	if h = mustLoad(t, map[string]any{"block_disables_login": false}); h.cfg.site.Policy.BlockDisablesLogin || h.cfg.site.Served[0].Policy.SiteKey != "" {
		t.Errorf("policy %+v", h.cfg.site.Policy)
	}
}

func TestModeStripNeedsNothing(t *testing.T) {
	emptied(t)
	if _, err := load(t, `{"mode": "strip", "secret_key": "{env.OAUTH_TEST_NOWHERE}"}`); err != nil {
		t.Error(err)
	}
	if pools.InUse() != [3]int{} {
		t.Error("something was taken from a pool")
	}
	if _, err := load(t, `{"mode": "strip", "headers": "Content-"}`); err == nil || !strings.Contains(err.Error(), "headers: ") {
		t.Errorf("error %v", err)
	}
}

func TestUnknownJSON(t *testing.T) {
	if _, err := load(t, withDefaults(t, map[string]any{"colour": "red"})); err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("error %v", err)
	}
}

// emptied waits until what earlier tests took is given back.
func emptied(tb testing.TB) {
	tb.Helper()
	eventually(tb, func() bool { return pools.InUse() == [3]int{} })
}

// eventually waits for what another goroutine does.
func eventually(tb testing.TB, done func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			tb.Fatal(errors.New("it did not happen"))
		case <-time.After(time.Millisecond):
		}
	}
}

func TestReleases(t *testing.T) {
	for release := validator.Release135; release <= validator.Release147; release++ {
		h := mustLoad(t, map[string]any{"mediawiki": release.String()})
		if got := h.cfg.site.Served[0]; got.Policy.Release != release || got.Tables.Release != release {
			t.Errorf("%v: the rules of %v, the tables of %v", release, got.Policy.Release, got.Tables.Release)
		}
	}
}

// MediaWiki does not refuse blocked users unless it is told to; an operator's
// word counts under either rules.
func TestRulesOfMediaWiki(t *testing.T) {
	for _, test := range []struct {
		more   map[string]any
		rules  validator.Rules
		blocks bool
	}{
		{nil, validator.Standard, true},
		{map[string]any{"block_disables_login": false}, validator.Standard, false},
		{map[string]any{"rules": "mediawiki"}, validator.MediaWiki, false},
		{map[string]any{"rules": "mediawiki", "block_disables_login": true}, validator.MediaWiki, true},
	} {
		h := mustLoad(t, test.more)
		if h.cfg.site.Policy.Rules != test.rules || h.cfg.site.Policy.BlockDisablesLogin != test.blocks {
			t.Errorf("%v: policy %+v", test.more, h.cfg.site.Policy)
		}
	}
	h := mustLoad(t, map[string]any{"rules": "mediawiki", "base_url": "//Wiki.example:8080"})
	if h.cfg.site.Policy.BaseScheme != "" || h.cfg.site.Policy.BaseHost != "wiki.example:8080" {
		t.Errorf("policy %+v", h.cfg.site.Policy)
	}
}

// From 1.42 on a $wgOAuthSecretKey of "0" is taken as it is, and is no key to PHP.
func TestSecretKeyOfZero(t *testing.T) {
	h := mustLoad(t, map[string]any{"secret_key": "0", "mediawiki": "1.42"})
	if key := h.cfg.site.Served[0].Policy.SiteKey; key != "" {
		t.Errorf("key %q, want none", key)
	}
	for _, want := range []string{"00", "0.0"} {
		h := mustLoad(t, map[string]any{"secret_key": want, "mediawiki": "1.41"})
		if key := h.cfg.site.Served[0].Policy.SiteKey; key != want {
			t.Errorf("key %q, want %q", key, want)
		}
	}
}

func TestCentralAuth(t *testing.T) {
	emptied(t)
	t.Setenv("OAUTH_TEST_CENTRAL", "centralauth")
	mysql := map[string]any{"driver": "mysql", "dsn": "u:p@tcp(db)/w", "oauth_database": "meta", "replicas": []string{"u:p@tcp(db2)/w"}}
	h := mustLoad(t, map[string]any{
		"store": mysql, "users": map[string]any{"source": "centralauth", "database": "{env.OAUTH_TEST_CENTRAL}"},
	})
	if h.cfg.site.Policy.Users != validator.CentralAuth || h.cfg.site.Tables.Users != validator.CentralAuth || h.cfg.site.Tables.CentralAuthDatabase != "centralauth" || h.cfg.site.CentralAuth != nil {
		t.Errorf("wiki %+v", h.cfg.site.Tables)
	}
	mustLoad(t, map[string]any{"users": map[string]any{"source": "centralauth"}}) // all in one file

	before := pools.InUse()
	h = mustLoad(t, map[string]any{
		"store": mysql, "users": map[string]any{"source": "centralauth", "database": "centralauth", "dsn": "u:p@tcp(central)/centralauth"},
	})
	if c := h.cfg.site.CentralAuth; c == nil || c.Replicas != nil || c.OAuthDatabase != "" || c.MaxOpenConns != h.cfg.site.Database.MaxOpenConns {
		t.Error("the other server is not reached as the store is")
	}
	if got := pools.InUse()[0]; got != before[0]+1 { // the store is there already
		t.Errorf("%d databases, %d before", got, before[0])
	}
	if h.cfg.site.Database.DSN == h.cfg.site.CentralAuth.DSN {
		t.Error("two servers share their connections")
	}
}

// TestSharedIDs has a wiki whose OAuth tables are its own, with central ids.
func TestSharedIDs(t *testing.T) {
	for _, shared := range []bool{false, true} {
		h := mustLoad(t, map[string]any{"users": map[string]any{"source": "local", "shared_ids": shared}})
		if h.cfg.site.Policy.SharedUserIDs != shared || h.cfg.site.Policy.Users != validator.LocalUsers {
			t.Errorf("shared_ids %v: policy %+v", shared, h.cfg.site.Policy)
		}
	}
}
