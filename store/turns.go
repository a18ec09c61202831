package store

import (
	"container/list"
	"hash/maphash"
	"net/netip"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// source names the client and the consumer that a lookup is for. Lookups that
// wait take turns by client, and those of one client by consumer, so that any
// number of lookups of one client cost the others one place in turn. The names
// are hashes with a secret of the process: of two that are equal by chance the
// lookups share their turns.
type source struct{ client, consumer uint64 }

var sourceSeed = maphash.MakeSeed()

// clientID returns the name of a client, by its network.
func clientID(client netip.Addr) uint64 {
	return maphash.Comparable(sourceSeed, validator.Network(client))
}

// waiter is a lookup that waits for a connection.
type waiter struct {
	stranger bool
	admitted chan struct{} // closed when it has a place, or err
	err      error         // why it gets none

	in      *turns
	element *list.Element
}

// turns is a list of waiters, or of lists of them by name that take turns. The
// zero value is empty.
type turns struct {
	parent  *turns
	name    uint64
	element *list.Element // in the parent's order
	order   list.List     // of *waiter, or of *turns that are not empty
	named   map[uint64]*turns
	waiting int
}

// add puts w behind the waiters of its source.
func (t *turns) add(w *waiter, from source) {
	t = t.of(from.client).of(from.consumer)
	w.in, w.element = t, t.order.PushBack(w)
	for ; t != nil; t = t.parent {
		t.waiting++
	}
}

// of returns the list of a name, which is last in turn when it is new.
func (t *turns) of(name uint64) *turns {
	if known := t.named[name]; known != nil {
		return known
	}
	if t.named == nil {
		t.named = make(map[uint64]*turns)
	}
	added := &turns{parent: t, name: name}
	added.element = t.order.PushBack(added)
	t.named[name] = added
	return added
}

// remove takes w out of its list.
func (w *waiter) remove() {
	w.in.order.Remove(w.element)
	for t := w.in; t != nil; t = t.parent {
		t.waiting--
		if t.waiting == 0 && t.parent != nil {
			t.parent.order.Remove(t.element)
			delete(t.parent.named, t.name)
		}
	}
}

// next returns the waiter whose turn it is, taken out; nil if nobody waits.
func (t *turns) next() *waiter {
	for t.waiting > 0 {
		first := t.order.Front()
		switch v := first.Value.(type) {
		case *waiter:
			v.remove()
			return v
		case *turns:
			t.order.MoveToBack(first)
			t = v
		}
	}
	return nil
}

// longest returns the list of the client with the most waiters.
func (t *turns) longest() *turns {
	var most *turns
	for _, client := range t.named {
		if most == nil || client.waiting > most.waiting {
			most = client
		}
	}
	return most
}
