package store_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// slow serves a relay's connections, and holds what clients send for a while.
func slow(t *testing.T, to string, hold time.Duration) (address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go serve(holding{client, hold}, to)
		}
	}()
	return l.Addr().String()
}

type holding struct {
	net.Conn
	hold time.Duration
}

func (h holding) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	time.Sleep(h.hold)
	return n, err
}

// throughRelay has the farm's account reach the server at another address.
func (f farm) throughRelay(t *testing.T, address string) farm {
	t.Helper()
	f.Config.DSN = strings.Replace(f.Config.DSN, mariadb.Start(t).TCPAddr(), address, 1)
	return f
}

// wantFailure wants a lookup to fail with a class.
func wantFailure(t *testing.T, s *store.Store, key validator.Key, want validator.Failure) {
	t.Helper()
	_, err := s.Lookup(t.Context(), key)
	if err == nil || validator.FailureOf(err) != want {
		t.Errorf("%v, class %v, want %v", err, validator.FailureOf(err), want)
	}
}

// TestFailuresOfTheServer has servers that no lookup can be answered by.
func TestFailuresOfTheServer(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
	free, err := loopback.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	silent := newRelay(t, mariadb.Start(t).TCPAddr())
	for name, change := range map[string]func(f *farm){
		"refused":  func(f *farm) { *f = f.throughRelay(t, free) },
		"silent":   func(f *farm) { *f = f.throughRelay(t, silent.Addr().String()) },
		"password": func(f *farm) { f.Config.DSN = strings.Replace(f.Config.DSN, storetest.Password, "x", 1) },
		"database": func(f *farm) { f.Config.DSN = strings.Replace(f.Config.DSN, f.Database, "none", 1) },
		"too slow": func(f *farm) { *f = f.throughRelay(t, slow(t, mariadb.Start(t).TCPAddr(), 300*time.Millisecond)) },
		"no TLS":   func(f *farm) { f.Config.TLS = &store.TLS{ServerName: "other.test"} },
	} {
		t.Run(name, func(t *testing.T) {
			f := f
			f.Config.QueryTimeout = 200 * time.Millisecond
			change(&f)
			wantFailure(t, f.Store(t), f.oauth1, validator.ServerFailure)
		})
	}
	t.Run("connection killed", func(t *testing.T) {
		f := f
		f.Config.QueryTimeout, f.Config.MaxOpenConns = time.Minute, 1
		s := f.Store(t)
		conn, err := f.Rows.Conn.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // it goes back to its pool
		if _, err := conn.ExecContext(t.Context(), "LOCK TABLES "+f.Table("user")+" WRITE"); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := s.Lookup(t.Context(), f.oauth1)
			done <- err
		}()
		for connections(t, f) == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		mariadb.Start(t).Exec(t, "KILL HARD USER '"+storetest.User+"'@'%'")
		if err := <-done; validator.FailureOf(err) != validator.ServerFailure {
			t.Errorf("%v, class %v", err, validator.FailureOf(err))
		}
		if _, err := conn.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFailuresOfFiles(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(path string) *store.Store {
		pool, err := store.Open(store.Config{Driver: "sqlite", DSN: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pool.Close() })
		return pool.Wiki(store.Wiki{ID: "enwiki", Release: validator.Release139})
	}
	key := validator.Key{Protocol: validator.OAuth1, Consumer: "c", Token: "t"}
	wantFailure(t, open(text+"2"), key, validator.ServerFailure)
	wantFailure(t, open(text), key, validator.ServerFailure)

	f := newFarm(t, storetest.Named(t, "SQLite 1.39"))
	s := f.Store(t)
	f.Exec(t, "UPDATE oauth_accepted_consumer SET oaac_user_id = 'x' WHERE oaac_id = 50")
	wantFailure(t, s, f.oauth1, validator.KeyFailure)
	f.Exec(t, "DROP TABLE user_groups")
	wantFailure(t, s, f.oauth1, validator.TableFailure)
}

// TestFailuresOfAKey has rows and keys that no statement can read or compare.
// Lookups of others are answered meanwhile.
func TestFailuresOfAKey(t *testing.T) {
	for _, charset := range []string{"ascii", "koi8r", "gbk", "sjis"} {
		t.Run(charset, func(t *testing.T) {
			f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
			f.Exec(t, "ALTER TABLE oauth2_access_tokens MODIFY oaat_identifier VARCHAR(255) CHARACTER SET "+charset)
			s := f.Store(t)
			odd := f.oauth2
			odd.Token = "\xff\xfe"
			wantFailure(t, s, odd, validator.KeyFailure)
			for _, key := range []validator.Key{f.oauth1, f.oauth2} {
				if facts, err := s.Lookup(t.Context(), key); err != nil || facts.User == nil {
					t.Errorf("another key: %+v, %v", facts, err)
				}
			}
		})
	}
	for name, spoil := range map[string]string{
		"acceptance without a user": "ALTER TABLE oauth_accepted_consumer MODIFY oaac_user_id INT NULL;UPDATE oauth_accepted_consumer SET oaac_user_id = NULL WHERE oaac_id = 50",
		"consumer without an owner": "ALTER TABLE oauth_registered_consumer MODIFY oarc_user_id INT NULL;UPDATE oauth_registered_consumer SET oarc_user_id = NULL WHERE oarc_id = 50",
		"negative id":               "ALTER TABLE oauth_accepted_consumer MODIFY oaac_consumer_id INT;UPDATE oauth_accepted_consumer SET oaac_consumer_id = -50 WHERE oaac_id = 50",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
			for statement := range strings.SplitSeq(spoil, ";") {
				f.Exec(t, statement)
			}
			s := f.Store(t)
			wantFailure(t, s, f.oauth1, validator.KeyFailure)
			var other wikidb.Acceptance
			var consumer string
			row := f.Rows.Conn.QueryRowContext(t.Context(), "SELECT oaac_access_token, oarc_consumer_key FROM oauth_accepted_consumer "+
				"JOIN oauth_registered_consumer ON oarc_id = oaac_consumer_id WHERE oaac_id = 7")
			if err := row.Scan(&other.Token, &consumer); err != nil {
				t.Fatal(err)
			}
			key := validator.Key{Wiki: "enwiki", Protocol: validator.OAuth1, Consumer: consumer, Token: other.Token}
			if facts, err := s.Lookup(t.Context(), key); err != nil || facts.User == nil {
				t.Errorf("another key: %+v, %v", facts, err)
			}
		})
	}
}

func TestFailuresOfATable(t *testing.T) {
	for name, spoil := range map[string]func(f farm){
		"not granted": func(f farm) { f.Deny(t, "user_groups", "ug_user", "ug_group", "ug_expiry") },
		"missing":     func(f farm) { f.Exec(t, "DROP TABLE user_groups") },
		"column":      func(f farm) { f.Exec(t, "ALTER TABLE user_groups DROP ug_expiry") },
		"view of nothing": func(f farm) {
			f.Exec(t, "RENAME TABLE user_groups TO groups_before")
			f.Exec(t, "CREATE VIEW user_groups AS SELECT ug_user, ug_group, ug_expiry FROM groups_before")
			f.Exec(t, "DROP TABLE groups_before")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
			spoil(f)
			wantFailure(t, f.Store(t), f.oauth1, validator.TableFailure)
		})
	}
	// The tables of one protocol are nothing to the other.
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
	f.Deny(t, "oauth2_access_tokens", "oaat_identifier", "oaat_acceptance_id", "oaat_revoked")
	s := f.Store(t)
	wantFailure(t, s, f.oauth2, validator.TableFailure)
	if facts, err := s.Lookup(t.Context(), f.oauth1); err != nil || facts.User == nil {
		t.Errorf("OAuth 1: %+v, %v", facts, err)
	}
}

// events collects what a pool tells.
type events struct {
	mu   sync.Mutex
	list []store.Event
}

func (e *events) notify(event store.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

// take returns the events since the last call.
func (e *events) take() (taken []store.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken, e.list = e.list, nil
	return taken
}

// TestConnectionLimit has an account whose connections the server bounds. Every
// lookup is answered, over those that are open.
func TestConnectionLimit(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
	server := mariadb.Start(t)
	server.Exec(t, "ALTER USER '"+storetest.User+"'@'%' WITH MAX_USER_CONNECTIONS 3")
	t.Cleanup(func() { server.Exec(t, "ALTER USER '"+storetest.User+"'@'%' WITH MAX_USER_CONNECTIONS 0") })
	var told events
	f = f.throughRelay(t, slow(t, server.TCPAddr(), 5*time.Millisecond))
	f.Config.MaxOpenConns, f.Config.QueryTimeout, f.Config.Notify = 16, time.Minute, told.notify
	s := f.Store(t)
	all := func() {
		t.Helper()
		var wg sync.WaitGroup
		for range 60 {
			wg.Go(func() {
				if facts, err := s.Lookup(t.Context(), f.oauth1); err != nil || facts.User == nil {
					t.Errorf("%+v, %v", facts, err)
				}
			})
		}
		wg.Wait()
	}
	all()
	all()
	if got := told.take(); len(got) != 1 || !got[0].Trouble || !strings.Contains(got[0].Text, "no more connections") || got[0].Server == "" {
		t.Errorf("told %+v, want one event", got)
	}
}

// TestNoConnectionIsAccepted has a server whose connections are all taken by
// others, until they are not.
func TestNoConnectionIsAccepted(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
	server := mariadb.Start(t)
	server.Exec(t, "ALTER USER '"+storetest.User+"'@'%' WITH MAX_USER_CONNECTIONS 1")
	t.Cleanup(func() { server.Exec(t, "ALTER USER '"+storetest.User+"'@'%' WITH MAX_USER_CONNECTIONS 0") })
	other := f
	other.Config.QueryTimeout = time.Minute
	taker := other.Store(t)
	if _, err := taker.Lookup(t.Context(), f.oauth1); err != nil { // its connection stays open
		t.Fatal(err)
	}
	f.Config.QueryTimeout = 300 * time.Millisecond
	wantFailure(t, f.Store(t), f.oauth1, validator.LimitFailure)

	f.Config.QueryTimeout = time.Minute
	patient := f.Store(t)
	time.AfterFunc(300*time.Millisecond, func() {
		server.Exec(t, "ALTER USER '"+storetest.User+"'@'%' WITH MAX_USER_CONNECTIONS 0")
	})
	if facts, err := patient.Lookup(t.Context(), f.oauth1); err != nil || facts.User == nil {
		t.Errorf("%+v, %v", facts, err)
	}
}

// TestQueryTimeoutBeginsWithTheConnection has a server to which the login and
// the query take more than the timeout together.
func TestQueryTimeoutBeginsWithTheConnection(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
	f = f.throughRelay(t, slow(t, mariadb.Start(t).TCPAddr(), time.Second))
	f.Config.QueryTimeout = 1800 * time.Millisecond
	if facts, err := f.Store(t).Lookup(t.Context(), f.oauth1); err != nil || facts.User == nil {
		t.Errorf("%+v, %v", facts, err)
	}
}

// TestQueueIsNoFailureOfTheServer has more lookups than a slow server answers.
func TestQueueIsNoFailureOfTheServer(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
	f = f.throughRelay(t, slow(t, mariadb.Start(t).TCPAddr(), 100*time.Millisecond))
	f.Config.MaxOpenConns, f.Config.QueryTimeout = 2, time.Second
	s := f.Store(t)
	if _, err := s.Lookup(t.Context(), f.oauth1); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	results := map[string]int{}
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			_, err := s.Lookup(t.Context(), f.oauth1)
			result := "found"
			if err != nil {
				result = validator.FailureOf(err).String()
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			results[result]++
		})
	}
	wg.Wait()
	if len(results) != 2 || results["found"] < 10 || results["queue"] == 0 {
		t.Errorf("results %v, want some found and the others failed in the queue", results)
	}
	t.Log(results)
}
