package storetest

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/mysql" // registers its driver
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
	// The wiki's own tables, and CentralAuth's, are on servers of their own: another user, who may read nothing else.
	WikiServer, CentralServer bool
}

// Backends are all kinds. 1.41 and 1.42 are there for where they keep blocks, and which they count.
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

// Missing says whether this kind of wiki lacks the table.
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
	w := Wiki{Backend: b, Rows: wikidb.DB{Release: b.Release, Prefix: b.Prefix}, Config: store.Config{Driver: b.Driver}}
	dsn := filepath.Join(tb.TempDir(), "wiki 100%25.sqlite")
	w.Config.DSN = dsn
	if b.Driver == wikidb.MySQL {
		dsn = w.createDatabases(tb)
	}
	conn, err := sql.Open(b.Driver, dsn) // SQLite: the name as it stands, without a scheme
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	w.Rows.Conn = conn
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
	if b.Driver == wikidb.MySQL {
		w.createUsers(tb)
	}
	return w
}

// define runs the statements in the database; empty: in the wiki's own.
func (w *Wiki) define(tb testing.TB, database string, statements []string) {
	tb.Helper()
	conn := w.Rows.Conn
	if database != "" {
		var err error
		if conn, err = sql.Open(w.Driver, mariadb.Start(tb).RootDSN(database)); err != nil {
			tb.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // nothing was lost if it failed
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("%v\n%s", err, statement)
		}
	}
}

func (w *Wiki) createDatabases(tb testing.TB) (rootDSN string) {
	s := mariadb.Start(tb)
	w.Database = s.CreateDatabase(tb)
	w.OAuthDatabase = w.Database
	if w.Apart {
		w.OAuthDatabase = s.CreateDatabase(tb)
		w.Rows.OAuth = w.OAuthDatabase
	}
	if w.CentralAuth {
		w.CentralDatabase = s.CreateDatabase(tb)
		w.Rows.Central = w.CentralDatabase
	}
	if w.WikiServer {
		w.Config.DSN = s.DSN(User, Password, w.OAuthDatabase)
		w.ServerConfig = store.Config{Driver: w.Driver, DSN: s.DSN(User+wikiUser, Password, w.Database)}
	} else {
		w.Config.DSN = s.DSN(User, Password, w.Database)
		w.Config.OAuthDatabase = w.Rows.OAuth
	}
	if w.CentralServer {
		w.CentralConfig = store.Config{Driver: w.Driver, DSN: s.DSN(User+centralUser, Password, w.CentralDatabase)}
	}
	return s.RootDSN(w.Database)
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
	grants := map[string][]string{User: nil}
	for table, columns := range Columns(tb, w.Backend) {
		grants[w.user(table)] = append(grants[w.user(table)], w.grant(table, columns...))
	}
	for user, grants := range grants {
		mariadb.Start(tb).CreateUser(tb, user, Password, grants...)
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
	mariadb.Start(tb).Exec(tb, w.grant(table, columns...)+" TO '"+w.user(table)+"'@'%'")
}

// Deny takes columns of the table from who reads it.
func (w Wiki) Deny(tb testing.TB, table string, columns ...string) {
	mariadb.Start(tb).Exec(tb, "REVOKE"+strings.TrimPrefix(w.grant(table, columns...), "GRANT")+" FROM '"+w.user(table)+"'@'%'")
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

// Store opens a pool for each server by the wiki's Configs, and views the wiki through them.
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

// grantStatement reads a statement of docs/database.md, and the comment that says for which releases it is.
var grantStatement = regexp.MustCompile(`(?:-- ([^\n]*):\n)?GRANT SELECT(?: \(([^)]*)\))?\s+ON (enwiki|centralauth)\.(\w+) TO 'oauth_gateway'@'10\.0\.0\.5';`)

// readerStatement is any statement for the account that reads.
var readerStatement = regexp.MustCompile(`(?m)^GRANT SELECT[^;]*'oauth_gateway'`)

// Columns are the columns that docs/database.md grants for the kind of wiki, by table; nil: the whole table.
func Columns(tb testing.TB, b Backend) map[string][]string {
	tb.Helper()
	text, err := os.ReadFile(document(tb))
	if err != nil {
		tb.Fatal(err)
	}
	statements := grantStatement.FindAllStringSubmatch(string(text), -1)
	if len(statements) != len(readerStatement.FindAll(text, -1)) {
		tb.Fatalf("%d of the GRANT statements of docs/database.md can be read", len(statements))
	}
	columns := map[string][]string{}
	for _, s := range statements {
		table := s[4]
		if !holds(tb, s[1], b.Release) || s[3] == "centralauth" && !b.CentralAuth {
			continue
		}
		if s[2] == "" { // the whole table
			columns[table] = nil
			continue
		}
		for column := range strings.SplitSeq(s[2], ",") {
			columns[table] = append(columns[table], strings.TrimSpace(column))
		}
	}
	return columns
}

// holds reads a comment such as "from 1.43 on", "up to 1.42" or "1.42 only".
func holds(tb testing.TB, comment string, r validator.Release) bool {
	if comment == "" {
		return true
	}
	at := regexp.MustCompile(`1\.\d\d`).FindString(comment)
	release, err := validator.ParseRelease(at)
	switch {
	case err == nil && comment == "from "+at+" on":
		return r >= release
	case err == nil && comment == "up to "+at:
		return r <= release
	case err == nil && comment == at+" only":
		return r == release
	}
	tb.Fatalf("docs/database.md: GRANT statement for what releases? %q", comment)
	return false
}

// document finds docs/database.md from a test's directory.
func document(tb testing.TB) string {
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return filepath.Join(dir, "docs", "database.md")
		}
	}
	tb.Fatalf("the module's directory was not found: %v", err)
	return ""
}

// Grants are the statements of docs/database.md for this wiki, up to TO.
func (w Wiki) Grants(tb testing.TB) []string {
	var grants []string
	for table, columns := range Columns(tb, w.Backend) {
		grants = append(grants, w.grant(table, columns...))
	}
	return grants
}

// Table is the table's name in a statement, with its database and prefix.
func (w Wiki) Table(name string) string {
	database := w.database(name)
	switch {
	case w.Driver == wikidb.SQLite:
		return "`" + w.Prefix + name + "`"
	case database == w.CentralDatabase:
		return "`" + database + "`.`" + name + "`"
	}
	return "`" + database + "`.`" + w.Prefix + name + "`"
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
