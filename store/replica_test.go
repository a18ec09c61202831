package store_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// servers are SQLite files of the same tables. The user's name in each says
// which of them answered.
type servers struct {
	dsn      map[string]string
	known    validator.Key // a token that all have
	fresh    validator.Key // a token that only the primary has
	missing  string        // a file that is not there
	observed *observer
}

type observer struct {
	mu           sync.Mutex
	good, failed int
}

func (o *observer) observe(d time.Duration, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d <= 0 {
		panic("a query took no time")
	}
	if err != nil {
		o.failed++
	} else {
		o.good++
	}
}

func (o *observer) counts() [2]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return [2]int{o.good, o.failed}
}

func newServers(t *testing.T) servers {
	t.Helper()
	s := servers{dsn: map[string]string{}, missing: filepath.Join(t.TempDir(), "missing"), observed: &observer{}}
	c := wikidb.NewConsumer(1, 1)
	a, fresh := wikidb.NewAcceptance(1, c, 1), wikidb.NewAcceptance(2, c, 2)
	for _, name := range []string{"primary", "one", "two"} {
		w := storetest.Named(t, "SQLite 1.39").Open(t)
		w.Insert(t, c, a, wikidb.User{ID: 1, Name: name})
		if name == "primary" {
			w.Insert(t, fresh, wikidb.User{ID: 2, Name: name + " fresh"})
		}
		s.dsn[name] = w.Config.DSN
	}
	s.known = validator.Key{Protocol: validator.OAuth1, Consumer: c.Key, Token: a.Token}
	s.fresh = validator.Key{Protocol: validator.OAuth1, Consumer: c.Key, Token: fresh.Token}
	return s
}

func (s servers) open(t *testing.T, primary string, replicas ...string) (*store.Pool, *store.Store) {
	t.Helper()
	pool, err := store.Open(store.Config{
		Driver: "sqlite", DSN: primary, Replicas: replicas, Observe: s.observed.observe, QueryTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool, pool.Wiki(store.Wiki{Release: validator.Release139})
}

func lookUpName(t *testing.T, s *store.Store, key validator.Key) string {
	t.Helper()
	facts, err := s.Lookup(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if facts.User == nil {
		return "nobody"
	}
	return facts.User.Name
}

func TestReplicasInTurn(t *testing.T) {
	s := newServers(t)
	_, st := s.open(t, s.dsn["primary"], s.dsn["one"], s.dsn["two"])
	seen := map[string]int{}
	for range 10 {
		seen[lookUpName(t, st, s.known)]++
	}
	if want := map[string]int{"one": 5, "two": 5}; !reflect.DeepEqual(seen, want) {
		t.Errorf("asked %v, want %v", seen, want)
	}
	if got := s.observed.counts(); got != [2]int{10, 0} {
		t.Errorf("observed %v", got)
	}
}

// A lookup of what was changed a moment ago goes to the primary alone.
func TestChangedIsAskedOfThePrimary(t *testing.T) {
	s := newServers(t)
	_, wiki := s.open(t, s.dsn["primary"], s.dsn["one"])
	key := s.known
	key.Primary = true
	for range 3 {
		if name := lookUpName(t, wiki, key); name != "primary" {
			t.Errorf("%s answered", name)
		}
	}
}

func TestMissingOnReplicaIsAskedOfThePrimary(t *testing.T) {
	s := newServers(t)
	_, st := s.open(t, s.dsn["primary"], s.dsn["one"], s.dsn["two"])
	if got := lookUpName(t, st, s.fresh); got != "primary fresh" {
		t.Errorf("a fresh token is that of %q", got)
	}
	if got := s.observed.counts(); got != [2]int{2, 0} {
		t.Errorf("observed %v, want one replica and the primary", got)
	}
}

func TestMissingWhileThePrimaryIsDown(t *testing.T) {
	s := newServers(t)
	_, st := s.open(t, s.missing, s.dsn["one"])
	for range 5 {
		if got := lookUpName(t, st, s.fresh); got != "nobody" {
			t.Errorf("got %q", got)
		}
	}
	if got := s.observed.counts(); got != [2]int{5, 1} {
		t.Errorf("observed %v, want the primary asked once: it rests", got)
	}
}

func TestFailedReplicaRests(t *testing.T) {
	s := newServers(t)
	pool, st := s.open(t, s.dsn["primary"], s.missing, s.dsn["two"])
	now := time.Now()
	pool.SetClock(func() time.Time { return now })
	for range 6 {
		if got := lookUpName(t, st, s.known); got != "two" {
			t.Errorf("got %q", got)
		}
	}
	if got := s.observed.counts(); got != [2]int{6, 1} {
		t.Errorf("observed %v, want one failure", got)
	}
	now = now.Add(4900 * time.Millisecond)
	lookUpName(t, st, s.known)
	lookUpName(t, st, s.known)
	if got := s.observed.counts(); got != [2]int{8, 1} {
		t.Errorf("after 4.9 s: observed %v, want no other failure", got)
	}
	now = now.Add(200 * time.Millisecond)
	lookUpName(t, st, s.known)
	lookUpName(t, st, s.known)
	if got := s.observed.counts(); got != [2]int{10, 2} {
		t.Errorf("after 5.1 s: observed %v, want one more failure", got)
	}
}

func TestAllReplicasFail(t *testing.T) {
	s := newServers(t)
	_, st := s.open(t, s.dsn["primary"], s.missing, s.missing+"2")
	if got := lookUpName(t, st, s.known); got != "primary" {
		t.Errorf("got %q", got)
	}
	_, st = s.open(t, s.missing+"3", s.missing, s.missing+"2")
	_, err := st.Lookup(t.Context(), s.known)
	if err == nil {
		t.Fatal("no error, with no server")
	}
	for _, want := range []string{s.missing + ")", s.missing + "2)", s.missing + "3)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	// All rest now, and the primary is asked all the same.
	before := s.observed.counts()
	if _, err := st.Lookup(t.Context(), s.known); err == nil || s.observed.counts()[1] != before[1]+1 {
		t.Errorf("with all servers resting: %v, observed %v after %v", err, s.observed.counts(), before)
	}
}

func TestCallerLeaves(t *testing.T) {
	s := newServers(t)
	_, st := s.open(t, s.dsn["primary"], s.dsn["one"])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := st.Lookup(ctx, s.known); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := lookUpName(t, st, s.known); got != "one" {
		t.Errorf("the replica rests because a caller left: %q answered", got)
	}
}

func TestClosedPool(t *testing.T) {
	s := newServers(t)
	pool, st := s.open(t, s.dsn["primary"], s.dsn["one"])
	lookUpName(t, st, s.known)
	for range 2 {
		if err := pool.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if facts, err := st.Lookup(t.Context(), s.known); err == nil {
		t.Errorf("a closed pool found %+v", facts)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestStrangersDoNotReachThePrimary counts what a flood of random tokens asks
// of the primary.
func TestStrangersDoNotReachThePrimary(t *testing.T) {
	for name, test := range map[string]struct {
		consumer string // empty: random ones
		clients  int
		most     int
	}{
		"random consumers":             {"", 1, 20},
		"a known consumer":             {"known", 1, 40},
		"random consumers, many hosts": {"", 1000, 400},
		"a known consumer, many hosts": {"known", 1000, 420},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServers(t)
			pool, st := s.open(t, s.dsn["primary"], s.dsn["one"])
			now := time.Now()
			pool.SetClock(func() time.Time { return now })
			for range 10 {
				if got := lookUpName(t, st, s.known); got != "one" {
					t.Fatalf("%q answered", got)
				}
			}
			before := s.observed.counts()[0]
			const flood = 3000
			for i := range flood {
				key := validator.Key{Protocol: validator.OAuth1, Consumer: wikidb.RandomHex(16), Token: wikidb.RandomHex(16)}
				if test.consumer != "" {
					key.Consumer = s.known.Consumer
				}
				client := i % test.clients
				key.Client = netip.AddrFrom4([4]byte{192, 0, byte(client >> 8), byte(client)})
				if _, err := st.Lookup(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			}
			primary := s.observed.counts()[0] - before - flood
			if primary > test.most {
				t.Errorf("%d of %d lookups reached the primary, want at most %d", primary, flood, test.most)
			}
			// Another client's new token still works at once.
			now = now.Add(10 * time.Second)
			fresh := s.fresh
			fresh.Client = netip.MustParseAddr("203.0.113.9")
			if got := lookUpName(t, st, fresh); got != "primary fresh" {
				t.Errorf("a fresh token is that of %q", got)
			}
		})
	}
}
