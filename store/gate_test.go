package store_test

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	stranger, knownConsumer = true, false
	patience                = 2 * time.Second
)

// line has lookups wait at a gate, and writes down who is admitted.
type line struct {
	*store.Gate
	t        *testing.T
	admitted chan string
	failed   atomic.Int32
}

func newLine(t *testing.T, places int, reserved bool) *line {
	return &line{Gate: store.NewGate(places, reserved), t: t, admitted: make(chan string, 10000)}
}

// wait has n lookups of a client wait, each in its turn.
func (l *line) wait(name string, n int, kind bool, client string, consumer uint64) {
	for range n {
		go func() {
			if err := l.Enter(l.t.Context(), kind, netip.MustParseAddr(client), consumer, patience); err != nil {
				if validator.FailureOf(err) != validator.QueueFailure {
					l.t.Errorf("%s: %v, want a failure of the queue", name, err)
				}
				l.failed.Add(1)
				return
			}
			l.admitted <- name
		}()
		synctest.Wait()
	}
}

// next lets a lookup go, and returns the one that is admitted instead.
func (l *line) next(kind bool) string {
	l.Leave(kind)
	synctest.Wait()
	select {
	case name := <-l.admitted:
		return name
	default:
		return "nobody"
	}
}

// drain takes out n lookups that have been admitted.
func (l *line) drain(n int) {
	l.t.Helper()
	for range n {
		select {
		case <-l.admitted:
		default:
			l.t.Fatal("fewer lookups were admitted than there are places")
		}
	}
}

// TestTurnsOfClients wants one lookup of any client to wait for one lookup of
// each other client, whatever the number of those that wait.
func TestTurnsOfClients(t *testing.T) {
	for name, test := range map[string]struct{ flood, other string }{
		"IPv4":            {"192.0.2.1", "192.0.2.2"},
		"IPv6":            {"2001:db8::1", "2001:db8:0:1::1"},
		"IPv4 in IPv6":    {"192.0.2.1", "::ffff:192.0.2.2"},
		"IPv4 next to it": {"2001:db8::1", "192.0.2.2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, 1, false)
				l.wait("flood", 500, knownConsumer, test.flood, 7)
				l.drain(1)
				l.wait("other", 2, knownConsumer, test.other, 7)
				var got []string
				for range 4 {
					got = append(got, l.next(knownConsumer))
				}
				if got[0]+got[1] != "floodother" && got[0]+got[1] != "otherflood" || got[2] == got[3] {
					t.Errorf("admitted %v, want turns", got)
				}
				time.Sleep(2 * patience)
			})
		})
	}
}

// TestOneNetworkIsOneClient has a client use the addresses of its network.
func TestOneNetworkIsOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 1, false)
		for _, address := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"} {
			l.wait("network", 1, knownConsumer, address, 7)
		}
		l.drain(1)
		l.wait("other", 1, knownConsumer, "192.0.2.2", 7)
		if a, b := l.next(knownConsumer), l.next(knownConsumer); a != "other" && b != "other" {
			t.Errorf("admitted %s and %s, want the other client among them", a, b)
		}
		time.Sleep(2 * patience)
	})
}

// TestTurnsOfConsumers has clients that cannot be told apart.
func TestTurnsOfConsumers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 1, false)
		l.wait("flood", 100, knownConsumer, "192.0.2.1", 1)
		l.drain(1)
		l.wait("other", 1, knownConsumer, "192.0.2.1", 2)
		if a, b := l.next(knownConsumer), l.next(knownConsumer); a != "other" && b != "other" {
			t.Errorf("admitted %s and %s, want the other consumer among them", a, b)
		}
		time.Sleep(2 * patience)
	})
}

func TestStrangersLeavePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 16, true)
		l.wait("stranger", 100, stranger, "192.0.2.1", 0)
		l.drain(8)
		if n := len(l.admitted); n != 0 {
			t.Errorf("%d strangers have places that known consumers need", n)
		}
		if name := l.next(stranger); name != "stranger" {
			t.Errorf("the ninth: %s", name)
		}
		l.wait("known", 20, knownConsumer, "192.0.2.2", 1)
		l.drain(8) // at once
		// While known consumers wait, strangers have two places of sixteen.
		for range 6 {
			if name := l.next(stranger); name != "known" {
				t.Errorf("in place of a stranger: %s", name)
			}
		}
		if name := l.next(stranger); name == "nobody" {
			t.Error("a place stays empty")
		}
		time.Sleep(2 * patience)
	})
}

// TestStrangersAreServed has one place and known consumers that always wait.
func TestStrangersAreServed(t *testing.T) {
	for _, places := range []int{1, 2, 16} {
		synctest.Test(t, func(t *testing.T) {
			l := newLine(t, places, true)
			l.wait("known", 100, knownConsumer, "192.0.2.2", 1)
			l.drain(places)
			l.wait("stranger", 5, stranger, "192.0.2.1", 0)
			kind, served := knownConsumer, 0
			for range 20 {
				name := l.next(kind)
				if kind = name == "stranger"; kind {
					served++
				}
			}
			if served != 5 {
				t.Errorf("%d places: %d of 5 strangers in 20 turns", places, served)
			}
			time.Sleep(2 * patience)
		})
	}
}

// TestStrangersWithoutKnownConsumers has no lookup for which places would stay
// empty.
func TestStrangersWithoutKnownConsumers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 16, false)
		l.wait("stranger", 16, stranger, "192.0.2.1", 0)
		l.drain(16)
	})
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 2, false)
		l.wait("slow", 5, knownConsumer, "192.0.2.1", 1)
		l.drain(2)
		left, leave := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Enter(left, knownConsumer, netip.MustParseAddr("192.0.2.3"), 1, patience) }()
		synctest.Wait()
		leave()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that left: %v", err)
		}
		time.Sleep(patience - time.Millisecond)
		if n := l.failed.Load(); n != 0 {
			t.Errorf("%d gave up early", n)
		}
		time.Sleep(2 * time.Millisecond)
		if n := l.failed.Load(); n != 3 {
			t.Errorf("%d gave up, want 3", n)
		}
		l.Leave(knownConsumer)
		l.Leave(knownConsumer)
		l.wait("next", 2, knownConsumer, "192.0.2.1", 1) // both places are there
		l.drain(2)
	})
}

// TestFullQueue wants the client that fills the queue to lose its places in it.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 1, false)
		l.wait("flood", 1+store.MaxWaiting, knownConsumer, "192.0.2.1", 1)
		l.drain(1)
		l.wait("flood", 3, knownConsumer, "192.0.2.1", 1)
		if n := l.failed.Load(); n != 3 {
			t.Errorf("%d of the flood refused, want 3", n)
		}
		l.wait("other", 1, stranger, "192.0.2.2", 1)
		if n := l.failed.Load(); n != 4 {
			t.Errorf("%d of the flood refused, want 4: one for the other client", n)
		}
		if a, b := l.next(knownConsumer), l.next(knownConsumer); a != "other" && b != "other" {
			t.Errorf("admitted %s and %s, want the other client among them", a, b)
		}
		time.Sleep(2 * patience)
	})
}

// TestLimitFallsAndRises has a server that accepts three connections of eight
// for a while.
func TestLimitFallsAndRises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 8, false)
		for open := 7; open >= 3; open-- {
			if limit, news := l.Shrink(open); limit != open || news != (open == 7) {
				t.Errorf("%d open: limit %d, news %v", open, limit, news)
			}
		}
		l.wait("first", 3, knownConsumer, "192.0.2.1", 1)
		l.drain(3)
		l.wait("waits", 1, knownConsumer, "192.0.2.1", 1)
		if !l.Busy() || len(l.admitted) != 0 {
			t.Error("the limit does not hold")
		}
		if name := l.next(knownConsumer); name != "waits" {
			t.Errorf("admitted %s", name)
		}
		time.Sleep(3 * time.Second)
		l.wait("one more", 2, knownConsumer, "192.0.2.1", 1)
		l.drain(1)
		l.Shrink(3) // refused again: the next try comes later
		time.Sleep(3 * time.Second)
		l.Leave(knownConsumer)
		l.wait("again", 1, knownConsumer, "192.0.2.1", 1)
		if len(l.admitted) != 0 {
			t.Error("tried again too early")
		}
		time.Sleep(6 * time.Minute)
		for range 20 {
			time.Sleep(10 * time.Second)
			l.wait("later", 1, knownConsumer, "192.0.2.1", 1)
			for len(l.admitted) > 0 {
				<-l.admitted
			}
		}
		if limit := l.Limit(); limit != 8 {
			t.Errorf("afterwards the limit is %d, want 8", limit)
		}
		if !l.Calm() || l.Calm() {
			t.Error("it is not told once that all is well")
		}
		time.Sleep(2 * patience)
	})
}

func TestLimitOfNone(t *testing.T) {
	l := store.NewGate(4, false)
	if limit, _ := l.Shrink(0); limit != 1 {
		t.Errorf("limit %d, want 1: somebody must try", limit)
	}
}
