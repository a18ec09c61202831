package cache

import (
	"context"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Refresh returns facts that are no older than NegativeTTL, or one second where
// that is zero, and reports whether they are newer than known. The tables are
// asked at most once for each key in that time, also when they do not answer:
// known stays the answer then, because it is no older than facts may be.
func (s *store) Refresh(ctx context.Context, key validator.Key, known validator.Facts) (validator.Facts, bool, error) {
	f, e := s.reread(&key)
	if f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			return known, false, ctx.Err()
		}
		e = f.answer
	}
	if e == nil || e.value == known {
		return known, false, nil
	}
	return e.value, true, nil
}

// reread returns the flight that a refresh waits for; it may begin just now.
// Without one it returns the newest entry that there is, or nil.
func (s *store) reread(key *validator.Key) (*flight, *entry[validator.Facts]) {
	c, a := s.cache, s.servers.admission
	d := factsDigest(s.prefix, key)
	generation := c.generation.Load()
	e := c.facts.peek(&d, generation)
	if e == nil {
		e = c.negative.peek(&d, generation)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	if f := c.flights[d]; f != nil && (e == nil || f.began > e.began) {
		return f, nil
	}
	// What is not cached was read for this request.
	if e == nil || now < e.began+int64(c.brief()) {
		return nil, e
	}
	if f, failed := c.failed[d]; failed && now < max(f.until, f.at+int64(c.brief())) {
		return nil, e
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := place{class: refresh, source: validator.Network(key.Client)}
	if s.servers.breaker.outage != nil || s.tables[key.Protocol].outage != nil || a.running[refresh] >= maxRereads || !a.take(p) {
		return nil, e
	}
	return s.start(key, d, now, p), nil
}
