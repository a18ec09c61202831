package grants_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/packets"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/postgres"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/grants"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// write is one call of a method that writes, as a child process can be told of it.
type write struct {
	Method     string
	Driver     string
	DSN        string
	Waits      bool // the child waits for a line before it, and for its end afterwards
	Approval   authserver.Approval
	Old        string
	Token      authserver.Token
	Acceptance *authserver.Acceptance
}

func (w *write) call(ctx context.Context, tables *grants.Tables) error {
	switch w.Method {
	case "accept":
		_, err := tables.Accept(ctx, w.Approval)
		return err
	case "withdraw":
		_, found, err := tables.Withdraw(ctx, w.Acceptance.UserID, w.Acceptance.ID)
		if err == nil && !found {
			err = errors.New("there is nothing to withdraw")
		}
		return err
	case "issue":
		return tables.IssueToken(ctx, w.Token, w.Acceptance)
	}
	return tables.RefreshToken(ctx, w.Old, w.Token, w.Acceptance)
}

// situation is tables before a write.
type situation struct {
	name    string
	prepare func(t *testing.T, s *scene) write
	// again is what the same call leads to once it was done: nil, or an error with
	// this text.
	again string
}

var situations = []situation{
	{"first consent", func(_ *testing.T, s *scene) write {
		return write{Method: "accept", Approval: s.narrow()}
	}, ""},
	{"second consent", func(t *testing.T, s *scene) write {
		s.accept(t, s.approval(s.alice, s.app2))
		return write{Method: "accept", Approval: s.narrow()}
	}, ""},
	{"issue", func(t *testing.T, s *scene) write {
		row, need := token(s.accept(t, s.approval(s.alice, s.app2)), "basic")
		return write{Method: "issue", Token: row, Acceptance: need}
	}, authserver.ErrTokenExists.Error()},
	{"refresh", func(t *testing.T, s *scene) write {
		a := s.accept(t, s.approval(s.alice, s.app2))
		row, need := token(a, "basic")
		return write{Method: "refresh", Old: s.issue(t, a).JTI, Token: row, Acceptance: need}
	}, authserver.ErrTokenGone.Error()},
	{"withdrawal", func(t *testing.T, s *scene) write {
		a := s.accept(t, s.approval(s.alice, s.app2))
		s.issue(t, a)
		s.issue(t, a)
		return write{Method: "withdraw", Acceptance: &a}
	}, "there is nothing to withdraw"},
}

// narrow is a consent to less than what others of these tests allow.
func (s *scene) narrow() authserver.Approval {
	a := s.approval(s.alice, s.app2)
	a.Grants = authserver.Grants("basic")
	return a
}

// selection is which rows of the tables a test looks at: a condition for
// acceptances, and one for tokens.
type selection struct{ acceptances, tokens string }

var everything = selection{"1 = 1", "1 = 1"}

// state is what the tables hold, but for ids that the database gives.
func (s *scene) state(t *testing.T, of selection) []string {
	return append(s.rows(t, "oaac_wiki, oaac_user_id, oaac_consumer_id, oaac_access_token, oaac_access_secret, oaac_grants, oaac_accepted",
		"oauth_accepted_consumer", of.acceptances), s.rows(t, "oaat_identifier, oaat_revoked", "oauth2_access_tokens", of.tokens)...)
}

// proxy stands in front of the scene's server, and cuts its connection after a
// number of packets. The configuration leads to the proxy.
func (s *scene) proxy(t *testing.T, cfg *store.Config, packetsBefore int, cut func()) *packets.Proxy {
	t.Helper()
	server, read := s.server(t)
	proxy := packets.NewProxy(t, server, read)
	proxy.CutAfter(packetsBefore, cut)
	cfg.DSN = strings.Replace(cfg.DSN, server, proxy.Addr, 1)
	return proxy
}

// server is the address of the scene's server, and how its packets are read.
func (s *scene) server(t *testing.T) (addr string, read packets.Reader) {
	t.Helper()
	if s.Driver == wikidb.Postgres {
		return postgres.Start(t).TCPAddr(), packets.ReadPostgres
	}
	return mariadb.Start(t).TCPAddr(), packets.ReadMySQL
}

// TestCutConnections cuts the connection at each packet of each write.
func TestCutConnections(t *testing.T) {
	for _, name := range []string{"MariaDB 1.39", "PostgreSQL 1.39"} {
		s := newScene(t, storetest.Named(t, name))
		for _, at := range situations {
			t.Run(name+" "+at.name, func(t *testing.T) {
				s.cutEverywhere(t, at, func(w write, cfg store.Config, packets int) (bool, error) {
					proxy := s.proxy(t, &cfg, packets, func() {})
					pool, err := grants.Open(cfg)
					if err != nil {
						t.Fatal(err)
					}
					defer pool.Close() //nolint:errcheck // nothing is lost
					err = w.call(t.Context(), grants.New(pool, s.View()))
					if err != nil && validator.FailureOf(err) != validator.ServerFailure {
						t.Errorf("cut after %d packets: %v of class %v", packets, err, validator.FailureOf(err))
					}
					return proxy.WasCut(), err
				})
			})
		}
	}
}

// A withdrawal whose outcome is not known names the tokens that may be gone, so that
// whoever keeps answers about them can be told.
func TestLostWithdrawalNamesItsTokens(t *testing.T) {
	s := only(t)
	direct := openTables(t, s.Wiki, s.config)
	if _, err := direct.Acceptances(t.Context(), s.alice, 2); err != nil { // so that its session is there
		t.Fatal(err)
	}
	lost := 0
	s.cutEverywhere(t, situations[len(situations)-1], func(w write, cfg store.Config, packets int) (bool, error) {
		proxy := s.proxy(t, &cfg, packets, func() {})
		pool, err := grants.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close() //nolint:errcheck // nothing is lost
		gone, found, err := grants.New(pool, s.View()).Withdraw(t.Context(), w.Acceptance.UserID, w.Acceptance.ID)
		if err == nil {
			return proxy.WasCut(), nil
		}
		left, errRead := direct.Acceptances(t.Context(), w.Acceptance.UserID, w.Acceptance.ConsumerID)
		if errRead != nil || found {
			t.Fatal(found, errRead)
		}
		if len(left) == 0 {
			if lost++; len(gone.JTIs) != 2 {
				t.Errorf("cut after %d packets: all is gone, and %q is named", packets, gone.JTIs)
			}
		}
		return proxy.WasCut(), err
	})
	if lost == 0 {
		t.Error("no commit was lost: the test is blind")
	}
}

// errKilled is what became of a process that was killed.
var errKilled = errors.New("killed")

// TestKilledProcesses ends the process at each packet of each write, as SIGKILL
// does.
func TestKilledProcesses(t *testing.T) {
	s := only(t)
	for _, at := range situations {
		t.Run(at.name, func(t *testing.T) {
			s.cutEverywhere(t, at, func(w write, cfg store.Config, packets int) (bool, error) {
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				started := make(chan struct{})
				proxy := s.proxy(t, &cfg, packets, func() {
					<-started
					_ = cmd.Process.Kill()
				})
				w.Driver, w.DSN = cfg.Driver, cfg.DSN
				cmd.Env = w.environment(t)
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				close(started)
				err := cmd.Wait()
				if proxy.WasCut() && err != nil && !cmd.ProcessState.Exited() {
					return true, errKilled
				}
				if err != nil {
					t.Errorf("after %d packets: %v\n%s", packets, err, &out)
				}
				return proxy.WasCut(), nil
			})
		})
	}
}

// childEnv tells a child of TestKilledProcesses or TestKilledWriters what to write.
const childEnv = "GRANTS_TEST_WRITE"

// environment is that of a child that writes.
func (w *write) environment(t *testing.T) []string {
	t.Helper()
	var text bytes.Buffer
	if err := gob.NewEncoder(&text).Encode(w); err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), childEnv+"="+hex.EncodeToString(text.Bytes()))
}

func child() int {
	var w write
	err := gob.NewDecoder(hex.NewDecoder(strings.NewReader(os.Getenv(childEnv)))).Decode(&w)
	if err == nil {
		var pool *store.Pool
		if pool, err = grants.Open(store.Config{Driver: w.Driver, DSN: w.DSN, QueryTimeout: time.Minute}); err == nil {
			tables := grants.New(pool, store.Wiki{ID: "enwiki", Release: validator.Release139})
			if w.Waits {
				err = waitForParent(tables)
			}
			if err == nil {
				err = w.call(context.Background(), tables)
			}
			if err == nil && w.Waits {
				fmt.Println("done") //nolint:forbidigo // for the parent
				select {}
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// cutEverywhere tries a write with more and more packets until it passes. After
// each failure the tables hold all of the write or nothing of it, and the same
// write leads to the end once: it does not work twice.
func (s *scene) cutEverywhere(t *testing.T, at situation, try func(w write, cfg store.Config, packets int) (cut bool, err error)) {
	cfg := s.config
	cfg.QueryTimeout = time.Minute
	direct := openTables(t, s.Wiki, cfg)
	none, all := 0, 0
	for packets := range 400 {
		s.clear(t)
		w := at.prepare(t, s)
		before, sessions := s.state(t, everything), s.sessions(t)
		cut, err := try(w, cfg, packets)
		done := err == nil
		if !done {
			// The server may not have noticed yet that nobody is there any more. What
			// is waiting for its locks sees how it ended.
			s.settle(t, sessions)
			done = !slices.Equal(s.state(t, everything), before)
		}
		if done {
			all++
		} else {
			none++
		}
		s.repeat(t, fmt.Sprintf("after %d packets", packets), at, w, direct, done)
		if !cut {
			t.Logf("%d packets; %d cuts left nothing, %d left all", packets, none, all-1)
			if none < 10 || all < 2 {
				t.Error("the cuts do not reach both sides of the commit")
			}
			return
		}
	}
	t.Error("the write never passed")
}

// repeat calls a write again of which the tables hold all, or nothing. It leads to
// the end once.
func (s *scene) repeat(t *testing.T, moment string, at situation, w write, direct *grants.Tables, done bool) {
	t.Helper()
	err := w.call(t.Context(), direct)
	switch {
	case !done && err != nil:
		t.Errorf("%s nothing was written, but the same write fails: %v", moment, err)
	case done && at.again == "" && err != nil, done && at.again != "" && (err == nil || !strings.Contains(err.Error(), at.again)):
		t.Errorf("%s all was written; the same write: %v, want %q", moment, err, at.again)
	}
	s.wantDone(t, moment, w, everything)
}

// sessions are those of the account that writes. The server removes one when its
// transaction has ended. Its list of transactions would be stale for 100 ms.
func (s *scene) sessions(t *testing.T) []string {
	t.Helper()
	list := "SELECT id FROM information_schema.processlist WHERE user = '" + storetest.WriterUser + "'"
	if s.Driver == wikidb.Postgres {
		list = "SELECT pid FROM pg_stat_activity WHERE usename = '" + storetest.WriterUser + "'"
	}
	rows, err := s.Rows.Conn.QueryContext(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// settle waits until no sessions are left but those that were there before.
func (s *scene) settle(t *testing.T, before []string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if !slices.ContainsFunc(s.sessions(t), func(id string) bool { return !slices.Contains(before, id) }) {
			return
		}
	}
	t.Fatal("a session stays open")
}

// wantDone holds the rows after a write: all of it, once.
func (s *scene) wantDone(t *testing.T, moment string, w write, of selection) {
	t.Helper()
	acceptances := s.rows(t, "oaac_grants", "oauth_accepted_consumer", of.acceptances)
	live := s.rows(t, "oaat_identifier", "oauth2_access_tokens", of.tokens+" AND oaat_revoked = 0")
	revoked := s.rows(t, "oaat_identifier", "oauth2_access_tokens", of.tokens+" AND oaat_revoked = 1")
	var want [3][]string
	switch w.Method {
	case "accept":
		want[0] = []string{`["useoauth"]`}
	case "issue":
		want = [3][]string{{stored}, {w.Token.JTI}}
	case "refresh":
		want = [3][]string{{stored}, {w.Token.JTI}, {w.Old}}
	}
	for i, got := range [][]string{acceptances, live, revoked} {
		if !slices.Equal(got, want[i]) {
			t.Errorf("%s: %s are %q, want %q", moment, []string{"acceptances", "tokens", "revoked tokens"}[i], got, want[i])
		}
	}
}
