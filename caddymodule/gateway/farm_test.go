package gateway

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache"
	"github.com/caddy-mwoauth/caddy-mwoauth/cache/nonces"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// farm is a configuration of wikis that the host's first label names, unless
// the test says otherwise.
func farm(wikis map[string]config.Wiki) *Handler {
	return &Handler{Wiki: "{http.request.host}", Wikis: wikis}
}

// asking is a store that notes for which wikis it is asked.
type asking struct{ wikis []string }

func (a *asking) Lookup(_ context.Context, key validator.Key) (validator.Facts, error) {
	a.wikis = append(a.wikis, key.Wiki)
	return validator.Facts{}, nil
}

// signedFor is a request that is worth a lookup.
func signedFor(tb testing.TB, host string) *http.Request {
	tb.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = host
	header, err := sign.Header(sign.Credentials{
		ConsumerKey: strings.Repeat("a", 32), ConsumerSecret: "b", Token: strings.Repeat("c", 32), TokenSecret: "d",
	}, r.Method, "http://wiki.example/", nil, sign.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Authorization", header)
	return r
}

// A Host header never chooses a database: what is not configured gets to no
// cache and no store.
func TestHostHeaderChoosesTheWiki(t *testing.T) {
	h := farm(map[string]config.Wiki{"enwiki": {}, "dewiki": {}})
	s := newShell(t, h, validator.Decision{})
	tables := new(asking)
	memory, err := cache.New(cache.Config{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	served := map[string]pools.Wiki{}
	for _, w := range h.cfg.site.Served {
		served[w.Tables.ID] = pools.Wiki{Verifier: validator.New(w.Policy, memory.Store(tables, w.Tables.ID, nil), nonces.New(nonces.Config{Size: 1 << 20}), validator.NewJWT(nil, w.Policy))}
	}
	h.lease.Store(pools.NewLease(served))
	for i, host := range []string{
		strings.Repeat("enwiki", 100000), "\xff", "enwiki\x00", "*", "", "mysql", "information_schema", "frwiki", "ENWIKI", "enwiki.", "enwiki/../mysql",
		"enwiki`", " enwiki", "x'y", "{http.request.host}", "{enwiki}", "enwiki,dewiki", strings.Repeat("a", 65),
	} {
		before := memory.Stats()
		response, err := s.serve(t, signedFor(t, host))
		if err != nil {
			t.Fatal(err)
		}
		if got := problemIn(t, response); response.StatusCode != http.StatusForbidden || got.Reason != "unknown_wiki" {
			t.Errorf("%.20q: %d %s", host, response.StatusCode, got.Reason)
		}
		if s.passed != nil || len(tables.wikis) > 0 || !slices.Equal(before, memory.Stats()) {
			t.Errorf("%.20q: passed %v, asked %q, cache %v", host, s.passed != nil, tables.wikis, memory.Stats())
		}
		if line := s.logs.String(); i < 10 && !strings.Contains(line, `"reason":"unknown_wiki"`) || len(line) > 500 || strings.Contains(line, "\xff") {
			t.Errorf("%.20q: logged %.600s", host, line)
		}
		s.logs.Reset()
	}
	for _, host := range []string{"enwiki", "dewiki"} {
		response, err := s.serve(t, signedFor(t, host))
		if err != nil {
			t.Fatal(err)
		}
		if got := problemIn(t, response); got.Reason != "unknown_consumer" {
			t.Errorf("%s: %s", host, got.Reason)
		}
		if !strings.Contains(s.logs.String(), `"wiki":"`+host+`"`) {
			t.Errorf("%s: logged %s", host, s.logs)
		}
	}
	if !slices.Equal(tables.wikis, []string{"enwiki", "dewiki"}) {
		t.Errorf("asked for %q", tables.wikis)
	}
}

// A request without a credential is no less for an unknown wiki.
func TestUnknownWikiWithoutCredentials(t *testing.T) {
	for _, mode := range []string{modeRequired, modeOptional} {
		h := farm(map[string]config.Wiki{"enwiki": {}})
		h.Mode = mode
		s := newShell(t, h, anonymous)
		r := httptest.NewRequest(http.MethodOptions, "/", nil)
		r.Header["Origin"], r.Header["Access-Control-Request-Method"] = []string{"https://x"}, []string{"PUT"}
		r.Host = "dewiki"
		response, err := s.serve(t, r)
		if err != nil || problemIn(t, response).Reason != "unknown_wiki" || s.passed != nil || len(s.core.asked) > 0 {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestWhatNamesTheWiki(t *testing.T) {
	for _, test := range []struct {
		placeholder string
		prepare     func(r *http.Request)
	}{
		{"{http.request.host.labels.2}", func(r *http.Request) { r.Host = "enwiki.wiki.example" }},
		{"{http.vars.wiki}", func(r *http.Request) { caddyhttp.SetVar(r.Context(), "wiki", "enwiki") }},
		{"{http.request.uri.path.0}", func(*http.Request) {}},
	} {
		h := farm(map[string]config.Wiki{"enwiki": {}})
		h.Wiki = test.placeholder
		s := newShell(t, h, anonymous)
		outer := newShell(t, &Handler{Mode: modeStrip}, validator.Decision{})
		outer.next = func(w http.ResponseWriter, r *http.Request) error {
			test.prepare(r)
			return s.ServeHTTP(w, r, s.next)
		}
		if _, err := outer.serve(t, get("/enwiki/x")); err != nil {
			t.Fatal(err)
		}
		if len(s.core.asked) != 1 {
			t.Errorf("%s: the wiki is not found", test.placeholder)
		}
	}
}

// Each wiki has what it says, and else what the directive says.
func TestWikisOfAFarm(t *testing.T) {
	t.Setenv("OAUTH_TEST_WIKI", "dewiki")
	h := farm(map[string]config.Wiki{
		"dewiki":   {Database: "{env.OAUTH_TEST_WIKI}", TablePrefix: "de_", MediaWiki: "1.43", BaseURL: "https://de.example", DSN: "u:p@tcp(db2)/x"},
		"enwiki":   {},
		"frwiki":   {DSN: "u:p@tcp(db2)/x"},
		"metawiki": {Database: "metawiki"},
	})
	h.Store = &config.Store{Driver: "mysql", DSN: "u:p@tcp(db1)/enwiki", TablePrefix: "mw_", OAuthDatabase: "metawiki"}
	h.BaseURL = "//wiki.example"
	h.SecretKey, h.MediaWiki = "0", "1.42"
	s, err := h.resolve()
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		id, database, prefix, scheme, host string
		release                            validator.Release
		apart                              bool
	}
	var got []seen
	for _, w := range s.site.Served {
		if prefix := w.Tables.OAuthTablePrefix; (prefix != nil) != (w.Tables.ID == "dewiki") || prefix != nil && *prefix != "mw_" {
			t.Errorf("%s: prefix of the OAuth tables", w.Tables.ID)
		}
		if w.Tables.ID != w.Policy.Wiki || w.Tables.Release != w.Policy.Release || w.Policy.SiteKey != "" || !w.Policy.BlockDisablesLogin {
			t.Errorf("%+v", w)
		}
		got = append(got, seen{w.Tables.ID, w.Tables.Database, w.Tables.TablePrefix, w.Policy.BaseScheme, w.Policy.BaseHost, w.Policy.Release, w.Server != nil})
	}
	want := []seen{
		{"dewiki", "dewiki", "de_", "https", "de.example", validator.Release143, true},
		{"enwiki", "", "mw_", "", "wiki.example", 42, false},
		{"frwiki", "", "mw_", "", "wiki.example", 42, true},
		{"metawiki", "metawiki", "mw_", "", "wiki.example", 42, false},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if s.site.PolicyOf("dewiki").Release != validator.Release143 || s.site.PolicyOf("frwiki").Release != 42 || s.site.PolicyOf("mysql").Release != 42 {
		t.Error("releases")
	}
	emptied(t)
	l, err := pools.Open(&s.site, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if inUse := pools.InUse(); inUse != [3]int{2, 1, 1} || len(l.Wikis) != 4 {
		t.Errorf("%v in use, %d wikis: the wikis of one server do not share their connections", inUse, len(l.Wikis))
	}
}

func TestWikisThatShareTheirTables(t *testing.T) {
	resolved := func(wikis map[string]config.Wiki) *settings {
		h := farm(wikis)
		h.Store = &config.Store{Driver: "mysql", DSN: "u:p@tcp(db1)/enwiki"}
		return settingsOf(t, h)
	}
	if one, other, found := resolved(map[string]config.Wiki{"a": {Database: "a"}, "b": {}, "c": {}}).site.SharedTables(); !found || one != "b" || other != "c" {
		t.Errorf("%s and %s", one, other)
	}
	if one, other, found := resolved(map[string]config.Wiki{
		"a": {Database: "a"}, "b": {}, "c": {TablePrefix: "c_"}, "d": {DSN: "u@tcp(db)/x"}, "e": {DSN: "u@tcp(db)/y"},
	}).site.SharedTables(); found {
		t.Errorf("%s and %s", one, other)
	}
}

// Three hundred wikis are made in no time, and found by one look.
func TestThreeHundredWikis(t *testing.T) {
	wikis := map[string]config.Wiki{}
	for i := range 300 {
		wikis[fmt.Sprintf("wiki%d", i)] = config.Wiki{Database: fmt.Sprintf("wiki%d", i)}
	}
	h := farm(wikis)
	h.Store = &config.Store{Driver: "mysql", DSN: "u:p@tcp(db1)/meta"}
	s := settingsOf(t, h)
	var logs bytes.Buffer
	emptied(t)
	l, err := pools.Open(&s.site, zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logs), zapcore.DebugLevel)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if inUse := pools.InUse(); inUse != [3]int{1, 1, 1} || len(l.Wikis) != 300 || logs.Len() > 0 {
		t.Errorf("%v in use, %d wikis, logged %s", inUse, len(l.Wikis), &logs)
	}
	identities := map[string]bool{}
	pool, err := store.Open(s.site.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	for _, w := range s.site.Served {
		identities[pool.Wiki(w.Tables).Identity()] = true
	}
	if len(identities) != 300 {
		t.Errorf("%d identities: wikis would be answered by another's entry", len(identities))
	}
}

// Through Caddy, over a database: the two wikis of one user each answer for themselves, whichever comes first.
func TestFarmThroughCaddy(t *testing.T) {
	s := newSite(t)
	s.wiki = `{asked} {
			testwiki {
				base_url http://test.example
			}
			otherwiki {
				dsn ` + filepath.Join(s.dir, "wiki.sqlite") + `
				mediawiki 1.46
			}
			lost {
				dsn ` + filepath.Join(s.dir, "nowhere.sqlite") + `
			}
		}`
	s.load(t, "", "map {http.request.header.X-Wiki} {asked} {\ntest testwiki\nother otherwiki\n~^(lost|mysql)$ $1\n}")
	for _, test := range []struct {
		wiki, url string
		status    int
		want      string
	}{
		{"test", "http://test.example/", 200, "testwiki"},
		{"other", "http://test.example/", 401, "bad_signature"},
		{"other", "http://" + s.address + "/", 200, "otherwiki"},
		{"test", "http://" + s.address + "/", 401, "bad_signature"},
		{"lost", "http://" + s.address + "/", 503, "store_unavailable"},
		{"mysql", "http://" + s.address + "/", 403, "unknown_wiki"},
		{"", "http://" + s.address + "/", 403, "unknown_wiki"},
	} {
		r := s.signed(t, http.MethodGet, "/", nil)
		header, err := sign.Header(s.credentials, http.MethodGet, test.url, nil, sign.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		r.Header.Set("X-Wiki", test.wiki)
		s.seen.Store(nil)
		response, body := do(t, r)
		got := body
		if seen := s.seen.Load(); seen != nil {
			got = seen.Header.Get("X-OAuth-Wiki")
		}
		if response.StatusCode != test.status || !strings.Contains(got, test.want) {
			t.Errorf("%s, signed for %s: %d %s", test.wiki, test.url, response.StatusCode, got)
		}
	}
}

// Through Caddy: whose id it is says CentralAuth's own server, and nobody else when it is down.
func TestCentralAuthThroughCaddy(t *testing.T) {
	s := newSite(t)
	central := filepath.Join(s.dir, "central.sqlite")
	db, err := sql.Open("sqlite", central)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, statement := range append(
		wikidb.CentralAuthSchema(wikidb.SQLite, validator.Release147, ""),
		"INSERT INTO globaluser (gu_id, gu_name, gu_locked, gu_hidden_level) VALUES (7, 'Global', 0, 0)",
		"INSERT INTO localuser (lu_wiki, lu_name) VALUES ('testwiki', 'Global')",
	) {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for dsn, want := range map[string]string{central: "200 Global", filepath.Join(s.dir, "nowhere.sqlite"): "503 "} {
		s.load(t, "users centralauth {\ndsn "+dsn+"\n}", "")
		s.seen.Store(nil)
		response, _ := do(t, s.signed(t, http.MethodGet, "/", nil))
		name := ""
		if seen := s.seen.Load(); seen != nil {
			name = seen.Header.Get("X-OAuth-User-Name")
		}
		if got := fmt.Sprint(response.StatusCode, " ", name); got != want {
			t.Errorf("%s: got %q, want %q", filepath.Base(dsn), got, want)
		}
	}
}
