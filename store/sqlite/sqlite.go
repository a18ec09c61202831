// Package sqlite lets package store use SQLite files. Importing it registers
// the driver "sqlite". The DSN is the path of the file. A pool that does not write
// changes no rows.
package sqlite

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func init() { store.Register("sqlite", driver{}) }

type driver struct{}

// Options of a connection. A file that is not there is never made.
const (
	// query_only(1) has SQLite refuse statements that change rows. mode=rw lets it
	// take back what a writer that was killed has left in the file, where the
	// system allows that. With mode=ro each lookup would fail until somebody else
	// does.
	reading = "?mode=rw&_pragma=busy_timeout(1000)&_pragma=query_only(1)"
	// synchronous(FULL) has a COMMIT on the disk when it returns, in WAL mode too.
	writing = "?mode=rw&_pragma=busy_timeout(1000)&_pragma=synchronous(FULL)"
)

func (driver) Open(dsn string, tlsConfig *tls.Config, writes bool) (store.Server, error) {
	switch {
	case tlsConfig != nil:
		return store.Server{}, errors.New("tls: a file has none")
	case dsn == "", dsn == ":memory:", strings.HasPrefix(dsn, "file:"), strings.ContainsAny(dsn, "?#\x00"):
		return store.Server{}, errors.New("want the path of the database file, without options")
	}
	options := reading
	if writes {
		options = writing
	}
	path := url.URL{Path: dsn}
	connector, err := sqlite.NewConnector("file:" + path.EscapedPath() + options)
	if err != nil {
		return store.Server{}, errors.New("malformed")
	}
	return store.Server{Connector: connector, Address: "file(" + dsn + ")"}, nil
}

func (driver) Dialect() store.Dialect { return dialect{} }

type dialect struct{}

// Quote is MySQL's, which SQLite takes for names alone: it reads a name in
// double quotes that it does not know as text.
func (dialect) Quote() string { return "`" }

func (dialect) Databases() bool { return false }

func (dialect) OldUserTable() string { return "" }

func (dialect) Text(expression string) string { return expression }

func (dialect) Time(column string) string { return column }

func (dialect) StoredTime(value string) string { return value }

// Begin takes the lock of the file at once: a transaction that has read cannot
// take it any more when another one has written since.
func (dialect) Begin() string { return "BEGIN IMMEDIATE" }

func (dialect) Lock() string { return "" }

func (dialect) Grantee(account string) string { return account }

// Equal finds text, as MediaWiki writes it, and blobs of the same bytes: SQLite holds the two for different.
func (dialect) Equal(column, value string) string {
	return column + " IN (" + value + ", CAST(" + value + " AS BLOB))"
}

func (dialect) Bind(values []string) (expressions []string, args []any) {
	for i, v := range values {
		expressions = append(expressions, "?"+strconv.Itoa(i+1))
		args = append(args, v)
	}
	return expressions, args
}

// Holds is true, because a column holds any text, whatever its type.
func (dialect) Holds(string) bool { return true }

// Missing reads the message: SQLite has one code for all that is wrong with a statement.
func (driver) Missing(err error) *store.Missing {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return nil
	}
	column := strings.Contains(e.Error(), "no such column: ")
	if !column && !strings.Contains(e.Error(), "no such table: ") {
		return nil
	}
	return &store.Missing{Message: strings.TrimSuffix(strings.TrimPrefix(e.Error(), "SQL logic error: "), " (1)"), Column: column}
}

// Failure takes what is wrong with the file, or with the access to it, for the failure of the server.
func (driver) Failure(err error) validator.Failure {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return validator.KeyFailure
	}
	switch e.Code() & 0xff { // without what is said besides
	case sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL,
		sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOTADB:
		return validator.ServerFailure
	}
	return validator.KeyFailure
}

func (driver) Conflict(err error) store.Conflict {
	e, ok := errors.AsType[*sqlite.Error](err)
	switch {
	case !ok:
		return store.NoConflict
	case e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
		return store.DuplicateRow
	case e.Code()&0xff == sqlite3.SQLITE_BUSY, e.Code()&0xff == sqlite3.SQLITE_LOCKED:
		return store.LostRace
	}
	return store.NoConflict
}

func (driver) Account() string { return "" }

func (driver) Explain(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	switch {
	case !ok:
		return err
	case e.Code()&0xff == sqlite3.SQLITE_READONLY:
		return fmt.Errorf("error %d of the file: %w: Caddy's user must be able to write the file, and to make others in its directory", e.Code(), err)
	default:
		return fmt.Errorf("error %d of the file: %w", e.Code(), err)
	}
}
