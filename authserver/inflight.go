package authserver

import "sync"

// exchanges are those of the process: the same code may be sent to two of its
// sites, or to two of its configurations during a reload.
var exchanges inflight

// inflight knows which codes are being exchanged. It holds one entry for each code
// that a request is at hand for, and so is bounded by the requests at hand.
type inflight struct {
	mu      sync.Mutex
	entries map[string]*exchangeFlight
}

// exchangeFlight is the exchange of one code by any number of requests, one after
// the other.
type exchangeFlight struct {
	sync.Mutex
	requests int  // guarded by inflight.mu
	issued   bool // one of them got the token; guarded by the Mutex
}

// enter returns the flight of a code. Each enter is followed by one leave.
func (f *inflight) enter(code string) *exchangeFlight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.entries == nil {
		f.entries = map[string]*exchangeFlight{}
	}
	e := f.entries[code]
	if e == nil {
		e = new(exchangeFlight)
		f.entries[code] = e
	}
	e.requests++
	return e
}

func (f *inflight) leave(code string, e *exchangeFlight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.requests--; e.requests == 0 {
		delete(f.entries, code)
	}
}
