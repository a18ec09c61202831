package store_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// A place that was taken is free again after its time at the earliest. Of one
// client a number waits, the others of it are refused at once, and another client
// is next in turn.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hold, waiting = time.Second, 3
		places := store.NewPlaces(1, 2*waiting, waiting, hold)
		start := time.Now()
		type entry struct {
			client string
			at     time.Duration
		}
		entered := make(chan entry, 10)
		refused := 0
		enter := func(client string) {
			go func() {
				leave, err := places.Enter(t.Context(), netip.MustParseAddr(client), time.Minute)
				if err != nil {
					if validator.FailureOf(err) != validator.QueueFailure || time.Since(start) != 0 {
						t.Errorf("%v after %v, want a failure of the queue at once", err, time.Since(start))
					}
					refused++
					return
				}
				leave()
				entered <- entry{client, time.Since(start)}
			}()
			synctest.Wait()
		}
		const flood, other = "192.0.2.1", "192.0.2.2"
		for range 10 {
			enter(flood)
		}
		enter(other)
		time.Sleep(time.Minute)
		synctest.Wait()
		if refused != 10-1-waiting {
			t.Errorf("%d requests of the flood are refused, want %d", refused, 10-1-waiting)
		}
		close(entered)
		n := 0
		for e := range entered {
			if e.at != time.Duration(n)*hold {
				t.Errorf("entry %d after %v", n, e.at)
			}
			if e.client == other && n > 2 {
				t.Errorf("the other client is number %d", n)
			}
			n++
		}
		if n != 1+waiting+1 {
			t.Errorf("%d requests have entered", n)
		}
	})
}

// When as many wait as may, a client that has none waiting takes the place of the
// one with the most.
func TestFullPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := store.NewPlaces(1, 4, 3, 0)
		leave, err := places.Enter(t.Context(), netip.MustParseAddr("192.0.2.1"), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 10)
		enter := func(client string) {
			go func() {
				leave, err := places.Enter(t.Context(), netip.MustParseAddr(client), time.Minute)
				if err != nil {
					got <- "no " + client
					return
				}
				got <- client
				leave()
			}()
			synctest.Wait()
		}
		for _, client := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"} {
			enter(client)
		}
		if first := <-got; first != "no 192.0.2.1" {
			t.Errorf("first %s, want the client with the most to lose one", first)
		}
		leave()
		for _, want := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"} {
			if next := <-got; next != want {
				t.Errorf("%s enters, want %s", next, want)
			}
		}
	})
}
