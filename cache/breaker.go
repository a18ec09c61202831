package cache

import (
	"fmt"
	"slices"
	"time"
)

const (
	// probeEvery is how often a store that fails is asked.
	probeEvery = time.Second
	// maxTried bounds the keys that an outage remembers as probes.
	maxTried = 64
)

// breaker stops lookups of what fails for all keys: a server, or a table. An
// outage begins when lookups of as many different keys as threshold have failed
// and none has been answered in between. It ends with the first answer.
type breaker struct {
	threshold int

	failed []digest  // the keys whose lookups failed since the last answer
	first  time.Time // when the first of those lookups began

	outage error     // nil: none
	next   time.Time // when the next probe may begin
	// tried holds the keys that were asked in this outage. Others come first, so
	// that a key which fails by itself is not every probe.
	tried map[digest]struct{}

	began, ended time.Time // the last outage; began is valid during it
}

// admits reports whether the key may be looked up now, and whether that would be
// a probe.
func (b *breaker) admits(d *digest, now time.Time) (ok, probe bool) {
	if b.outage == nil {
		return true, false
	}
	next := b.next
	if _, tried := b.tried[*d]; tried {
		next = next.Add(probeEvery)
	}
	return !now.Before(next), true
}

// probed notes that a probe of the key begins.
func (b *breaker) probed(d *digest, now time.Time) {
	b.next = now.Add(probeEvery)
	b.try(d)
}

func (b *breaker) try(d *digest) {
	if len(b.tried) >= maxTried {
		clear(b.tried)
	}
	b.tried[*d] = struct{}{}
}

// fails notes that the lookup of the key, which began at began, failed at now.
func (b *breaker) fails(d *digest, began, now time.Time, err error) {
	if b.outage == nil {
		if slices.Contains(b.failed, *d) {
			return
		}
		if len(b.failed) == 0 || began.Before(b.first) {
			b.first = began
		}
		if b.failed = append(b.failed, *d); len(b.failed) < b.threshold {
			return
		}
		b.began, b.tried = b.first, map[digest]struct{}{}
		for i := range b.failed {
			b.try(&b.failed[i])
		}
		b.next = now.Add(probeEvery)
	}
	b.outage = fmt.Errorf("store failed, and is asked again once a second: %w", err)
	if b.next.Before(now) {
		b.next = now.Add(probeEvery)
	}
}

// answered notes that a lookup was answered.
func (b *breaker) answered(now time.Time) {
	b.failed = b.failed[:0]
	if b.outage != nil {
		b.outage, b.tried, b.ended = nil, nil, now
	}
}

// missed reports whether an entry could not be refreshed in time because its
// freshness ended in the last outage. Such entries are the backlog, which is
// worked off in the background for as long as they may be served stale.
func (b *breaker) missed(until time.Time) bool {
	return b.outage == nil && !b.ended.IsZero() && !until.Before(b.began) && !until.After(b.ended)
}
