package nonces

import (
	"math/bits"
	"unsafe"
)

// id tells nonces and users apart. The first word is the hash of the table.
type id [3]uint32

// node is a nonce, or a user who holds nonces. Both are in one table, so that
// its size is all that is held.
type node struct {
	id    id
	chain uint32 // next node of the same hash; 0: none
	prev  uint32 // the one before it; 0: none, the head refers to this one
	next  uint32 // nonce: next one of the same second; user: number of nonces; unused: next unused
	owner uint32 // nonce: its user, and twice if it counts so; user: sum of what the nonces count
}

// nonces and weight are those of a user.
func (n *node) nonces() uint32 { return n.next }
func (n *node) weight() uint32 { return n.owner }

// twice marks a nonce that counts twice. It bounds the numbers of nodes.
const twice = 1 << 31

const (
	chunkSize = 1024
	nodeBytes = int64(unsafe.Sizeof(chunk{})) / chunkSize
)

// chunk is a part of the table: nodes, and as many heads of chains.
type chunk struct {
	nodes [chunkSize]node
	heads [chunkSize]uint32 // number of the first node; 0: none
}

// table is a hash table with chains that grows by one node and one chain at a
// time (linear hashing): no insertion waits for the whole to be copied.
type table struct {
	chunks []*chunk
	made   uint32 // nodes that were ever used, and chains
	mask   uint32 // of a hash: the smallest 2^n-1 that tells all chains apart
	free   uint32 // first unused of them, chained by next
	used   uint32
	nonces uint32
}

// at returns a node by its number, which begins at 1.
func (t *table) at(number uint32) *node {
	number--
	return &t.chunks[number/chunkSize].nodes[number%chunkSize]
}

// head returns the head of a chain by its number, which begins at 0.
func (t *table) head(chain uint32) *uint32 {
	return &t.chunks[chain/chunkSize].heads[chain%chunkSize]
}

// chainOf returns the number of the chain of a hash.
func (t *table) chainOf(hash uint32) uint32 {
	chain := hash & t.mask
	if chain >= t.made { // not split off yet
		chain &= t.mask >> 1
	}
	return chain
}

// find returns the number of the node with this id, or 0.
func (t *table) find(id id) uint32 {
	if t.made == 0 {
		return 0
	}
	number := *t.head(t.chainOf(id[0]))
	for number != 0 {
		n := t.at(number)
		if n.id == id {
			break
		}
		number = n.chain
	}
	return number
}

// add adds a node that is not in the table, and returns its number.
func (t *table) add(id id) uint32 {
	number := t.free
	if number != 0 {
		t.free = t.at(number).next
	} else {
		t.grow()
		number = t.made
	}
	*t.at(number) = node{id: id}
	t.link(number)
	t.used++
	return number
}

// hold makes a new nonce one that the user holds.
func (t *table) hold(user, nonce, weight uint32) {
	holder := t.at(user)
	holder.next++
	holder.owner += weight
	t.at(nonce).owner = user
	if weight > 1 {
		t.at(nonce).owner |= twice
	}
	t.nonces++
}

// drop removes a nonce, and its user if it was their last.
func (t *table) drop(nonce uint32) {
	owner := t.at(nonce).owner
	user := owner &^ twice
	holder := t.at(user)
	holder.next--
	holder.owner -= 1 + owner/twice
	t.remove(nonce)
	t.nonces--
	if holder.next == 0 {
		t.remove(user)
	}
	if t.nonces == 0 {
		*t = table{} // gives back what a busy hour took
	}
}

// remove takes a node out of its chain, whose length does not matter.
func (t *table) remove(number uint32) {
	t.unlink(number)
	*t.at(number) = node{next: t.free}
	t.free = number
	t.used--
}

// grow makes room for one node, and splits one chain in two.
func (t *table) grow() {
	if t.made%chunkSize == 0 {
		t.chunks = append(t.chunks, new(chunk))
	}
	split := t.made
	t.made++
	if split == 0 {
		return
	}
	size := bits.Len32(split)
	t.mask = 1<<size - 1
	number := *t.head(split &^ (1 << (size - 1)))
	for number != 0 {
		n := t.at(number)
		next := n.chain
		if n.id[0]&t.mask == split {
			t.unlinkFrom(split&^(1<<(size-1)), number)
			t.link(number)
		}
		number = next
	}
}

func (t *table) link(number uint32) {
	n := t.at(number)
	head := t.head(t.chainOf(n.id[0]))
	n.chain, n.prev = *head, 0
	if n.chain != 0 {
		t.at(n.chain).prev = number
	}
	*head = number
}

func (t *table) unlink(number uint32) { t.unlinkFrom(t.chainOf(t.at(number).id[0]), number) }

func (t *table) unlinkFrom(chain, number uint32) {
	n := t.at(number)
	if n.prev == 0 {
		*t.head(chain) = n.chain
	} else {
		t.at(n.prev).chain = n.chain
	}
	if n.chain != 0 {
		t.at(n.chain).prev = n.prev
	}
}
