package storetest

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// WriterUser is the account that Writer makes. It has the password of User.
const WriterUser = "oauth_writer"

// writerStatement reads a statement of docs/database.md for the account that
// writes, and the comment that says for which tables it is. anyWriterStatement is
// any such statement.
var (
	writerStatement = regexp.MustCompile(
		`(?:-- ([^\n]*):\n)?GRANT ([^;]*?)\s+ON (?:SEQUENCE )?\w+\."?(\w+)"? TO (?:'(oauth_writer)'@'10\.0\.0\.5'|oauth_writer);`)
	anyWriterStatement = regexp.MustCompile(`(?m)^GRANT [^;]*\sON [^;]*\.[^;]* TO '?oauth_writer\b`)
)

// WriterRights are the rights that docs/database.md grants the account that
// writes, by table: such as "DELETE" or "SELECT (oaac_id)", one for each column.
// The sequences of PostgreSQL are among the tables. A file has no accounts.
func WriterRights(tb testing.TB, b Backend) map[string][]string {
	tb.Helper()
	text, err := os.ReadFile(document(tb))
	if err != nil {
		tb.Fatal(err)
	}
	statements := writerStatement.FindAllStringSubmatch(string(text), -1)
	if n := len(anyWriterStatement.FindAll(text, -1)); len(statements) == 0 || len(statements) != n {
		tb.Fatalf("%d of %d statements for oauth_writer in docs/database.md can be read", len(statements), n)
	}
	rights := map[string][]string{}
	for _, s := range statements {
		table, isMySQL := s[3], s[4] != ""
		if isMySQL != (b.Driver == wikidb.MySQL) || b.Driver == wikidb.SQLite || !applies(tb, s[1], b) {
			continue
		}
		if table == wikidb.OldUserTable {
			table = "user"
		}
		rights[table] = append(rights[table], SplitRights(s[2])...)
	}
	if b.Driver == wikidb.SQLite {
		return rights
	}
	// What the page says in words: of other tables it reads what the gateway
	// reads.
	for table, columns := range Columns(tb, b) {
		if table == "user" || strings.HasPrefix(table, "oauth") {
			continue
		}
		if columns == nil {
			rights[table] = []string{"SELECT"}
		}
		for _, c := range columns {
			rights[table] = append(rights[table], "SELECT ("+c+")")
		}
	}
	return rights
}

var oneRight = regexp.MustCompile(`([A-Z]+)(?: \(([^)]*)\))?`)

// SplitRights splits the list of a GRANT statement: one right for each column.
func SplitRights(list string) (rights []string) {
	for _, m := range oneRight.FindAllStringSubmatch(list, -1) {
		if m[2] == "" {
			rights = append(rights, m[1])
			continue
		}
		for column := range strings.SplitSeq(m[2], ",") {
			rights = append(rights, m[1]+" ("+strings.TrimSpace(column)+")")
		}
	}
	return rights
}

// CanWrite reports whether stores of the kind can be written.
func (b Backend) CanWrite() bool {
	return !b.WikiServer && !b.CentralServer
}

// Writer makes the account that writes, with exactly the rights that
// docs/database.md grants, and returns how to connect as it. For a file it is the
// path.
func (w Wiki) Writer(tb testing.TB) store.Config {
	tb.Helper()
	c := w.Config
	c.Writes = true
	if w.server == nil {
		return c
	}
	var databases, grants []string
	for table, rights := range WriterRights(tb, w.Backend) {
		databases = append(databases, w.database(table))
		grants = append(grants, "GRANT "+strings.Join(rights, ", ")+" ON "+w.Granted(table))
	}
	slices.Sort(databases)
	w.server.createUser(tb, WriterUser, slices.Compact(databases))
	for _, grant := range grants {
		w.server.exec(tb, grant+" TO "+w.Grantee())
	}
	c.DSN = w.server.dsn(WriterUser, w.Database)
	return c
}

// Grantee is the account that writes, as a GRANT statement names it.
func (w Wiki) Grantee() string { return w.server.grantee(WriterUser) }

// Granted is a table or a sequence, as a GRANT statement names it.
func (w Wiki) Granted(table string) string {
	if strings.HasSuffix(table, "_seq") {
		return "SEQUENCE " + w.Table(table)
	}
	return w.Table(table)
}

// Revoke takes a right of the table, as WriterRights names it, from the account
// that writes, until the test ends.
func (w Wiki) Revoke(tb testing.TB, table, right string) {
	tb.Helper()
	s := w.server
	s.exec(tb, "REVOKE "+right+" ON "+w.Granted(table)+" FROM "+w.Grantee())
	tb.Cleanup(func() { s.exec(tb, "GRANT "+right+" ON "+w.Granted(table)+" TO "+w.Grantee()) })
}

// View is what the wiki is called in store.Wiki.
func (w Wiki) View() store.Wiki {
	view := store.Wiki{ID: "enwiki", TablePrefix: w.Prefix, Release: w.Release, CentralAuthDatabase: w.CentralDatabase}
	if w.CentralAuth {
		view.Users = validator.CentralAuth
	}
	return view
}

// Users puts the users of the suite into the wiki and returns them.
func (w Wiki) Users(tb testing.TB) []*validator.User {
	tb.Helper()
	rows, cases := suite(tb, w.Backend)
	w.Insert(tb, rows...)
	var users []*validator.User
	for _, c := range cases {
		for _, u := range []*validator.User{c.want.User, c.want.Subject} {
			if u != nil && !slices.Contains(users, u) {
				users = append(users, u)
			}
		}
	}
	return users
}
