package store

import (
	"context"
	"net/netip"
	"time"
)

// Places gives out a number of places. Clients that wait for one take turns, so
// that any number of requests of one client cost the others one turn.
type Places struct {
	gate *gate
	hold time.Duration
}

// NewPlaces returns n places. Of one client at most perClient requests wait, and
// more are refused at once. A place that was taken is free again after hold at the
// earliest, so that there are at most n/hold entries in a time.
func NewPlaces(n, perClient int, hold time.Duration) *Places {
	g := newGate(n, time.Now, func() bool { return false })
	g.perClient = perClient
	return &Places{g, hold}
}

// Enter waits for a place, until ctx ends or the time is over. The caller calls
// leave once when it needs the place no longer.
func (p *Places) Enter(ctx context.Context, client netip.Addr, wait time.Duration) (leave func(), err error) {
	if err := p.gate.enter(ctx, false, source{client: clientID(client)}, wait); err != nil {
		return nil, err
	}
	entered := time.Now()
	return func() {
		if rest := p.hold - time.Since(entered); rest > 0 {
			time.AfterFunc(rest, func() { p.gate.leave(false) })
			return
		}
		p.gate.leave(false)
	}, nil
}

// Lookups for clients that have proven nothing yet have a quarter of the
// connections, each unprovenHold apart, and unprovenWaiting of one client wait.
const (
	unprovenHold    = 2 * time.Millisecond
	unprovenWaiting = 32
)

func newUnproven(connections int) *Places {
	return NewPlaces(max(1, connections/4), unprovenWaiting, unprovenHold)
}
