package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// writers are a wiki on each kind of database.
var writers = []string{"MariaDB 1.39", "SQLite 1.39", "PostgreSQL 1.39"}

// revoke writes to the tables.
func revoke(tx *store.Tx) error {
	_, err := tx.Exec("UPDATE {oauth2_access_tokens} SET oaat_revoked = 1")
	return err
}

// TestPoolsThatReadCannotWrite opens pools without Config.Writes.
func TestPoolsThatReadCannotWrite(t *testing.T) {
	for _, name := range writers {
		w := storetest.Named(t, name).Open(t)
		w.Insert(t, wikidb.Token{Identifier: "abc"})
		cfg := w.Writer(t)
		cfg.Writes = false
		s := open(t, cfg).Wiki(w.View())
		if err := s.Transact(t.Context(), nil, revoke); err == nil || !strings.Contains(err.Error(), "the pool does not write") {
			t.Errorf("%s: a transaction: %v", name, err)
		}
		if w.Driver != wikidb.SQLite {
			continue // the account has the rights to write
		}
		if err := s.Read(t.Context(), nil, revoke); err == nil || validator.FailureOf(err) != validator.ServerFailure {
			t.Errorf("%s: a statement: %v", name, err)
		}
	}
}

// TestFailedStatements commits nothing once a statement has failed, although the
// function of the transaction takes no notice.
func TestFailedStatements(t *testing.T) {
	for _, name := range writers {
		w := storetest.Named(t, name).Open(t)
		w.Insert(t, wikidb.Token{Identifier: "abc"})
		s := open(t, w.Writer(t)).Wiki(w.View())
		insert := func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO {oauth2_access_tokens} (oaat_identifier, oaat_expires, oaat_acceptance_id, oaat_revoked) VALUES ($1, "+
				tx.Dialect().StoredTime("$2")+", 0, 0)", "abc", "20260301120000")
			return err
		}
		err := s.Transact(t.Context(), nil, func(tx *store.Tx) error {
			if err := revoke(tx); err != nil {
				return err
			}
			_ = insert(tx) // on purpose
			return nil
		})
		if !errors.Is(err, store.ErrDuplicate) {
			t.Errorf("%s: %v, want that of the statement", name, err)
		}
		var revoked int
		row := w.Rows.Conn.QueryRowContext(t.Context(), "SELECT oaat_revoked FROM "+w.Table("oauth2_access_tokens"))
		if err := row.Scan(&revoked); err != nil || revoked != 0 {
			t.Errorf("%s: revoked %d, %v", name, revoked, err)
		}
	}
}

// TestMissingFile is never made, by no kind of pool.
func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing.sqlite")
	for _, writes := range []bool{false, true} {
		s := open(t, store.Config{Driver: wikidb.SQLite, DSN: path, Writes: writes}).Wiki(store.Wiki{ID: "enwiki"})
		for what, err := range map[string]error{
			"read": s.Read(t.Context(), nil, revoke), "write": s.Transact(t.Context(), nil, revoke),
		} {
			if err == nil || (writes || what == "read") && validator.FailureOf(err) != validator.ServerFailure {
				t.Errorf("%s: %v of class %v", what, err, validator.FailureOf(err))
			}
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was made: %v", err)
	}
}

// TestLockedFile has another program write to the file: a transaction waits within
// the query timeout, and is then a failure of the server and never a refusal.
func TestLockedFile(t *testing.T) {
	for _, journal := range []string{"DELETE", "WAL"} {
		t.Run(journal, func(t *testing.T) {
			w := storetest.Named(t, "SQLite 1.39").Open(t)
			w.Exec(t, "PRAGMA journal_mode = "+journal)
			w.Insert(t, wikidb.Token{Identifier: "abc"})
			cfg := w.Writer(t)
			cfg.QueryTimeout = 300 * time.Millisecond
			s := open(t, cfg).Wiki(w.View())
			other := lock(t, w.Config.DSN)
			err := s.Transact(t.Context(), nil, revoke)
			if err == nil || validator.FailureOf(err) != validator.ServerFailure {
				t.Errorf("%v of class %v", err, validator.FailureOf(err))
			}
			cfg.QueryTimeout = time.Minute
			s = open(t, cfg).Wiki(w.View())
			done := make(chan error)
			go func() { done <- s.Transact(t.Context(), nil, revoke) }()
			select { // longer than SQLite itself waits
			case err := <-done:
				t.Errorf("it did not wait: %v", err)
			case <-time.After(1200 * time.Millisecond):
			}
			if _, err := other.ExecContext(t.Context(), "COMMIT"); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Errorf("once the file is free: %v", err)
			}
		})
	}
}

// lock begins a transaction that writes to the file.
func lock(t *testing.T, path string) *sql.Conn {
	t.Helper()
	db, err := sql.Open(wikidb.SQLite, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestCrashedWriter leaves a file as a writer does that was killed: with a journal
// of pages that the file has changed already. What reads it and what writes to it
// sees the rows from before.
func TestCrashedWriter(t *testing.T) {
	for _, journal := range []string{"DELETE", "WAL"} {
		for _, writes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, writes %t", journal, writes), func(t *testing.T) {
				f := newFarm(t, storetest.Named(t, "SQLite 1.39"))
				f.Exec(t, "PRAGMA journal_mode = "+journal)
				f.Config.DSN = crash(t, f.Config.DSN)
				cfg := f.Config
				if cfg.Writes = writes; writes {
					err := open(t, cfg).Wiki(f.View()).Transact(t.Context(), nil, func(*store.Tx) error { return nil })
					if err != nil {
						t.Fatal(err)
					}
				}
				facts, err := open(t, f.Config).Wiki(f.View()).Lookup(t.Context(), f.oauth1)
				if err != nil || facts.User == nil || facts.Consumer == nil {
					t.Errorf("%+v, %v", facts, err)
				}
			})
		}
	}
}

// crash copies a file and its journals in the middle of a transaction that has
// changed the file, and returns the path of the copy.
func crash(t *testing.T, path string) (copied string) {
	t.Helper()
	db, err := sql.Open(wikidb.SQLite, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the transaction is not to end well
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		"PRAGMA cache_size = 1", "BEGIN IMMEDIATE", "DELETE FROM oauth_registered_consumer",
		"CREATE TABLE filling AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500) SELECT randomblob(2000) AS b FROM n",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	copied = filepath.Join(t.TempDir(), filepath.Base(path))
	journals := 0
	for _, end := range []string{"", "-journal", "-wal"} {
		content, err := os.ReadFile(path + end)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(copied+end, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if end != "" && len(content) > 0 {
			journals++
		}
	}
	if journals != 1 {
		t.Fatalf("%d journals", journals)
	}
	return copied
}
