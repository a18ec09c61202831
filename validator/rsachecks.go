package validator

import (
	"context"
	"sync"
)

const (
	// maxChecks bounds the RSA signatures of one consumer that are checked at one
	// time, because a consumer's owner chooses how long a check takes.
	maxChecks = 2
	// maxWaiting bounds the requests of one consumer that wait for a check. A check
	// with the most expensive key takes a fraction of a millisecond, so that the
	// last of them waits for some milliseconds.
	maxWaiting = 64
)

// checks bounds the RSA signatures that this process checks at one time.
var checks = rsaChecks{consumers: make(map[string]*consumerChecks)}

type rsaChecks struct {
	mu        sync.Mutex
	consumers map[string]*consumerChecks // by key; only those with a check
}

type consumerChecks struct {
	requests int // that check or wait
	running  chan struct{}
}

// enter waits until a signature of the consumer may be checked. If it returns
// OK, leave must be called afterwards. Otherwise it returns the reason of the
// refusal.
func (r *rsaChecks) enter(ctx context.Context, consumer string) Reason {
	r.mu.Lock()
	c := r.consumers[consumer]
	if c == nil {
		c = &consumerChecks{running: make(chan struct{}, maxChecks)}
		r.consumers[consumer] = c
	}
	if c.requests == maxChecks+maxWaiting {
		r.mu.Unlock()
		return ConsumerBusy
	}
	c.requests++
	r.mu.Unlock()
	select {
	case c.running <- struct{}{}:
		return OK
	case <-ctx.Done():
		r.forget(consumer)
		return ClientClosedRequest
	}
}

// leave ends a check.
func (r *rsaChecks) leave(consumer string) {
	r.mu.Lock()
	<-r.consumers[consumer].running // never waits: the caller put one in
	r.mu.Unlock()
	r.forget(consumer)
}

func (r *rsaChecks) forget(consumer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.consumers[consumer]
	if c.requests--; c.requests == 0 {
		delete(r.consumers, consumer)
	}
}
