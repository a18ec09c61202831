package config

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
)

// Store is a database with MediaWiki's tables.
type Store struct {
	// `mysql`, or `postgres` or `sqlite` where it is built in.
	Driver string `json:"driver,omitempty"`

	// Where the database is, in the driver's own form:
	// `user:password@tcp(host:port)/database`,
	// `postgres://user:password@host/database`, or a path.
	DSN string `json:"dsn,omitempty"`

	// DSNs of replicas, read in turn. What a replica does not have is asked of
	// the primary.
	Replicas []string `json:"replicas,omitempty"`

	// Prefix of table names (`$wgDBprefix`).
	TablePrefix string `json:"table_prefix,omitempty"`

	// The database that holds the OAuth tables, when it is not the DSN's own.
	OAuthDatabase string `json:"oauth_database,omitempty"`

	// TLS to the database server.
	TLS *TLS `json:"tls,omitempty"`

	// Bound of one query. Default: 2s.
	QueryTimeout caddy.Duration `json:"query_timeout,omitempty"`

	// Bound of open connections per server. Default: 16.
	MaxOpenConns int `json:"max_open_conns,omitempty"`

	// Age at which a connection is replaced. Default: 5m.
	ConnMaxLifetime caddy.Duration `json:"conn_max_lifetime,omitempty"`
}

// TLS is how the database server is trusted, and how it knows the gateway. Files
// are read when the configuration is loaded.
type TLS struct {
	// PEM file of the authorities that the server's certificate is checked
	// against. Default: the system's.
	CA string `json:"ca,omitempty"`

	// PEM file of the client's certificate.
	Cert string `json:"cert,omitempty"`

	// PEM file of the client's key.
	Key string `json:"key,omitempty"`

	// Name that the server's certificate must have. Default: the host of the DSN.
	ServerName string `json:"server_name,omitempty"`
}

func (s Site) readStore(line *caddyfile.Dispenser) error {
	to := new(Store)
	*s.Store = to
	var mistakes []error
	switch args := line.RemainingArgs(); {
	case len(args) != 2 || args[1] == "":
		// The arguments are not quoted: one of them may be a DSN with its password.
		mistakes = append(mistakes, line.Err("store takes a driver and a DSN"))
	default:
		to.Driver, to.DSN = args[0], args[1]
		if err := checkDriver(to.Driver); err != nil {
			mistakes = append(mistakes, line.WrapErr(err))
		}
	}
	return errors.Join(append(mistakes, grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"replica":           grammar.Texts(&to.Replicas),
		"table_prefix":      grammar.Text(&to.TablePrefix, checkName("table_prefix")),
		"oauth_database":    grammar.Text(&to.OAuthDatabase, checkName("oauth_database")),
		"tls":               to.readTLS,
		"query_timeout":     grammar.Duration(&to.QueryTimeout),
		"max_open_conns":    grammar.Number(&to.MaxOpenConns),
		"conn_max_lifetime": grammar.Duration(&to.ConnMaxLifetime),
	}))...)
}

func (s *Store) readTLS(line *caddyfile.Dispenser) error {
	s.TLS = new(TLS)
	return errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"ca":          grammar.Text(&s.TLS.CA, nil),
		"cert":        grammar.Text(&s.TLS.Cert, nil),
		"key":         grammar.Text(&s.TLS.Key, nil),
		"server_name": grammar.Text(&s.TLS.ServerName, nil),
	}))
}

func (r *Resolver) database(s *Settings, from *Store) {
	if from == nil {
		return // Missing has it
	}
	before := len(r.mistakes)
	defer func() {
		if len(r.mistakes) == before {
			r.Check(tryStore("store", s.Database))
		}
	}()
	r.Check(checkDriver(from.Driver))
	s.Database = store.Config{
		Driver:          from.Driver,
		DSN:             r.Text("store", from.DSN),
		OAuthDatabase:   r.Checked("oauth_database", from.OAuthDatabase, checkName("oauth_database")),
		QueryTimeout:    r.Duration("query_timeout", from.QueryTimeout, store.DefaultQueryTimeout),
		ConnMaxLifetime: r.Duration("conn_max_lifetime", from.ConnMaxLifetime, store.DefaultConnMaxLifetime),
		MaxOpenConns:    cmp.Or(from.MaxOpenConns, store.DefaultMaxOpenConns),
	}
	if from.DSN == "" {
		r.Check(errors.New("store: DSN missing"))
	}
	if from.MaxOpenConns < 0 {
		r.Check(fmt.Errorf("max_open_conns: %d is not a positive number", from.MaxOpenConns))
	}
	for _, dsn := range from.Replicas {
		s.Database.Replicas = append(s.Database.Replicas, r.Text("replica", dsn))
	}
	s.Tables = store.Wiki{TablePrefix: r.Checked("table_prefix", from.TablePrefix, checkName("table_prefix"))}
	if from.TLS == nil {
		return
	}
	s.Database.TLS = &store.TLS{ServerName: r.Text("server_name", from.TLS.ServerName)}
	for _, file := range []struct {
		setting, path string
		to            *string
	}{
		{"tls ca", from.TLS.CA, &s.Database.TLS.CA},
		{"tls cert", from.TLS.Cert, &s.Database.TLS.Cert},
		{"tls key", from.TLS.Key, &s.Database.TLS.Key},
	} {
		if *file.to = r.Text(file.setting, file.path); *file.to != "" {
			s.DatabaseFiles = append(s.DatabaseFiles, r.file(file.setting, *file.to))
		}
	}
}

// tryStore lets the driver check its settings. It connects to nothing.
func tryStore(setting string, c store.Config) error {
	p, err := store.Open(c)
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	return p.Close()
}

// server returns another server than the store's, which is reached in the same
// way.
func (r *Resolver) server(like store.Config, setting, dsn string) *store.Config {
	before := len(r.mistakes)
	like.DSN, like.Replicas, like.OAuthDatabase = r.Text(setting+": dsn", dsn), nil, ""
	if len(r.mistakes) == before && like.Driver != "" {
		r.Check(tryStore(setting, like))
	}
	return &like
}

// checkDriver accepts the drivers that are built in. It does not quote the name,
// because a DSN with its password may stand there.
func checkDriver(name string) error {
	return grammar.Words{Setting: "store", Built: store.Drivers(), Unquoted: true}.Check(name)
}

// oneDatabase reports whether the driver reaches no other database than that of
// its DSN.
func (s *Settings) oneDatabase() bool {
	return checkDriver(s.Database.Driver) == nil && !store.ReachesDatabases(s.Database.Driver)
}
