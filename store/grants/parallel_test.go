package grants_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/postgres"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
)

const parallel = 100

// patient is a scene whose transactions may wait for each other on a busy machine.
func patient(t *testing.T, s *scene) *scene {
	t.Helper()
	cfg := s.config
	cfg.QueryTimeout = time.Minute
	s.Tables = openTables(t, s.Wiki, cfg)
	return s
}

// atOnce calls f many times at once and counts the results. Each error but the
// expected one is a failure.
func atOnce(t *testing.T, want error, f func(i int) error) (succeeded int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range parallel {
		wg.Go(func() {
			<-start
			err := f(i)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				succeeded++
			case want == nil || !errors.Is(err, want):
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
	return succeeded
}

// isolate has MariaDB begin transactions at a level, unless they name one.
func isolate(t *testing.T, level string) {
	server := mariadb.Start(t)
	server.Exec(t, "SET GLOBAL tx_isolation = '"+level+"'")
	t.Cleanup(func() { server.Exec(t, "SET GLOBAL tx_isolation = 'REPEATABLE-READ'") })
}

// isolations are the levels at which a server may be by default, and the journals
// that a file may have.
func isolations(t *testing.T, test func(t *testing.T, s *scene)) {
	for _, level := range []string{"REPEATABLE-READ", "READ-COMMITTED", "SERIALIZABLE"} {
		t.Run(level, func(t *testing.T) {
			isolate(t, level)
			test(t, patient(t, only(t)))
		})
	}
	postgresIsolations(t, test)
	for _, journal := range []string{"DELETE", "WAL"} {
		t.Run("SQLite "+journal, func(t *testing.T) {
			s := newScene(t, storetest.Named(t, "SQLite 1.39"))
			s.Exec(t, "PRAGMA journal_mode = "+journal)
			test(t, patient(t, s))
		})
	}
}

// postgresIsolations are the levels at which PostgreSQL may be by default.
func postgresIsolations(t *testing.T, test func(t *testing.T, s *scene)) {
	for _, level := range []string{"read committed", "repeatable read", "serializable"} {
		t.Run("PostgreSQL "+level, func(t *testing.T) {
			s := newScene(t, storetest.Named(t, "PostgreSQL 1.39"))
			s.Exec(t, "ALTER ROLE "+storetest.WriterUser+" SET default_transaction_isolation = '"+level+"'")
			t.Cleanup(func() {
				postgres.Start(t).Exec(t, "", "ALTER ROLE "+storetest.WriterUser+" RESET default_transaction_isolation")
			})
			test(t, patient(t, s))
		})
	}
}

// TestParallelApprovals gives one row, and all succeed.
func TestParallelApprovals(t *testing.T) {
	isolations(t, func(t *testing.T, s *scene) {
		var mu sync.Mutex
		tokens := map[string]int{}
		n := atOnce(t, nil, func(int) error {
			a, err := s.Accept(t.Context(), s.approval(s.alice, s.app1))
			mu.Lock()
			defer mu.Unlock()
			tokens[a.Token]++
			return err
		})
		if rows := s.acceptanceRows(t); n != parallel || len(rows) != 1 || len(tokens) != 1 {
			t.Errorf("%d succeeded, with %d tokens, and left %d rows", n, len(tokens), len(rows))
		}
	})
}

// TestParallelIssues has one success for one token id.
func TestParallelIssues(t *testing.T) {
	isolations(t, func(t *testing.T, s *scene) {
		row, need := token(s.accept(t, s.approval(s.alice, s.app2)), "basic")
		n := atOnce(t, authserver.ErrTokenExists, func(int) error { return s.IssueToken(t.Context(), row, need) })
		if rows := s.tokenRows(t); n != 1 || len(rows) != 1 {
			t.Errorf("%d succeeded and left %d rows", n, len(rows))
		}
	})
}

// TestParallelRefreshes has one success, whose token is the only one that is left.
func TestParallelRefreshes(t *testing.T) {
	isolations(t, func(t *testing.T, s *scene) {
		a := s.accept(t, s.approval(s.alice, s.app2))
		old := s.issue(t, a)
		var mu sync.Mutex
		var won string
		n := atOnce(t, authserver.ErrTokenGone, func(int) error {
			next, need := token(a, "basic")
			err := s.RefreshToken(t.Context(), old.JTI, next, need)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				won = next.JTI
			}
			return err
		})
		live := s.rows(t, "oaat_identifier", "oauth2_access_tokens", "oaat_revoked = 0")
		if n != 1 || len(live) != 1 || live[0] != won {
			t.Errorf("%d succeeded, %q won, %q are left", n, won, live)
		}
		if rows := s.tokenRows(t); len(rows) != 2 {
			t.Errorf("%d rows", len(rows))
		}
	})
}

// TestWithdrawalAmongIssues leaves no token of an acceptance that is gone.
func TestWithdrawalAmongIssues(t *testing.T) {
	isolations(t, func(t *testing.T, s *scene) {
		a := s.accept(t, s.approval(s.alice, s.app2))
		olds := make([]authserver.Token, parallel)
		for i := range olds {
			olds[i] = authserver.Token{JTI: wikidb.RandomHex(40), AcceptanceID: a.ID}
			s.Insert(t, wikidb.Token{Identifier: olds[i].JTI, AcceptanceID: a.ID})
		}
		withdrawn := 0
		atOnce(t, authserver.ErrNoAcceptance, func(i int) error {
			next, need := token(a, "basic")
			switch i % 10 {
			case 0:
				_, found, err := s.Withdraw(t.Context(), s.alice, a.ID)
				if found {
					withdrawn++ // one alone finds it
				}
				return err
			case 1, 2, 3:
				return s.IssueToken(t.Context(), next, need)
			default:
				err := s.RefreshToken(t.Context(), olds[i].JTI, next, need)
				if errors.Is(err, authserver.ErrTokenGone) {
					return authserver.ErrNoAcceptance
				}
				return err
			}
		})
		if rows := s.tokenRows(t); withdrawn != 1 || len(rows) != 0 {
			t.Errorf("%d withdrawals, and %d tokens are left", withdrawn, len(rows))
		}
	})
}

// TestRevocationAmongRefreshes leaves no token of a family that was revoked while
// it was refreshed again and again.
func TestRevocationAmongRefreshes(t *testing.T) {
	isolations(t, func(t *testing.T, s *scene) {
		a := s.accept(t, s.approval(s.alice, s.app2))
		for range 5 {
			family := wikidb.RandomHex(20)
			last, need := token(a, "basic")
			last.JTI = family + wikidb.RandomHex(20)
			wantErr(t, "issue", s.IssueToken(t.Context(), last, need), nil)
			started := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := 0; ; i++ {
					next := last
					next.JTI = family + wikidb.RandomHex(20)
					err := s.RefreshToken(t.Context(), last.JTI, next, need)
					if i == 3 || i < 3 && err != nil {
						close(started)
					}
					if err != nil {
						wantErr(t, "refresh", err, authserver.ErrTokenGone)
						return
					}
					last = next
				}
			})
			<-started
			if n, err := s.RevokeFamily(t.Context(), family); n < 1 || err != nil {
				t.Errorf("revoked %d, %v", n, err)
			}
			wg.Wait()
			for _, row := range s.tokenRows(t) {
				if strings.HasPrefix(row, family) && strings.HasSuffix(row, "|0") {
					t.Errorf("%s is left", row)
				}
			}
		}
	})
}
