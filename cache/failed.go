package cache

import "time"

const (
	// maxFailed bounds the keys whose failures are remembered.
	maxFailed = 4096
	// failingFor is how long after its last failure a cached key counts as
	// failing, so that its next reading is not waited for.
	failingFor = 10 * time.Second
)

// failedKey is a key whose last lookup failed.
type failedKey struct {
	err    error
	at     int64 // when it failed, by Cache.clock
	until  int64 // it is not asked before
	server bool  // the failure was the server's
}

// remember notes the failure of a key. If there is no room, the failure is not
// remembered, and the key is asked again each time. The caller holds mu.
func (c *Cache) remember(d *digest, f failedKey) {
	if _, known := c.failed[*d]; !known && len(c.failed) >= maxFailed {
		if f.at < c.swept+int64(probeEvery) {
			return
		}
		c.swept = f.at
		for other, old := range c.failed {
			if f.at >= max(old.until, old.at+int64(failingFor)) {
				delete(c.failed, other)
			}
		}
		if len(c.failed) >= maxFailed {
			return
		}
	}
	c.failed[*d] = f
}

// failure returns what is remembered of a key: whether it is failing, and the
// error to answer with while it is not to be asked. The caller holds mu.
func (c *Cache) failure(d *digest, now int64) (failing bool, err error) {
	f, known := c.failed[*d]
	switch {
	case !known:
		return false, nil
	case now < f.until:
		return true, f.err
	case now >= f.at+int64(failingFor):
		delete(c.failed, *d)
		return false, nil
	}
	return true, nil
}

// brief is how long something is believed that may change any moment: the
// failure of a key, and facts that refuse a request.
func (c *Cache) brief() time.Duration {
	if c.cfg.NegativeTTL == 0 {
		return probeEvery
	}
	return c.cfg.NegativeTTL
}
