// Package mysql lets package store use MySQL and MariaDB. Importing it
// registers the driver "mysql".
package mysql

import (
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func init() { store.Register("mysql", driver{}) }

type driver struct{}

func (driver) Open(dsn string, tlsConfig *tls.Config, _ bool) (store.Server, error) {
	c, err := parseDSN(dsn)
	if err != nil {
		return store.Server{}, err
	}
	if tlsConfig != nil {
		c.TLS = tlsConfig
	}
	// Bytes are what is compared and read, as MediaWiki does it. The handshake
	// says so: no SET NAMES follows.
	c.Collation = "binary"
	c.Logger = &mysql.NopLogger{} // its errors are returned too
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return store.Server{}, errors.New("malformed")
	}
	address := c.Addr
	if c.Net == "tcp" { // the names of hosts ignore case, those of sockets do not
		address = strings.ToLower(address)
	}
	return store.Server{Connector: connector, Address: c.Net + "(" + address + ")", User: c.User, Database: c.DBName}, nil
}

func (driver) Dialect() store.Dialect { return dialect{} }

type dialect struct{}

func (dialect) Quote() string { return "`" }

func (dialect) Databases() bool { return true }

func (dialect) OldUserTable() string { return "" }

func (dialect) Text(expression string) string { return expression }

func (dialect) Time(column string) string { return column }

func (dialect) StoredTime(value string) string { return value }

func (dialect) Equal(column, value string) string { return column + " = " + value }

// Bind writes the values in hexadecimal: no quoting that depends on sql_mode or on a character set, and no
// round trip to prepare the statement. As latin1 every byte is a character of its own; a binary column compares
// bytes, and a column in another character set can use its index for what is ASCII.
func (dialect) Bind(values []string) (expressions []string, args []any) {
	for _, v := range values {
		expressions = append(expressions, "_latin1 X'"+hex.EncodeToString([]byte(v))+"'")
	}
	return expressions, nil
}

// Holds is true, because columns hold bytes.
func (dialect) Holds(string) bool { return true }

func (dialect) Begin() string { return "START TRANSACTION" }

func (dialect) Lock() string { return " FOR UPDATE" }

// Grantee quotes the two parts of an account by themselves.
func (dialect) Grantee(account string) string {
	at := strings.LastIndexByte(account, '@')
	if at < 0 { // the user alone is known
		return "'" + account + "'"
	}
	return "'" + account[:at] + "'@'" + account[at+1:] + "'"
}

func (driver) Failure(err error) validator.Failure {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	switch {
	case !ok && isProtocol(err):
		return validator.ServerFailure
	case !ok:
		return validator.KeyFailure
	case e.Number == userLimit && !strings.Contains(e.Message, "connections"):
		return validator.ServerFailure // queries in an hour: those that are open do not work either
	}
	return failures[e.Number]
}

func (driver) Account() string { return "SELECT CURRENT_USER()" }

func (driver) Missing(err error) *store.Missing {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return nil
	}
	if e.Number != unknownColumn && e.Number != noSuchTable && e.Number != tableDenied && e.Number != columnDenied {
		return nil
	}
	return &store.Missing{
		Message: fmt.Sprintf("%q (error %d)", e.Message, e.Number),
		Column:  e.Number == unknownColumn || e.Number == columnDenied,
		Denied:  e.Number == tableDenied || e.Number == columnDenied,
	}
}

// Errors that say that something is not there or not granted. MySQL says often the one for the other, so as not to
// tell what is there.
const (
	databaseDenied  = 1044
	unknownDatabase = 1049
	unknownColumn   = 1054
	tableDenied     = 1142
	columnDenied    = 1143
	noSuchTable     = 1146
)

// refusals are errors whose messages name users, hosts and limits, but nothing of the statement.
var refusals = map[uint16]bool{
	1040: true, // too many connections
	1045: true, // access denied
	1129: true, // host blocked
	1130: true, // host not allowed
	1203: true, // too many connections of the user
	1226: true, // the user's limit is reached
	1698: true, // access denied without a password
	3118: true, // account locked (MySQL)
	3159: true, // TLS is required
	4151: true, // account locked (MariaDB)
}

func (driver) Explain(err error) error {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	switch {
	case !ok:
		return err
	case e.Number == databaseDenied, e.Number == unknownDatabase, driver{}.Missing(err) != nil:
		return fmt.Errorf("missing, or not granted to the user: %q (error %d): see the GRANT statements in docs/database.md",
			e.Message, e.Number)
	case refusals[e.Number]:
		return fmt.Errorf("refused: %q (error %d)", e.Message, e.Number)
	}
	// A message may quote the statement, and so the token.
	return fmt.Errorf("error %d of the server", e.Number)
}
