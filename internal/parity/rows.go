package parity

import (
	"embed"
	"strings"
	"testing"
)

//go:embed testdata/*.sql
var rowFiles embed.FS

// Rows returns the statements that fill the tables of one database of the recorded farm: enwiki, with the OAuth
// tables, dewiki, frwiki or centralauth. Passwords and the like are left out. MySQL and SQLite both read them.
func Rows(tb testing.TB, database string) []string {
	tb.Helper()
	text, err := rowFiles.ReadFile("testdata/" + database + ".sql")
	if err != nil {
		tb.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSpace(string(text)), ";\n")
}
