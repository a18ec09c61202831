package cache

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Store returns next with the cache in front of it. Stores of one identity share their entries: it names
// everything beside the key that facts depend on (server, databases, prefix, release, source of users).
// While next fails, it is asked once a second; until it answers, positive facts are used up to MaxStale beyond
// their TTL, and everything else is next's error at once.
func (c *Cache) Store(next validator.Store, identity string) validator.Store {
	return &store{cache: c, next: next, prefix: appendPart(appendPart(nil, kindFacts), identity)}
}

type store struct {
	cache  *Cache
	next   validator.Store
	prefix []byte

	// Guarded by cache.mu.
	running int     // queries under way
	outage  *outage // nil: the last query was answered
}

func (s *store) Lookup(ctx context.Context, key validator.Key) (validator.Facts, error) {
	c := s.cache
	d := factsDigest(s.prefix, &key)
	generation, now := c.generation.Load(), c.clock()
	known, fresh := c.facts.get(&d, generation, now)
	if fresh {
		return known.value, nil
	}
	if e, fresh := c.negative.get(&d, generation, now); fresh {
		return e.value, nil
	}
	return s.ask(ctx, key, d, known)
}

// keep stores an answer.
func (c *Cache) keep(e *entry[validator.Facts], cost int64) {
	if e.value.Positive() {
		c.facts.set(e, cost, c.cfg.TTL+c.cfg.MaxStale)
		return
	}
	// What was revoked must not come back as a stale entry.
	c.facts.del(&e.digest)
	c.negative.set(e, cost, c.cfg.NegativeTTL)
}

// freshUntil returns the end of the freshness of facts that were asked for at began.
func (c *Cache) freshUntil(began int64, positive bool) int64 {
	ttl := c.cfg.TTL
	if !positive {
		ttl = c.cfg.NegativeTTL
	}
	return began + int64(jitter(ttl))
}

// jitter takes up to a tenth off, so that entries of one moment do not all end in one.
func jitter(ttl time.Duration) time.Duration {
	return ttl - rand.N(ttl/10+1) //nolint:gosec // nobody gains by guessing it
}
