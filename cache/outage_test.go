package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// errorOf returns a store's error of one failure.
func errorOf(f validator.Failure) error {
	return &validator.StoreError{Failure: f, Err: errors.New(f.String() + " failed")}
}

// keysFailing returns a store that fails for the keys for which fails is not nil.
func keysFailing(fails func(k validator.Key) error) *fakeStore {
	return &fakeStore{lookup: func(ctx context.Context, k validator.Key) (validator.Facts, error) {
		if err := fails(k); err != nil {
			return validator.Facts{}, err
		}
		return answering(true).lookup(ctx, k)
	}}
}

// TestWhomAFailureStops has one client whose lookups fail three times a second,
// always with the same key or with a new one, and a new key of another wiki,
// protocol or consumer after each.
func TestWhomAFailureStops(t *testing.T) {
	other := key(0)
	otherProtocol := key(0)
	otherProtocol.Protocol = validator.OAuth2
	for _, tt := range []struct {
		failure  validator.Failure
		spread   bool // a new failing key each time
		victim   validator.Key
		otherOne bool // the victim's is another store of the same servers
		refused  bool
	}{
		{validator.KeyFailure, false, other, false, false},
		{validator.KeyFailure, true, other, false, false},
		{validator.LimitFailure, true, other, false, false},
		{validator.QueueFailure, true, other, false, false},
		{validator.ServerFailure, true, other, false, false}, // others are answered in between
		{validator.TableFailure, true, otherProtocol, false, false},
		{validator.TableFailure, true, other, true, false},
		{validator.TableFailure, true, other, false, true},
	} {
		t.Run(fmt.Sprintf("%v, spread %t, %v, other store %t", tt.failure, tt.spread, tt.victim.Protocol, tt.otherOne), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, config())
				defer c.Close()
				next := keysFailing(func(k validator.Key) error {
					if k.Consumer == "odd" {
						return errorOf(tt.failure)
					}
					return nil
				})
				servers := NewAdmission().Servers("db")
				s := c.Store(next, "id", servers)
				victims := s
				if tt.otherOne {
					victims = c.Store(next, "other", servers)
				}
				refused := 0
				for n := range 30 {
					odd := key(0)
					odd.Consumer = "odd"
					if tt.spread {
						odd = key(n)
						odd.Consumer = "odd"
					}
					if _, err := s.Lookup(t.Context(), odd); err == nil {
						t.Error("the failing key is answered")
					}
					victim := tt.victim
					victim.Token = fmt.Sprint("victim ", n)
					if _, err := victims.Lookup(t.Context(), victim); err != nil {
						refused++
					}
					time.Sleep(time.Second / 3)
				}
				if tt.refused && refused == 0 || !tt.refused && refused != 0 {
					t.Errorf("%d of 30 others are refused, want some: %t", refused, tt.refused)
				}
			})
		})
	}
}

// A key that fails is asked again after a while, not with every request.
func TestAFailingKeyIsRemembered(t *testing.T) {
	for failure, want := range map[validator.Failure]int64{
		validator.KeyFailure:   2,   // once in negative_ttl
		validator.TableFailure: 5,   // by a probe, every other second as it is always the same key
		validator.LimitFailure: 100, // it may be its turn any moment
		validator.QueueFailure: 100,
	} {
		t.Run(failure.String(), func(t *testing.T) {
			clk, cfg := newClock(), config()
			cfg.Now = clk.Now
			next := keysFailing(func(validator.Key) error { return errorOf(failure) })
			s := newCache(t, cfg).Store(next, "id", nil)
			for range 100 {
				if _, err := s.Lookup(t.Context(), key(1)); validator.FailureOf(err) != failure {
					t.Errorf("error %v, want one of failure %v", err, failure)
				}
				clk.advance(cfg.NegativeTTL * 2 / 100)
			}
			wantAsked(t, next, want)
		})
	}
}

// Three keys that fail in a row are an outage, a key that fails three times is
// not: it may be the one that breaks the connection.
func TestOneKeyIsNoOutage(t *testing.T) {
	clk, cfg := newClock(), config()
	cfg.Now = clk.Now
	next := keysFailing(func(k validator.Key) error {
		if k == key(1) {
			return errDown
		}
		return nil
	})
	s := newCache(t, cfg).Store(next, "id", nil)
	for range 20 {
		if _, err := s.Lookup(t.Context(), key(1)); !errors.Is(err, errDown) {
			t.Errorf("error %v, want %v", err, errDown)
		}
		clk.advance(time.Second / 2)
	}
	mustLookup(t, s, key(2))
}

// The keys that began an outage, and a key that always fails, must not be the
// probes that prolong it: the first other key ends it.
func TestAFailingKeyIsNotEveryProbe(t *testing.T) {
	clk, cfg := newClock(), config()
	cfg.Now = clk.Now
	var mended atomic.Bool
	next := keysFailing(func(k validator.Key) error {
		if k == key(1000) || !mended.Load() {
			return errDown
		}
		return nil
	})
	s := newCache(t, cfg).Store(next, "id", nil)
	breakDown(t, s)
	mended.Store(true)
	clk.advance(probeEvery)
	for range 10 { // it comes first, and would be the probe
		if _, err := s.Lookup(t.Context(), key(1000)); !errors.Is(err, errDown) {
			t.Errorf("error %v, want %v", err, errDown)
		}
	}
	wantAsked(t, next, 3)
	mustLookup(t, s, key(1))
	// Alone it is asked all the same, every other second.
	mended.Store(false)
	for n := range 2 {
		_, _ = s.Lookup(t.Context(), key(2000+n))
	}
	_, _ = s.Lookup(t.Context(), key(1000))
	next.asked.Store(0)
	for range 60 {
		clk.advance(probeEvery / 10)
		_, _ = s.Lookup(t.Context(), key(1000))
	}
	if n := next.asked.Load(); n < 2 || n > 3 {
		t.Errorf("a lone key is asked for %d times in six seconds, want 2 or 3", n)
	}
}

// Any answer of the server ends its outage, also that a statement or a table is
// wrong.
func TestWhatEndsAnOutage(t *testing.T) {
	for err, ends := range map[error]bool{
		errorOf(validator.KeyFailure): true, errorOf(validator.TableFailure): true,
		errorOf(validator.LimitFailure): false, errorOf(validator.QueueFailure): false, errorOf(validator.ServerFailure): false,
		errors.New("unknown"): false,
	} {
		clk, cfg := newClock(), config()
		cfg.Now = clk.Now
		answer := errDown
		next := keysFailing(func(validator.Key) error { return answer })
		servers := NewAdmission().Servers("db")
		c := newCache(t, cfg)
		s := c.Store(next, "id", servers)
		breakDown(t, s)
		clk.advance(probeEvery)
		answer = err
		_, _ = s.Lookup(t.Context(), key(1))
		answer = nil
		_, got := c.Store(next, "other", servers).Lookup(t.Context(), key(1))
		if (got == nil) != ends {
			t.Errorf("after %v another lookup gets %v, ends: %t", err, got, ends)
		}
	}
}

// An outage is one for all who need the same servers, and for them alone.
func TestWhoSharesAnOutage(t *testing.T) {
	c := newCache(t, config())
	a := NewAdmission()
	broken := &fakeStore{lookup: down}
	breakDown(t, c.Store(broken, "id", a.Servers("db")))
	if _, err := c.Store(broken, "other wiki", a.Servers("db")).Lookup(t.Context(), key(1)); !errors.Is(err, errDown) {
		t.Errorf("error %v, want %v", err, errDown)
	}
	wantAsked(t, broken, 3)
	well := answering(true)
	mustLookup(t, c.Store(well, "other servers", a.Servers("db, db2")), key(1))
	mustLookup(t, c.Store(well, "other pool", NewAdmission().Servers("db")), key(1))
	mustLookup(t, c.Store(well, "its own", nil), key(1))
	wantAsked(t, well, 3)
}

// warm returns a store with n positive entries that were all read now.
func warm(t *testing.T, n int) (*Cache, *fakeStore, validator.Store) {
	t.Helper()
	cfg := config()
	cfg.Size = 16 << 20
	c := newCache(t, cfg)
	next := answering(true)
	s := c.Store(next, "id", nil)
	for i := range n {
		mustLookup(t, s, key(i))
	}
	settle(c)
	next.asked.Store(0)
	return c, next, s
}

// After an outage all entries are stale at once. They are served at once, and
// read again a few at a time.
func TestTheBacklogIsWorkedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users, latency = 200, 100 * time.Millisecond
		c, next, s := warm(t, users)
		defer c.Close()
		c.cfg.NegativeTTL = time.Hour // each is read once
		time.Sleep(c.cfg.TTL - 10*time.Second)
		next.lookup = down
		breakDown(t, s)
		time.Sleep(20 * time.Second) // all entries end in the outage
		var running, most atomic.Int64
		next.lookup = func(ctx context.Context, k validator.Key) (validator.Facts, error) {
			now := running.Add(1)
			defer running.Add(-1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			time.Sleep(latency)
			return answering(false).lookup(ctx, k) // all were withdrawn
		}
		mustLookup(t, s, key(5000)) // the probe
		next.asked.Store(0)

		start := time.Now()
		var wg sync.WaitGroup
		for n := range users {
			wg.Go(func() {
				if !mustLookup(t, s, key(n)).Positive() {
					t.Error("a stale entry is not served")
				}
			})
		}
		wg.Wait()
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v for the tables", waited)
		}
		for range users / maxBacklog { // as long as it takes
			time.Sleep(latency + grace)
			for n := range users {
				mustLookup(t, s, key(n))
			}
		}
		time.Sleep(latency)
		if most.Load() != maxBacklog {
			t.Errorf("%d refreshes were under way at once, want %d", most.Load(), maxBacklog)
		}
		for n := range users {
			if mustLookup(t, s, key(n)).Positive() {
				t.Fatalf("key %d is still served stale", n)
			}
		}
	})
}

// The backlog ends when max_stale has passed since the outage, or the entry's own.
func TestTheBacklogEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, next, s := warm(t, 2)
		defer c.Close()
		time.Sleep(c.cfg.TTL / 2)
		next.lookup = down
		breakDown(t, s)
		time.Sleep(c.cfg.TTL)
		next.lookup = answering(true).lookup
		mustLookup(t, s, key(5000))
		next.lookup = answering(false).lookup
		time.Sleep(c.cfg.MaxStale - c.cfg.TTL)
		if !mustLookup(t, s, key(0)).Positive() {
			t.Error("within max_stale: not served stale")
		}
		time.Sleep(c.cfg.TTL)
		if mustLookup(t, s, key(1)).Positive() {
			t.Error("after max_stale: still served stale")
		}
	})
}

// Without an outage an entry that has ended is read before it counts again, also
// one that ended before or after an earlier outage.
func TestAnEndedEntryIsReadFirst(t *testing.T) {
	for name, outage := range map[string]func(t *testing.T, next *fakeStore, s validator.Store){
		"no outage": func(t *testing.T, _ *fakeStore, _ validator.Store) { time.Sleep(config().TTL) },
		"ended before it": func(t *testing.T, next *fakeStore, s validator.Store) {
			time.Sleep(config().TTL + time.Second)
			next.lookup = down
			breakDown(t, s)
			time.Sleep(2 * time.Second)
		},
		"ended after it": func(t *testing.T, next *fakeStore, s validator.Store) {
			plain := next.lookup
			next.lookup = down
			breakDown(t, s)
			time.Sleep(2 * time.Second)
			next.lookup = plain
			mustLookup(t, s, key(5000))
			time.Sleep(config().TTL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, next, s := warm(t, 1)
				defer c.Close()
				outage(t, next, s)
				next.lookup = answering(false).lookup
				mustLookup(t, s, key(5001)) // ends it
				time.Sleep(2 * grace)
				if mustLookup(t, s, key(0)).Positive() {
					t.Error("a withdrawn grant counts beyond its ttl")
				}
			})
		})
	}
}

// A refresh that fails is not waited for again while it fails, whatever the
// failure.
func TestAFailingRefreshIsWaitedForOnce(t *testing.T) {
	for _, failure := range []validator.Failure{
		validator.KeyFailure, validator.TableFailure, validator.ServerFailure, validator.LimitFailure, validator.QueueFailure,
	} {
		t.Run(failure.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const latency = 2 * time.Second
				c, next, s := warm(t, 1)
				defer c.Close()
				time.Sleep(c.cfg.TTL)
				next.lookup = func(context.Context, validator.Key) (validator.Facts, error) {
					time.Sleep(latency)
					return validator.Facts{}, errorOf(failure)
				}
				start := time.Now()
				var waited time.Duration
				for time.Since(start) < time.Minute {
					before := time.Now()
					if !mustLookup(t, s, key(0)).Positive() {
						t.Fatal("the stale entry is not served")
					}
					waited += time.Since(before)
					time.Sleep(50 * time.Millisecond)
				}
				if waited != latency {
					t.Errorf("waited %v in a minute, want %v once", waited, latency)
				}
				if n := next.asked.Load(); n < 8 || n > 30 {
					t.Errorf("the store was asked %d times in a minute", n)
				}
			})
		})
	}
}

// The memory of failing keys is bounded, and what does not fit is asked again.
func TestFailingKeysAreBounded(t *testing.T) {
	clk, cfg := newClock(), config()
	cfg.Now = clk.Now
	c := newCache(t, cfg)
	s := c.Store(keysFailing(func(validator.Key) error { return errorOf(validator.KeyFailure) }), "id", nil)
	for n := range maxFailed + 100 {
		_, _ = s.Lookup(t.Context(), key(n))
	}
	size := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.failed)
	}
	if n := size(); n != maxFailed {
		t.Errorf("%d keys are remembered, want %d", n, maxFailed)
	}
	clk.advance(max(failingFor, cfg.NegativeTTL))
	_, _ = s.Lookup(t.Context(), key(-1))
	if n := size(); n != 1 {
		t.Errorf("%d keys are remembered after their time, want 1", n)
	}
}
