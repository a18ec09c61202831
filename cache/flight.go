package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	// grace is how long a finished flight answers by itself: ristretto stores later, or not at all.
	grace = 100 * time.Millisecond
	// probeEvery is how often a store is asked that failed the last time.
	probeEvery = time.Second
	// maxRunning bounds the queries under way for keys that are not cached. Beyond it a flood of random
	// tokens would fill the store's queue until queries time out, and so look like an outage.
	maxRunning = 1024
	// maxFlight bounds a query of a store that does not do so itself.
	maxFlight = time.Minute
)

var (
	errBusy     = errors.New("too many lookups at once")
	errNoAnswer = errors.New("store gave no answer")
)

// flight is one query for any number of waiters.
type flight struct {
	done chan struct{} // closed when answer or err is set
	// answer is also read under Cache.mu, while done is still open: nil until the store answered.
	answer *entry[validator.Facts]
	err    error
	cost   int64
}

// outage is the state of a store whose last query failed.
type outage struct {
	err  error
	next int64 // when it may be asked again, by Cache.clock
}

// ask joins the flight for a key, or starts it. known is what is cached, no longer fresh; nil: nothing.
func (s *store) ask(ctx context.Context, key validator.Key, d digest, known *entry[validator.Facts]) (validator.Facts, error) {
	f, probe, err := s.join(key, d, known)
	switch {
	case err != nil:
	case probe && s.cache.usable(known):
		// Who can do without the answer does not wait for a store that may be gone.
		return known.value, nil
	default:
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

// usable says whether an entry that is no longer fresh may be served while the store fails.
func (c *Cache) usable(e *entry[validator.Facts]) bool {
	return e != nil && c.clock() < e.until+int64(c.cfg.MaxStale)
}

// join returns the flight for a key, and whether it was begun just now to see if the store is back. An error
// means that the store is not to be asked now.
func (s *store) join(key validator.Key, d digest, known *entry[validator.Facts]) (f *flight, probe bool, err error) {
	c := s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	f = c.flights[d]
	if f != nil && f.answer != nil && now >= f.answer.until {
		c.forget(d, f)
		f = nil
	}
	switch {
	case f != nil && (f.answer != nil || s.outage == nil):
		return f, false, nil
	case s.outage == nil && known == nil && s.running >= maxRunning:
		return nil, false, errBusy
	case s.outage == nil:
		return s.start(key, d, now), false, nil
	case f != nil || now < s.outage.next:
		return nil, false, s.outage.err
	}
	s.outage.next = now + int64(probeEvery)
	return s.start(key, d, now), true, nil
}

// start begins a query that no waiter can cancel. The caller holds mu.
func (s *store) start(key validator.Key, d digest, now int64) *flight {
	c := s.cache
	f := &flight{done: make(chan struct{})}
	c.flights[d] = f
	s.running++
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
				e = &entry[validator.Facts]{d, generation, c.freshUntil(now, facts.Positive()), facts}
			}
			s.finish(f, d, e, err)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), maxFlight)
		defer cancel()
		facts, err = s.next.Lookup(ctx, key)
	}()
	return f
}

// panicked makes an error of what a store panicked with. Only the runtime's own words are sure to hold no secret.
func panicked(r any) error {
	if r, ok := r.(runtime.Error); ok {
		return fmt.Errorf("store panicked: %w", r)
	}
	return fmt.Errorf("store panicked with a %T", r)
}

// finish hands the result to the waiters, and keeps it unless a purge detached the flight.
func (s *store) finish(f *flight, d digest, e *entry[validator.Facts], err error) {
	c := s.cache
	if e != nil {
		f.cost = factsCost(&e.value)
	}
	c.mu.Lock()
	s.running--
	if err == nil {
		s.outage = nil
	} else {
		s.outage = &outage{
			err:  fmt.Errorf("store failed, and is asked again once a second: %w", err),
			next: c.clock() + int64(probeEvery),
		}
	}
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

// linger lets a finished flight answer for its grace, within a budget of bytes. The caller holds mu.
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

// forget ends a finished flight's grace, unless that was done before. The caller holds mu.
func (c *Cache) forget(d digest, f *flight) {
	if c.flights[d] == f {
		delete(c.flights, d)
		*c.heldFor(f) -= f.cost
	}
}

// heldFor returns the account of a finished flight: a flood of negative ones takes no room from the others.
func (c *Cache) heldFor(f *flight) *int64 {
	if f.answer.value.Positive() {
		return &c.held[1]
	}
	return &c.held[0]
}
