package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	// grace is how long a finished flight answers by itself: ristretto stores
	// later, or not at all.
	grace = 100 * time.Millisecond
	// maxFlight bounds a query of a store that does not do so itself.
	maxFlight = time.Minute
)

var errNoAnswer = errors.New("store gave no answer")

// flight is one query for any number of waiters.
type flight struct {
	done  chan struct{} // closed when answer or err is set
	key   validator.Key // of the first waiter
	began int64         // by Cache.clock
	place place
	// answer is also read under Cache.mu, while done is still open: nil until
	// the store answered.
	answer *entry[validator.Facts]
	err    error
	cost   int64
}

// ask answers a lookup that the cache cannot answer. known is what is cached, no
// longer fresh; nil: nothing.
func (s *store) ask(ctx context.Context, key *validator.Key, d digest, known *entry[validator.Facts], changed int64) (validator.Facts, error) {
	if !s.cache.usable(known) {
		known = nil
	}
	f, err := s.join(key, d, known, changed)
	if f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			return validator.Facts{}, ctx.Err()
		}
		if err = f.err; err == nil {
			return f.answer.value, nil
		}
	}
	if s.cache.usable(known) {
		return known.value, nil
	}
	return validator.Facts{}, err
}

// usable reports whether an entry that is no longer fresh may be served while
// the store fails.
func (c *Cache) usable(e *entry[validator.Facts]) bool {
	return e != nil && c.clock() < e.until+int64(c.cfg.MaxStale)
}

// join returns the flight that the lookup of a key waits for; it may begin just
// now. Nil means that the lookup does not wait: it is answered by known, or
// without that by the error.
func (s *store) join(key *validator.Key, d digest, known *entry[validator.Facts], changed int64) (*flight, error) {
	c, a := s.cache, s.servers.admission
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	f := c.current(d, now, changed)
	if f != nil && f.answer != nil {
		return f, nil
	}
	failing, err := c.failure(&d, now)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	server, table := &s.servers.breaker, &s.tables[key.Protocol]
	at := c.time(now)
	mayAsk, probe := server.admits(&d, at)
	mayAskTable, probeTable := table.admits(&d, at)
	if err := cmp.Or(server.outage, table.outage); err != nil && (f != nil || !mayAsk || !mayAskTable) {
		return nil, err
	}
	// A lookup that can do without the answer does not wait for a store that
	// fails, or that has a backlog to work off.
	waits := known == nil
	backlog := false
	if known != nil {
		until := c.time(known.until)
		backlog = server.missed(until) || table.missed(until)
		waits = !failing && !probe && !probeTable && !backlog
	}
	if f == nil {
		p := place{class: refresh, backlog: backlog, source: validator.Network(key.Client)}
		if known == nil {
			p.class = a.classify(key)
		}
		if !a.take(p) {
			return nil, errBusy
		}
		if probe {
			server.probed(&d, at)
		}
		if probeTable {
			table.probed(&d, at)
		}
		f = s.start(key, d, now, p)
	}
	if !waits {
		return nil, nil
	}
	return f, nil
}

// current returns the flight of a key that is under way or in its grace. One that
// began before a change is left to those who wait for it. The caller holds mu.
func (c *Cache) current(d digest, now, changed int64) *flight {
	f := c.flights[d]
	if f != nil && f.began <= changed {
		if f.answer != nil {
			c.forget(d, f)
		} else {
			delete(c.flights, d)
		}
		return nil
	}
	if f != nil && f.answer != nil && now >= f.answer.until {
		c.forget(d, f)
		return nil
	}
	return f
}

// start begins a query that no waiter can cancel. The caller holds mu.
func (s *store) start(key *validator.Key, d digest, now int64, p place) *flight {
	c := s.cache
	f := &flight{done: make(chan struct{}), key: *key, began: now, place: p}
	c.flights[d] = f
	generation := c.generation.Load()
	go func() {
		var facts validator.Facts
		err := errNoAnswer
		defer func() {
			if r := recover(); r != nil {
				err = panicked(r)
			}
			var e *entry[validator.Facts]
			if err == nil {
				e = c.entry(d, generation, now, facts)
			}
			s.finish(f, d, e, err)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), maxFlight)
		defer cancel()
		facts, err = s.next.Lookup(ctx, f.key)
	}()
	return f
}

// panicked makes an error of what a store panicked with. Only the runtime's own
// words are sure to hold no secret.
func panicked(r any) error {
	if r, ok := r.(runtime.Error); ok {
		return fmt.Errorf("store panicked: %w", r)
	}
	return fmt.Errorf("store panicked with a %T", r)
}

// finish hands the result to the waiters, and keeps it unless a purge detached
// the flight.
func (s *store) finish(f *flight, d digest, e *entry[validator.Facts], err error) {
	c := s.cache
	if e != nil {
		f.cost = factsCost(&e.value)
	}
	c.mu.Lock()
	s.record(f, &d, e, err)
	f.answer, f.err = e, err
	attached := c.flights[d] == f
	if attached {
		c.linger(d, f)
	}
	c.mu.Unlock()
	if attached && e != nil {
		c.keep(e, f.cost)
	}
	close(f.done)
}

// record notes what the end of a flight tells of its key, its tables and its
// servers. The caller holds mu.
func (s *store) record(f *flight, d *digest, answer *entry[validator.Facts], err error) {
	c, a := s.cache, s.servers.admission
	now := c.clock()
	began, at := c.time(f.began), c.time(now)
	known := f.place.class == refresh
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leave(f.place)
	server, table := &s.servers.breaker, &s.tables[f.key.Protocol]
	if err == nil {
		server.answered(at)
		table.answered(at)
		delete(c.failed, *d)
		if answer.value.Consumer != nil {
			a.learn(&f.key)
		}
		return
	}
	failed := failedKey{err: err, at: now, until: now}
	e, classed := errors.AsType[*validator.StoreError](err)
	switch failure := validator.FailureOf(err); failure {
	case validator.ServerFailure:
		server.fails(d, began, at, err)
		// The first failure of a key that is not cached may be tried again at once.
		failed.server = true
		if known || c.failed[*d].server {
			failed.until = now + int64(probeEvery)
		}
		c.remember(d, failed)
	case validator.TableFailure:
		server.answered(at)
		table.fails(d, began, at, err)
	case validator.LimitFailure, validator.QueueFailure:
		if known {
			failed.until = now + int64(probeEvery)
			c.remember(d, failed)
		}
	default:
		if classed && e.Failure == validator.KeyFailure { // the server answered
			server.answered(at)
			table.answered(at)
		}
		failed.until = now + int64(c.brief())
		c.remember(d, failed)
	}
}

// linger lets a finished flight answer for its grace, within a budget of bytes.
// The caller holds mu.
func (c *Cache) linger(d digest, f *flight) {
	if f.answer == nil {
		delete(c.flights, d)
		return
	}
	held := c.heldFor(f)
	if *held+f.cost > c.budget {
		delete(c.flights, d)
		return
	}
	*held += f.cost
	time.AfterFunc(grace, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forget(d, f)
	})
}

// forget ends a finished flight's grace, unless that was done before. The
// caller holds mu.
func (c *Cache) forget(d digest, f *flight) {
	if c.flights[d] == f {
		delete(c.flights, d)
		*c.heldFor(f) -= f.cost
	}
}

// heldFor returns the account of a finished flight. Negative and positive
// flights have one each, so that a flood of one kind does not take room from
// the other.
func (c *Cache) heldFor(f *flight) *int64 {
	if f.answer.value.Positive() {
		return &c.held[1]
	}
	return &c.held[0]
}
