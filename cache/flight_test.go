package cache

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// gated returns a store that answers when it is told to.
func gated(answer func() (validator.Facts, error)) (s *fakeStore, release func()) {
	gate := make(chan struct{})
	s = &fakeStore{lookup: func(context.Context, validator.Key) (validator.Facts, error) {
		<-gate
		return answer()
	}}
	return s, func() { close(gate) }
}

func TestOneQueryForAllWhoAskAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name     string
		positive bool
		stored   bool // ristretto takes the answer
	}{
		{"positive", true, true},
		{"negative", false, true},
		{"positive, dropped by ristretto", true, false},
		{"negative, dropped by ristretto", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, config())
				defer c.Close()
				if !tt.stored {
					c.facts.close()
					c.negative.close()
				}
				next, release := gated(func() (validator.Facts, error) {
					return answering(tt.positive).lookup(t.Context(), key(1))
				})
				s := c.Store(next, "id", nil)
				ask := func() {
					if f := mustLookup(t, s, key(1)); f.Positive() != tt.positive {
						t.Errorf("positive: %t, want %t", f.Positive(), tt.positive)
					}
				}
				var wg sync.WaitGroup
				for range 1000 {
					wg.Go(ask)
				}
				synctest.Wait()
				release()
				wg.Wait()
				for range 100 { // the latecomers
					ask()
				}
				time.Sleep(grace - time.Millisecond)
				ask()
				wantAsked(t, next, 1)
				time.Sleep(2 * time.Millisecond)
				ask()
				if tt.stored {
					wantAsked(t, next, 1)
				} else {
					wantAsked(t, next, 2)
				}
				time.Sleep(2 * grace)
				if left, held := flights(c); left != 0 || held != [2]int64{} {
					t.Errorf("%d flights and %v bytes are left", left, held)
				}
			})
		})
	}
}

func TestTheGraceIsNoLongerThanTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Config{Size: 1 << 20, NegativeTTL: grace / 2})
		defer c.Close()
		next := answering(false)
		s := c.Store(next, "id", nil)
		mustLookup(t, s, key(1))
		time.Sleep(grace / 2)
		mustLookup(t, s, key(1))
		wantAsked(t, next, 2)
	})
}

func TestSitesOfOneIdentityShareAQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, config())
		defer c.Close()
		next, release := gated(func() (validator.Facts, error) { return granted("s"), nil })
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { mustLookup(t, c.Store(next, "id", nil), key(1)) })
		}
		synctest.Wait()
		release()
		wg.Wait()
		wantAsked(t, next, 1)
	})
}

func TestAWaiterLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, config())
		defer c.Close()
		gate := make(chan struct{})
		next := &fakeStore{lookup: func(ctx context.Context, _ validator.Key) (validator.Facts, error) {
			<-gate
			return granted("s"), ctx.Err()
		}}
		s := c.Store(next, "id", nil)
		ctx, hangUp := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Lookup(ctx, key(1)); !errors.Is(err, context.Canceled) {
				t.Errorf("who hung up got %v, want %v", err, context.Canceled)
			}
		})
		synctest.Wait()
		wg.Go(func() { mustLookup(t, s, key(1)) })
		synctest.Wait()
		hangUp()
		synctest.Wait()
		close(gate)
		wg.Wait()
		wantAsked(t, next, 1)
	})
}

func TestPurgeDetachesFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, config())
		defer c.Close()
		gates := []chan struct{}{make(chan struct{}), make(chan struct{})}
		next := &fakeStore{}
		next.lookup = func(context.Context, validator.Key) (validator.Facts, error) {
			n := next.asked.Load() - 1
			<-gates[n]
			return granted([]string{"before", "after"}[n]), nil
		}
		s := c.Store(next, "id", nil)
		var wg sync.WaitGroup
		want := func(secret string) {
			t.Helper()
			if got := mustLookup(t, s, key(1)).Acceptance.Secret; got != secret {
				t.Errorf("got the facts from %s the purge, want those from %s it", got, secret)
			}
		}
		wg.Go(func() { want("before") })
		synctest.Wait()
		c.Purge()
		wg.Go(func() { want("after") })
		synctest.Wait()
		close(gates[0]) // the old answer comes while the new one is under way
		synctest.Wait()
		c.facts.entries.Wait()
		if bytes := c.Stats()[0].Bytes; bytes != 0 {
			t.Errorf("%d bytes of the old answer were stored", bytes)
		}
		wg.Go(func() { want("after") })
		synctest.Wait()
		wantAsked(t, next, 2)
		close(gates[1])
		wg.Wait()
		want("after")
	})
}

func TestPurgeForgets(t *testing.T) {
	for _, positive := range []bool{true, false} {
		c := newCache(t, config())
		next := answering(positive)
		s := c.Store(next, "id", nil)
		mustLookup(t, s, key(1)) // in its grace
		c.Purge()
		mustLookup(t, s, key(1))
		wantAsked(t, next, 2)
		settle(c) // stored
		c.Purge()
		for _, st := range c.Stats() {
			if st.Bytes != 0 {
				t.Errorf("%s: %d bytes after the purge", st.Name, st.Bytes)
			}
		}
		mustLookup(t, s, key(1))
		wantAsked(t, next, 3)
	}
	c := newCache(t, config())
	next := &fakeTokens{token: validator.Token{Expires: 1e308}}
	for range 2 {
		c.Tokens(next, "keys").Verify("a.b.c")
		settle(c)
		c.Purge()
	}
	if got := next.asked.Load(); got != 2 {
		t.Errorf("a token was verified %d times, want 2", got)
	}
}

// Ristretto stores when it likes to: also after a purge, what was asked before it.
func TestAnEntryOfAnOlderGenerationIsAMiss(t *testing.T) {
	c := newCache(t, config())
	next := answering(true)
	s := c.Store(next, "id", nil)
	k := key(1)
	c.Purge()
	d := factsDigest(appendPart(appendPart(nil, kindFacts), "id"), &k)
	c.keep(&entry[validator.Facts]{d, 0, 0, int64(time.Hour), granted("revoked")}, entryOverhead)
	settle(c)
	if c.Stats()[0].Bytes == 0 {
		t.Fatal("the entry was not stored")
	}
	if got := mustLookup(t, s, k).Acceptance.Secret; got == "revoked" {
		t.Error("a revoked entry returned")
	}
	wantAsked(t, next, 1)
}

func TestAPanicIsAnError(t *testing.T) {
	tests := []struct {
		name  string
		panic func()
		want  string
	}{
		{"of the runtime", func() { _ = []int{}[len(t.Name())] }, "index out of range"},
		{"with a secret", func() { panic("password") }, "store panicked with a string"},
		{"goroutine ended", func() { runtime.Goexit() }, "store gave no answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, config())
				defer c.Close()
				next, release := gated(func() (validator.Facts, error) {
					tt.panic()
					return granted("s"), nil
				})
				s := c.Store(next, "id", nil)
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						_, err := s.Lookup(t.Context(), key(1))
						if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "password") {
							t.Errorf("error %v, want %q", err, tt.want)
						}
					})
				}
				synctest.Wait()
				release()
				wg.Wait()
				wantAsked(t, next, 1)
			})
		})
	}
}

func TestAQueryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, config())
		defer c.Close()
		next := &fakeStore{lookup: func(ctx context.Context, _ validator.Key) (validator.Facts, error) {
			<-ctx.Done()
			return validator.Facts{}, ctx.Err()
		}}
		s := c.Store(next, "id", nil)
		for range 2 { // the second time it is an outage
			if _, err := s.Lookup(t.Context(), key(1)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
			}
		}
		wantAsked(t, next, 1)
	})
}
