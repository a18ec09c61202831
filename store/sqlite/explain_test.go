package sqlite

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
)

// A file that cannot be written is told with what to do: SQLite has the same words
// for a directory in which it cannot make the journal.
func TestExplainReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wiki.sqlite")
	made, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.ExecContext(t.Context(), "CREATE TABLE t (a)"); err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	server, err := driver{}.Open(path, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(server.Connector)
	defer db.Close() //nolint:errcheck // it was only read
	_, err = db.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	if err == nil {
		t.Fatal("a pool that reads has written")
	}
	const want = "Caddy's user must be able to write the file, and to make others in its directory"
	if got := (driver{}).Explain(err); !strings.Contains(got.Error(), want) {
		t.Errorf("%v, want %q", got, want)
	}
}
