package grants_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Lookups for clients that have proven nothing hang in the database, far more than
// there are connections, and from several addresses. Consents and clients that
// have proven themselves go on, and most of the lookups are refused at once.
func TestUnprovenLookupsLeaveConnections(t *testing.T) {
	s := newScene(t, storetest.Named(t, "MariaDB 1.39"))
	cfg := s.Writer(t)
	cfg.QueryTimeout = time.Minute
	s.Tables = openTables(t, s.Wiki, cfg)
	ctx := t.Context()
	lock, err := s.Rows.Conn.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() //nolint:errcheck // the test has ended
	const table = "oauth_registered_consumer"
	if _, err := lock.ExecContext(ctx, "LOCK TABLES "+s.Table(table)+" WRITE"); err != nil {
		t.Fatal(err)
	}
	asker := func(address string, unproven bool) context.Context {
		return validator.WithAsker(ctx, validator.Asker{Client: netip.MustParseAddr(address), Unproven: unproven})
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	var refused atomic.Int32
	const each, clients = 100, 4
	for n := range clients {
		for range each {
			wg.Go(func() {
				switch c, err := s.Consumer(asker(fmt.Sprint("192.0.2.", 1+n), true), wikidb.RandomHex(16)); {
				case errors.Is(err, validator.ErrCrowded):
					refused.Add(1)
				case err != nil || c != nil:
					t.Errorf("%v, %v", c, err)
				}
			})
		}
	}
	// The others hold two connections, or wait: 64 of each client.
	const want = clients*(each-64) - 2
	for end := time.Now().Add(30 * time.Second); refused.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d lookups are refused at once, want %d", refused.Load(), want)
		}
	}
	began := time.Now()
	// One that comes from the flood's own address is not held up either.
	for _, from := range []string{"192.0.2.1", "198.51.100.1"} {
		if u, err := s.UserByName(asker(from, false), "Alice"); err != nil || u == nil {
			t.Errorf("the user of a consent: %v, %v", u, err)
		}
		a := s.approval(s.alice, s.app1)
		if _, err := s.Accept(asker(from, false), a); err != nil {
			t.Errorf("consent: %v", err)
		}
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("users have waited for %v", took)
	}
	if _, err := lock.ExecContext(ctx, "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if n := refused.Load(); n != want {
		t.Errorf("%d lookups are refused, want %d", n, want)
	}
	if c, err := s.Consumer(asker("192.0.2.1", true), s.app1.Key); err != nil || c == nil {
		t.Errorf("after the flood: %v, %v", c, err)
	}
}
