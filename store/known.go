package store

import (
	"hash/maphash"
	"sync"
)

const (
	// maxKnown bounds the consumers that are remembered, in each generation.
	maxKnown = 8192
	// A credential that is found earns its consumer credit, and one that is not
	// found costs some: consumer keys are public, so a flood of random tokens
	// may name a known one. Without credit it counts as a stranger.
	creditFound, creditMissing, creditMax = 4, 1, 16
)

// known remembers the consumers whose credentials are found, by hashes of their
// keys. All sites and wikis that share a pool share it.
type known struct {
	mu       sync.Mutex
	credit   map[uint64]int8
	older    map[uint64]int8 // the generation before
	credited int             // consumers with credit, of both generations
}

// consumerID returns the name of a consumer of the store's OAuth tables.
func (s *Store) consumerID(key string) uint64 {
	var h maphash.Hash
	h.SetSeed(sourceSeed)
	_, _ = h.WriteString(s.names[slotOAuth]) // never fails
	_, _ = h.WriteString(slotMark)
	_, _ = h.WriteString(key)
	return h.Sum64()
}

// state reports whether the consumer has credit, and whether it is remembered.
func (k *known) state(id uint64) (credited, remembered bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	credit, ok := k.credit[id]
	if !ok {
		credit, ok = k.older[id]
	}
	return credit > 0, ok
}

// any reports whether a consumer has credit.
func (k *known) any() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.credited > 0
}

// note counts what a lookup found.
func (k *known) note(id uint64, found bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before, remembered := k.credit[id]
	if !remembered {
		before = k.older[id]
	}
	after := max(0, before-creditMissing)
	if found {
		after = min(creditMax, before+creditFound)
	}
	if after == before && remembered || after == 0 && before == 0 {
		return
	}
	if !remembered && len(k.credit) >= maxKnown {
		for _, credit := range k.older {
			if credit > 0 {
				k.credited--
			}
		}
		k.older, k.credit = k.credit, nil
		before = min(before, k.older[id])
	}
	if k.credit == nil {
		k.credit = make(map[uint64]int8)
	}
	delete(k.older, id)
	k.credit[id] = after
	switch {
	case before == 0 && after > 0:
		k.credited++
	case before > 0 && after == 0:
		k.credited--
	}
}
