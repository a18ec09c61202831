package cache

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Store returns next with the cache in front of it. It is a
// [validator.Refresher]. Stores of one identity share their entries. The
// identity must name everything that facts depend on in addition to the key:
// server, databases, prefix, release, source of users, configured consumers.
// Nil servers are servers of this Store alone.
//
// While its servers or its tables fail, next is asked once a second. Until it
// answers, positive facts are used up to MaxStale beyond their TTL. A lookup of
// anything else returns the error of next at once.
func (c *Cache) Store(next validator.Store, identity string, servers *Servers) validator.Store {
	if servers == nil {
		servers = NewAdmission().Servers("")
	}
	s := &store{cache: c, next: next, prefix: appendPart(appendPart(nil, kindFacts), identity), servers: servers}
	for i := range s.tables {
		s.tables[i].threshold = 1
	}
	return s
}

type store struct {
	cache   *Cache
	next    validator.Store
	prefix  []byte
	servers *Servers
	// tables knows of each protocol whether its tables fail; guarded by the
	// mutex of servers.admission.
	tables [validator.OAuth2 + 1]breaker
}

func (s *store) Lookup(ctx context.Context, key validator.Key) (validator.Facts, error) {
	c := s.cache
	d := factsDigest(s.prefix, &key)
	generation, now := c.generation.Load(), c.clock()
	changed := c.changed(&key)
	known, fresh := c.facts.get(&d, generation, now)
	switch {
	case known != nil && known.began <= changed:
		known = nil
	case fresh:
		return known.value, nil
	}
	if e, fresh := c.negative.get(&d, generation, now); fresh && e.began > changed {
		return e.value, nil
	}
	key.Primary = changed != never && now-changed < int64(primaryFor)
	return s.ask(ctx, &key, d, known, changed)
}

// entry makes an entry of facts whose query began at began.
func (c *Cache) entry(d digest, generation uint64, began int64, facts validator.Facts) *entry[validator.Facts] {
	return &entry[validator.Facts]{d, generation, began, c.freshUntil(began, facts.Positive()), facts}
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

// freshUntil returns the end of the freshness of facts whose query began at
// began.
func (c *Cache) freshUntil(began int64, positive bool) int64 {
	ttl := c.cfg.TTL
	if !positive {
		ttl = c.cfg.NegativeTTL
	}
	return began + int64(jitter(ttl))
}

// jitter shortens a TTL by up to a tenth, so that entries of one moment do not
// all end at one moment.
func jitter(ttl time.Duration) time.Duration {
	return ttl - rand.N(ttl/10+1) //nolint:gosec // there is no gain in guessing it
}
