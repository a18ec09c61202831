package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Places gives out a number of places. Clients that wait for one take turns, so
// that any number of requests of one client cost the others one turn.
type Places struct {
	gate *gate
	hold time.Duration
}

// NewPlaces returns n places. At most a number of requests wait, at most perClient
// of one client, and more are refused at once. A place that was taken is free again
// after hold at the earliest, which bounds how many are taken in a time.
func NewPlaces(n, waiting, perClient int, hold time.Duration) *Places {
	g := newGate(n, time.Now, func() bool { return false })
	g.waiting, g.perClient = waiting, perClient
	return &Places{g, hold}
}

// Enter waits for a place, until ctx ends or the time is over. The caller calls
// leave once when it needs the place no longer. A client that gets none is told
// [validator.ErrCrowded].
func (p *Places) Enter(ctx context.Context, client netip.Addr, wait time.Duration) (leave func(), err error) {
	switch err := p.gate.enter(ctx, false, source{client: clientID(client)}, wait); {
	case validator.FailureOf(err) == validator.QueueFailure:
		return nil, fmt.Errorf("%w: %w", validator.ErrCrowded, err)
	case err != nil:
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

// newUnproven returns the places of lookups for clients that have proven nothing
// yet: a quarter of the connections, and 250 lookups a second over each.
func newUnproven(connections int) *Places {
	return NewPlaces(max(1, connections/4), 512, 64, 4*time.Millisecond)
}
