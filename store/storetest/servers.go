package storetest

import (
	"database/sql"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/postgres"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// server is a database server that backends are on.
type server interface {
	// create makes a database, or a schema of the name, which goes with the test.
	create(tb testing.TB, schema string) (name string)
	// root returns the name in database/sql and a DSN for the owner of the
	// tables.
	root(database string) (driver, dsn string)
	// dsn returns a DSN, as a store takes it, of an account with Password.
	dsn(user, database string) string
	// createUser makes an account that may name the databases and read nothing.
	createUser(tb testing.TB, user string, databases []string)
	grantee(user string) string
	exec(tb testing.TB, statement string)
	// exhaust lets the server accept no connection of the account until the test
	// ends.
	exhaust(tb testing.TB, user string)
	TCPAddr() string
}

// serverOf returns the server of a driver; nil: it reads files.
func serverOf(tb testing.TB, driver string) server {
	tb.Helper()
	switch driver {
	case wikidb.SQLite:
		return nil
	case wikidb.MySQL:
		return mariadbServer{mariadb.Start(tb)}
	case wikidb.Postgres:
		s := postgres.Start(tb)
		return postgresServer{s, s.CreateDatabase(tb)}
	}
	tb.Fatalf("no server for driver %q", driver)
	return nil
}

type mariadbServer struct{ *mariadb.Server }

func (s mariadbServer) create(tb testing.TB, _ string) string { return s.CreateDatabase(tb) }

func (s mariadbServer) root(database string) (driver, dsn string) {
	return wikidb.MySQL, s.RootDSN(database)
}

func (s mariadbServer) dsn(user, database string) string { return s.DSN(user, Password, database) }

func (s mariadbServer) createUser(tb testing.TB, user string, _ []string) {
	s.CreateUser(tb, user, Password)
}

func (s mariadbServer) grantee(user string) string { return "'" + user + "'@'%'" }

func (s mariadbServer) exec(tb testing.TB, statement string) { s.Exec(tb, statement) }

func (s mariadbServer) exhaust(tb testing.TB, user string) {
	s.Exec(tb, "ALTER USER "+s.grantee(user)+" WITH MAX_USER_CONNECTIONS 1")
	tb.Cleanup(func() { s.Exec(tb, "ALTER USER "+s.grantee(user)+" WITH MAX_USER_CONNECTIONS 0") })
	conn, err := sql.Open(wikidb.MySQL, s.DSN(user, Password, ""))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.PingContext(tb.Context()); err != nil { // it takes the one
		tb.Fatal(err)
	}
}

// postgresServer is one database of PostgreSQL, whose schemas are the databases.
type postgresServer struct {
	*postgres.Server
	database string
}

func (s postgresServer) create(tb testing.TB, schema string) string {
	s.Exec(tb, s.database, "CREATE SCHEMA "+schema)
	return schema
}

// root leaves the planner no other choice than indexes, however few rows there
// are.
func (s postgresServer) root(schema string) (driver, dsn string) {
	return postgres.Driver, s.RootDSN(s.database) + "&search_path=" + schema + "&enable_seqscan=off"
}

func (s postgresServer) dsn(user, schema string) string {
	return s.DSN(user, Password, s.database, schema)
}

func (s postgresServer) createUser(tb testing.TB, user string, schemas []string) {
	s.CreateUser(tb, user, Password)
	for _, schema := range schemas {
		s.exec(tb, "GRANT USAGE ON SCHEMA "+schema+" TO "+s.grantee(user))
	}
}

func (s postgresServer) grantee(user string) string { return `"` + user + `"` }

func (s postgresServer) exhaust(tb testing.TB, user string) {
	s.Exec(tb, "", "ALTER ROLE "+s.grantee(user)+" CONNECTION LIMIT 0")
	tb.Cleanup(func() { s.Exec(tb, "", "ALTER ROLE "+s.grantee(user)+" CONNECTION LIMIT -1") })
}

func (s postgresServer) exec(tb testing.TB, statement string) { s.Exec(tb, s.database, statement) }
