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

// Driver is what a kind of database does in its own way.
type Driver interface {
	// Open reads a DSN, without I/O. Its errors never quote the DSN or a part that may be secret.
	Open(dsn string, tls *tls.Config) (Server, error)
	// Databases says whether one connection reaches several databases.
	Databases() bool
	// Equal is the condition that a column of bytes is the value, an expression of Values. It may be wider
	// than equality of bytes, which the caller checks, and must let an index be used.
	Equal(column, value string) string
	// Bind makes expressions for values in a statement, in their order, and the statement's arguments.
	Bind(values []string) (expressions []string, args []any)
	// Missing says what is missing or not granted, when err says that of a table or a column; else nil.
	Missing(err error) *Missing
	// Failure tells whose fault an error is: KeyFailure for one that is not known. Errors while connecting, and
	// those of the network, need not be known.
	Failure(err error) validator.Failure
	// Account is a statement that asks for whom the server takes us; empty: there are no accounts.
	Account() string
	// Explain puts an error of the server into words for the operator, without text of the statement.
	Explain(err error) error
}

// Server is a server that a DSN names.
type Server struct {
	Connector driver.Connector
	Address   string // such as tcp(db.example:3306); no secret
	User      string
	Database  string
}

var (
	driversMu sync.RWMutex
	drivers   = map[string]Driver{}
)

// Register makes a driver known by its name. It is called from the init functions of the drivers' packages, and
// panics when the name is taken.
func Register(name string, d Driver) {
	driversMu.Lock()
	defer driversMu.Unlock()
	if _, taken := drivers[name]; taken {
		panic("store: driver " + name + " is registered twice")
	}
	drivers[name] = d
}

func driverByName(name string) (Driver, error) {
	driversMu.RLock()
	defer driversMu.RUnlock()
	if d, ok := drivers[name]; ok {
		return d, nil
	}
	known := strings.Join(slices.Sorted(maps.Keys(drivers)), ", ")
	return nil, fmt.Errorf("unknown store driver %q: this build has %s; "+
		"a driver is built in by importing github.com/caddy-mwoauth/caddy-mwoauth/store/%s", name, known, name)
}
