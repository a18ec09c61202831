package storetest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// grantStatement reads a statement of docs/database.md, and the comment that
// says for which releases it is.
var grantStatement = regexp.MustCompile(`(?:-- ([^\n]*):\n)?GRANT SELECT(?: \(([^)]*)\))?\s+ON (\w+)\."?(\w+)"? TO (?:'(oauth_gateway)'@'10\.0\.0\.5'|oauth_gateway);`)

// readerStatement is any statement for the account that reads.
var readerStatement = regexp.MustCompile(`(?m)^GRANT SELECT[^;]* TO '?oauth_gateway\b`)

// Columns are the columns that docs/database.md grants for the kind of wiki, by
// table; nil: the whole table. Tables have the names that do not depend on the
// dialect.
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
		isMySQL := s[5] != ""
		if isMySQL == (b.Driver == wikidb.Postgres) || !applies(tb, s[1], b) || s[3] == "centralauth" && !b.CentralAuth {
			continue
		}
		if table == wikidb.OldUserTable {
			table = "user"
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

// applies reads a comment such as "from 1.43 on", "up to 1.42" or "1.42 only".
func applies(tb testing.TB, comment string, b Backend) bool {
	r := b.Release
	switch comment {
	case "":
		return true
	case "where the table of users is \"user\"":
		return !b.OldUserTable
	case "where the table of users is mwuser":
		return b.OldUserTable
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
