package storetest

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// WriterUser is the account that Writer makes. It has the password of User.
const WriterUser = "oauth_writer"

// writerStatement reads a statement of docs/database.md for the account that
// writes.
var writerStatement = regexp.MustCompile(`(?m)^GRANT ([^;]*?)\s+ON enwiki\.(\w+) TO 'oauth_writer'@'10\.0\.0\.5';`)

// WriterRights are the rights that docs/database.md grants the account that
// writes, by table: such as "DELETE" or "SELECT (oaac_id)", one for each column.
func WriterRights(tb testing.TB, b Backend) map[string][]string {
	tb.Helper()
	text, err := os.ReadFile(document(tb))
	if err != nil {
		tb.Fatal(err)
	}
	statements := writerStatement.FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "'oauth_writer'@'10.0.0.5';"); len(statements) == 0 || len(statements) != n {
		tb.Fatalf("%d of %d statements for oauth_writer in docs/database.md can be read", len(statements), n)
	}
	rights := map[string][]string{}
	for _, s := range statements {
		rights[s[2]] = append(rights[s[2]], SplitRights(s[1])...)
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
	return b.Driver == wikidb.MySQL && !b.WikiServer && !b.CentralServer
}

// Writer makes the account that writes, with exactly the rights that
// docs/database.md grants, and returns how to connect as it.
func (w Wiki) Writer(tb testing.TB) store.Config {
	tb.Helper()
	s := w.writable(tb)
	var grants []string
	for table, rights := range WriterRights(tb, w.Backend) {
		grants = append(grants, "GRANT "+strings.Join(rights, ", ")+" ON "+w.Table(table))
	}
	slices.Sort(grants)
	s.CreateUser(tb, WriterUser, Password, grants...)
	c := w.Config
	c.DSN = s.DSN(WriterUser, Password, w.Database)
	return c
}

// writable returns the server that the account that writes is on.
func (w Wiki) writable(tb testing.TB) *mariadb.Server {
	tb.Helper()
	s, ok := w.server.(mariadbServer)
	if !ok {
		tb.Fatalf("%s cannot be written", w.Name)
	}
	return s.Server
}

// Revoke takes a right of the table, as WriterRights names it, from the account
// that writes, until the test ends.
func (w Wiki) Revoke(tb testing.TB, table, right string) {
	tb.Helper()
	s, user := w.writable(tb), "'"+WriterUser+"'@'%'"
	s.Exec(tb, "REVOKE "+right+" ON "+w.Table(table)+" FROM "+user)
	tb.Cleanup(func() { s.Exec(tb, "GRANT "+right+" ON "+w.Table(table)+" TO "+user) })
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
