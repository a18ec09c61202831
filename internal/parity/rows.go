package parity

import (
	"embed"
	"path"
	"slices"
	"strings"
	"testing"
)

//go:embed testdata/*/*
var files embed.FS

// Releases returns the recorded releases, such as "1.39", oldest first: the
// directories of testdata named 1.x. Package validator cannot be asked about
// them, because its tests use this one.
func Releases(tb testing.TB) []string {
	tb.Helper()
	entries, err := files.ReadDir("testdata") // sorted
	if err != nil {
		tb.Fatal(err)
	}
	var releases []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "1.") {
			releases = append(releases, entry.Name())
		}
	}
	return releases
}

// Path returns the path of a file of a recorded release, from this package's
// directory. A file that the release does not have is that of the release
// recorded before it.
func Path(tb testing.TB, release string, name string) string {
	tb.Helper()
	for _, r := range slices.Backward(Releases(tb)) {
		file := path.Join("testdata", r, name)
		if _, err := files.ReadFile(file); err == nil && r <= release {
			return file
		}
	}
	tb.Fatalf("no release up to %s has %s", release, name)
	return ""
}

// Rows returns the statements that fill the tables of one database of the
// recorded farm: enwiki, with the OAuth tables, dewiki, frwiki or centralauth.
// Passwords and the like are left out. MySQL and SQLite both read them.
func Rows(tb testing.TB, release string, database string) []string {
	tb.Helper()
	text, err := files.ReadFile(Path(tb, release, database+".sql"))
	if err != nil {
		tb.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSpace(string(text)), ";\n")
}
