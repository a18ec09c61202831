package store_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// relay is a server in front of MariaDB that keeps silent until it is let through.
type relay struct {
	net.Listener
	open     chan struct{}
	accepted chan struct{}
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r := &relay{l, make(chan struct{}), make(chan struct{}, 1000)}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			r.accepted <- struct{}{}
			go r.serve(client, to)
		}
	}()
	return r
}

func (r *relay) serve(client net.Conn, to string) {
	defer client.Close() //nolint:errcheck // the test is over, or the client left
	<-r.open
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer server.Close()                           //nolint:errcheck // likewise
	go func() { _, _ = io.Copy(server, client) }() // ends with the connections
	_, _ = io.Copy(client, server)
}

func TestSilentServerDoesNotUseUpThePool(t *testing.T) {
	f := newFarm(t, storetest.Backends[0])
	r := newRelay(t, mariadb.Start(t).TCPAddr())
	f.Config.DSN = strings.Replace(f.Config.DSN, mariadb.Start(t).TCPAddr(), r.Addr().String(), 1)
	f.Config.QueryTimeout, f.Config.MaxOpenConns = 200*time.Millisecond, 2
	s := f.Store(t)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := s.Lookup(t.Context(), f.oauth1); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("silent server: %v", err)
			}
		})
	}
	wg.Wait()
	close(r.open)
	// Connections that database/sql opens by itself have their own deadline, which is over soon.
	var err error
	for range 100 {
		if _, err = s.Lookup(t.Context(), f.oauth1); err == nil {
			return
		}
	}
	t.Errorf("the server answers again, and still: %v", err)
}

func TestHangingReplicaLeavesTimeForThePrimary(t *testing.T) {
	f := newFarm(t, storetest.Backends[0])
	r := newRelay(t, mariadb.Start(t).TCPAddr())
	defer close(r.open)
	f.Config.Replicas = []string{strings.Replace(f.Config.DSN, mariadb.Start(t).TCPAddr(), r.Addr().String(), 1)}
	f.Config.QueryTimeout = 3 * time.Second
	s := f.Store(t)
	facts, err := s.Lookup(t.Context(), f.oauth1)
	if err != nil || facts.Acceptance == nil {
		t.Fatalf("%+v, %v", facts, err)
	}
	if _, err := s.Lookup(t.Context(), f.oauth1); err != nil || len(r.accepted) != 1 {
		t.Errorf("%d connections to the replica, want 1: it rests; %v", len(r.accepted), err)
	}
}

func TestQueryTimeout(t *testing.T) {
	f := newFarm(t, storetest.Backends[1])
	f.Config.QueryTimeout, f.Config.MaxOpenConns = 200*time.Millisecond, 2
	s := f.Store(t)
	conn, err := f.Rows.Conn.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to its pool
	if _, err := conn.ExecContext(t.Context(), "LOCK TABLES "+f.Table("user")+" WRITE"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := s.Lookup(t.Context(), f.oauth1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while a table is locked: %v", err)
		}
	}
	if _, err := conn.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	f.Config.QueryTimeout = time.Minute
	patient := f.Store(t)
	for range 5 {
		if _, err := patient.Lookup(t.Context(), f.oauth1); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
	for range 100 {
		if _, err = s.Lookup(t.Context(), f.oauth1); err == nil {
			return
		}
	}
	t.Errorf("the pool whose queries timed out: %v", err)
}

func TestServerStopsAndComesBack(t *testing.T) {
	f := newFarm(t, storetest.Backends[0])
	s := f.Store(t)
	if _, err := s.Lookup(t.Context(), f.oauth1); err != nil {
		t.Fatal(err)
	}
	server := mariadb.Start(t)
	server.Stop(t)
	_, err := s.Lookup(t.Context(), f.oauth1)
	server.Restart(t)
	if err == nil || !strings.Contains(err.Error(), server.TCPAddr()) {
		t.Errorf("the error does not name the server: %v", err)
	}
	if facts, err := s.Lookup(t.Context(), f.oauth1); err != nil || facts.Acceptance == nil {
		t.Errorf("after its restart: %+v, %v", facts, err)
	}
}

// TestHostileServerReadsNoFile has a server that answers the query by asking for a file of the client's.
func TestHostileServerReadsNoFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the secret of this host"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the test is over
	answer := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close() //nolint:errcheck // the test is over
		packet := func(seq byte, payload string) {
			_, _ = conn.Write(append([]byte{byte(len(payload)), 0, 0, seq}, payload...)) // a failure shows in the client
		}
		packet(0, "\x0a8.0.0\x00\x01\x00\x00\x0012345678\x00\xff\xf7\x21\x02\x00\xff\x81\x15"+strings.Repeat("\x00", 10)+
			"123456789012\x00mysql_native_password\x00")
		buf := make([]byte, 1<<16)
		_, _ = conn.Read(buf) // the login
		packet(2, "\x00\x00\x00\x02\x00\x00\x00")
		_, _ = conn.Read(buf) // the query
		packet(1, "\xfb"+secret)
		n, _ := conn.Read(buf) // what the client sends then; none when it hangs up
		answer <- buf[:n]
	}()
	pool, err := store.Open(store.Config{Driver: "mysql", DSN: "user:password@tcp(" + l.Addr().String() + ")/wiki"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = pool.Wiki(store.Wiki{Release: validator.Release147}).Lookup(t.Context(), validator.Key{Protocol: validator.OAuth1})
	if err == nil {
		t.Error("the lookup found something")
	}
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
	if got := <-answer; strings.Contains(string(got), "secret of") || err != nil && strings.Contains(err.Error(), "secret of") {
		t.Errorf("the file got out: %q, %v", got, err)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	f := newFarm(t, storetest.Backends[0])
	var observed []error
	f.Config.Observe = func(_ time.Duration, err error) { observed = append(observed, err) }
	password := f.Config
	password.DSN = strings.Replace(f.Config.DSN, storetest.Password, "wrong-"+storetest.Password, 1)
	database := f.Config
	database.DSN = strings.Replace(f.Config.DSN, f.Database, "otherdb", 1)
	for name, test := range map[string]struct {
		config store.Config
		spoil  string
		want   string
	}{
		"password": {password, "DO 1", "refused: "},
		"database": {database, "DO 1", "missing, or not granted to the user"},
		"view": { // whose error has a text of the server's that is not known to be harmless
			f.Config, "CREATE VIEW " + f.Table("user_groups") +
				" AS SELECT user_id AS ug_user, (SELECT user_name FROM " + f.Table("user") + ") AS ug_group, NULL AS ug_expiry FROM " +
				f.Table("user"), "error 1242 of the server",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "view" {
				f.Exec(t, "DROP TABLE "+f.Table("user_groups"))
			}
			f.Exec(t, test.spoil)
			observed = nil
			w := f.Wiki
			w.Config = test.config
			_, err := w.Store(t).Lookup(t.Context(), f.oauth1)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if len(observed) != 1 || observed[0] == nil || !strings.Contains(err.Error(), observed[0].Error()) {
				t.Errorf("observed %v of %v", observed, err)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				for what, secret := range map[string]string{
					"password": storetest.Password, "token": f.oauth1.Token, "token in hexadecimal": hex.EncodeToString([]byte(f.oauth1.Token)),
					"consumer key": f.oauth1.Consumer,
				} {
					if strings.Contains(e.Error(), secret) {
						t.Errorf("the error holds the %s: %v", what, e)
					}
				}
			}
		})
	}
}

func TestTLS(t *testing.T) {
	f := newFarm(t, storetest.Backends[0])
	server := mariadb.Start(t)
	server.Exec(t, "ALTER USER '"+storetest.User+"'@'%' REQUIRE X509")
	cert, key := server.ClientFiles()
	for name, test := range map[string]struct {
		tls  *store.TLS
		want string
	}{
		"certificates":     {&store.TLS{CA: server.CAFile(), Cert: cert, Key: key, ServerName: mariadb.ServerName}, ""},
		"host of the DSN":  {&store.TLS{CA: server.CAFile(), Cert: cert, Key: key}, ""},
		"no certificate":   {&store.TLS{CA: server.CAFile()}, "refused: "},
		"no TLS":           {nil, "refused: "},
		"public CAs":       {&store.TLS{Cert: cert, Key: key}, "unknown authority"},
		"name of another":  {&store.TLS{CA: server.CAFile(), Cert: cert, Key: key, ServerName: "other.test"}, "other.test"},
		"CA of the client": {&store.TLS{CA: cert, Cert: cert, Key: key}, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			w := f.Wiki
			w.Config.TLS = test.tls
			_, err := w.Store(t).Lookup(t.Context(), f.oauth1)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestLookupsShareThePool(t *testing.T) {
	f := newFarm(t, storetest.Backends[0])
	f.Config.MaxOpenConns = 3
	s := f.Store(t)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			for _, key := range f.keys() {
				if _, err := s.Lookup(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var open int
	row := f.Rows.Conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE user = ?", storetest.User)
	if err := row.Scan(&open); err != nil || errors.Is(err, sql.ErrNoRows) || open < 1 || open > 3 {
		t.Errorf("%d connections are open, want 1 to 3; %v", open, err)
	}
}
