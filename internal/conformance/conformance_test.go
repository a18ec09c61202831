package conformance

import (
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestMain(m *testing.M) { process.Main(m) }

// TestCached has one cache around all stores: none of them may get another's
// answer.
func TestCached(t *testing.T) {
	c := newCache(t, cache.Config{Size: 64 << 20, TTL: time.Hour, NegativeTTL: time.Hour, MaxStale: time.Hour})
	storetest.Run(t, wrap(c))
	hits := uint64(0)
	for _, s := range c.Stats() {
		hits += s.Hits
	}
	if hits == 0 {
		t.Error("nothing was found in the cache")
	}
}

// TestUncached has a cache that asks the store every time.
func TestUncached(t *testing.T) {
	storetest.Run(t, wrap(newCache(t, cache.Config{Size: 1 << 20})))
}

func newCache(t *testing.T, cfg cache.Config) *cache.Cache {
	t.Helper()
	c, err := cache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func wrap(c *cache.Cache) storetest.Wrap {
	return func(next validator.Store, identity string) validator.Store { return c.Store(next, identity, nil) }
}
