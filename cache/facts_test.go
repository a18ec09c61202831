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

func TestFreshness(t *testing.T) {
	tests := []struct {
		name     string
		positive bool
		age      time.Duration
		asked    int64
	}{
		{"positive, young", true, 53 * time.Second, 1},
		{"positive, old", true, 60 * time.Second, 2},
		{"negative, young", false, 4400 * time.Millisecond, 1},
		{"negative, old", false, 5 * time.Second, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clk, cfg := newClock(), config()
			cfg.Now = clk.Now
			c := newCache(t, cfg)
			next := answering(tt.positive)
			s := c.Store(next, "id", nil)
			mustLookup(t, s, key(1))
			settle(c)
			clk.advance(tt.age)
			if f := mustLookup(t, s, key(1)); f.Positive() != tt.positive {
				t.Errorf("positive: %t, want %t", f.Positive(), tt.positive)
			}
			wantAsked(t, next, tt.asked)
		})
	}
}

func TestATokenCreatedAfterANegativeEntryWorks(t *testing.T) {
	clk, cfg := newClock(), config()
	cfg.Now = clk.Now
	c := newCache(t, cfg)
	next := answering(false)
	s := c.Store(next, "id", nil)
	mustLookup(t, s, key(1))
	settle(c)
	next.lookup = answering(true).lookup
	clk.advance(cfg.NegativeTTL)
	for range 2 {
		if !mustLookup(t, s, key(1)).Positive() {
			t.Error("the new token is not found")
		}
		settle(c)
	}
	wantAsked(t, next, 2)
}

func TestAnAnswerIsAsOldAsItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c := newCache(t, cfg)
		defer c.Close()
		next := answering(true)
		plain := next.lookup
		next.lookup = func(ctx context.Context, k validator.Key) (validator.Facts, error) {
			time.Sleep(30 * time.Second)
			return plain(ctx, k)
		}
		s := c.Store(next, "id", nil)
		mustLookup(t, s, key(1))
		time.Sleep(30 * time.Second)
		mustLookup(t, s, key(1))
		wantAsked(t, next, 2)
	})
}

func TestJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := jitter(time.Minute)
		if d < 54*time.Second || d > time.Minute {
			t.Fatalf("%v, want 54s to 1m", d)
		}
		seen[d] = true
	}
	if len(seen) < 100 {
		t.Errorf("%d different lives of 1000", len(seen))
	}
	if d := jitter(0); d != 0 {
		t.Errorf("jitter(0) = %v", d)
	}
}

var errDown = serverError(errors.New("database is gone"))

// failing returns a cache whose store is down, its clock, and key(1) positive
// and key(2) negative in it.
func failing(t *testing.T) (*Cache, *clock, *fakeStore, validator.Store) {
	clk, cfg := newClock(), config()
	cfg.Now = clk.Now
	c := newCache(t, cfg)
	next := answering(true)
	s := c.Store(next, "id", nil)
	mustLookup(t, s, key(1))
	next.lookup = answering(false).lookup
	mustLookup(t, s, key(2))
	settle(c)
	next.asked.Store(0)
	next.lookup = down
	return c, clk, next, s
}

func down(context.Context, validator.Key) (validator.Facts, error) { return validator.Facts{}, errDown }

// breakDown makes a store fail until its servers count as failing.
func breakDown(t testing.TB, s validator.Store) {
	t.Helper()
	for n := range 3 {
		if _, err := s.Lookup(t.Context(), key(1000+n)); !errors.Is(err, errDown) {
			t.Fatalf("error %v, want %v", err, errDown)
		}
	}
}

func TestOnlyPositiveFactsAreServedStale(t *testing.T) {
	tests := []struct {
		name  string
		key   validator.Key
		age   time.Duration
		stale bool
	}{
		{"positive", key(1), time.Minute, true},
		{"positive, near max_stale", key(1), 5*time.Minute + 53*time.Second, true},
		{"positive, beyond max_stale", key(1), 6 * time.Minute, false},
		{"negative", key(2), time.Minute, false},
		{"unknown", key(3), time.Minute, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, clk, next, s := failing(t)
			clk.advance(tt.age)
			breakDown(t, s)
			for range 3 {
				f, err := s.Lookup(t.Context(), tt.key)
				if tt.stale && (err != nil || !f.Positive()) {
					t.Errorf("got %+v, %v, want the stale facts", f, err)
				}
				if !tt.stale && !errors.Is(err, errDown) {
					t.Errorf("error %v, want %v", err, errDown)
				}
			}
			wantAsked(t, next, 3)
		})
	}
}

func TestAFailingStoreIsAskedOnceASecond(t *testing.T) {
	_, clk, next, s := failing(t)
	refused := func(n int) {
		t.Helper()
		if _, err := s.Lookup(t.Context(), key(n)); !errors.Is(err, errDown) {
			t.Errorf("error %v, want %v", err, errDown)
		}
	}
	breakDown(t, s)
	for second := range 5 {
		wantAsked(t, next, int64(second+3))
		clk.advance(probeEvery - time.Nanosecond)
		refused(30)
		wantAsked(t, next, int64(second+3))
		clk.advance(time.Nanosecond)
		for n := range 10 {
			refused(100*second + 10 + n)
		}
	}
	// One answer ends it.
	clk.advance(probeEvery)
	next.lookup = answering(true).lookup
	for n := range 10 {
		mustLookup(t, s, key(40+n))
	}
	wantAsked(t, next, 3+5+10)
}

func TestAProbeKeepsNoRequestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c := newCache(t, cfg)
		defer c.Close()
		next := answering(true)
		s := c.Store(next, "id", nil)
		mustLookup(t, s, key(1))
		time.Sleep(cfg.TTL)
		next.lookup = func(ctx context.Context, k validator.Key) (validator.Facts, error) {
			time.Sleep(10 * time.Second)
			return down(ctx, k)
		}
		go s.Lookup(t.Context(), key(1)) //nolint:errcheck // waits, and fails
		go s.Lookup(t.Context(), key(3)) //nolint:errcheck // fails as those below
		if _, err := s.Lookup(t.Context(), key(4)); !errors.Is(err, errDown) {
			t.Errorf("error %v, want %v", err, errDown)
		}
		synctest.Wait()
		time.Sleep(2 * probeEvery) // key 1 has been asked for: others come first
		wantAsked(t, next, 4)
		start := time.Now()
		mustLookup(t, s, key(1)) // the probe
		mustLookup(t, s, key(1)) // meanwhile
		if _, err := s.Lookup(t.Context(), key(2)); !errors.Is(err, errDown) {
			t.Errorf("error %v, want %v", err, errDown)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v for a probe", waited)
		}
		synctest.Wait()
		wantAsked(t, next, 5)

		// A probe for one who has nothing stale is waited for by that one alone.
		time.Sleep(10*time.Second + probeEvery)
		go s.Lookup(t.Context(), key(2)) //nolint:errcheck // fails as those above
		synctest.Wait()
		wantAsked(t, next, 6)
		start = time.Now()
		if _, err := s.Lookup(t.Context(), key(2)); !errors.Is(err, errDown) || time.Since(start) != 0 {
			t.Errorf("error %v after %v, want %v at once", err, time.Since(start), errDown)
		}
		time.Sleep(10 * time.Second)
	})
}

// The first answer after an outage counts for those who come right after it,
// stored or not.
func TestTheAnswerToAProbeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c := newCache(t, cfg)
		defer c.Close()
		next := answering(true)
		s, _ := c.Store(next, "id", nil).(*store)
		mustLookup(t, s, key(1))
		d := factsDigest(s.prefix, new(key(1)))
		settle(c)
		known, _ := c.facts.get(&d, 0, 0)
		time.Sleep(cfg.TTL)
		next.lookup = down
		breakDown(t, s)
		time.Sleep(probeEvery)
		next.lookup = answering(false).lookup
		mustLookup(t, s, key(1)) // the probe
		synctest.Wait()
		if f, err := s.ask(t.Context(), new(key(1)), d, known, never); f.Positive() || err != nil {
			t.Errorf("got %+v, %v, want the answer that the row is gone", f, err)
		}
		wantAsked(t, next, 5)
	})
}

func TestWaitersOfAFailingFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c := newCache(t, cfg)
		defer c.Close()
		next := answering(true)
		s := c.Store(next, "id", nil)
		mustLookup(t, s, key(1))
		time.Sleep(cfg.TTL)
		broken, release := gated(func() (validator.Facts, error) { return validator.Facts{}, errDown })
		next.lookup = func(ctx context.Context, k validator.Key) (validator.Facts, error) {
			return broken.lookup(ctx, k)
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { mustLookup(t, s, key(1)) })
			wg.Go(func() {
				if _, err := s.Lookup(t.Context(), key(2)); !errors.Is(err, errDown) {
					t.Errorf("error %v, want %v", err, errDown)
				}
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		wantAsked(t, next, 3)
	})
}

// A stale entry must not outlive the answer that its row is gone.
func TestWhatWasRevokedIsNotServedStale(t *testing.T) {
	c, clk, next, s := failing(t)
	down := next.lookup
	next.lookup = answering(false).lookup
	clk.advance(time.Minute)
	if mustLookup(t, s, key(1)).Positive() {
		t.Fatal("still granted")
	}
	settle(c)
	next.lookup = down
	clk.advance(5 * time.Second)
	if f, err := s.Lookup(t.Context(), key(1)); !errors.Is(err, errDown) {
		t.Errorf("got %+v, %v, want %v", f, err, errDown)
	}
}

func TestAFloodOfRandomTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.TTL = time.Hour
		c := newCache(t, cfg)
		defer c.Close()
		const users, flood = 100, 20_000
		next := &fakeStore{lookup: func(ctx context.Context, k validator.Key) (validator.Facts, error) {
			return answering(k.Consumer == "known").lookup(ctx, k)
		}}
		s := c.Store(next, "id", nil)
		user := func(n int) validator.Key {
			k := key(n)
			k.Consumer = "known"
			return k
		}
		for n := range users {
			mustLookup(t, s, user(n))
		}
		settle(c)
		for n := range flood {
			mustLookup(t, s, key(n))
			if _, held := flights(c); max(held[0], held[1]) > c.budget {
				t.Fatalf("finished flights hold %v bytes, want at most %d each", held, c.budget)
			}
		}
		settle(c)
		wantAsked(t, next, users+flood)
		for n := range users {
			mustLookup(t, s, user(n))
		}
		wantAsked(t, next, users+flood)
		if negative := c.Stats()[1]; negative.Bytes == 0 || negative.Bytes > cfg.Size/16 {
			t.Errorf("negative entries hold %d bytes, want 1 to %d", negative.Bytes, cfg.Size/16)
		}
		time.Sleep(20 * time.Second)
		left, _ := flights(c)
		if held := c.Stats()[1].Bytes; held != 0 || left != 0 {
			t.Errorf("%d bytes and %d flights are left of the flood", held, left)
		}
	})
}

// A real token with a random consumer key is negative, and so is one of another
// consumer.
func TestRandomConsumersAreNegative(t *testing.T) {
	clk, cfg := newClock(), config()
	cfg.Now = clk.Now
	c := newCache(t, cfg)
	owned := granted("s")
	next := &fakeStore{lookup: func(_ context.Context, k validator.Key) (validator.Facts, error) {
		facts := validator.Facts{Acceptance: owned.Acceptance}
		switch k.Consumer {
		case "c":
			return owned, nil
		case "other":
			facts.Consumer = &validator.Consumer{ID: 2, Key: "other"}
		}
		return facts, nil
	}}
	s := c.Store(next, "id", nil)
	mustLookup(t, s, key(1))
	settle(c)
	before := c.Stats()[0].Bytes
	for n := range 100 {
		k := key(1)
		k.Consumer = fmt.Sprint("random ", n)
		if n == 0 {
			k.Consumer = "other"
		}
		if mustLookup(t, s, k).Positive() {
			t.Errorf("consumer %q with another's token is positive", k.Consumer)
		}
	}
	settle(c)
	if after := c.Stats()[0].Bytes; before == 0 || after != before {
		t.Errorf("positive entries hold %d bytes, before %d", after, before)
	}
}

func TestZeroTTL(t *testing.T) {
	c := newCache(t, Config{Size: 1 << 20})
	for _, positive := range []bool{true, false} {
		next := answering(positive)
		s := c.Store(next, fmt.Sprint("positive: ", positive), nil)
		for n := range 3 {
			mustLookup(t, s, key(1))
			settle(c)
			wantAsked(t, next, int64(n+1))
		}
	}
	for _, st := range c.Stats() {
		if st.Bytes != 0 {
			t.Errorf("%s: %d bytes are kept", st.Name, st.Bytes)
		}
	}
}
