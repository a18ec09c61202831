package cache

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// held returns a store that answers when the test ends, and knows the consumer "c".
func held(gate chan struct{}) *fakeStore {
	return &fakeStore{lookup: func(ctx context.Context, k validator.Key) (validator.Facts, error) {
		<-gate
		return answering(true).lookup(ctx, k)
	}}
}

func address(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// The bound of strangers is the pool's: all sites and wikis share it.
func TestStrangersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		next := held(gate)
		a := NewAdmission()
		caches := []*Cache{newCache(t, config()), newCache(t, config())}
		for _, c := range caches {
			defer c.Close()
		}
		known := answering(true)
		s := caches[0].Store(known, "wiki 0", a.Servers("db"))
		mustLookup(t, s, key(-1))
		time.Sleep(config().TTL)
		known.lookup = next.lookup

		asked := func(s validator.Store, k validator.Key) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := s.Lookup(ctx, k)
			return err
		}
		for n := range 10 * places[stranger] {
			k := key(n)
			k.Consumer, k.Client = fmt.Sprint(n), address(n)
			go asked(caches[n%2].Store(next, fmt.Sprint("wiki ", n%8), a.Servers("db")), k) //nolint:errcheck // waits or is refused
		}
		synctest.Wait()
		wantAsked(t, next, int64(places[stranger]))
		k := key(0)
		k.Consumer, k.Client = "new", address(65000)
		if err := asked(caches[0].Store(next, "wiki 9", a.Servers("db, db2")), k); !errors.Is(err, errBusy) {
			t.Errorf("a further stranger gets %v, want %v", err, errBusy)
		}
		// A cached entry, a known consumer and another pool have places.
		for name, err := range map[string]error{
			"a cached entry":   asked(s, key(-1)),
			"a known consumer": asked(caches[1].Store(next, "wiki 0", a.Servers("db")), key(-2)),
			"another pool":     asked(caches[1].Store(next, "wiki 0", NewAdmission().Servers("db")), k),
		} {
			if name == "a cached entry" && err == nil {
				t.Errorf("%s: not read", name)
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v, want that it is asked", name, err)
			}
		}
		close(gate)
		synctest.Wait()
		if a.running != [numClasses]int{} || len(a.bySource[stranger])+len(a.bySource[acquainted]) != 0 {
			t.Errorf("%v places are not given back", a.running)
		}
	})
}

// One client does not take all places of its class, with a known consumer or
// without.
func TestAClientLeavesRoom(t *testing.T) {
	for _, class := range []class{stranger, acquainted} {
		a := NewAdmission()
		take := func(client string) bool {
			return a.take(place{class: class, source: validator.Network(netip.MustParseAddr(client))})
		}
		held := 0
		for range 2 * places[class] {
			if take(fmt.Sprintf("2001:db8::%x", held+1)) {
				held++
			}
		}
		if held != places[class]/2 {
			t.Errorf("a network holds %d places, want %d", held, places[class]/2)
		}
		for n := range 100 {
			if !take(fmt.Sprintf("::ffff:10.0.0.%d", n)) || !take(fmt.Sprintf("2001:db8:0:%x::1", n+1)) {
				t.Fatalf("client %d has no place", n)
			}
		}
	}
}

// The consumers that are known are bounded, and one who is known stays so.
func TestKnownConsumersAreBounded(t *testing.T) {
	a := NewAdmission()
	for n := range maxConsumers + 10 {
		k := validator.Key{Consumer: fmt.Sprint(n)}
		a.learn(&k)
		a.learn(&k)
		if a.classify(&k) != acquainted {
			t.Fatalf("consumer %d is not known", n)
		}
	}
	if len(a.consumers) > maxConsumers {
		t.Errorf("%d consumers, want at most %d", len(a.consumers), maxConsumers)
	}
	if a.classify(&validator.Key{Consumer: "stranger"}) != stranger {
		t.Error("a stranger is known")
	}
}

// If too many refreshes are under way, stale entries are served without
// waiting.
func TestRefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		c, next, s := warm(t, places[refresh]+10)
		defer c.Close()
		time.Sleep(c.cfg.TTL)
		next.lookup = held(gate).lookup
		answered := make(chan bool, places[refresh]+10)
		for n := range places[refresh] + 10 {
			go func() {
				_, err := s.Lookup(t.Context(), key(n))
				answered <- err == nil
			}()
		}
		synctest.Wait()
		if len(answered) != 10 || !<-answered {
			t.Errorf("%d stale entries are served, want 10", len(answered))
		}
		wantAsked(t, next, int64(places[refresh]))
		close(gate)
		synctest.Wait()
	})
}
