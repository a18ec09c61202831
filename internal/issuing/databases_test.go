package issuing_test

import (
	"database/sql"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/postgres"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/recording"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// database is the database of the recorded wiki.
type database struct {
	driver         string // as the directive names it
	reader, writer string // DSNs of both accounts
	command        string // reads SQL and prints rows
}

// kindsOfDatabase make a database of the recorded wiki, whose own address is that
// of the site that stands for it.
var kindsOfDatabase = map[string]func(t *testing.T, address string) database{
	"MariaDB": openMariaDB, "SQLite": openSQLite, "PostgreSQL": openPostgres,
}

// The accounts that read and write have exactly what docs/database.md gives them.
const reader, writer, password = "oauth_gateway", "oauth_writer", "issuing"

// rows is the recorded database with another address of its wiki.
func rows(address string) string { return strings.ReplaceAll(recording.SQL, recordedAddress, address) }

func openMariaDB(t *testing.T, address string) database {
	t.Helper()
	s := mariadb.Start(t)
	name := s.CreateDatabase(t)
	db, err := sql.Open(wikidb.MySQL, s.RootDSN(name)+"&multiStatements=true")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	if _, err := db.ExecContext(t.Context(), rows(address)); err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{reader, writer} {
		s.Exec(t, "CREATE USER IF NOT EXISTS '"+account+"'@'%' IDENTIFIED BY '"+password+"'")
	}
	for _, g := range grants(t, wikidb.MySQL) {
		s.Exec(t, "GRANT "+g.rights+" ON "+name+"."+g.table+" TO '"+g.account+"'@'%'")
	}
	return database{
		driver: wikidb.MySQL, reader: s.DSN(reader, password, name), writer: s.DSN(writer, password, name),
		command: "mariadb --no-defaults -N -B -r -S " + socketOf(s) + " -uroot " + name,
	}
}

func openSQLite(t *testing.T, address string) database {
	t.Helper()
	c := sqliteClient{filepath.Join(t.TempDir(), "wiki.sqlite")}
	load(t, c, address)
	return database{driver: wikidb.SQLite, reader: c.file, writer: c.file, command: serveSQL(t, c)}
}

func openPostgres(t *testing.T, address string) database {
	t.Helper()
	s := postgres.Start(t)
	name := s.CreateDatabase(t)
	const schema = "mediawiki"
	s.Exec(t, name, "CREATE SCHEMA "+schema)
	c := postgresClient{s.RootDSN(name) + "&search_path=" + schema}
	load(t, c, address)
	for _, account := range []string{reader, writer} {
		s.CreateUser(t, account, password)
		s.Exec(t, name, "GRANT USAGE ON SCHEMA "+schema+" TO "+account)
	}
	for _, g := range grants(t, wikidb.Postgres) {
		what := schema + `."` + g.table + `"`
		if strings.HasSuffix(g.table, "_seq") {
			what = "SEQUENCE " + what
		}
		s.Exec(t, name, "GRANT "+g.rights+" ON "+what+" TO "+g.account)
	}
	return database{
		driver: wikidb.Postgres, reader: s.DSN(reader, password, name, schema), writer: s.DSN(writer, password, name, schema),
		command: serveSQL(t, c),
	}
}

func load(t *testing.T, c client, address string) {
	t.Helper()
	if _, err := query(t.Context(), c, rows(address)); err != nil {
		t.Fatal(err)
	}
}

// grant is what docs/database.md grants on one table.
type grant struct{ account, table, rights string }

func grants(t *testing.T, driver string) (list []grant) {
	t.Helper()
	b := storetest.Backend{Driver: driver, Release: validator.Release139}
	for table, columns := range storetest.Columns(t, b) {
		list = append(list, grant{reader, table, "SELECT (" + strings.Join(columns, ", ") + ")"})
	}
	for table, rights := range storetest.WriterRights(t, b) {
		list = append(list, grant{writer, table, strings.Join(rights, ", ")})
	}
	return list
}

var inParens = regexp.MustCompile(`\(([^)]*)\)`)

// socketOf is the socket that root reaches the server by.
func socketOf(server *mariadb.Server) string {
	return inParens.FindStringSubmatch(server.RootDSN(""))[1]
}
