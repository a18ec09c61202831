package store

import (
	"crypto/tls"
	"database/sql/driver"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Driver connects to one kind of database server, and reads what its errors
// mean. A driver lives in a package of its own, which registers it.
type Driver interface {
	// Open reads a DSN, without I/O. Its errors never quote the DSN or a part
	// of it that may be secret. The connections change rows only if writes is
	// true; they never create a database.
	Open(dsn string, tls *tls.Config, writes bool) (Server, error)
	// Dialect returns how statements are written for the server.
	Dialect() Dialect
	// Failure returns whose failure an error of a query is, and
	// validator.KeyFailure for an error that it does not know. Errors while
	// connecting and errors of the network need not be known.
	Failure(err error) validator.Failure
	// Missing returns what is missing or not granted, when err says that of a
	// table or of a column; else nil.
	Missing(err error) *Missing
	// Conflict returns whether a statement failed because of another row or of
	// another transaction.
	Conflict(err error) Conflict
	// Account returns a statement that asks which account the server sees. It
	// is empty if the server has no accounts.
	Account() string
	// Explain puts an error of the server into words for the operator. It
	// keeps text of the statement out, because that holds tokens.
	Explain(err error) error
}

// Conflict tells why a statement could not have its effect. The zero value is
// any other failure.
type Conflict uint8

// The conflicts.
const (
	NoConflict Conflict = iota
	// DuplicateRow means that a unique index has the row's value already.
	DuplicateRow
	// LostRace means that the server ended the transaction in favor of another
	// one, as in a deadlock. It may be tried again.
	LostRace
)

// Dialect writes those parts of statements that differ between kinds of
// databases. Names that it is given have passed the store's check of names or
// are constants of the store. Values come from strangers.
type Dialect interface {
	// Quote returns the character that encloses names.
	Quote() string
	// Databases reports whether one connection reaches tables in several
	// databases, each named before its tables. For PostgreSQL these are
	// schemas.
	Databases() bool
	// OldUserTable returns the name that MediaWiki's table user had in this kind
	// of database, where the name is another one; else it is empty.
	OldUserTable() string
	// Text returns an expression of text for one of a number or of text, so
	// that rows of different tables fit below each other.
	Text(expression string) string
	// Time returns an expression of text for a column of a time: 14 digits,
	// "infinity", or NULL.
	Time(column string) string
	// StoredTime returns an expression for a column of a time, given one of Bind
	// for a text of 14 digits, which is a time in UTC.
	StoredTime(value string) string
	// Equal returns the condition that a column of text equals a value, which
	// is an expression of Bind or another column. It may be wider than
	// equality of bytes, which the caller checks. It must let an index be
	// used, and it is never NULL for a column that is not.
	Equal(column, value string) string
	// Bind returns expressions for values in a statement, in their order, and
	// the arguments of the statement. A value may have any bytes: one that no
	// column can hold must lead to no row and never to an error, because any
	// stranger can send it.
	Bind(values []string) (expressions []string, args []any)
	// Holds reports whether a column of text can hold the value as it is. Bind
	// may change a value that none can hold.
	Holds(value string) bool
	// Begin returns the statement that begins a transaction which writes.
	Begin() string
	// Lock returns what ends a SELECT so that others cannot change its rows
	// until the transaction ends. It is empty where a transaction that writes
	// excludes all others anyway.
	Lock() string
	// Grantee returns an account as a GRANT statement names it, given what the
	// statement of Driver.Account returned.
	Grantee(account string) string
}

// Server is a server that a DSN names.
type Server struct {
	Connector driver.Connector
	Address   string // such as tcp(db.example:3306); no secret
	User      string
	// Catalog is what Database is a part of, where a connection reaches only
	// one of these: the database of PostgreSQL, whose schemas are the databases
	// of this package.
	Catalog string
	// Database has the tables for which no other database is named.
	Database string
}

var (
	driversMu sync.RWMutex
	drivers   = map[string]Driver{}
)

// Register makes a driver known by its name. It is called from the init
// functions of the drivers' packages, and panics when the name is taken.
func Register(name string, d Driver) {
	driversMu.Lock()
	defer driversMu.Unlock()
	if _, taken := drivers[name]; taken {
		panic("store: driver " + name + " is registered twice")
	}
	drivers[name] = d
}

// Drivers returns the names of the registered drivers, in order.
func Drivers() []string {
	driversMu.RLock()
	defer driversMu.RUnlock()
	return slices.Sorted(maps.Keys(drivers))
}

// HasAccounts reports whether the driver's servers have accounts, each with
// rights of its own. It is false for files, and for a driver that is not
// registered.
func HasAccounts(name string) bool {
	d, err := driverByName(name)
	return err == nil && d.Account() != ""
}

// ReachesDatabases reports whether one connection of the driver reaches tables
// in several databases. It is false for a driver that is not registered.
func ReachesDatabases(name string) bool {
	d, err := driverByName(name)
	return err == nil && d.Dialect().Databases()
}

func driverByName(name string) (Driver, error) {
	driversMu.RLock()
	d, ok := drivers[name]
	driversMu.RUnlock()
	if ok {
		return d, nil
	}
	return nil, fmt.Errorf("unknown store driver %q: this build has %s; "+
		"a driver is built in by importing github.com/caddy-mwoauth/caddy-mwoauth/store/%s", name, strings.Join(Drivers(), ", "), name)
}
