// Package nonces is the exact memory of OAuth 1.0a nonces of one process.
//
// No nonce is dropped before its time, whatever comes in. The memory is shared
// by all users of one OAuth database, so it bounds what each of them may hold:
//
//   - A user may hold an eighth of what is free beyond a reserve of a sixteenth
//     of the memory, with any number of apps and tokens. The bound shrinks as
//     the memory fills, so any number of greedy users stop before the reserve.
//   - A user who holds fewer than 64 nonces is accepted while one place is free.
//   - A nonce whose timestamp lies in the future is kept for longer, and counts
//     twice.
//
// Two clocks are read. The wall clock, by which timestamps are judged, decides
// what has expired. The time since the start, which no step of the wall clock
// changes, decides when a nonce is dropped: a step neither fills the memory nor
// empties it. A nonce whose time is not later than that of one that was dropped
// is refused as expired, because it may be the dropped one. So a nonce with its
// timestamp is fresh once in the life of a Memory, however the clock is set.
package nonces

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Config configures a Memory.
type Config struct {
	// Size bounds the memory, in bytes: 32 for each nonce and for each user who
	// holds one, and 128 KiB at once. The rest is allocated as it is needed.
	Size int64
	// Notify, if not nil, is told of each Event, by the request that causes it.
	Notify func(Event, Stats)
}

// Event is something that an operator wants to know.
type Event uint8

const (
	// NearlyFull means that four fifths of the memory are in use.
	NearlyFull Event = iota + 1
	// Relieved means that after NearlyFull, less than seven tenths are in use.
	Relieved
	// ClockBack means that the wall clock was set back so far that requests
	// with a current timestamp are refused, because nonces of that time have
	// been dropped. Use refuses them until the clock has caught up.
	ClockBack
)

// Stats says how full a Memory is.
type Stats struct {
	Bytes, Capacity int64
}

// Memory is an exact memory of nonces. It is safe for use by many goroutines.
//
// It has one lock. Shards would need bounds of their own, and one busy client
// would fill its shard for others.
type Memory struct {
	limit  uint32 // nodes
	notify func(Event, Stats)
	// clock returns the wall clock's Unix seconds, and the seconds since the
	// start, which no step changes.
	clock func() (wall, elapsed int64)
	// The places of nonces and users are secret, because a client that knew
	// them could choose nonces that share one chain of the table.
	secret [16]byte
	seed   maphash.Seed

	mu       sync.Mutex
	table    table
	wheel    wheel
	janitor  *time.Timer // sweeps once a second; nil: the memory is empty, or closed
	closed   bool
	warned   bool  // NearlyFull was told last
	clockBad bool  // ClockBack was told
	dropped  int64 // end of the latest nonce that was dropped, as a Unix second
}

const (
	// few is how many nonces each user may hold while one place is free.
	few = 64
	// share is the part of the free memory that one user may hold: an eighth.
	share = 8
	// reserve is the part of the memory that is kept for users who hold few.
	reserve = 16
	// tolerance is how many seconds a client's clock may be fast before its
	// nonces count twice: those are kept a tenth longer at most.
	tolerance = 30
	// useSteps bounds what one request sweeps. It is more than a request adds.
	useSteps = 8
	// refusalSteps bounds what is swept before a request is refused.
	refusalSteps = 512
)

var (
	// errFull means that no place is free, not even for a user who holds no
	// nonce.
	errFull    = errors.New("nonce memory is full")
	errTooLong = errors.New("nonce would have to be kept for more than two hours")
)

// New returns an empty Memory.
func New(cfg Config) *Memory {
	start := time.Now()
	m := &Memory{
		limit:   places(cfg.Size),
		notify:  cfg.Notify,
		seed:    maphash.MakeSeed(),
		dropped: -1 << 62,
		clock: func() (int64, int64) {
			now := time.Now()
			return now.Unix(), int64(now.Sub(start) / time.Second)
		},
	}
	_, _ = rand.Read(m.secret[:]) // never fails
	return m
}

// places returns how many nodes fit into size bytes. One more is kept back: the
// last nonce may be the first of its user, and takes two.
func places(size int64) uint32 {
	return uint32(min(max(size-wheelBytes-nodeBytes, 0)/nodeBytes, twice-2))
}

// Of returns the memory for the users of one realm: users of another realm with
// the same numbers are other users. Nonces are the same in all realms.
func (m *Memory) Of(realm string) validator.Nonces {
	return of{m, maphash.String(m.seed, realm)}
}

type of struct {
	m     *Memory
	realm uint64
}

func (o of) Use(_ context.Context, use validator.NonceUse) (bool, error) {
	return o.m.useOf(o.realm, &use)
}

// Use implements [validator.Nonces]. The nonce is remembered to the end of the
// second that use.Until is in. A nonce without a user counts as its consumer's.
func (m *Memory) Use(_ context.Context, use validator.NonceUse) (fresh bool, err error) {
	return m.useOf(0, &use)
}

func (m *Memory) useOf(realm uint64, use *validator.NonceUse) (fresh bool, err error) {
	nonce, user := m.nonceID(use), m.userID(realm, use)
	end := use.Until.Unix()
	m.mu.Lock()
	wall, elapsed := m.clock()
	weight := uint32(1)
	if use.Issued.Unix() > wall+tolerance {
		weight = 2
	}
	more := m.sweep(elapsed, useSteps)
	fresh, err = m.use(nonce, user, weight, end, wall, elapsed)
	if !fresh && more {
		// Little is refused for the sake of what could be dropped.
		m.sweep(elapsed, refusalSteps)
		fresh, err = m.use(nonce, user, weight, end, wall, elapsed)
	}
	event := m.event(end, wall, err)
	stats := m.stats()
	m.mu.Unlock()
	if event != 0 && m.notify != nil {
		m.notify(event, stats)
	}
	return fresh, err
}

// use is Use with the lock held and the clock read.
func (m *Memory) use(nonce, user id, weight uint32, end, wall, elapsed int64) (bool, error) {
	due := elapsed + end - wall + 2 // the seconds of both clocks begin at different moments
	switch {
	case end < wall, end <= m.dropped:
		return false, validator.ErrNonceExpired
	case !m.wheel.takes(&m.table, elapsed, due):
		return false, errTooLong
	case m.table.find(nonce) != 0:
		return false, nil
	}
	owner := m.table.find(user)
	if owner != 0 {
		if n := m.table.at(owner); n.nonces() >= m.few() && n.weight()+weight > m.bound() {
			return false, validator.ErrNonceShare
		}
	}
	if m.table.used >= m.limit {
		return false, errFull
	}
	if owner == 0 {
		owner = m.table.add(user)
	}
	number := m.table.add(nonce)
	m.table.hold(owner, number, weight)
	m.wheel.add(&m.table, number, elapsed, due, end)
	m.watch()
	return true, nil
}

// few returns how many nonces a user may hold in any case.
func (m *Memory) few() uint32 { return min(few, max(m.limit/share, 1)) }

// bound returns how many nonces a user who holds more than few may hold now.
func (m *Memory) bound() uint32 {
	free, kept := m.limit-min(m.table.used, m.limit), m.limit/reserve
	return (max(free, kept) - kept) / share
}

// Stats returns how full the memory is.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats()
}

func (m *Memory) stats() Stats {
	return Stats{Bytes: int64(m.table.used) * nodeBytes, Capacity: int64(m.limit) * nodeBytes}
}

// event returns what is to be told after a request, once for each episode.
func (m *Memory) event(end, wall int64, err error) Event {
	switch {
	case errors.Is(err, validator.ErrNonceExpired) && end >= wall && !m.clockBad:
		m.clockBad = true
		return ClockBack
	case m.clockBad && wall > m.dropped:
		m.clockBad = false
	}
	switch used := uint64(m.table.used); {
	case !m.warned && 5*used >= 4*uint64(m.limit):
		m.warned = true
		return NearlyFull
	case m.warned && 10*used < 7*uint64(m.limit):
		m.warned = false
		return Relieved
	}
	return 0
}

// nonceID returns the id of a nonce of one consumer and token. It is half a
// keyed SHA-256 or less: a collision refuses a request, and none can make a
// used nonce fresh.
func (m *Memory) nonceID(use *validator.NonceUse) id {
	var stack [256]byte
	b := append(stack[:0], m.secret[:]...)
	b = appendPart(b, use.Key.Consumer)
	b = appendPart(b, use.Key.Token)
	sum := sha256.Sum256(append(b, use.Nonce...))
	return id{binary.LittleEndian.Uint32(sum[0:]), binary.LittleEndian.Uint32(sum[4:]), binary.LittleEndian.Uint32(sum[8:])}
}

// appendPart appends a part with its length, so that no two lists of parts give
// the same bytes.
func appendPart(b []byte, part string) []byte {
	b = binary.AppendUvarint(b, uint64(len(part)))
	return append(b, part...)
}

// userID returns the id of the user whose share a nonce counts against.
func (m *Memory) userID(realm uint64, use *validator.NonceUse) id {
	user, kind := use.UserID, uint32(0)
	if user == 0 {
		user, kind = maphash.String(m.seed, use.Key.Consumer), 1
	}
	hash := maphash.Comparable(m.seed, [2]uint64{realm, user})
	return id{uint32(hash), uint32(hash >> 32), kind} //nolint:gosec // two halves
}
