package store

import (
	"sync"
	"time"
)

// Second looks at the primary that strangers may cause: so many at once, and
// then so many a second, for each of secondSlots sets of clients. Clients are
// spread over the sets by a secret hash, so that all together have a bound too.
const (
	secondSlots = 32
	secondBurst = 10
	secondRate  = 2
)

// secondLooks bounds what reaches the primary because a replica did not have
// it. A flood of random tokens would else double its load and reach the server
// that the wiki needs for its writes.
type secondLooks struct {
	mu    sync.Mutex
	slots [secondSlots]struct {
		spent float64 // of the burst
		at    time.Time
	}
}

// allow reports whether the client may cause one more now.
func (s *secondLooks) allow(client uint64, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := &s.slots[client%secondSlots]
	slot.spent = max(0, slot.spent-secondRate*now.Sub(slot.at).Seconds())
	slot.at = now
	if slot.spent > secondBurst-1 {
		return false
	}
	slot.spent++
	return true
}
