// Package mysql lets package store read MySQL and MariaDB. Importing it registers the driver "mysql".
package mysql

import (
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
)

func init() { store.Register("mysql", driver{}) }

type driver struct{}

func (driver) Open(dsn string, tlsConfig *tls.Config) (store.Server, error) {
	c, err := parseDSN(dsn)
	if err != nil {
		return store.Server{}, err
	}
	if tlsConfig != nil {
		c.TLS = tlsConfig
	}
	// Bytes are what is compared and read, as MediaWiki does it. The handshake says so: no SET NAMES follows.
	c.Collation = "binary"
	c.Logger = &mysql.NopLogger{} // its errors are returned too
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return store.Server{}, errors.New("malformed")
	}
	return store.Server{
		Connector: connector, Address: c.Net + "(" + strings.ToLower(c.Addr) + ")", User: c.User, Database: c.DBName,
	}, nil
}

func (driver) Databases() bool { return true }

func (driver) Equal(column, value string) string { return column + " = " + value }

// Values writes the values in hexadecimal: no quoting that depends on sql_mode or on a character set, and no
// round trip to prepare the statement. As latin1 every byte is a character of its own; a binary column compares
// bytes, and a column in another character set can use its index for what is ASCII.
func (driver) Values(consumer, token string) (consumerExpr, tokenExpr string, args []any) {
	return literal(consumer), literal(token), nil
}

func literal(s string) string { return "_latin1 X'" + hex.EncodeToString([]byte(s)) + "'" }

// missing are the errors that say that something is not there or not granted: MySQL says often the one for the
// other, so as not to tell what is there.
var missing = map[uint16]bool{
	1044: true, // no access to the database
	1049: true, // unknown database
	1054: true, // unknown column
	1142: true, // command denied for the table
	1143: true, // command denied for the column
	1146: true, // no such table
}

// refusals are errors whose messages name users, hosts and limits, but nothing of the statement.
var refusals = map[uint16]bool{
	1040: true, // too many connections
	1045: true, // access denied
	1129: true, // host blocked
	1130: true, // host not allowed
	1203: true, // too many connections of the user
	1226: true, // the user's limit is reached
	1698: true, // access denied without a password
	3159: true, // TLS is required
	4151: true, // account locked
	3118: true, // account locked
}

func (driver) Explain(err error) error {
	var e *mysql.MySQLError
	switch {
	case !errors.As(err, &e):
		return err
	case missing[e.Number]:
		return fmt.Errorf("missing, or not granted to the user: %q (error %d): see the GRANT statements in docs/database.md",
			e.Message, e.Number)
	case refusals[e.Number]:
		return fmt.Errorf("refused: %q (error %d)", e.Message, e.Number)
	}
	// A message may quote the statement, and so the token.
	return fmt.Errorf("error %d of the server", e.Number)
}
