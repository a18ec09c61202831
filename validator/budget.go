package validator

import (
	"net/netip"
	"sync"
)

// maxBodies bounds the memory of all bodies that this process holds at one
// time, in bytes, whatever site they are for.
const maxBodies = 256 << 20

// bodies is the budget of this process.
var bodies = newBudget(maxBodies)

// budget counts the memory of bodies that are read before their request is
// decided about. One body alone may be as large as its own limit allows, because
// a limit above the budget would otherwise let nothing pass.
//
// A body that is read before the store was asked can be anybody's. Such bodies
// share an eighth, so that strangers leave room for clients that are known, and
// one address holds half of what the others leave of it. One
// user, with any number of apps and tokens, holds a quarter, or half of what the
// others leave where that is less, unless a single body is larger. A consumer key
// and a token are known to more people than their secrets are, so that a share can
// be used up without a signature.
type budget struct {
	size int64

	mu        sync.Mutex
	held      int64
	strangers int64
	addresses map[netip.Addr]int64 // of strangers
	users     map[uint64]int64     // by central user id
}

func newBudget(size int64) *budget {
	return &budget{size: size, addresses: make(map[netip.Addr]int64), users: make(map[uint64]int64)}
}

// owner is whose share of the budget a body counts against.
type owner struct {
	user   uint64
	known  bool
	client netip.Addr // the network of a stranger; zero: not known
}

func (l *BodyLimit) owner() owner {
	if l.Known {
		return owner{user: l.UserID, known: true}
	}
	return owner{client: Network(l.Client)}
}

// Network returns the address by which the share of a client in something is
// counted: its own, or the network of 64 bits that an IPv6 client has to itself.
func Network(client netip.Addr) netip.Addr {
	client = client.Unmap().WithZone("")
	if client.Is6() {
		network, _ := client.Prefix(64) // never fails
		return network.Addr()
	}
	return client
}

// share is what one body holds of the budget. It may be returned by another
// goroutine than the one that reads.
type share struct {
	budget *budget
	owner  owner
	held   int64
	ended  bool
}

// grow reserves more bytes, and reports whether there is room for them.
func (s *share) grow(n int64) bool {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.ended || b.held > s.held && b.held+n > b.size {
		return false
	}
	if !s.owner.known {
		free, own := b.size/8-b.strangers, b.addresses[s.owner.client]
		if n > free || s.owner.client.IsValid() && own+n > (free+own)/2 {
			return false
		}
	} else if own := b.users[s.owner.user]; own > s.held && own+n > min(b.size/4, (b.size-b.held+own)/2) {
		return false
	}
	s.add(n)
	return true
}

// charge counts bytes that a request which was admitted needs to be decided.
func (s *share) charge(n int64) {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	if !s.ended {
		s.add(n)
	}
}

// end returns everything that the share holds. It may be called more than once.
func (s *share) end() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	if !s.ended {
		s.ended = true
		s.add(-s.held)
	}
}

// add counts n bytes more, or less. The budget is locked.
func (s *share) add(n int64) {
	b := s.budget
	s.held += n
	b.held += n
	if !s.owner.known {
		b.strangers += n
		if !s.owner.client.IsValid() {
			return
		}
		if b.addresses[s.owner.client] += n; b.addresses[s.owner.client] == 0 {
			delete(b.addresses, s.owner.client)
		}
		return
	}
	if b.users[s.owner.user] += n; b.users[s.owner.user] == 0 {
		delete(b.users, s.owner.user)
	}
}
