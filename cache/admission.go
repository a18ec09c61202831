package cache

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"sync"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// errBusy is the answer to a lookup for which there is no place.
var errBusy = errors.New("too many lookups at once")

// class is a kind of lookup that has a number of places of its own. A flood of
// one class takes no place from another.
type class uint8

const (
	// stranger is a lookup whose consumer has not been found before.
	stranger class = iota
	// acquainted is a lookup of a new token whose consumer is known.
	acquainted
	// refresh is a lookup of what is cached already.
	refresh
	numClasses
)

// places bounds the lookups under way, for each class. A store takes turns
// between the clients that wait in it, so many may wait: a client who is refused
// here at once comes again, and takes more of the processor than one who waits.
var places = [numClasses]int{stranger: 4096, acquainted: 4096, refresh: 1024}

const (
	// maxBacklog bounds the refreshes under way of entries that are served
	// stale meanwhile. It is half of the connections that a pool has by default.
	maxBacklog = 8
	// maxRereads bounds how many refreshes may be under way for another to begin
	// before a refusal.
	maxRereads = 256
	// maxConsumers bounds the consumers that are remembered as known.
	maxConsumers = 1 << 16
)

// Admission bounds the lookups that reach one pool of connections, over all
// sites, wikis and caches that use the pool. It also knows which servers fail.
// It is safe for concurrent use.
type Admission struct {
	seed maphash.Seed

	mu        sync.Mutex
	servers   map[string]*Servers
	running   [numClasses]int
	backlog   int
	bySource  [numClasses]map[netip.Addr]int
	consumers map[uint64]struct{}
}

// NewAdmission returns the Admission of a pool to which no lookup is under way.
func NewAdmission() *Admission {
	a := &Admission{seed: maphash.MakeSeed(), servers: map[string]*Servers{}, consumers: map[uint64]struct{}{}}
	for i := range a.bySource {
		a.bySource[i] = map[netip.Addr]int{}
	}
	return a
}

// Servers is the set of servers that the lookups of a Store need. Their outage
// is one for all Stores that have the same Servers.
type Servers struct {
	admission *Admission
	breaker   breaker // guarded by admission.mu
}

// Servers returns the servers of that name, which is any text that identifies
// them. The lookups to all Servers of an Admission share its places.
func (a *Admission) Servers(name string) *Servers {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.servers[name]
	if s == nil {
		s = &Servers{admission: a, breaker: breaker{threshold: 3}}
		a.servers[name] = s
	}
	return s
}

// classify returns the class of a lookup of what is not cached. The caller holds
// mu.
func (a *Admission) classify(key *validator.Key) class {
	if _, known := a.consumers[a.consumer(key)]; known {
		return acquainted
	}
	return stranger
}

func (a *Admission) consumer(key *validator.Key) uint64 { return maphash.String(a.seed, key.Consumer) }

// learn remembers that the consumer of a key exists. The caller holds mu.
func (a *Admission) learn(key *validator.Key) {
	id := a.consumer(key)
	if _, known := a.consumers[id]; !known && len(a.consumers) >= maxConsumers {
		clear(a.consumers)
	}
	a.consumers[id] = struct{}{}
}

// place is the place of one lookup under way.
type place struct {
	class   class
	backlog bool
	source  netip.Addr
}

// take takes a place and reports whether there was one. A source, which is the
// client's address, may hold as many as are left free: a single one gets half of
// them, and a source that holds none gets one while any is free. The caller
// holds mu.
func (a *Admission) take(p place) bool {
	free := places[p.class] - a.running[p.class]
	if free <= 0 || p.backlog && a.backlog >= maxBacklog {
		return false
	}
	if p.source.IsValid() && p.class != refresh {
		if a.bySource[p.class][p.source] >= free {
			return false
		}
		a.bySource[p.class][p.source]++
	}
	a.running[p.class]++
	if p.backlog {
		a.backlog++
	}
	return true
}

// leave gives a place back. The caller holds mu.
func (a *Admission) leave(p place) {
	a.running[p.class]--
	if p.backlog {
		a.backlog--
	}
	if p.source.IsValid() && p.class != refresh {
		if a.bySource[p.class][p.source]--; a.bySource[p.class][p.source] == 0 {
			delete(a.bySource[p.class], p.source)
		}
	}
}
