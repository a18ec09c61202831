package cache

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// entry is one answer. It does not change once it is stored.
type entry[V any] struct {
	digest     digest
	generation uint64
	began      int64 // when its value was asked for, by Cache.clock
	until      int64 // fresh until then, by Cache.clock
	value      V
}

// inner is one ristretto cache, which may be used while and after it is closed.
type inner[V any] struct {
	name    string
	entries *ristretto.Cache[uint64, *entry[V]]
	stripes [16]stripe
}

// stripe lets many goroutines read without sharing a cache line. Ristretto's
// Clear and Close expect that no other goroutine uses the cache meanwhile, so
// their callers take all stripes. Once it is closed, ristretto itself answers
// every Get with a miss.
type stripe struct {
	sync.RWMutex
	hits, misses atomic.Uint64
	_            [24]byte
}

func newInner[V any](name string, size int64) (*inner[V], error) {
	entries, err := ristretto.NewCache(&ristretto.Config[uint64, *entry[V]]{
		MaxCost: size,
		// Ten counters for each entry, as ristretto advises, if entries have 1 KiB.
		NumCounters: size / 1024 * 10,
		BufferItems: 64,
		// entryOverhead counts it: ristretto's own figure leaves out two of its
		// three maps.
		IgnoreInternalCost: true,
		// A digest needs no hashing. Ristretto compares no more than this; get
		// compares all of it.
		KeyToHash: func(key uint64) (uint64, uint64) { return key, 0 },
	})
	return &inner[V]{name: name, entries: entries}, err
}

func (i *inner[V]) stripe(d *digest) *stripe { return &i.stripes[d[8]%uint8(len(i.stripes))] }

// get returns the entry of the digest, or nil, and whether it is fresh.
func (i *inner[V]) get(d *digest, generation uint64, now int64) (e *entry[V], fresh bool) {
	s := i.stripe(d)
	s.RLock()
	e, _ = i.entries.Get(d.hash())
	s.RUnlock()
	if e != nil && (e.digest != *d || e.generation != generation) {
		e = nil
	}
	if fresh = e != nil && now < e.until; fresh {
		s.hits.Add(1)
	} else {
		s.misses.Add(1)
	}
	return e, fresh
}

// peek returns the entry of the digest, or nil, and counts nothing.
func (i *inner[V]) peek(d *digest, generation uint64) *entry[V] {
	s := i.stripe(d)
	s.RLock()
	defer s.RUnlock()
	if e, _ := i.entries.Get(d.hash()); e != nil && e.digest == *d && e.generation == generation {
		return e
	}
	return nil
}

// set stores an entry for ttl at most. Ristretto does so later, or not at all.
func (i *inner[V]) set(e *entry[V], cost int64, ttl time.Duration) {
	// To ristretto a TTL of 0 means for ever.
	if ttl < time.Millisecond {
		return
	}
	s := i.stripe(&e.digest)
	s.RLock()
	defer s.RUnlock()
	i.entries.SetWithTTL(e.digest.hash(), e, cost, ttl)
}

// del removes an entry, also one whose set is yet to be carried out.
func (i *inner[V]) del(d *digest) {
	s := i.stripe(d)
	s.RLock()
	defer s.RUnlock()
	i.entries.Del(d.hash())
}

func (i *inner[V]) clear() { i.exclusively(i.entries.Clear) }

func (i *inner[V]) close() { i.exclusively(i.entries.Close) }

// exclusively calls f while no other goroutine uses the cache.
func (i *inner[V]) exclusively(f func()) {
	for n := range i.stripes {
		i.stripes[n].Lock()
		defer i.stripes[n].Unlock()
	}
	f()
}

func (i *inner[V]) stats() Stats {
	st := Stats{Name: i.name, Bytes: i.entries.MaxCost() - i.entries.RemainingCost()}
	for n := range i.stripes {
		st.Hits += i.stripes[n].hits.Load()
		st.Misses += i.stripes[n].misses.Load()
	}
	return st
}
