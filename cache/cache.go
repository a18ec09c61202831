// Package cache keeps answers of a [validator.Store] and of [validator.Tokens]
// in memory.
package cache

import (
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Config tells how much a Cache keeps, and for how long.
type Config struct {
	// Size bounds the entries, in bytes; it is at least 1 MiB. The counters of
	// the admission policy take up to a sixteenth more, and the queues in front
	// of it 1 MiB.
	Size int64
	// TTL is how long facts are used before the store is asked again, up to a
	// tenth less. If it is zero, the store is asked every time, once for all
	// requests that wait.
	TTL time.Duration
	// NegativeTTL is the TTL of facts that prove nothing
	// ([validator.Facts.Positive]).
	NegativeTTL time.Duration
	// MaxStale is how long beyond their TTL positive facts are used while the
	// store fails. Zero means that they are not.
	MaxStale time.Duration
	// Now is the clock of freshness. Nil means time.Now.
	Now func() time.Time
}

const (
	minSize = 1 << 20
	maxTTL  = 30 * 24 * time.Hour
	// maxTokenTTL bounds how long a verified signature is remembered. The
	// signature stays true for as long as the key set, which is part of the
	// entry's key. The bound only lets go of tokens that are not used any more.
	maxTokenTTL = time.Hour
)

// Cache keeps answers within one bound of memory. It is safe for use by many
// goroutines, and also after Close.
type Cache struct {
	cfg      Config
	epoch    time.Time
	facts    *inner[validator.Facts] // positive only
	negative *inner[validator.Facts] // kept apart: a flood of random tokens evicts only its like
	tokens   *inner[validator.Token]
	// generation counts purges. An entry of an older generation is a miss,
	// because ristretto stores entries later, in the background.
	generation atomic.Uint64

	marks marks

	mu      sync.Mutex
	flights map[digest]*flight
	held    [2]int64 // bytes of finished flights, negative and positive
	budget  int64    // bound of each
	failed  map[digest]failedKey
	swept   int64 // when failed was last searched for what has ended
}

// New returns an empty cache. It has background goroutines until it is closed.
func New(cfg Config) (*Cache, error) {
	if cfg.Size < minSize {
		return nil, fmt.Errorf("cache size %d: use at least %d bytes", cfg.Size, minSize)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"ttl", cfg.TTL}, {"negative_ttl", cfg.NegativeTTL}, {"max_stale", cfg.MaxStale}} {
		if d.value < 0 || d.value > maxTTL {
			return nil, fmt.Errorf("cache %s %v: use 0 to %v", d.name, d.value, maxTTL)
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	sixteenth := cfg.Size / 16
	c := &Cache{
		cfg:     cfg,
		epoch:   cfg.Now(),
		flights: map[digest]*flight{},
		failed:  map[digest]failedKey{},
		budget:  sixteenth / 2,
		marks:   marks{seed: maphash.MakeSeed()},
	}
	var err error
	if c.facts, err = newInner[validator.Facts]("facts", 10*sixteenth); err != nil {
		return nil, err
	}
	if c.negative, err = newInner[validator.Facts]("negative", sixteenth); err != nil {
		c.facts.close()
		return nil, err
	}
	if c.tokens, err = newInner[validator.Token]("tokens", 4*sixteenth); err != nil {
		c.facts.close()
		c.negative.close()
		return nil, err
	}
	return c, nil
}

// Stats counts what one inner cache did since the start: "facts", "negative" or
// "tokens".
type Stats struct {
	Name         string
	Hits, Misses uint64
	// Bytes is an estimate.
	Bytes int64
}

// Stats returns one row for each inner cache, always in the same order.
func (c *Cache) Stats() []Stats {
	return []Stats{c.facts.stats(), c.negative.stats(), c.tokens.stats()}
}

// Purge forgets everything. A query that is under way still answers the
// requests that wait for it, but its answer is not kept, and a later request
// starts another query.
func (c *Cache) Purge() {
	c.mu.Lock()
	c.generation.Add(1)
	c.flights = map[digest]*flight{}
	c.held = [2]int64{}
	clear(c.failed)
	c.marks.clear()
	c.mu.Unlock()
	c.facts.clear()
	c.negative.clear()
	c.tokens.clear()
}

// Close frees the memory and ends the goroutines. A caller that still uses the
// cache is answered by the store: nothing is kept any more, but requests of the
// same moment still share one query.
func (c *Cache) Close() {
	c.facts.close()
	c.negative.close()
	c.tokens.close()
}

// clock returns nanoseconds since the start, which a step of the wall clock
// does not change.
func (c *Cache) clock() int64 { return int64(c.cfg.Now().Sub(c.epoch)) }

// time returns a point of the clock as a time, which all caches agree on.
func (c *Cache) time(ns int64) time.Time { return c.epoch.Add(time.Duration(ns)) }
