package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
	"time"
	"unsafe"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Nonces is an exact memory of nonces: none is dropped before its time, whatever comes in. One consumer and
// token may hold a sixteenth of it. When it is full, Use is an error.
//
// Time is the wall clock's, because timestamps of requests are. When the clock steps back, nonces stay until it
// has caught up; when it steps forward, nothing is dropped for as long as the last nonce would have had to
// stay, in case that it steps back again.
//
// It has one lock: shards would need bounds of their own, and one busy client would fill its shard for others.
type Nonces struct {
	limit uint32 // nodes
	share uint32 // nonces of one pair
	// clock returns the wall clock's Unix seconds, and the time since the start as no step changes it.
	clock func() (wall int64, elapsed time.Duration)

	mu     sync.Mutex
	heads  []uint32 // hash table: number of the first node of a chain; 0: none
	chunks []*[chunkSize]node
	free   uint32 // first unused node, chained by next
	made   uint32 // nodes in chunks ever used
	used   uint32
	nonces uint32
	due    int64 // no nonce ends in an earlier second
	last   int64 // nor in a later one
	// What clock returned the last time, and until when a step forward stops dropping.
	wall          int64
	elapsed, hold time.Duration
	// A step forward leaves seconds in which no nonce ends: those after the first and before the second.
	gapAfter, gapBefore int64
}

// node is a nonce, a pair of consumer and token, or a second at whose end nonces are dropped. All three are
// in one table, so that its size is all that is held.
type node struct {
	id    [16]byte // half a SHA-256: a collision refuses a request; none can make a used nonce fresh
	chain uint32   // next node of the same hash
	next  uint32   // nonce: next one of the same second; second: its first nonce; unused: next unused
	pair  uint32   // nonce: its pair; pair: number of its nonces
}

const (
	chunkSize = 1024
	nodeBytes = int64(unsafe.Sizeof(node{})) + 4 // and its head
	// A sweep takes at most this many steps before a request goes on: it frees more than a request takes.
	sweepSteps = 64
	// maxSlew is how far the wall clock may run ahead of elapsed time, between two uses, without a step.
	maxSlew = 2 * time.Second
)

var errNoncesFull = errors.New("nonce memory is full")

// NewNonces returns an empty memory of at most size bytes: 32 for each nonce, for each pair of consumer and
// token that holds one, and for each second in which one ends. An eighth of it is reserved at once.
func NewNonces(size int64) *Nonces {
	limit := uint32(min(max(size, 0)/nodeBytes, 1<<31))
	start := time.Now()
	return &Nonces{
		limit: limit,
		share: max(limit/16, 1),
		heads: make([]uint32, max(limit, 1)),
		clock: func() (int64, time.Duration) {
			now := time.Now()
			return now.Unix(), now.Sub(start)
		},
	}
}

// Use implements [validator.Nonces]. The nonce is remembered to the end of the second that until is in.
func (n *Nonces) Use(_ context.Context, use validator.NonceUse) (bool, error) {
	pairID, nonceID := nonceIDs(&use.Key, use.Nonce)
	end := use.Until.Unix()
	n.mu.Lock()
	defer n.mu.Unlock()
	wall := n.now()
	for {
		more := n.sweep(wall)
		pair, second := n.find(pairID), n.find(secondID(end))
		need := 1 + b2i(pair == 0) + b2i(second == 0)
		var fresh bool
		var err error
		switch {
		case n.find(nonceID) != 0:
		case pair != 0 && n.at(pair).pair >= n.share:
			err = validator.ErrNonceShare
		case n.used+need > n.limit:
			err = errNoncesFull
		default:
			n.insert(pairID, nonceID, pair, second, end)
			fresh = true
		}
		// Nothing is refused for the sake of what could be dropped.
		if fresh || !more {
			return fresh, err
		}
	}
}

// Bytes returns the bytes in use, once what has ended is dropped.
func (n *Nonces) Bytes() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	for wall := n.now(); n.sweep(wall); {
	}
	return int64(n.used) * nodeBytes
}

func nonceIDs(key *validator.Key, nonce string) (pair, id [16]byte) {
	var stack [256]byte
	b := appendPart(stack[:0], kindNonce)
	b = appendPart(b, key.Consumer)
	b = appendPart(b, key.Token)
	sum := sha256.Sum256(b)
	pair = [16]byte(sum[:])
	sum = sha256.Sum256(append(append(stack[:0], pair[:]...), nonce...))
	return pair, [16]byte(sum[:])
}

func secondID(s int64) (id [16]byte) {
	const golden = 0x9e3779b97f4a7c15                      // odd, so no two seconds meet; and it spreads them over the heads
	binary.LittleEndian.PutUint64(id[:], uint64(s)*golden) //nolint:gosec // any number does
	return id
}

func b2i(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// now reads the clock. After a step forward nothing is dropped until the last nonce's time has really passed.
func (n *Nonces) now() (wall int64) {
	wall, elapsed := n.clock()
	stepped := time.Duration(wall-n.wall)*time.Second - (elapsed - n.elapsed)
	if n.nonces > 0 && stepped > maxSlew {
		n.hold = max(n.hold, n.elapsed+time.Duration(n.last-n.wall+1)*time.Second)
		n.gapAfter, n.gapBefore = n.last, wall
	}
	n.wall, n.elapsed = wall, elapsed
	return wall
}

// sweep drops what ended before the second of wall, and says whether there is more to drop.
func (n *Nonces) sweep(wall int64) (more bool) {
	if n.elapsed < n.hold {
		return false
	}
	for range sweepSteps {
		if n.nonces == 0 || n.due >= wall {
			return false
		}
		second := n.find(secondID(n.due))
		if second == 0 {
			if n.due++; n.due > n.gapAfter {
				n.due = max(n.due, n.gapBefore)
			}
			continue
		}
		ended := n.at(second).next
		n.at(second).next = n.at(ended).next
		pair := n.at(ended).pair
		n.remove(ended)
		n.nonces--
		if n.at(pair).pair--; n.at(pair).pair == 0 {
			n.remove(pair)
		}
		if n.at(second).next == 0 {
			n.remove(second)
			n.due++
		}
	}
	return n.nonces > 0 && n.due < wall
}

func (n *Nonces) insert(pairID, nonceID [16]byte, pair, second uint32, end int64) {
	if pair == 0 {
		pair = n.add(pairID)
	}
	if second == 0 {
		second = n.add(secondID(end))
	}
	nonce := n.add(nonceID)
	n.at(nonce).pair = pair
	n.at(pair).pair++
	n.at(nonce).next = n.at(second).next
	n.at(second).next = nonce
	if n.nonces == 0 {
		n.due, n.last = end, end
	}
	n.due, n.last = min(n.due, end), max(n.last, end)
	if end < n.gapBefore {
		n.gapBefore = 0
	}
	n.nonces++
}

// at returns a node by its number, which begins at 1.
func (n *Nonces) at(number uint32) *node {
	number--
	return &n.chunks[number/chunkSize][number%chunkSize]
}

func (n *Nonces) head(id *[16]byte) *uint32 {
	at, _ := bits.Mul64(binary.LittleEndian.Uint64(id[:]), uint64(len(n.heads)))
	return &n.heads[at]
}

// find returns the number of the node with this id, or 0.
func (n *Nonces) find(id [16]byte) uint32 {
	number := *n.head(&id)
	for number != 0 {
		at := n.at(number)
		if at.id == id {
			break
		}
		number = at.chain
	}
	return number
}

func (n *Nonces) add(id [16]byte) uint32 {
	number := n.free
	if number != 0 {
		n.free = n.at(number).next
	} else {
		if n.made%chunkSize == 0 {
			n.chunks = append(n.chunks, new([chunkSize]node))
		}
		n.made++
		number = n.made
	}
	head := n.head(&id)
	*n.at(number) = node{id: id, chain: *head}
	*head = number
	n.used++
	return number
}

func (n *Nonces) remove(number uint32) {
	at := n.at(number)
	link := n.head(&at.id)
	for *link != number {
		link = &n.at(*link).chain
	}
	*link = at.chain
	*at = node{next: n.free}
	n.free = number
	n.used--
}
