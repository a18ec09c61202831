package nonces

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestTableAgainstAMap adds and removes at random, and compares with a map.
func TestTableAgainstAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, ids := range []uint32{1, 3, 100, 5000} {
		var table table
		held := map[id]uint32{}
		for range 100_000 {
			id := id{r.Uint32N(ids) * 0x9e3779b9, 0, r.Uint32N(3)}
			number := table.find(id)
			if number != held[id] {
				t.Fatalf("%v has number %d, want %d", id, number, held[id])
			}
			if number == 0 {
				held[id] = table.add(id)
			} else {
				table.remove(number)
				delete(held, id)
			}
		}
		if int(table.used) != len(held) || int(table.made) > int(ids)*3 {
			t.Errorf("%d used of %d, want %d", table.used, table.made, len(held))
		}
		for id, number := range held {
			if table.find(id) != number {
				t.Fatalf("%v has number %d, want %d", id, table.find(id), number)
			}
		}
	}
}

// TestChainsStayShort checks that the table grows with what is in it, and that
// no insertion moves more than a few nodes.
func TestChainsStayShort(t *testing.T) {
	m := newMemory(t, 64<<20)
	for user := uint64(1); m.table.nonces < 300_000; user++ {
		if _, err := m.spend(user, 1000, 0); err != nil {
			t.Fatal(err)
		}
	}
	longest := 0
	for chain := range m.table.made {
		length := 0
		for number := *m.table.head(chain); number != 0; number = m.table.at(number).chain {
			length++
		}
		longest = max(longest, length)
	}
	if longest > 20 { // a Poisson distribution of mean 1 or 2
		t.Errorf("a chain has %d nodes", longest)
	}
}

// TestRemovalTakesConstantTime lays 300,000 nodes into one chain, which the
// secret makes impossible for a client, and removes them from its far end. Steps
// through the chain would take minutes.
func TestRemovalTakesConstantTime(t *testing.T) {
	var table table
	const nodes = 300_000
	table.mask = 0
	for i := range uint32(nodes) {
		if i%chunkSize == 0 {
			table.chunks = append(table.chunks, new(chunk))
		}
		number := i + 1
		*table.at(number) = node{id: id{0, i, 0}}
		table.made = 1 // one chain
		table.link(number)
	}
	start := time.Now()
	for number := range uint32(nodes) {
		table.unlink(number + 1)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("%d removals took %v", nodes, took)
	}
	if *table.head(0) != 0 {
		t.Error("the chain is not empty")
	}
}

// TestPlacesAreSecret checks that no client can tell which
// nonces and users share a chain.
func TestPlacesAreSecret(t *testing.T) {
	one, two := newMemory(t, 1<<20), newMemory(t, 1<<20)
	use := one.sign(1, "t", "n", 0)
	anonymous := one.sign(0, "t", "n", 0)
	if one.nonceID(&use) == two.nonceID(&use) {
		t.Error("two processes place a nonce alike")
	}
	if one.userID(0, &use) == two.userID(0, &use) || one.userID(0, &anonymous) == two.userID(0, &anonymous) {
		t.Error("two processes place a user alike")
	}
	two.secret, two.seed = one.secret, one.seed
	if one.nonceID(&use) != two.nonceID(&use) || one.userID(0, &use) != two.userID(0, &use) || one.userID(0, &anonymous) != two.userID(0, &anonymous) {
		t.Error("a place depends on more than the secret")
	}
}
