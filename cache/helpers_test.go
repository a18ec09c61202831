package cache

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// fakeStore answers by a function and counts the queries.
type fakeStore struct {
	asked  atomic.Int64
	lookup func(ctx context.Context, key validator.Key) (validator.Facts, error)
}

func (s *fakeStore) Lookup(ctx context.Context, key validator.Key) (validator.Facts, error) {
	s.asked.Add(1)
	return s.lookup(ctx, key)
}

// answering returns a store that knows every token, or none.
func answering(positive bool) *fakeStore {
	return &fakeStore{lookup: func(_ context.Context, key validator.Key) (validator.Facts, error) {
		if positive {
			return grantedTo(key.Consumer, key.Token), nil
		}
		return validator.Facts{Consumer: &validator.Consumer{Key: key.Consumer}}, nil
	}}
}

func granted(secret string) validator.Facts {
	return grantedTo("c", secret)
}

func grantedTo(consumer, secret string) validator.Facts {
	c := &validator.Consumer{ID: 1, Key: consumer}
	return validator.Facts{Consumer: c, Accepted: c, Acceptance: &validator.Acceptance{ConsumerID: 1, Secret: secret}}
}

// serverError is a failure of a server.
func serverError(err error) error {
	return &validator.StoreError{Failure: validator.ServerFailure, Err: err}
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func config() Config {
	return Config{Size: 1 << 20, TTL: time.Minute, NegativeTTL: 5 * time.Second, MaxStale: 5 * time.Minute}
}

func newCache(t testing.TB, cfg Config) *Cache {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// settle carries out what ristretto put off, and ends the grace of finished
// flights.
func settle(c *Cache) {
	c.facts.entries.Wait()
	c.negative.entries.Wait()
	c.tokens.entries.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for d, f := range c.flights {
		if f.answer != nil {
			c.forget(d, f)
		}
	}
}

func flights(c *Cache) (n int, held [2]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.flights), c.held
}

func key(n int) validator.Key {
	return validator.Key{Wiki: "enwiki", Protocol: validator.OAuth1, Consumer: "c", Token: strconv.Itoa(n)}
}

func mustLookup(t testing.TB, s validator.Store, k validator.Key) validator.Facts {
	t.Helper()
	f, err := s.Lookup(t.Context(), k)
	if err != nil {
		t.Fatalf("Lookup(%v): %v", k, err)
	}
	return f
}

func wantAsked(t testing.TB, s *fakeStore, want int64) {
	t.Helper()
	if got := s.asked.Load(); got != want {
		t.Errorf("the store was asked %d times, want %d", got, want)
	}
}
