package pools

import (
	"bytes"
	"cmp"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/mysql"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/sqlite"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// fields are those of a module that both directives have.
type fields struct {
	Store              *config.Store
	Wiki               string
	Wikis              map[string]config.Wiki
	Users              *config.Users
	MediaWiki          string
	Rules              string
	SecretKey          string
	PublicKey          []string
	BaseURL            string
	Consumers          []config.Consumer
	BlockDisablesLogin config.Blocks
	TimestampWindow    caddy.Duration
	MaxFormSize        int64
	Cache              *config.Cache
	Nonces             *config.Nonces
	Realm              string
}

// settings resolves the fields, with the required ones that a test leaves out.
func (f *fields) settings(tb testing.TB) *config.Settings {
	tb.Helper()
	f.Wiki, f.MediaWiki, f.SecretKey = cmp.Or(f.Wiki, "enwiki"), cmp.Or(f.MediaWiki, "1.47"), cmp.Or(f.SecretKey, "none")
	if f.Store == nil {
		f.Store = &config.Store{Driver: "sqlite", DSN: filepath.Join(tb.TempDir(), "wiki.sqlite")}
	}
	r := config.NewResolver("oauth")
	s := r.Site(config.Site{
		Store: &f.Store, Wiki: &f.Wiki, Wikis: &f.Wikis, Users: &f.Users, MediaWiki: &f.MediaWiki, Rules: &f.Rules,
		SecretKey: &f.SecretKey, PublicKey: &f.PublicKey, BaseURL: &f.BaseURL, Consumers: &f.Consumers,
		BlockDisablesLogin: &f.BlockDisablesLogin, TimestampWindow: &f.TimestampWindow, MaxFormSize: &f.MaxFormSize,
		Cache: &f.Cache, Nonces: &f.Nonces, Realm: &f.Realm,
	}, validator.Policy{})
	if err := r.Err(); err != nil {
		tb.Fatal(err)
	}
	return &s
}

func open(tb testing.TB, s *config.Settings) *Lease {
	tb.Helper()
	l, err := Open(s, zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func (l *Lease) keys() []string {
	var all []string
	for _, s := range l.shares {
		all = append(all, s.key)
	}
	return all
}

// emptied waits until what earlier tests took is given back.
func emptied(tb testing.TB) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); InUse() != [3]int{}; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatal("the pools still hold something")
		}
	}
}

// What two configurations share depends on every setting that it is made from,
// and on no other.
func TestWhatIsShared(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wiki.sqlite")
	base := func() *fields { return &fields{Store: &config.Store{Driver: "mysql", DSN: "u:p@tcp(db)/wiki"}} }
	for _, test := range []struct {
		name                    string
		change                  func(h *fields)
		database, cache, nonces bool // shared
	}{
		{"nothing", func(*fields) {}, true, true, true},
		{"realm", func(h *fields) { h.Realm = "other" }, true, true, true},
		{"secret_key", func(h *fields) { h.SecretKey = "other" }, true, true, true},
		{"table_prefix", func(h *fields) { h.Store.TablePrefix = "mw_" }, true, true, true},
		{"driver", func(h *fields) { h.Store = &config.Store{Driver: "sqlite", DSN: file} }, false, true, false},
		{"password", func(h *fields) { h.Store.DSN = "u:q@tcp(db)/wiki" }, false, true, true},
		{"user", func(h *fields) { h.Store.DSN = "v:p@tcp(db)/wiki" }, false, true, true},
		{"server", func(h *fields) { h.Store.DSN = "u:p@tcp(db2)/wiki" }, false, true, true},
		{"database", func(h *fields) { h.Store.DSN = "u:p@tcp(db)/other" }, false, true, false},
		{"database, the same OAuth tables", func(h *fields) { h.Store.DSN, h.Store.OAuthDatabase = "u:p@tcp(db)/other", "wiki" }, false, true, true},
		{"oauth_database", func(h *fields) { h.Store.OAuthDatabase = "central" }, false, true, false},
		{"replica", func(h *fields) { h.Store.Replicas = []string{"u:p@tcp(db2)/wiki"} }, false, true, true},
		{"tls", func(h *fields) { h.Store.TLS = &config.TLS{ServerName: "db"} }, false, true, true},
		{"query_timeout", func(h *fields) { h.Store.QueryTimeout = 1e9 }, false, true, true},
		{"conn_max_lifetime", func(h *fields) { h.Store.ConnMaxLifetime = 1e9 }, false, true, true},
		{"max_open_conns", func(h *fields) { h.Store.MaxOpenConns = 1 }, false, true, true},
		{"cache size", func(h *fields) { h.Cache = &config.Cache{Size: 2 << 20} }, true, false, true},
		{"cache ttl", func(h *fields) { h.Cache = &config.Cache{TTL: 1e9} }, true, false, true},
		{"cache negative_ttl", func(h *fields) { h.Cache = &config.Cache{NegativeTTL: 1e9} }, true, false, true},
		{"cache max_stale", func(h *fields) { h.Cache = &config.Cache{MaxStale: 1e9} }, true, false, true},
		{"nonces size", func(h *fields) { h.Nonces = &config.Nonces{Size: 2 << 20} }, true, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := base()
			one := open(t, base().settings(t))
			defer one.Release()
			changed.settings(t) // sets the same required settings as for one: change after it
			test.change(changed)
			two := open(t, changed.settings(t))
			defer two.Release()
			for i, want := range []bool{test.database, test.cache, test.nonces} {
				if shared := one.keys()[i] == two.keys()[i]; shared != want {
					t.Errorf("%s shared: %v", []string{"database", "cache", "nonces"}[i], shared)
				}
			}
		})
	}
}

func TestTheFilesOfTLSMatter(t *testing.T) {
	s := (&fields{}).settings(t)
	before := databaseKey(s.Database, s.DatabaseFiles)
	s.DatabaseFiles = []string{"a new certificate under the old name"}
	if databaseKey(s.Database, s.DatabaseFiles) == before {
		t.Error("the same key")
	}
}

func TestPoolKeysTellNothing(t *testing.T) {
	l := open(t, (&fields{Store: &config.Store{Driver: "mysql", DSN: "u:hunter2@tcp(db)/wiki"}}).settings(t))
	defer l.Release()
	for _, key := range l.keys() {
		if len(key) != 32 || strings.Contains(key, "hunter") {
			t.Errorf("key %q", key)
		}
	}
	if Key("a", "bc") == Key("a", "b", "c") || Key("a", "bc") == Key("ab", "c") {
		t.Error("parts run into each other")
	}
	// A reader of keys who knows all but a password could try passwords, if
	// another process made the same keys.
	defer func(own []byte) { processKey = own }(processKey)
	before := Key("a")
	if processKey = make([]byte, len(processKey)); Key("a") == before {
		t.Error("a key can be computed outside of the process")
	}
}

func TestTheFirstSizeOfNoncesStays(t *testing.T) {
	h := &fields{}
	s := h.settings(t)
	first := open(t, s)
	defer first.Release()
	other := *s
	other.NonceMemory = 2 << 20
	var logs bytes.Buffer
	second, err := Open(&other, zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logs), zapcore.WarnLevel)))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	if !strings.Contains(logs.String(), `"size":201326592,"size_configured":2097152`) {
		t.Errorf("logged %s", &logs)
	}
}

// A nonce that was used before a reload is used after it, whatever else the
// reload changes.
func TestNoncesOutliveAReload(t *testing.T) {
	store := &config.Store{Driver: "sqlite", DSN: filepath.Join(t.TempDir(), "wiki.sqlite")}
	old := open(t, (&fields{Store: store}).settings(t))
	fresh := open(t, (&fields{Store: store, Realm: "new", Cache: &config.Cache{Size: 2 << 20}}).settings(t))
	if old.keys()[2] != fresh.keys()[2] {
		t.Fatal("another memory")
	}
	memory, _, _ := nonceMemories.LoadOrNew(old.keys()[2], nil)
	old.Release()
	kept, _, _ := nonceMemories.LoadOrNew(fresh.keys()[2], nil)
	if memory != kept {
		t.Error("the memory was made anew")
	}
	for range 2 {
		if _, err := nonceMemories.Delete(fresh.keys()[2]); err != nil {
			t.Error(err)
		}
	}
	fresh.Release()
}
