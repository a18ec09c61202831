// Package postgres lets package store use PostgreSQL. Importing it registers
// the driver "postgres".
//
// What this module calls a database is a schema in PostgreSQL. A DSN names one
// of them, and every statement names the schema of each table, so that the
// search path of the account has no say.
package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
)

func init() { store.Register("postgres", driver{}) }

type driver struct{}

func (driver) Dialect() store.Dialect { return dialect{} }

func (driver) Open(dsn string, tlsConfig *tls.Config, _ bool) (store.Server, error) {
	d, err := parseDSN(dsn)
	if err != nil {
		return store.Server{}, err
	}
	if err := d.secure(tlsConfig); err != nil {
		return store.Server{}, err
	}
	c, err := d.config()
	if err != nil {
		return store.Server{}, err
	}
	return store.Server{
		Connector: stdlib.GetConnector(*c), Address: d.address(), User: d.user, Catalog: d.database, Database: d.schema,
	}, nil
}

// config makes the configuration of pgx. All settings that the environment has
// a say in are set here.
func (d *dsn) config() (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig("host=localhost port=5432 user=none password=none database=none sslmode=disable connect_timeout=0 " +
		"target_session_attrs=any channel_binding=prefer require_auth='' min_protocol_version=3.0 max_protocol_version=3.0")
	if err != nil {
		return nil, errors.New("the environment has variables of PostgreSQL that cannot be read, such as PGSERVICE: unset them")
	}
	c.Host, c.Port, c.User, c.Password, c.Database = d.host, d.port, d.user, d.password, d.database
	c.TLSConfig, c.Fallbacks, c.SSLNegotiation, c.KerberosSrvName, c.KerberosSpn = d.tls, nil, "", "", ""
	// A server that asks for the password itself gets it over TLS or through a
	// socket only. Otherwise whoever answers could ask for it.
	if d.tls == nil && !d.isSocket() {
		c.RequireAuth = "scram-sha-256,md5,none"
	}
	c.RuntimeParams = map[string]string{"client_encoding": "UTF8"}
	if d.application != "" {
		c.RuntimeParams["application_name"] = d.application
	}
	c.ValidateConnect = checkEncoding
	// One round trip, and no prepared statement that a pooler in between would
	// have to know.
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	return c, nil
}

// checkEncoding refuses a database whose text has other bytes than MediaWiki
// wrote.
func checkEncoding(_ context.Context, conn *pgconn.PgConn) error {
	switch encoding := conn.ParameterStatus("server_encoding"); encoding {
	case "UTF8", "SQL_ASCII":
		return nil
	default:
		return fmt.Errorf("the encoding of the database is %q: use UTF8, as MediaWiki does", encoding)
	}
}
