package grants_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/packets"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/grants"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// mortal is a scene on a server of its own, which the test may kill. Its writes
// are at many packets at once and must not wait for each other, so the server
// locks no gaps.
func mortal(t *testing.T) (*scene, *mariadb.Server) {
	t.Helper()
	server := mariadb.StartOwn(t, "--transaction-isolation=READ-COMMITTED")
	return sceneOf(t, storetest.Named(t, "MariaDB 1.39").OpenOn(t, server)), server
}

// as is the scene as another user sees it, whose id is in no table.
func (s *scene) as(user uint64) *scene {
	other := *s
	other.alice = user
	return &other
}

// of selects the rows that a write of the scene's user is about.
func (s *scene) of(w write) selection {
	rows := selection{fmt.Sprintf("oaac_user_id = %d", s.alice), "FALSE"}
	if w.Acceptance != nil {
		rows.tokens = fmt.Sprintf("oaat_acceptance_id = %d", w.Acceptance.ID)
	}
	return rows
}

// stopped is a write whose connection stops after a number of packets, until the
// server is killed.
type stopped struct {
	situation
	*scene
	packets int
	server  string
	write   write
	before  []string
	err     error
	passed  int // packets until it was answered
}

// untilAnswered is more packets than a write has.
const untilAnswered = 1 << 30

// call calls the write through a proxy. It calls stop in place of the next packet
// after the given number.
func (w *stopped) call(t *testing.T, stop func()) {
	cfg := w.config
	cfg.QueryTimeout = time.Minute
	proxy := packets.NewProxy(t, w.server, packets.ReadMySQL)
	proxy.CutAfter(w.packets, stop)
	cfg.DSN = strings.Replace(cfg.DSN, w.server, proxy.Addr, 1)
	pool, err := grants.Open(cfg)
	if err != nil {
		t.Error(err)
		return
	}
	defer pool.Close() //nolint:errcheck // nothing is lost
	w.err = w.write.call(context.Background(), grants.New(pool, w.View()))
	w.passed = proxy.Passed()
}

// TestKilledServer kills the server, as a crash does, while each write is at each of
// its packets. After it has recovered, the tables hold all of a write or nothing of
// it. What was answered is there, and the same write leads to the end exactly once.
func TestKilledServer(t *testing.T) {
	s, server := mortal(t)
	var writes []*stopped
	user := uint64(1000)
	add := func(at situation, packets int) *stopped {
		user++
		w := &stopped{situation: at, scene: s.as(user), packets: packets, server: server.TCPAddr()}
		w.write = at.prepare(t, w.scene)
		w.before = s.state(t, w.of(w.write))
		return w
	}
	for _, at := range situations {
		whole := add(at, untilAnswered)
		whole.call(t, func() {})
		if whole.err != nil {
			t.Fatal(whole.err)
		}
		for packets := range whole.passed {
			writes = append(writes, add(at, packets))
		}
	}
	killed := make(chan struct{})
	var stops, ends sync.WaitGroup
	for _, w := range writes {
		stops.Add(1)
		ends.Go(func() {
			w.call(t, func() { stops.Done(); <-killed })
		})
	}
	stops.Wait()
	// One more of each is answered just before the end.
	for _, at := range situations {
		w := add(at, untilAnswered)
		w.call(t, func() {})
		if w.err != nil {
			t.Fatal(w.err)
		}
		writes = append(writes, w)
	}
	server.Kill(t)
	close(killed)
	ends.Wait()
	start := time.Now()
	server.Restart(t)
	t.Logf("%d writes; restarted in %v", len(writes), time.Since(start))
	s.wantOutcomes(t, writes)
}

// wantOutcomes holds the tables after the server was killed.
func (s *scene) wantOutcomes(t *testing.T, writes []*stopped) {
	t.Helper()
	tables := openTables(t, s.Wiki, s.config)
	none, all := map[string]int{}, map[string]int{}
	for _, w := range writes {
		done := !slices.Equal(s.state(t, w.of(w.write)), w.before)
		name := fmt.Sprintf("%s, after %d packets", w.name, w.packets)
		switch {
		case w.err == nil && !done:
			t.Errorf("%s: it was answered, and is not there", name)
		case w.err != nil && validator.FailureOf(w.err) != validator.ServerFailure:
			t.Errorf("%s: %v of class %v", name, w.err, validator.FailureOf(w.err))
		}
		if done {
			all[w.name]++
		} else {
			none[w.name]++
		}
		err := w.write.call(t.Context(), tables)
		switch {
		case !done && err != nil:
			t.Errorf("%s: nothing was written, but the same write fails: %v", name, err)
		case done && w.again == "" && err != nil, done && w.again != "" && (err == nil || !strings.Contains(err.Error(), w.again)):
			t.Errorf("%s: all was written; the same write: %v, want %q", name, err, w.again)
		}
		w.wantDone(t, fmt.Sprintf("after %d packets", w.packets), w.write, w.of(w.write))
	}
	for _, at := range situations {
		t.Logf("%s: %d left nothing, %d left all", at.name, none[at.name], all[at.name])
		if none[at.name] < 10 || all[at.name] < 2 {
			t.Errorf("%s: the packets are not on both sides of the commit", at.name)
		}
	}
}

// chain is a client that refreshes its token again and again.
type chain struct {
	need       *authserver.Acceptance
	last, next authserver.Token // answered, and sent but not answered
	answered   int
}

// TestServerKilledAmongRefreshes kills the server while many tokens are refreshed as
// fast as it commits. Each chain goes on with the token that it was answered, or its
// unanswered refresh was done: one token lives.
func TestServerKilledAmongRefreshes(t *testing.T) {
	s, server := mortal(t)
	const clients = 24
	chains := make([]*chain, clients)
	for i := range chains {
		a := s.accept(t, s.as(uint64(1000+i)).approval(uint64(1000+i), s.app2))
		c := new(chain)
		c.last, c.need = token(a, "basic")
		wantErr(t, "issue", s.IssueToken(t.Context(), c.last, c.need), nil)
		chains[i] = c
	}
	done, answered := 0, 0
	for range 4 {
		tables := openTables(t, s.Wiki, s.config)
		warm := make(chan struct{}, clients)
		var wg sync.WaitGroup
		for _, c := range chains {
			wg.Go(func() {
				for n := 0; ; n++ {
					c.next = c.last
					c.next.JTI = wikidb.RandomHex(40)
					if err := tables.RefreshToken(t.Context(), c.last.JTI, c.next, c.need); err != nil {
						if validator.FailureOf(err) != validator.ServerFailure {
							t.Errorf("%v of class %v", err, validator.FailureOf(err))
						}
						return
					}
					c.last = c.next
					c.answered++
					if n == 1 {
						warm <- struct{}{}
					}
				}
			})
		}
		for range clients {
			<-warm
		}
		server.Kill(t)
		wg.Wait()
		server.Restart(t)
		for i, c := range chains {
			where := fmt.Sprintf("oaat_acceptance_id = %d AND oaat_revoked = 0", c.need.ID)
			live := s.rows(t, "oaat_identifier", "oauth2_access_tokens", where)
			switch {
			case slices.Equal(live, []string{c.last.JTI}):
			case slices.Equal(live, []string{c.next.JTI}):
				done++
				err := s.RefreshToken(t.Context(), c.last.JTI, c.next, c.need)
				if !errors.Is(err, authserver.ErrTokenGone) {
					t.Errorf("chain %d: the refresh that was done: %v", i, err)
				}
				c.last = c.next
			default:
				t.Fatalf("chain %d: %q live, want %q, or %q", i, live, c.last.JTI, c.next.JTI)
			}
		}
	}
	for _, c := range chains {
		answered += c.answered
	}
	t.Logf("%d refreshes were answered, %d were done without an answer", answered, done)
}
