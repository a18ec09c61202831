package store_test

import (
	"context"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// relay is a server in front of MariaDB. Connections from before it is opened
// are never answered.
type relay struct {
	net.Listener
	open     atomic.Bool
	accepted chan struct{}
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l, accepted: make(chan struct{}, 1000)}
	var conns []net.Conn
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	})
	go func() {
		defer close(done)
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, client)
			r.accepted <- struct{}{}
			if r.open.Load() {
				go serve(client, to)
			}
		}
	}()
	return r
}

func serve(client net.Conn, to string) {
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer server.Close()                           //nolint:errcheck // the test is over, or the client left
	go func() { _, _ = io.Copy(server, client) }() // ends with the connections
	_, _ = io.Copy(client, server)
}

// TestSilentServerDoesNotUseUpThePool has callers leave while others wait for a
// connection: database/sql then opens connections for those in the background,
// which must not wait for ever either.
func TestSilentServerDoesNotUseUpThePool(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
	r := newRelay(t, mariadb.Start(t).TCPAddr())
	f.Config.DSN = strings.Replace(f.Config.DSN, mariadb.Start(t).TCPAddr(), r.Addr().String(), 1)
	f.Config.QueryTimeout, f.Config.MaxOpenConns = 500*time.Millisecond, 2
	s := f.Store(t)
	impatient, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	lookup := func(ctx context.Context, want error) {
		if _, err := s.Lookup(ctx, f.oauth1); !errors.Is(err, want) {
			t.Errorf("silent server: got %v, want %v", err, want)
		}
	}
	for range 2 {
		wg.Go(func() { lookup(impatient, context.Canceled) })
		<-r.accepted
	}
	for range 4 {
		wg.Go(func() { lookup(t.Context(), context.DeadlineExceeded) })
	}
	time.AfterFunc(100*time.Millisecond, leave)
	wg.Wait()
	r.open.Store(true)
	var err error
	for range 20 {
		if _, err = s.Lookup(t.Context(), f.oauth1); err == nil {
			return
		}
	}
	t.Errorf("the server answers again, and still: %v", err)
}

// silentConnector makes no connection, and gives up with its context alone.
type silentConnector struct{ driver.Connector }

func (silentConnector) Connect(ctx context.Context) (driver.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestConnectingIsBounded has database/sql open a connection in the background,
// where it waits for as long as the connector lets it.
func TestConnectingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := store.ConnectBounded(silentConnector{}, time.Second); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestHangingReplicaLeavesTimeForThePrimary(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
	r := newRelay(t, mariadb.Start(t).TCPAddr())
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
	f := newFarm(t, storetest.Named(t, "MariaDB 1.47"))
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
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
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

// TestHostileServerReadsNoFile has a server that answers the query by asking
// for a file of the client's.
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
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
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
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
	server := mariadb.Start(t)
	server.Exec(t, "ALTER USER '"+storetest.User+"'@'%' REQUIRE X509")
	cert, key := server.ClientFiles()
	for name, test := range map[string]struct {
		tls  *store.TLS
		want string
	}{
		"certificates":     {&store.TLS{CA: server.CAFile(), Cert: cert, Key: key, ServerName: process.ServerName}, ""},
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
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
	f.Config.MaxOpenConns, f.Config.QueryTimeout = 3, time.Minute
	s := f.Store(t)
	conn, err := f.Rows.Conn.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to its pool
	if _, err := conn.ExecContext(t.Context(), "LOCK TABLES "+f.Table("user")+" WRITE"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if facts, err := s.Lookup(t.Context(), f.oauth1); err != nil || facts.User == nil {
				t.Errorf("%+v, %v", facts, err)
			}
		})
	}
	most := 0
	for end := time.Now().Add(time.Minute); most < 3 && time.Now().Before(end); {
		most = max(most, connections(t, f))
	}
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); { // the others, were they to come
		most = max(most, connections(t, f))
	}
	if _, err := conn.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if most != 3 {
		t.Errorf("%d connections were open, want 3", most)
	}
}

func connections(t *testing.T, f farm) (n int) {
	t.Helper()
	row := f.Rows.Conn.QueryRowContext(t.Context(),
		"SELECT COUNT(*) FROM information_schema.processlist WHERE user = ? AND db = ?", storetest.User, f.Database)
	if err := row.Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSQLModes has servers whose sql_mode reads quotes, operators and empty
// strings in other ways. MediaWiki sets a mode of its own in each connection;
// that would cost us a round trip.
func TestSQLModes(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.35 CentralAuth"))
	server := mariadb.Start(t)
	t.Cleanup(func() { server.Exec(t, "SET GLOBAL sql_mode = DEFAULT") })
	want, err := f.Store(t).Lookup(t.Context(), f.oauth1)
	if err != nil || want.User == nil || want.User.Hidden != 0 {
		t.Fatalf("%+v, %v", want.User, err)
	}
	for _, mode := range []string{
		"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "HIGH_NOT_PRECEDENCE,IGNORE_SPACE,PIPES_AS_CONCAT", "EMPTY_STRING_IS_NULL", "ORACLE", "TRADITIONAL",
	} {
		server.Exec(t, "SET GLOBAL sql_mode = '"+mode+"'")
		if got, err := f.Store(t).Lookup(t.Context(), f.oauth1); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", mode, got.User, err, want.User)
		}
	}
}
