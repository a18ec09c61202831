package grants_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// waits runs a test at the levels at which a transaction may see what was committed
// while it waited, or may not. MariaDB locks no gaps at its level.
func waits(t *testing.T, test func(t *testing.T, s *scene)) {
	t.Run("MariaDB", func(t *testing.T) {
		isolate(t, "READ-COMMITTED")
		test(t, patient(t, only(t)))
	})
	postgresIsolations(t, test)
}

// refreshed has a refresh of the token hold the acceptance until call waits for it,
// write the next token, and commit. Without an old token it is an issue.
func (s *scene) refreshed(t *testing.T, acceptance uint64, old, next string, call func()) {
	t.Helper()
	if old != "" {
		s.Insert(t, wikidb.Token{Identifier: old, AcceptanceID: acceptance})
	}
	tx, err := s.Rows.Conn.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it was committed
	exec := func(statement string) {
		if _, err := tx.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(fmt.Sprintf("SELECT 1 FROM oauth_accepted_consumer WHERE oaac_id = %d FOR UPDATE", acceptance))
	exec("UPDATE oauth2_access_tokens SET oaat_revoked = 1 WHERE oaat_identifier = '" + old + "'")
	var wg sync.WaitGroup
	wg.Go(call)
	s.waitForLock(t)
	exec(fmt.Sprintf("INSERT INTO oauth2_access_tokens (oaat_identifier, oaat_expires, oaat_acceptance_id, oaat_revoked) "+
		"VALUES ('%s', 'infinity', %d, 0)", next, acceptance))
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

// TestRevocationSeesWhatItWaitedFor has a refresh write the next token before the
// row that the revocation waits for, where its scan has been.
func TestRevocationSeesWhatItWaitedFor(t *testing.T) {
	waits(t, func(t *testing.T, s *scene) {
		family := wikidb.RandomHex(20)
		a := s.accept(t, s.approval(s.alice, s.app2))
		s.refreshed(t, a.ID, family+strings.Repeat("f", 40), family+strings.Repeat("0", 40), func() {
			if n, err := s.RevokeFamily(t.Context(), family); n != 1 || err != nil {
				t.Errorf("revoked %d, %v, want the next one", n, err)
			}
		})
		wantRows(t, s.rows(t, "oaat_identifier", "oauth2_access_tokens", "oaat_revoked = 0"))
	})
}

// TestWithdrawalSeesWhatItWaitedFor leaves no token that was written while the
// withdrawal waited for the acceptance.
func TestWithdrawalSeesWhatItWaitedFor(t *testing.T) {
	waits(t, func(t *testing.T, s *scene) {
		for _, old := range []string{"", wikidb.RandomHex(40)} {
			a, next := s.accept(t, s.approval(s.alice, s.app2)), wikidb.RandomHex(40)
			s.refreshed(t, a.ID, old, next, func() {
				gone, found, err := s.Withdraw(t.Context(), s.alice, a.ID)
				if !found || err != nil || !slices.Contains(gone.JTIs, next) || old != "" && !slices.Contains(gone.JTIs, old) {
					t.Errorf("withdrew %+v, %t, %v, want %q and %q", gone, found, err, old, next)
				}
			})
			wantRows(t, s.tokenRows(t))
		}
	})
}

// waitForLock returns once a transaction waits for another one. The server makes
// its list of transactions anew only after 100 ms without a reader.
func (s *scene) waitForLock(t *testing.T) {
	t.Helper()
	waiting := "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
	if s.Driver == wikidb.Postgres {
		waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted"
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		var n int
		row := s.Rows.Conn.QueryRowContext(t.Context(), waiting)
		if err := row.Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
	t.Fatal("nothing waits")
}
