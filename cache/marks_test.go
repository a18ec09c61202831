package cache

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// What was changed is read again on the next lookup, from the primary.
func TestChangedEntryIsAMiss(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change Change
		again  bool
	}{
		{"its token", Change{Consumer: "c", Token: "1"}, true},
		{"its consumer", Change{Consumer: "c"}, true},
		{"another token", Change{Consumer: "c", Token: "2"}, false},
		{"another consumer", Change{Consumer: "d"}, false},
	} {
		for _, positive := range []bool{true, false} {
			t.Run(tt.name+" "+strconv.FormatBool(positive), func(t *testing.T) {
				clock := newClock()
				cfg := config()
				cfg.Now = clock.Now
				c := newCache(t, cfg)
				var primary atomic.Bool
				next := answering(positive)
				lookup := next.lookup
				next.lookup = func(ctx context.Context, key validator.Key) (validator.Facts, error) {
					primary.Store(key.Primary)
					return lookup(ctx, key)
				}
				s := c.Store(next, "", nil)
				mustLookup(t, s, key(1))
				settle(c)
				clock.advance(time.Second)
				c.Changed(tt.change)
				clock.advance(time.Second)
				mustLookup(t, s, key(1))
				want := int64(1)
				if tt.again {
					want = 2
				}
				if got := next.asked.Load(); got != want || primary.Load() != tt.again {
					t.Errorf("asked %d times, the primary alone: %t", got, primary.Load())
				}
				settle(c)
				mustLookup(t, s, key(1))
				wantAsked(t, next, want) // what was read since is kept
			})
		}
	}
}

// A stale answer is not served for what was changed, also while the store fails.
func TestChangedEntryIsNotServedStale(t *testing.T) {
	clock := newClock()
	cfg := config()
	cfg.Now = clock.Now
	c := newCache(t, cfg)
	next := answering(true)
	s := c.Store(next, "", nil)
	mustLookup(t, s, key(1))
	settle(c)
	next.lookup = func(context.Context, validator.Key) (validator.Facts, error) {
		return validator.Facts{}, serverError(context.DeadlineExceeded)
	}
	clock.advance(2 * time.Minute)
	if _, err := s.Lookup(t.Context(), key(1)); err != nil {
		t.Fatalf("not served stale before the change: %v", err)
	}
	c.Changed(Change{Token: "1"})
	clock.advance(time.Second)
	if f, err := s.Lookup(t.Context(), key(1)); err == nil {
		t.Errorf("served stale after the change: %+v", f)
	}
}

// A query that began before the change answers the requests that wait for it, and
// no others.
func TestQueryFromBeforeAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, config())
		release := make(chan struct{})
		var slow atomic.Bool
		slow.Store(true)
		next := answering(true)
		lookup := next.lookup
		next.lookup = func(ctx context.Context, key validator.Key) (validator.Facts, error) {
			if slow.Load() {
				<-release
			}
			return lookup(ctx, key)
		}
		s := c.Store(next, "", nil)
		first := make(chan error, 1)
		go func() {
			_, err := s.Lookup(context.Background(), key(1))
			first <- err
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		c.Changed(Change{Token: "1"})
		slow.Store(false)
		time.Sleep(time.Second)
		mustLookup(t, s, key(1))
		wantAsked(t, next, 2)
		close(release)
		if err := <-first; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		settle(c)
		mustLookup(t, s, key(1))
		wantAsked(t, next, 2) // the late answer did not take the place of the new one
	})
}

// Marks are dropped when no entry can be that old any more.
func TestMarksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, config())
		for i := range 100 {
			c.Changed(Change{Token: strconv.Itoa(i)})
		}
		c.Changed(Change{Token: "1"}, Change{Token: "1"})
		if n := c.marks.count.Load(); n != 100 {
			t.Errorf("%d marks", n)
		}
		time.Sleep(3 * c.markLife())
		synctest.Wait()
		if n := c.marks.count.Load(); n != 0 {
			t.Errorf("%d marks are left", n)
		}
	})
}

// More changes than are remembered purge everything.
func TestTooManyMarks(t *testing.T) {
	c := newCache(t, config())
	next := answering(true)
	s := c.Store(next, "", nil)
	mustLookup(t, s, key(1))
	settle(c)
	for i := range maxMarks + 1 {
		c.Changed(Change{Token: "x" + strconv.Itoa(i)})
	}
	if n := c.marks.count.Load(); n > maxMarks {
		t.Errorf("%d marks", n)
	}
	mustLookup(t, s, key(1))
	wantAsked(t, next, 2)
}
