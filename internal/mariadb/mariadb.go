// Package mariadb runs a private MariaDB server for the tests of one process:
// in a temporary directory, on a socket and on a free loopback port, with TLS
// by a certificate authority of its own.
//
// A package whose tests call Start has process.Main for its TestMain, so that
// the server never outlives them.
package mariadb

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
)

// install tells how to get a server. Tests fail without one, because a skipped
// test proves nothing.
const install = "apt-get install --no-install-recommends mariadb-server-core"

// Server is a running MariaDB. Its root has no password and is reached through
// the socket alone.
type Server struct {
	dir     string
	addr    string   // host:port
	options []string // of this server alone
	root    *sql.DB

	mu   sync.Mutex
	proc *process.Process
	own  uint64 // queries of our own, which Counters leaves out
}

var shared process.Shared[Server]

// Start returns the server of this test process and starts it when it is asked
// for first.
func Start(tb testing.TB) *Server {
	tb.Helper()
	return shared.Start(tb, "MariaDB", func() (*Server, error) { return start(careless) }, (*Server).discard)
}

// careless are options that make a server fast. It loses the transactions of its
// last second when it is killed.
var careless = []string{
	"--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=OFF", "--sync-frm=OFF",
}

// StartOwn starts a server that is the test's own and ends with it: a test may
// kill it. It has the durability of a new installation, unless an option says
// otherwise.
func StartOwn(tb testing.TB, options ...string) *Server {
	tb.Helper()
	s, err := start(options)
	if err != nil {
		tb.Fatalf("start MariaDB: %v", err)
	}
	tb.Cleanup(s.discard)
	return s
}

func start(options []string) (*Server, error) {
	mariadbd, err := find("mariadbd")
	if err != nil {
		return nil, err
	}
	installDB, err := find("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(process.ShortTemp(), "mariadb")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, options: options}
	if err := s.create(installDB, mariadbd); err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/libexec", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s not found: %s", name, install)
}

func (s *Server) create(installDB, mariadbd string) error {
	if err := s.certificates().Make(); err != nil {
		return err
	}
	args := slices.Concat(s.common(), careless, []string{"--auth-root-authentication-method=normal", "--skip-test-db"})
	//nolint:gosec // found in the system's own directories
	if out, err := exec.CommandContext(context.Background(), installDB, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", installDB, err, out)
	}
	addr, err := loopback.FreeAddr()
	if err != nil {
		return err
	}
	s.addr = addr
	if err := s.run(mariadbd); err != nil {
		return err
	}
	s.root, err = s.openRoot()
	return err
}

// openRoot opens a pool that logs nothing, because a stopped server is expected
// here.
func (s *Server) openRoot() (*sql.DB, error) {
	c, err := mysql.ParseDSN(s.RootDSN(""))
	if err != nil {
		return nil, err
	}
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// common are the options that the creation of the data directory shares with
// the server.
func (s *Server) common() []string {
	args := []string{
		// A server that starts deletes what others have in a temporary
		// directory that they share.
		"--no-defaults", "--datadir=" + filepath.Join(s.dir, "data"), "--tmpdir=" + s.dir, "--skip-name-resolve",
		"--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M",
	}
	if os.Getuid() == 0 {
		args = append(args, "--user=root")
	}
	return args
}

func (s *Server) run(mariadbd string) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server has its own descriptor
	cert, key := s.certificates().ServerFiles()
	//nolint:gosec // likewise
	cmd := exec.CommandContext(context.Background(), mariadbd, slices.Concat(s.common(), s.options, []string{
		"--bind-address=127.0.0.1", "--port=" + s.addr[strings.IndexByte(s.addr, ':')+1:], "--socket=" + s.socket(),
		"--pid-file=" + filepath.Join(s.dir, "pid"), "--skip-log-bin", "--performance-schema=OFF",
		"--key-buffer-size=1M", "--max-connections=500", "--max-connect-errors=1000000",
		"--ssl-ca=" + s.CAFile(), "--ssl-cert=" + cert, "--ssl-key=" + key,
	})...)
	cmd.Stdout, cmd.Stderr = log, log
	proc, err := process.Launch(cmd)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proc = proc
	s.mu.Unlock()
	if err := s.wait(proc); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(text))
	}
	return nil
}

// wait returns once the server answers on the socket, which it opens last.
func (s *Server) wait(proc *process.Process) error {
	db, err := s.openRoot()
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case <-proc.Done():
			return fmt.Errorf("the server ended at once: %w", proc.Err())
		case <-time.After(10 * time.Millisecond):
		}
		if _, err := os.Stat(s.socket()); err != nil {
			continue
		}
		if db.PingContext(context.Background()) == nil {
			return nil
		}
	}
	return fmt.Errorf("the server did not answer for a minute")
}

func (s *Server) socket() string          { return s.file("sock") }
func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) certificates() process.Certificates { return process.Certificates(s.dir) }

// CAFile returns the certificate of the authority that signed the server's and
// the client's certificates.
func (s *Server) CAFile() string { return s.certificates().CAFile() }

// ClientFiles returns a client's certificate and key, for users that REQUIRE
// X509.
func (s *Server) ClientFiles() (cert, key string) { return s.certificates().ClientFiles() }

// TCPAddr is where the server listens: 127.0.0.1 and its port.
func (s *Server) TCPAddr() string { return s.addr }

// RootDSN returns the DSN of root, with all rights, for the database.
func (s *Server) RootDSN(db string) string {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = "root", "unix", s.socket(), db
	c.Collation = "binary"
	return c.FormatDSN()
}

// DSN is a DSN over TCP of a user made by CreateUser or Exec.
func (s *Server) DSN(user, password, db string) string {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = user, password, "tcp", s.TCPAddr(), db
	return c.FormatDSN()
}

// Exec runs statements as root.
func (s *Server) Exec(tb testing.TB, statements ...string) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, statement := range statements {
		s.own++
		if _, err := s.root.ExecContext(context.Background(), statement); err != nil {
			tb.Fatalf("%v\n%s", err, statement)
		}
	}
}

var databases struct {
	mu   sync.Mutex
	last int
}

// CreateDatabase makes an empty database of a new name, which goes with the test.
func (s *Server) CreateDatabase(tb testing.TB) string {
	tb.Helper()
	databases.mu.Lock()
	databases.last++
	name := "wiki" + strconv.Itoa(databases.last)
	databases.mu.Unlock()
	s.Exec(tb, "CREATE DATABASE "+name+" CHARACTER SET binary")
	tb.Cleanup(func() { s.Exec(tb, "DROP DATABASE "+name) })
	return name
}

// CreateUser makes a user with no rights but what the grants give. Each grant
// is a whole GRANT statement up to TO: CreateUser adds the user.
func (s *Server) CreateUser(tb testing.TB, name, password string, grants ...string) {
	tb.Helper()
	user := "'" + name + "'@'%'"
	s.Exec(tb, "CREATE OR REPLACE USER "+user+" IDENTIFIED BY '"+password+"'")
	for _, grant := range grants {
		s.Exec(tb, strings.TrimSuffix(strings.TrimSpace(grant), ";")+" TO "+user)
	}
}

// Counters are counts since the server was started, of what others than Exec
// and Counters asked for.
type Counters struct {
	Queries     uint64 // commands of every kind: those counted below, and SET, SHOW, COM_PING and all others
	Selects     uint64 // executed SELECT statements
	Prepares    uint64 // COM_STMT_PREPARE
	Connections uint64 // attempts to connect, root's too
}

// Sub returns what was counted since the earlier counters.
func (c Counters) Sub(earlier Counters) Counters {
	return Counters{
		c.Queries - earlier.Queries, c.Selects - earlier.Selects,
		c.Prepares - earlier.Prepares, c.Connections - earlier.Connections,
	}
}

// Counters reads the server's counters.
func (s *Server) Counters(tb testing.TB) Counters {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own++
	// Questions would count COM_QUIT too, which the server sees some time after
	// a connection was closed.
	rows, err := s.root.QueryContext(context.Background(),
		`SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Com\_%' OR Variable_name = 'Connections'`)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	values := map[string]uint64{}
	var sum uint64
	for rows.Next() {
		var name string
		var value uint64
		if err := rows.Scan(&name, &value); err != nil {
			tb.Fatal(err)
		}
		name = strings.ToLower(name)
		values[name] = value
		if strings.HasPrefix(name, "com_") {
			sum += value
		}
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return Counters{
		Queries: sum - s.own, Selects: values["com_select"],
		Prepares: values["com_stmt_prepare"], Connections: values["connections"],
	}
}
