package storetest

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/mysql" // registers its driver
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/postgres"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/sqlite"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Backend is a kind of wiki that the suite runs on.
type Backend struct {
	Name        string
	Driver      string
	Release     validator.Release
	Prefix      string
	Apart       bool // the OAuth tables are in another database
	CentralAuth bool // users are CentralAuth's, whose tables are in another database; with SQLite, in the same
	// The wiki's own tables, and CentralAuth's, are on servers of their own:
	// another user, who may read nothing else.
	WikiServer, CentralServer bool
	OldUserTable              bool // users are in wikidb.OldUserTable
}

// Backends are all kinds. 1.41 and 1.42 are there for where they keep blocks,
// and which they count.
var Backends = []Backend{
	{Name: "MariaDB 1.39", Driver: wikidb.MySQL, Release: validator.Release139},
	{Name: "MariaDB 1.47", Driver: wikidb.MySQL, Release: validator.Release147},
	{Name: "MariaDB 1.47 prefixed, OAuth apart", Driver: wikidb.MySQL, Release: validator.Release147, Prefix: "mw-1_", Apart: true},
	{Name: "SQLite 1.39", Driver: wikidb.SQLite, Release: validator.Release139},
	{Name: "SQLite 1.47", Driver: wikidb.SQLite, Release: validator.Release147, Prefix: "mw_"},
	{Name: "SQLite 1.41", Driver: wikidb.SQLite, Release: 41},
	{Name: "MariaDB 1.42", Driver: wikidb.MySQL, Release: 42},
	{Name: "MariaDB 1.35", Driver: wikidb.MySQL, Release: validator.Release135},
	{Name: "MariaDB 1.43", Driver: wikidb.MySQL, Release: validator.Release143},
	{Name: "MariaDB 1.39 on two servers", Driver: wikidb.MySQL, Release: validator.Release139, Apart: true, WikiServer: true},
	{Name: "MariaDB 1.35 CentralAuth", Driver: wikidb.MySQL, Release: validator.Release135, CentralAuth: true},
	{Name: "MariaDB 1.39 CentralAuth", Driver: wikidb.MySQL, Release: validator.Release139, CentralAuth: true},
	{Name: "MariaDB 1.43 CentralAuth", Driver: wikidb.MySQL, Release: validator.Release143, CentralAuth: true},
	{Name: "MariaDB 1.47 CentralAuth prefixed, OAuth apart", Driver: wikidb.MySQL, Release: validator.Release147, Prefix: "mw-1_", Apart: true, CentralAuth: true},
	{Name: "MariaDB 1.39 CentralAuth apart", Driver: wikidb.MySQL, Release: validator.Release139, CentralAuth: true, CentralServer: true},
	{Name: "MariaDB 1.43 CentralAuth, wiki apart", Driver: wikidb.MySQL, Release: validator.Release143, Apart: true, CentralAuth: true, WikiServer: true},
	{
		Name: "MariaDB 1.47 CentralAuth on three servers", Driver: wikidb.MySQL, Release: validator.Release147,
		Apart: true, CentralAuth: true, WikiServer: true, CentralServer: true,
	},
	{Name: "PostgreSQL 1.39", Driver: wikidb.Postgres, Release: validator.Release139},
	{Name: "PostgreSQL 1.42", Driver: wikidb.Postgres, Release: 42, OldUserTable: true},
	{Name: "PostgreSQL 1.43", Driver: wikidb.Postgres, Release: validator.Release143},
	{Name: "PostgreSQL 1.47 prefixed, OAuth apart", Driver: wikidb.Postgres, Release: validator.Release147, Prefix: "mw-1_", Apart: true},
	{Name: "PostgreSQL 1.39 CentralAuth", Driver: wikidb.Postgres, Release: validator.Release139, CentralAuth: true},
	{
		Name: "PostgreSQL 1.43 CentralAuth, wiki apart", Driver: wikidb.Postgres, Release: validator.Release143,
		Apart: true, CentralAuth: true, WikiServer: true,
	},
	{Name: "SQLite 1.35", Driver: wikidb.SQLite, Release: validator.Release135},
	{Name: "SQLite 1.43", Driver: wikidb.SQLite, Release: validator.Release143},
	{Name: "SQLite 1.35 CentralAuth", Driver: wikidb.SQLite, Release: validator.Release135, CentralAuth: true},
	{Name: "SQLite 1.47 CentralAuth", Driver: wikidb.SQLite, Release: validator.Release147, Prefix: "mw_", CentralAuth: true},
}

// Named is the backend of the name.
func Named(tb testing.TB, name string) Backend {
	tb.Helper()
	i := slices.IndexFunc(Backends, func(b Backend) bool { return b.Name == name })
	if i < 0 {
		tb.Fatalf("no backend is called %q", name)
	}
	return Backends[i]
}

// Steps are the queries of a lookup that finds a user.
func (b Backend) Steps() int {
	switch {
	case b.CentralServer: // between the OAuth tables and the wiki's
		return 3
	case b.WikiServer:
		return 2
	}
	return 1
}

// Servers are the servers that they are asked of.
func (b Backend) Servers() int {
	n := 1
	if b.WikiServer {
		n++
	}
	if b.CentralServer {
		n++
	}
	return n
}

// Missing reports whether this kind of wiki lacks the table.
func (b Backend) Missing(table string) bool {
	switch table {
	case "globaluser", "localuser", "global_user_groups":
		return !b.CentralAuth
	}
	return false
}

// Wiki is a wiki with empty tables.
type Wiki struct {
	Backend
	server          server       // nil: a file
	Rows            wikidb.DB    // where rows are put
	Config          store.Config // for a user who may do what docs/database.md grants
	ServerConfig    store.Config // of the wiki's own server, where there is one, likewise
	CentralConfig   store.Config // of CentralAuth's server, where there is one, likewise
	OAuthDatabase   string       // where the OAuth tables are
	CentralDatabase string       // where CentralAuth's are
	Database        string       // where the others are
}

// User and Password are those of the user whom Open makes on a server.
const (
	User     = "oauth_gateway"
	Password = "p@ss:w/rd?" //nolint:gosec // of a private server that lives as long as the tests
)

// Open makes a wiki.
func (b Backend) Open(tb testing.TB) Wiki {
	tb.Helper()
	return b.open(tb, serverOf(tb, b.Driver))
}

// OpenOn makes a wiki on a server of the test's own.
func (b Backend) OpenOn(tb testing.TB, s *mariadb.Server) Wiki {
	tb.Helper()
	return b.open(tb, mariadbServer{s})
}

// On returns the wiki as one that is on the server already.
func (w Wiki) On(s *mariadb.Server) Wiki {
	w.server = mariadbServer{s}
	return w
}

func (b Backend) open(tb testing.TB, on server) Wiki {
	tb.Helper()
	w := Wiki{
		Backend: b, server: on, Config: store.Config{Driver: b.Driver},
		Rows: wikidb.DB{Driver: b.Driver, Release: b.Release, Prefix: b.Prefix},
	}
	if w.server == nil {
		w.Config.DSN = filepath.Join(tb.TempDir(), "wiki 100%25.sqlite")
		conn, err := sql.Open(b.Driver, w.Config.DSN) // the name as it stands, without a scheme
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = conn.Close() })
		w.Rows.Conn = conn
	} else {
		w.createDatabases(tb)
		w.Rows.Conn = w.Connect(tb, w.Database)
	}
	for _, statement := range wikidb.WikiSchema(b.Driver, b.Release, b.Prefix) {
		w.Exec(tb, statement)
	}
	w.define(tb, w.Rows.OAuth, wikidb.OAuthSchema(b.Driver, b.Release, b.Prefix))
	if b.CentralAuth {
		prefix := b.Prefix
		if w.Rows.Central != "" {
			prefix = ""
		}
		w.define(tb, w.Rows.Central, wikidb.CentralAuthSchema(b.Driver, b.Release, prefix))
	}
	if b.OldUserTable {
		w.Exec(tb, "ALTER TABLE "+w.quoted(b.Prefix+"user")+" RENAME TO "+w.quoted(b.Prefix+wikidb.OldUserTable))
		w.Rows.OldUser = true
	}
	if w.server != nil {
		w.createUsers(tb)
	}
	return w
}

// define runs the statements in the database; empty: in the wiki's own.
func (w *Wiki) define(tb testing.TB, database string, statements []string) {
	tb.Helper()
	conn := w.Rows.Conn
	if database != "" {
		conn = w.Connect(tb, database)
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("%v\n%s", err, statement)
		}
	}
}

// Connect connects the owner of the tables to the database.
func (w Wiki) Connect(tb testing.TB, database string) *sql.DB {
	tb.Helper()
	name, dsn := w.server.root(database)
	conn, err := sql.Open(name, dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (w *Wiki) createDatabases(tb testing.TB) {
	s := w.server
	w.Database = s.create(tb, "mediawiki")
	w.OAuthDatabase = w.Database
	if w.Apart {
		w.OAuthDatabase = s.create(tb, "oauth")
		w.Rows.OAuth = w.OAuthDatabase
	}
	if w.CentralAuth {
		w.CentralDatabase = s.create(tb, "centralauth")
		w.Rows.Central = w.CentralDatabase
	}
	if w.WikiServer {
		w.Config.DSN = s.dsn(User, w.OAuthDatabase)
		w.ServerConfig = store.Config{Driver: w.Driver, DSN: s.dsn(User+wikiUser, w.Database)}
	} else {
		w.Config.DSN = s.dsn(User, w.Database)
		w.Config.OAuthDatabase = w.Rows.OAuth
	}
	if w.CentralServer {
		w.CentralConfig = store.Config{Driver: w.Driver, DSN: s.dsn(User+centralUser, w.CentralDatabase)}
	}
}

// Ends of the names of the users on servers of their own.
const wikiUser, centralUser = "_wiki", "_central"

// user is who reads the table.
func (w Wiki) user(table string) string {
	switch database := w.database(table); {
	case w.CentralServer && database == w.CentralDatabase:
		return User + centralUser
	case w.WikiServer && database == w.Database:
		return User + wikiUser
	}
	return User
}

func (w Wiki) createUsers(tb testing.TB) {
	grants, databases := map[string][]string{User: nil}, map[string][]string{}
	for table, columns := range Columns(tb, w.Backend) {
		user := w.user(table)
		grants[user] = append(grants[user], w.grant(table, columns...))
		databases[user] = append(databases[user], w.database(table))
	}
	for user, grants := range grants {
		w.server.createUser(tb, user, databases[user])
		for _, grant := range grants {
			w.server.exec(tb, grant+" TO "+w.server.grantee(user))
		}
	}
}

// grant is a statement, up to TO.
func (w Wiki) grant(table string, columns ...string) string {
	if len(columns) == 0 {
		return "GRANT SELECT ON " + w.Table(table)
	}
	return "GRANT SELECT (" + strings.Join(columns, ", ") + ") ON " + w.Table(table)
}

// Allow grants columns of the table to who reads it.
func (w Wiki) Allow(tb testing.TB, table string, columns ...string) {
	w.server.exec(tb, w.grant(table, columns...)+" TO "+w.server.grantee(w.user(table)))
}

// Deny takes columns of the table from who reads it.
func (w Wiki) Deny(tb testing.TB, table string, columns ...string) {
	w.server.exec(tb, "REVOKE"+strings.TrimPrefix(w.grant(table, columns...), "GRANT")+" FROM "+w.server.grantee(w.user(table)))
}

// Exec runs a statement as the owner of the tables.
func (w Wiki) Exec(tb testing.TB, statement string) {
	tb.Helper()
	if _, err := w.Rows.Conn.ExecContext(tb.Context(), statement); err != nil {
		tb.Fatalf("%v\n%s", err, statement)
	}
}

// Insert puts rows into the tables.
func (w Wiki) Insert(tb testing.TB, rows ...wikidb.Row) {
	tb.Helper()
	if err := w.Rows.Insert(tb.Context(), rows...); err != nil {
		tb.Fatal(err)
	}
}

// Store opens a pool for each server by the wiki's Configs, and views the wiki
// through them.
func (w Wiki) Store(tb testing.TB) *store.Store {
	tb.Helper()
	open := func(c store.Config) *store.Pool {
		pool, err := store.Open(c)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = pool.Close() })
		return pool
	}
	view := w.View()
	if w.WikiServer {
		view.Server = open(w.ServerConfig)
	}
	if w.CentralServer {
		view.CentralAuthServer = open(w.CentralConfig)
	}
	return open(w.Config).Wiki(view)
}

// Table is the table's name in a statement, with its database and prefix.
func (w Wiki) Table(name string) string {
	database := w.database(name)
	if name == "user" && w.OldUserTable {
		name = wikidb.OldUserTable
	}
	switch {
	case w.Driver == wikidb.SQLite:
		return w.quoted(w.Prefix + name)
	case database == w.CentralDatabase:
		return w.quoted(database) + "." + w.quoted(name)
	}
	return w.quoted(database) + "." + w.quoted(w.Prefix+name)
}

func (w Wiki) quoted(name string) string {
	if w.Driver == wikidb.Postgres {
		return `"` + name + `"`
	}
	return "`" + name + "`"
}

func (w Wiki) database(table string) string {
	switch {
	case strings.HasPrefix(table, "oauth"):
		return w.OAuthDatabase
	case table == "globaluser", table == "localuser", table == "global_user_groups":
		return w.CentralDatabase
	}
	return w.Database
}
