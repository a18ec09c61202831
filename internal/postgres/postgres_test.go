package postgres_test

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/postgres"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
)

func TestMain(m *testing.M) { process.Main(m) }

func open(t *testing.T, dsn string, config *tls.Config) *sql.DB {
	t.Helper()
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.TLSConfig, c.Fallbacks = config, nil
	db := stdlib.OpenDB(*c)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestUserHasOnlyWhatItIsGranted(t *testing.T) {
	s := postgres.Start(t)
	name := s.CreateDatabase(t)
	s.CreateUser(t, "reader", "p@ss/w:rd?")
	s.Exec(t, name, "CREATE TABLE t (a INT, b INT)", "INSERT INTO t VALUES (1, 2)", "GRANT SELECT (a) ON t TO reader")
	db := open(t, s.DSN("reader", "p@ss/w:rd?", name, "public"), nil)
	var n int
	if err := db.QueryRow("SELECT a FROM t").Scan(&n); err != nil || n != 1 {
		t.Errorf("granted column: %d, %v", n, err)
	}
	if err := db.QueryRow("SELECT b FROM t").Scan(&n); err == nil {
		t.Error("a column that was not granted could be read")
	}
	if err := open(t, s.DSN("reader", "wrong", name, "public"), nil).Ping(); err == nil {
		t.Error("a wrong password was accepted")
	}
}

func TestStopAndRestart(t *testing.T) {
	s := postgres.Start(t)
	name := s.CreateDatabase(t)
	s.Exec(t, name, "CREATE TABLE t (a INT)")
	addr := s.TCPAddr()
	s.Stop(t)
	if err := open(t, s.RootDSN(name), nil).Ping(); err == nil {
		t.Error("a stopped server answers")
	}
	s.Restart(t)
	s.Exec(t, name, "INSERT INTO t VALUES (1)")
	if s.TCPAddr() != addr {
		t.Errorf("address %s became %s", addr, s.TCPAddr())
	}
}

func TestTLSByPrivateCA(t *testing.T) {
	s := postgres.Start(t)
	database := s.CreateDatabase(t)
	s.CreateUser(t, "secure", "pw")
	pem, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for name, test := range map[string]struct {
		config *tls.Config
		ok     bool
	}{
		"private CA": {&tls.Config{RootCAs: pool, ServerName: process.ServerName}, true},
		"other name": {&tls.Config{RootCAs: pool, ServerName: "other.test"}, false},
		"public CAs": {&tls.Config{ServerName: process.ServerName}, false},
	} {
		db := open(t, s.DSN("secure", "pw", database, "public"), test.config)
		if err := db.Ping(); (err == nil) != test.ok {
			t.Errorf("%s: connected: %v, want %v (%v)", name, err == nil, test.ok, err)
		}
	}
}
