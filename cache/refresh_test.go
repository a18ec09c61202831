package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func refresher(t *testing.T, s validator.Store) validator.Refresher {
	t.Helper()
	r, ok := s.(validator.Refresher)
	if !ok {
		t.Fatal("the cached store does not refresh")
	}
	return r
}

// refused looks a key up and then, as a request that is refused, refreshes it.
func refused(t *testing.T, s validator.Refresher, k validator.Key) (facts validator.Facts, newer bool) {
	t.Helper()
	known := mustLookup(t, s, k)
	facts, newer, err := s.Refresh(t.Context(), k, known)
	if err != nil {
		t.Errorf("Refresh: %v", err)
	}
	if !newer && facts != known {
		t.Error("other facts are returned as not newer")
	}
	return facts, newer
}

// Ten thousand refusals of one key read the tables at most once in negative_ttl.
func TestRefusalsReadOnceInNegativeTTL(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("tables fail: ", fails), func(t *testing.T) {
			clk, cfg := newClock(), config()
			cfg.Now, cfg.TTL = clk.Now, time.Hour
			c := newCache(t, cfg)
			next := answering(true)
			s := refresher(t, c.Store(next, "id", nil))
			mustLookup(t, s, key(1))
			settle(c)
			if fails {
				next.lookup = down
			}
			const periods = 10
			for range 10_000 {
				refused(t, s, key(1))
				clk.advance(periods * cfg.NegativeTTL / 10_000)
			}
			if n := next.asked.Load(); n < periods || n > periods+1 {
				t.Errorf("the tables were read %d times in %d times negative_ttl", n, periods)
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	for _, tt := range []struct {
		name   string
		age    time.Duration
		newer  bool
		secret string
	}{
		{"young", config().NegativeTTL - 1, false, "1"},
		{"old", config().NegativeTTL, true, "new"},
	} {
		clk, cfg := newClock(), config()
		cfg.Now = clk.Now
		c := newCache(t, cfg)
		next := answering(true)
		s := refresher(t, c.Store(next, "id", nil))
		mustLookup(t, s, key(1))
		settle(c)
		next.lookup = func(context.Context, validator.Key) (validator.Facts, error) { return granted("new"), nil }
		clk.advance(tt.age)
		facts, newer := refused(t, s, key(1))
		if newer != tt.newer || facts.Acceptance.Secret != tt.secret {
			t.Errorf("%s: newer %t, %q, want %t, %q", tt.name, newer, facts.Acceptance.Secret, tt.newer, tt.secret)
		}
		settle(c)
		// What was read counts for those who come later.
		if got := mustLookup(t, s, key(1)).Acceptance.Secret; got != tt.secret {
			t.Errorf("%s: later lookups get %q, want %q", tt.name, got, tt.secret)
		}
	}
}

// A request that was refused on facts older than the entry is told the entry's.
func TestRefreshKnowsWhatOthersRead(t *testing.T) {
	clk, cfg := newClock(), config()
	cfg.Now = clk.Now
	c := newCache(t, cfg)
	next := answering(true)
	s := refresher(t, c.Store(next, "id", nil))
	old := mustLookup(t, s, key(1))
	settle(c)
	clk.advance(cfg.NegativeTTL)
	refused(t, s, key(1))
	settle(c)
	if _, newer, err := s.Refresh(t.Context(), key(1), old); !newer || err != nil {
		t.Errorf("newer %t, error %v", newer, err)
	}
	wantAsked(t, next, 2)
}

// A row that is gone is noticed by a refusal too.
func TestRefreshNoticesAWithdrawal(t *testing.T) {
	clk, cfg := newClock(), config()
	cfg.Now = clk.Now
	c := newCache(t, cfg)
	next := answering(true)
	s := refresher(t, c.Store(next, "id", nil))
	mustLookup(t, s, key(1))
	settle(c)
	next.lookup = answering(false).lookup
	clk.advance(cfg.NegativeTTL)
	if facts, newer := refused(t, s, key(1)); !newer || facts.Positive() {
		t.Errorf("newer %t, positive %t", newer, facts.Positive())
	}
	settle(c)
	if mustLookup(t, s, key(1)).Positive() {
		t.Error("the withdrawn entry returned")
	}
}

func TestRefusalsAtOnceShareAQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, config())
		defer c.Close()
		next := answering(true)
		s := refresher(t, c.Store(next, "id", nil))
		mustLookup(t, s, key(1))
		time.Sleep(c.cfg.NegativeTTL)
		gate := make(chan struct{})
		next.lookup = func(context.Context, validator.Key) (validator.Facts, error) {
			<-gate
			return granted("new"), nil
		}
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if facts, newer := refused(t, s, key(1)); !newer || facts.Acceptance.Secret != "new" {
					t.Errorf("newer %t, %q", newer, facts.Acceptance.Secret)
				}
			})
		}
		// A client that hangs up leaves the others.
		ctx, hangUp := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, _, err := s.Refresh(ctx, key(1), validator.Facts{}); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
		})
		synctest.Wait()
		// A request that is not refused does not wait.
		if mustLookup(t, s, key(1)).Acceptance.Secret != "1" {
			t.Error("a fresh entry is not served")
		}
		hangUp()
		synctest.Wait()
		close(gate)
		wg.Wait()
		wantAsked(t, next, 2)
	})
}

// Nothing is read in an outage, for what is not kept, or when places are short.
func TestRefreshLeavesTheTablesAlone(t *testing.T) {
	for name, prepare := range map[string]func(s *store){
		"outage":         func(s *store) { s.servers.breaker.outage = errDown },
		"table's outage": func(s *store) { s.tables[validator.OAuth1].outage = errDown },
		"busy":           func(s *store) { s.servers.admission.running[refresh] = maxRereads },
		"not kept":       func(s *store) { s.cache.Purge() },
	} {
		t.Run(name, func(t *testing.T) {
			clk, cfg := newClock(), config()
			cfg.Now = clk.Now
			c := newCache(t, cfg)
			next := answering(true)
			s, _ := c.Store(next, "id", nil).(*store)
			known := mustLookup(t, s, key(1))
			settle(c)
			clk.advance(cfg.NegativeTTL)
			prepare(s)
			facts, newer, err := s.Refresh(t.Context(), key(1), known)
			if facts != known || newer || err != nil {
				t.Errorf("newer %t, error %v", newer, err)
			}
			wantAsked(t, next, 1)
		})
	}
}
