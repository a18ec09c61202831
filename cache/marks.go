package cache

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	// maxMarks bounds the changes that are remembered. Above it everything is
	// purged instead.
	maxMarks = 64 << 10
	// primaryFor is how long after a change lookups of what it names go to the
	// primary, because a replica may lag behind it.
	primaryFor = 30 * time.Second
	// never is the time of a change that did not happen.
	never = -1
)

// Change is something that was changed in the tables: an acceptance by its access
// token, an access token of OAuth 2 by its jti, or, without a Token, everything
// that concerns a consumer.
type Change struct {
	// Consumer is a consumer key.
	Consumer string
	Token    string
}

// marks remembers what was changed, and when. An entry whose query began before
// the change is a miss, so that no index of entries is needed. While nothing is
// marked, a lookup reads one number more.
type marks struct {
	count atomic.Int64
	at    sync.Map // hash of what was changed -> Cache.clock
	seed  maphash.Seed
	timed atomic.Bool // a sweep is due
}

// Changed makes everything that was read of the changed things before now a miss.
func (c *Cache) Changed(changes ...Change) {
	for _, change := range changes {
		id := c.marks.consumer(change.Consumer)
		if change.Token != "" {
			id = c.marks.token(change.Token)
		}
		if _, known := c.marks.at.Swap(id, c.clock()); !known && c.marks.count.Add(1) > maxMarks {
			c.Purge()
			return
		}
	}
	if len(changes) > 0 && c.marks.timed.CompareAndSwap(false, true) {
		time.AfterFunc(c.markLife(), c.sweepMarks)
	}
}

// markLife is how old an entry can be that is still used, and a query that is
// still under way.
func (c *Cache) markLife() time.Duration { return c.cfg.TTL + c.cfg.MaxStale + maxFlight + primaryFor }

// sweepMarks drops the marks that are older than every entry.
func (c *Cache) sweepMarks() {
	c.marks.timed.Store(false)
	end := c.clock() - int64(c.markLife())
	c.marks.at.Range(func(id, at any) bool {
		if at, ok := at.(int64); ok && at <= end && c.marks.at.CompareAndDelete(id, at) {
			c.marks.count.Add(-1)
		}
		return true
	})
	if c.marks.count.Load() > 0 && c.marks.timed.CompareAndSwap(false, true) {
		time.AfterFunc(c.markLife(), c.sweepMarks)
	}
}

// changed returns when something that a lookup rests on was changed last, by
// Cache.clock, or never.
func (c *Cache) changed(key *validator.Key) int64 {
	if c.marks.count.Load() == 0 {
		return never
	}
	return max(c.marks.when(c.marks.consumer(key.Consumer)), c.marks.when(c.marks.token(key.Token)))
}

func (m *marks) when(id uint64) int64 {
	if at, ok := m.at.Load(id); ok {
		if at, ok := at.(int64); ok {
			return at
		}
	}
	return never
}

func (m *marks) consumer(key string) uint64 { return maphash.String(m.seed, "c"+key) }

func (m *marks) token(token string) uint64 { return maphash.String(m.seed, "t"+token) }

// clear forgets all marks, after everything that they concern was purged.
func (m *marks) clear() {
	m.at.Clear()
	m.count.Store(0)
}
