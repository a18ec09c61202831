package gateway

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// settingsOf resolves a configuration.
func settingsOf(tb testing.TB, h *Handler) *settings {
	tb.Helper()
	s, err := complete(tb, h).resolve()
	if err != nil {
		tb.Fatal(err)
	}
	return &s
}

func open(tb testing.TB, s *settings) *lease {
	tb.Helper()
	l, err := s.open(zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func (l *lease) keys() []string {
	var all []string
	for _, t := range l.taken {
		all = append(all, t.key)
	}
	return all
}

// What two configurations share depends on every setting that it is made from, and on no other.
func TestWhatIsShared(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wiki.sqlite")
	base := func() *Handler { return &Handler{Store: &Store{Driver: "mysql", DSN: "u:p@tcp(db)/wiki"}} }
	for _, test := range []struct {
		name                    string
		change                  func(h *Handler)
		database, cache, nonces bool // shared
	}{
		{"nothing", func(*Handler) {}, true, true, true},
		{"realm", func(h *Handler) { h.Realm = "other" }, true, true, true},
		{"secret_key", func(h *Handler) { h.SecretKey = "other" }, true, true, true},
		{"table_prefix", func(h *Handler) { h.Store.TablePrefix = "mw_" }, true, true, true},
		{"driver", func(h *Handler) { h.Store = &Store{Driver: "sqlite", DSN: file} }, false, true, false},
		{"password", func(h *Handler) { h.Store.DSN = "u:q@tcp(db)/wiki" }, false, true, true},
		{"user", func(h *Handler) { h.Store.DSN = "v:p@tcp(db)/wiki" }, false, true, true},
		{"server", func(h *Handler) { h.Store.DSN = "u:p@tcp(db2)/wiki" }, false, true, true},
		{"database", func(h *Handler) { h.Store.DSN = "u:p@tcp(db)/other" }, false, true, false},
		{"database, the same OAuth tables", func(h *Handler) { h.Store.DSN, h.Store.OAuthDatabase = "u:p@tcp(db)/other", "wiki" }, false, true, true},
		{"oauth_database", func(h *Handler) { h.Store.OAuthDatabase = "central" }, false, true, false},
		{"replica", func(h *Handler) { h.Store.Replicas = []string{"u:p@tcp(db2)/wiki"} }, false, true, true},
		{"tls", func(h *Handler) { h.Store.TLS = &TLS{ServerName: "db"} }, false, true, true},
		{"query_timeout", func(h *Handler) { h.Store.QueryTimeout = 1e9 }, false, true, true},
		{"conn_max_lifetime", func(h *Handler) { h.Store.ConnMaxLifetime = 1e9 }, false, true, true},
		{"max_open_conns", func(h *Handler) { h.Store.MaxOpenConns = 1 }, false, true, true},
		{"cache size", func(h *Handler) { h.Cache = &Cache{Size: 2 << 20} }, true, false, true},
		{"cache ttl", func(h *Handler) { h.Cache = &Cache{TTL: 1e9} }, true, false, true},
		{"cache negative_ttl", func(h *Handler) { h.Cache = &Cache{NegativeTTL: 1e9} }, true, false, true},
		{"cache max_stale", func(h *Handler) { h.Cache = &Cache{MaxStale: 1e9} }, true, false, true},
		{"nonces size", func(h *Handler) { h.Nonces = &Nonces{Size: 2 << 20} }, true, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := base()
			one := open(t, settingsOf(t, base()))
			defer one.release()
			// complete sets the same required settings for both: change after it
			complete(t, changed)
			test.change(changed)
			s, err := changed.resolve()
			if err != nil {
				t.Fatal(err)
			}
			two := open(t, &s)
			defer two.release()
			for i, want := range []bool{test.database, test.cache, test.nonces} {
				if shared := one.keys()[i] == two.keys()[i]; shared != want {
					t.Errorf("%s shared: %v", []string{"database", "cache", "nonces"}[i], shared)
				}
			}
		})
	}
}

func TestTheFilesOfTLSMatter(t *testing.T) {
	s := settingsOf(t, &Handler{})
	before := s.databaseKey(s.database)
	s.databaseFiles = []string{"a new certificate under the old name"}
	if s.databaseKey(s.database) == before {
		t.Error("the same key")
	}
}

func TestPoolKeysTellNothing(t *testing.T) {
	l := open(t, settingsOf(t, &Handler{Store: &Store{Driver: "mysql", DSN: "u:hunter2@tcp(db)/wiki"}}))
	defer l.release()
	for _, key := range l.keys() {
		if len(key) != 32 || strings.Contains(key, "hunter") {
			t.Errorf("key %q", key)
		}
	}
	if key("a", "bc") == key("a", "b", "c") || key("a", "bc") == key("ab", "c") {
		t.Error("parts run into each other")
	}
	// Who knows all but a password could try some, if another process gave the same keys.
	defer func(own []byte) { processKey = own }(processKey)
	before := key("a")
	if processKey = make([]byte, len(processKey)); key("a") == before {
		t.Error("a key can be computed outside of the process")
	}
}

func TestTheFirstSizeOfNoncesStays(t *testing.T) {
	h := &Handler{}
	s := settingsOf(t, h)
	first := open(t, s)
	defer first.release()
	other := *s
	other.nonces = 2 << 20
	var logs bytes.Buffer
	second, err := other.open(zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logs), zapcore.WarnLevel)))
	if err != nil {
		t.Fatal(err)
	}
	defer second.release()
	if !strings.Contains(logs.String(), `"size":201326592,"size_configured":2097152`) {
		t.Errorf("logged %s", &logs)
	}
}

// held is a core whose requests wait.
type held struct{ entered, leave chan struct{} }

func (h held) Verify(context.Context, validator.Request) validator.Decision {
	h.entered <- struct{}{}
	<-h.leave
	return allow()
}

// Caddy cleans up a configuration while its requests still run, and others are still on their way to us.
func TestCleanupUnderLoad(t *testing.T) {
	before := emptied(t)
	h := mustLoad(t, nil)
	s := &shell{Handler: h}
	s.next = func(http.ResponseWriter, *http.Request) error { return nil }
	h.log = outcome.NewLog(zap.NewNop())
	l := h.lease.Load()
	core := held{make(chan struct{}), make(chan struct{})}
	l.verifiers = map[string]verifier{"enwiki": core}

	var running sync.WaitGroup
	for range 5 {
		running.Go(func() {
			one := &shell{Handler: h, next: s.next}
			if _, err := one.serve(t, get("/")); err != nil {
				t.Error(err)
			}
		})
		<-core.entered
	}
	if err := h.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(pooled(), before) {
		t.Error("the pools were given back while requests are inside")
	}
	late, err := h.enter() // a request that comes to us after the cleanup
	if err != nil || late == l {
		t.Fatalf("error %v", err)
	}
	for range 5 {
		core.leave <- struct{}{}
	}
	running.Wait()
	if slices.Equal(pooled(), before) {
		t.Error("the pools were given back while the late request is inside")
	}
	late.release()
	eventually(t, func() bool { return slices.Equal(pooled(), before) })

	again, err := h.enter()
	if err != nil {
		t.Fatal(err)
	}
	again.release()
	eventually(t, func() bool { return slices.Equal(pooled(), before) })
	if err := h.Cleanup(); err != nil {
		t.Error(err)
	}
}

// A nonce that was used before a reload is used after it, whatever else the reload changes.
func TestNoncesOutliveAReload(t *testing.T) {
	store := &Store{Driver: "sqlite", DSN: filepath.Join(t.TempDir(), "wiki.sqlite")}
	old := open(t, settingsOf(t, &Handler{Store: store}))
	fresh := open(t, settingsOf(t, &Handler{Store: store, Realm: "new", Cache: &Cache{Size: 2 << 20}}))
	if old.keys()[2] != fresh.keys()[2] {
		t.Fatal("another memory")
	}
	memory, _, _ := nonceMemories.LoadOrNew(old.keys()[2], nil)
	old.release()
	kept, _, _ := nonceMemories.LoadOrNew(fresh.keys()[2], nil)
	if memory != kept {
		t.Error("the memory was made anew")
	}
	for range 2 {
		if _, err := nonceMemories.Delete(fresh.keys()[2]); err != nil {
			t.Error(err)
		}
	}
	fresh.release()
}
