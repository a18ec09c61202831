package postgres

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// duplicate is the code of a value that a unique index has already. The name of
// the index of a primary key ends with primaryKey.
const duplicate, primaryKey = "23505", "_pkey"

// Codes of errors that say that something is not there or not granted.
const (
	denied        = "42501"
	unknownTable  = "42P01"
	unknownColumn = "42703"
)

// failures tells whose failure an error is, by its code or by the class of the
// code, which is its first two characters. Other errors are the statement's or
// a row's.
var failures = map[string]validator.Failure{
	"53300": validator.LimitFailure, // too many connections: of the server, the database or the account

	"08":    validator.ServerFailure, // connection
	"53":    validator.ServerFailure, // out of memory, disk or another resource
	"57":    validator.ServerFailure, // shut down, starting, or the statement was canceled
	"58":    validator.ServerFailure, // the system around the server
	"28":    validator.ServerFailure, // the account was refused
	"25006": validator.ServerFailure, // the server is read-only, as a former primary is
	// A standby ends what stands in the way of its catching up.
	"40001": validator.ServerFailure,

	"XX001":       validator.TableFailure, // broken table
	"XX002":       validator.TableFailure, // broken index
	"55000":       validator.TableFailure, // not in a usable state, such as a view that was not filled
	"3F000":       validator.TableFailure, // no such schema
	denied:        validator.TableFailure,
	unknownTable:  validator.TableFailure,
	unknownColumn: validator.TableFailure,
}

func (driver) Failure(err error) validator.Failure {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		if errors.Is(err, pgconn.ErrConnClosed) || pgconn.SafeToRetry(err) {
			return validator.ServerFailure
		}
		return validator.KeyFailure
	}
	if strings.Contains(e.Message, "no more connections allowed") { // a pooler's limit has the code of a broken protocol
		return validator.LimitFailure
	}
	if failure, ok := failures[e.Code]; ok {
		return failure
	}
	return failures[e.Code[:min(2, len(e.Code))]]
}

func (driver) Conflict(err error) store.Conflict {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return store.NoConflict
	}
	switch {
	case e.Code == duplicate && strings.HasSuffix(e.ConstraintName, primaryKey):
		return store.NoConflict // the id is the row's own, of a sequence that lags behind the table
	case e.Code == duplicate:
		return store.DuplicateRow
	}
	switch e.Code {
	case "40001", "40P01", "55P03": // serialization, deadlock, lock not available
		return store.LostRace
	}
	return store.NoConflict
}

func (driver) Account() string { return "SELECT current_user" }

// deniedSchema and deniedSequence read the messages of what may not be used. They
// are in another language where the server speaks one: then no GRANT is proposed.
var (
	deniedSchema   = regexp.MustCompile(`^permission denied for schema "?([A-Za-z0-9_-]+)"?$`)
	deniedSequence = regexp.MustCompile(`^permission denied for sequence "?([A-Za-z0-9_-]+)"?$`)
)

// Missing tells what is missing. PostgreSQL says that something is denied only
// when it is there, and never names a column then.
func (driver) Missing(err error) *store.Missing {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.Code != denied && e.Code != unknownTable && e.Code != unknownColumn {
		return nil
	}
	m := &store.Missing{
		Message: fmt.Sprintf("%q (error %s)", e.Message, e.Code),
		Column:  e.Code == unknownColumn,
		Denied:  e.Code == denied,
	}
	if schema := deniedSchema.FindStringSubmatch(e.Message); m.Denied && schema != nil {
		m.Grant = `USAGE ON SCHEMA "` + schema[1] + `"`
	}
	if sequence := deniedSequence.FindStringSubmatch(e.Message); m.Denied && sequence != nil {
		m.Sequence = sequence[1]
	}
	return m
}

// told are the classes of errors whose messages name accounts, databases, hosts
// and limits, but nothing of the statement.
var told = map[string]bool{"08": true, "28": true, "3D": true, "53": true, "57": true}

func (driver) Explain(err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok:
		if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting {
			return errors.New(err.Error()) // the error itself holds the password
		}
		return err
	case e.Code == duplicate && strings.HasSuffix(e.ConstraintName, primaryKey):
		return fmt.Errorf("the sequence that counts the ids of a table is behind its rows (%q, error %s): set it with setval",
			e.ConstraintName, e.Code)
	case driver{}.Missing(err) != nil:
		return fmt.Errorf("missing, or not granted to the account: %q (error %s): see the GRANT statements in docs/database.md",
			e.Message, e.Code)
	case told[e.Code[:min(2, len(e.Code))]]:
		return fmt.Errorf("refused: %q (error %s)", e.Message, e.Code)
	}
	// A message may quote a value, and so the token.
	return fmt.Errorf("error %s of the server", e.Code)
}
