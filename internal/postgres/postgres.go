// Package postgres runs a private PostgreSQL server for the tests of one
// process: in a temporary directory, on a socket and on a free loopback port,
// with TLS by a certificate authority of its own.
//
// A package whose tests call Start has process.Main for its TestMain.
package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
)

// install says what to do where there is no server. Tests fail without one: a
// skipped test proves nothing.
const install = "apt-get install --no-install-recommends postgresql"

// Driver is the name of pgx in database/sql, for connections of the superuser.
const Driver = "pgx"

// superuser has no password and is reached through the socket alone.
const superuser = "postgres"

// Server is a running PostgreSQL.
type Server struct {
	process.Certificates
	dir  string
	bin  string // directory of the programs
	addr string // host:port

	mu   sync.Mutex
	proc *process.Process
	root *sql.DB // in the database postgres
}

var shared process.Shared[Server]

// Start returns the server of this test process and starts it when it is asked
// for first.
func Start(tb testing.TB) *Server {
	tb.Helper()
	return shared.Start(tb, "PostgreSQL", start, (*Server).discard)
}

func start() (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(process.ShortTemp(), "postgres")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, Certificates: process.Certificates(dir)}
	if err := s.create(); err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

// find returns the directory of the newest server's programs.
func find() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(dirs) == 0 {
		return "", errors.New("initdb not found: " + install)
	}
	return filepath.Dir(dirs[len(dirs)-1]), nil
}

func (s *Server) create() error {
	if err := s.Make(); err != nil {
		return err
	}
	if err := s.giveAway(); err != nil {
		return err
	}
	cmd, err := s.command("initdb", "--pgdata="+s.file("data"), "--username="+superuser, "--auth-local=trust",
		"--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.addr, err = loopback.FreeAddr(); err != nil {
		return err
	}
	if err := s.run(); err != nil {
		return err
	}
	s.root, err = sql.Open(Driver, s.RootDSN("postgres"))
	return err
}

// command is a program of PostgreSQL, run by its own user where this process is
// root's: as root it refuses.
func (s *Server) command(name string, args ...string) (*exec.Cmd, error) {
	//nolint:gosec // found in the system's own directories
	cmd := exec.CommandContext(context.Background(), filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "TMPDIR=" + s.dir}
	credential, err := credential()
	if credential != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	}
	return cmd, err
}

// giveAway lets the user of the server have the directory.
func (s *Server) giveAway() error {
	credential, err := credential()
	if credential == nil {
		return err
	}
	return filepath.WalkDir(s.dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		//nolint:gosec // a directory that only this process knows yet
		return os.Chown(path, int(credential.Uid), int(credential.Gid))
	})
}

func (s *Server) run() error {
	log, err := os.OpenFile(s.file("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server has its own descriptor
	cert, key := s.ServerFiles()
	_, port, _ := strings.Cut(s.addr, ":")
	cmd, err := s.command("postgres", "-D", s.file("data"), "-p", port, "-k", s.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "shared_buffers=32MB",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "autovacuum=off",
		"-c", "ssl=on", "-c", "ssl_ca_file="+s.CAFile(), "-c", "ssl_cert_file="+cert, "-c", "ssl_key_file="+key)
	if err != nil {
		return err
	}
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

// wait returns once the server answers.
func (s *Server) wait(proc *process.Process) error {
	db, err := sql.Open(Driver, s.RootDSN("postgres"))
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
		if db.PingContext(context.Background()) == nil {
			return nil
		}
	}
	return errors.New("the server did not answer for a minute")
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// TCPAddr returns where the server listens: 127.0.0.1 and its port.
func (s *Server) TCPAddr() string { return s.addr }

// Dir returns the directory of the socket.
func (s *Server) Dir() string { return s.dir }

// RootDSN returns a DSN of the superuser, for database/sql with Driver.
// Parameters may follow it, each after "&".
func (s *Server) RootDSN(database string) string {
	_, port, _ := strings.Cut(s.addr, ":")
	return "postgres://" + superuser + "@/" + database + "?host=" + s.dir + "&port=" + port + "&sslmode=disable"
}

// DSN returns a DSN over TCP, as a store takes it, of an account made by
// CreateUser.
func (s *Server) DSN(user, password, database, schema string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: s.addr, Path: "/" + database,
		RawQuery: "search_path=" + schema,
	}
	return u.String()
}

// Exec runs statements as the superuser in the database; empty: outside of all.
func (s *Server) Exec(tb testing.TB, database string, statements ...string) {
	tb.Helper()
	conn := s.root
	if database != "" {
		var err error
		if conn, err = sql.Open(Driver, s.RootDSN(database)); err != nil {
			tb.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // nothing is lost
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(context.Background(), statement); err != nil {
			tb.Fatalf("%v\n%s", err, statement)
		}
	}
}

var lastDatabase atomic.Int64

// CreateDatabase makes an empty database of a new name, which goes with the
// test.
func (s *Server) CreateDatabase(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("farm%d", lastDatabase.Add(1))
	s.Exec(tb, "", "CREATE DATABASE "+name)
	tb.Cleanup(func() { s.Exec(tb, "", "DROP DATABASE "+name+" WITH (FORCE)") })
	return name
}

// CreateUser makes an account without rights, or gives it the password.
func (s *Server) CreateUser(tb testing.TB, name, password string) {
	tb.Helper()
	s.Exec(tb, "", `DO $$ BEGIN CREATE ROLE "`+name+`" LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
		`ALTER ROLE "`+name+`" PASSWORD '`+password+`'`)
}

// Stop ends the server. Connections to it are refused until Restart.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		tb.Fatal("postgres: Stop: the server is not running")
	}
	s.proc.Stop(syscall.SIGINT) // it ends what clients do
	s.proc = nil
}

// Restart starts the stopped server again: same port, same data.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	running := s.proc != nil
	s.mu.Unlock()
	if running {
		tb.Fatal("postgres: Restart: the server is running")
	}
	if err := s.run(); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil {
		_ = s.root.Close() // nothing of it is needed any more
	}
	if s.proc != nil {
		s.proc.Stop(syscall.SIGQUIT) // at once, with its children
		s.proc = nil
	}
	_ = os.RemoveAll(s.dir) // a temporary directory
}
