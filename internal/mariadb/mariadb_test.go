package mariadb_test

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
)

func TestMain(m *testing.M) { process.Main(m) }

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestUserHasOnlyWhatItIsGranted(t *testing.T) {
	s := mariadb.Start(t)
	name := s.CreateDatabase(t)
	s.Exec(t, "CREATE TABLE "+name+".t (a INT, b INT)", "INSERT INTO "+name+".t VALUES (1, 2)")
	s.CreateUser(t, "reader", "p@ss/w:rd?", "GRANT SELECT (a) ON "+name+".t;")
	db := open(t, s.DSN("reader", "p@ss/w:rd?", name))
	var n int
	if err := db.QueryRow("SELECT a FROM t").Scan(&n); err != nil || n != 1 {
		t.Errorf("granted column: %d, %v", n, err)
	}
	if err := db.QueryRow("SELECT b FROM t").Scan(&n); err == nil {
		t.Error("a column that was not granted could be read")
	}
}

// TestTemporaryDirectoryOfItsOwn: a server that starts deletes what others have
// in one that they share.
func TestTemporaryDirectoryOfItsOwn(t *testing.T) {
	s := mariadb.Start(t)
	var tmpdir, data string
	if err := open(t, s.RootDSN("")).QueryRow("SELECT @@tmpdir, @@datadir").Scan(&tmpdir, &data); err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(filepath.Clean(data)) != tmpdir {
		t.Errorf("tmpdir %s, data in %s", tmpdir, data)
	}
}

func TestCounters(t *testing.T) {
	s := mariadb.Start(t)
	db := open(t, s.RootDSN("mysql"))
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	before := s.Counters(t)
	s.Exec(t, "DO 1")
	for range 3 {
		var n int
		if err := db.QueryRow("SELECT 1").Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := s.Counters(t).Sub(before), (mariadb.Counters{Queries: 3, Selects: 3}); got != want {
		t.Errorf("three queries count as %+v, want %+v", got, want)
	}
	before = s.Counters(t)
	var n int
	if err := db.QueryRow("SELECT ?", 1).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if got := s.Counters(t).Sub(before); got.Prepares != 1 || got.Selects != 1 {
		t.Errorf("one prepared query counts as %+v", got)
	}
}

func TestStopAndRestart(t *testing.T) {
	s := mariadb.Start(t)
	name := s.CreateDatabase(t)
	s.Exec(t, "CREATE TABLE "+name+".t (a INT)")
	addr := s.TCPAddr()
	s.Stop(t)
	if err := open(t, s.RootDSN("")).Ping(); err == nil {
		t.Error("a stopped server answers")
	}
	s.Restart(t)
	s.Exec(t, "INSERT INTO "+name+".t VALUES (1)")
	if s.TCPAddr() != addr {
		t.Errorf("address %s became %s", addr, s.TCPAddr())
	}
}

func TestTLSByPrivateCA(t *testing.T) {
	s := mariadb.Start(t)
	s.CreateUser(t, "secure", "pw")
	s.Exec(t, "ALTER USER 'secure'@'%' REQUIRE X509")
	pem, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	cert, err := tls.LoadX509KeyPair(s.ClientFiles())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config *tls.Config
		ok     bool
	}{
		"certificate":    {&tls.Config{RootCAs: pool, ServerName: process.ServerName, Certificates: []tls.Certificate{cert}}, true},
		"no certificate": {&tls.Config{RootCAs: pool, ServerName: process.ServerName}, false},
		"other name":     {&tls.Config{RootCAs: pool, ServerName: "other.test", Certificates: []tls.Certificate{cert}}, false},
		"public CAs":     {&tls.Config{ServerName: process.ServerName, Certificates: []tls.Certificate{cert}}, false},
		"no TLS":         {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := mysql.NewConfig()
			c.User, c.Passwd, c.Net, c.Addr, c.TLS = "secure", "pw", "tcp", s.TCPAddr(), test.config
			c.Logger = &mysql.NopLogger{}
			connector, err := mysql.NewConnector(c)
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(connector)
			t.Cleanup(func() { _ = db.Close() })
			if err := db.Ping(); (err == nil) != test.ok {
				t.Errorf("connected: %v, want %v (%v)", err == nil, test.ok, err)
			}
		})
	}
}

// A server that is killed has what it has committed, and nothing else.
func TestKill(t *testing.T) {
	s := mariadb.StartOwn(t)
	if s.TCPAddr() == mariadb.Start(t).TCPAddr() {
		t.Fatal("the server is shared")
	}
	name := s.CreateDatabase(t)
	s.Exec(t, "CREATE TABLE "+name+".t (a INT)")
	db := open(t, s.RootDSN(name))
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "INSERT INTO "+name+".t VALUES (2)")
	s.Kill(t)
	if err := db.Ping(); err == nil {
		t.Error("a killed server answers")
	}
	start := time.Now()
	s.Restart(t)
	t.Logf("restarted in %v", time.Since(start))
	var rows, sum int
	if err := db.QueryRow("SELECT COUNT(*), SUM(a) FROM t").Scan(&rows, &sum); err != nil || rows != 1 || sum != 2 {
		t.Errorf("%d rows, sum %d, %v, want what was committed", rows, sum, err)
	}
}
