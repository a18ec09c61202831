package storetest

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
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
	Name    string
	Driver  string
	Release validator.Release
	Prefix  string
	Apart   bool // the OAuth tables are in another database
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
}

// Wiki is a wiki with empty tables.
type Wiki struct {
	Backend
	Rows          wikidb.DB    // where rows are put
	Config        store.Config // for a user who may do what docs/database.md grants
	OAuthDatabase string       // where the OAuth tables are
	Database      string       // where the others are
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
	oauth := conn
	if b.Apart {
		if oauth, err = sql.Open(b.Driver, mariadb.Start(tb).RootDSN(w.OAuthDatabase)); err != nil {
			tb.Fatal(err)
		}
		defer oauth.Close() //nolint:errcheck // nothing was lost if it failed
	}
	for _, statement := range wikidb.OAuthSchema(b.Driver, b.Release, b.Prefix) {
		if _, err := oauth.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("%v\n%s", err, statement)
		}
	}
	if b.Driver == wikidb.MySQL {
		mariadb.Start(tb).CreateUser(tb, User, Password, w.Grants(tb)...)
	}
	return w
}

func (w *Wiki) createDatabases(tb testing.TB) (rootDSN string) {
	s := mariadb.Start(tb)
	w.Database = s.CreateDatabase(tb)
	w.OAuthDatabase = w.Database
	if w.Apart {
		w.OAuthDatabase = s.CreateDatabase(tb)
		w.Config.OAuthDatabase, w.Rows.OAuth = w.OAuthDatabase, w.OAuthDatabase
	}
	w.Config.DSN = s.DSN(User, Password, w.Database)
	return s.RootDSN(w.Database)
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

// Store opens a pool by the wiki's Config and views the wiki through it.
func (w Wiki) Store(tb testing.TB) *store.Store {
	tb.Helper()
	pool, err := store.Open(w.Config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = pool.Close() })
	return pool.Wiki(store.Wiki{ID: "enwiki", TablePrefix: w.Prefix, Release: w.Release})
}

var grantStatement = regexp.MustCompile(`(?s)(--[^\n]*\n)?GRANT SELECT \(([^)]*)\)\s+ON enwiki\.(\w+) TO 'oauth_gateway'@'10\.0\.0\.5';`)

// Columns are the columns that docs/database.md grants for the release, by table.
func Columns(tb testing.TB, release validator.Release) map[string][]string {
	tb.Helper()
	text, err := os.ReadFile(document(tb))
	if err != nil {
		tb.Fatal(err)
	}
	statements := grantStatement.FindAllStringSubmatch(string(text), -1)
	if len(statements) != strings.Count(string(text), "GRANT SELECT") {
		tb.Fatalf("%d of the GRANT statements of docs/database.md can be read", len(statements))
	}
	columns := map[string][]string{}
	for _, s := range statements {
		only42, table := s[1] != "", s[3]
		if only42 && release != 42 || table == "ipblocks" && release >= 43 || strings.HasPrefix(table, "block") && release < 43 {
			continue
		}
		for column := range strings.SplitSeq(s[2], ",") {
			columns[table] = append(columns[table], strings.TrimSpace(column))
		}
	}
	return columns
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
	for table, columns := range Columns(tb, w.Release) {
		grants = append(grants, "GRANT SELECT ("+strings.Join(columns, ", ")+") ON "+w.Table(table))
	}
	return grants
}

// Table is the table's name in a statement, with its database and prefix.
func (w Wiki) Table(name string) string {
	database := w.Database
	if strings.HasPrefix(name, "oauth") {
		database = w.OAuthDatabase
	}
	if w.Driver == wikidb.SQLite {
		return "`" + w.Prefix + name + "`"
	}
	return "`" + database + "`.`" + w.Prefix + name + "`"
}
