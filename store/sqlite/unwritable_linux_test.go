package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestUnwritableFile reads a file that the system lets this process read alone. A
// pool that writes finds the failure of a server, and no row changed.
func TestUnwritableFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wiki.sqlite")
	made, err := sql.Open("sqlite", path)
	if err == nil {
		_, err = made.ExecContext(t.Context(), "CREATE TABLE t (a); INSERT INTO t VALUES (7)")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{path: 0o444, filepath.Dir(path): 0o555, filepath.Dir(filepath.Dir(path)): 0o755} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o700) })
	for _, writes := range []bool{false, true} {
		server, err := driver{}.Open(path, nil, writes)
		if err != nil {
			t.Fatal(err)
		}
		got, writeErr := asNobody(t, server.Connector)
		if got != 7 {
			t.Errorf("writes %t: read %d", writes, got)
		}
		if writeErr == nil || (driver{}).Failure(writeErr) != validator.ServerFailure {
			t.Errorf("writes %t: %v", writes, writeErr)
		}
	}
}

// asNobody reads and writes over one connection as a user who owns no files: root
// may write all.
func asNobody(t *testing.T, c sqldriver.Connector) (got int64, writeErr error) {
	t.Helper()
	type outcome struct {
		got      int64
		err      error
		writeErr error
	}
	done := make(chan outcome)
	go func() {
		runtime.LockOSThread() // the thread ends with the function
		var o outcome
		defer func() { done <- o }()
		if os.Geteuid() == 0 {
			_ = syscall.Setfsuid(65534) // the read below fails if it has failed
		}
		o.got, o.writeErr, o.err = readAndWrite(c)
	}()
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.got, o.writeErr
}

func readAndWrite(c sqldriver.Connector) (got int64, writeErr, err error) {
	conn, err := c.Connect(context.Background())
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close() //nolint:errcheck // nothing is lost
	rows, err := conn.(sqldriver.QueryerContext).QueryContext(context.Background(), "SELECT a FROM t", nil)
	if err != nil {
		return 0, nil, err
	}
	cells := make([]sqldriver.Value, 1)
	err = rows.Next(cells)
	_ = rows.Close() // it was read
	if err != nil {
		return 0, nil, err
	}
	got, _ = cells[0].(int64)
	_, writeErr = conn.(sqldriver.ExecerContext).ExecContext(context.Background(), "INSERT INTO t VALUES (8)", nil)
	return got, writeErr, nil
}
