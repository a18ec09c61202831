package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	// maxWaiting bounds the lookups that wait for connections to one server, so
	// that a flood cannot fill the memory.
	maxWaiting = 8192
	// raiseAfter is how long a server must not have refused a connection before
	// one more is tried. It doubles up to raiseAtMost while they are refused.
	raiseAfter, raiseAtMost = 2 * time.Second, time.Minute
	// calmAfter is how long a server that has refused connections must accept
	// all of them before this is told.
	calmAfter = 5 * time.Minute
)

// gate gives out the places for connections to one server. There are as many as
// connections may be open, and fewer while the server accepts fewer. Lookups
// wait for a place here, in a fair order, and never inside database/sql.
type gate struct {
	mu  sync.Mutex
	now func() time.Time
	max int // MaxOpenConns
	// waiting bounds the lookups that wait, and perClient those of one client.
	waiting, perClient int
	limit              int // places there are now
	used               int

	raise     time.Duration // between two rises of the limit
	risen     bool          // since the server last refused a connection
	raiseAt   time.Time     // when the limit may rise by one
	refusedAt time.Time     // when the server last refused a connection
	told      bool          // that it does

	known, strangers turns
	usedByStrangers  int
	strangersTurn    bool
	// reserved reports whether there are known consumers, for which strangers
	// must leave places free.
	reserved func() bool
}

func newGate(places int, now func() time.Time, reserved func() bool) *gate {
	return &gate{max: places, limit: places, now: now, reserved: reserved, waiting: maxWaiting, perClient: maxWaiting}
}

var (
	errWaited  = fmt.Errorf("no connection was free in time: %w", context.DeadlineExceeded)
	errCrowded = errors.New("too many lookups wait for a connection")
)

// enter waits for a place until ctx ends or the time is over. The caller leaves
// when it has its place no longer.
func (g *gate) enter(ctx context.Context, stranger bool, from source, wait time.Duration) error {
	g.mu.Lock()
	g.rise()
	w := &waiter{stranger: stranger}
	if g.lines(stranger).waiting == 0 && g.free(stranger) {
		g.take(w)
		g.mu.Unlock()
		return nil
	}
	if own := g.lines(stranger).named[from.client]; own != nil && own.waiting >= g.perClient || !g.room(from) {
		g.mu.Unlock()
		return &validator.StoreError{Failure: validator.QueueFailure, Err: errCrowded}
	}
	w.admitted = make(chan struct{})
	g.lines(stranger).add(w, from)
	g.admit() // a risen limit may have places for others too
	g.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-w.admitted:
		return w.err
	case <-ctx.Done():
		return g.abandon(w, ctx.Err())
	case <-timer.C:
		return g.abandon(w, &validator.StoreError{Failure: validator.QueueFailure, Err: errWaited})
	}
}

// abandon ends w's waiting with err, unless it has just been admitted.
func (g *gate) abandon(w *waiter, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-w.admitted:
		return w.err
	default:
		w.remove()
		return err
	}
}

// leave gives a place back.
func (g *gate) leave(stranger bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used--
	if stranger {
		g.usedByStrangers--
	}
	g.rise()
	g.admit()
}

// busy reports whether a lookup would have to wait.
func (g *gate) busy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used >= g.limit
}

// shrink notes that the server accepts no more than the connections that are
// open. It returns the places that are left, and whether this is to be told.
func (g *gate) shrink(open int) (limit int, news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.limit = max(1, min(g.limit, open))
	if g.risen || g.raise == 0 { // else it is one of several at once
		g.raise, g.risen = min(max(2*g.raise, raiseAfter), raiseAtMost), false
	}
	g.raiseAt, g.refusedAt = now.Add(g.raise), now
	news = !g.told
	g.told = true
	return g.limit, news
}

// rise raises the limit by one place when it is time.
func (g *gate) rise() {
	if g.limit == g.max || g.now().Before(g.raiseAt) {
		return
	}
	g.limit++
	g.risen = true
	g.raiseAt = g.now().Add(g.raise)
}

// calm reports, once, that the server accepts all connections again.
func (g *gate) calm() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.told || g.limit < g.max || g.now().Sub(g.refusedAt) < calmAfter {
		return false
	}
	g.told, g.raise = false, 0
	return true
}

func (g *gate) lines(stranger bool) *turns {
	if stranger {
		return &g.strangers
	}
	return &g.known
}

// free reports whether there is a place for a lookup of the kind. While known
// consumers wait, strangers have an eighth of the places, else half: a flood
// must not take the connections that known consumers need, nor may a busy day
// of theirs keep a new one out.
func (g *gate) free(stranger bool) bool {
	if g.used >= g.limit {
		return false
	}
	if !stranger || !g.reserved() {
		return true
	}
	share := g.limit / 2
	if g.known.waiting > 0 {
		share = g.limit / 8
	}
	return g.usedByStrangers < max(1, share)
}

func (g *gate) take(w *waiter) {
	g.used++
	if w.stranger {
		g.usedByStrangers++
	}
}

// admit gives the free places to waiters.
func (g *gate) admit() {
	for {
		// Where both kinds wait they alternate, so that neither starves when
		// there is one place.
		stranger := g.strangers.waiting > 0 && g.free(true) && (g.known.waiting == 0 || g.strangersTurn)
		if !stranger && (g.known.waiting == 0 || !g.free(false)) {
			return
		}
		g.strangersTurn = !stranger
		w := g.lines(stranger).next()
		g.take(w)
		close(w.admitted)
	}
}

// room reports whether one more lookup may wait. When the queue is full, the
// client with the most waiters loses its last one.
func (g *gate) room(from source) bool {
	if g.known.waiting+g.strangers.waiting < g.waiting {
		return true
	}
	lines := &g.strangers
	if g.known.waiting > g.strangers.waiting {
		lines = &g.known
	}
	most := lines.longest()
	if own := lines.named[from.client]; own != nil && own.waiting >= most.waiting || most.waiting <= 1 {
		return false
	}
	last, ok := most.longest().order.Back().Value.(*waiter)
	if !ok {
		return false
	}
	last.remove()
	last.err = &validator.StoreError{Failure: validator.QueueFailure, Err: errCrowded}
	close(last.admitted)
	return true
}
