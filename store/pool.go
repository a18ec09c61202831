package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// pauseAfterFailure is how long a server that failed is not asked while there
// is another one.
const pauseAfterFailure = 5 * time.Second

// Pool holds the connections to one primary and its replicas. Connections are
// opened when they are needed.
type Pool struct {
	cfg      Config
	driver   Driver
	dialect  Dialect
	primary  *server
	replicas []*server
	turn     atomic.Uint64
	closed   atomic.Bool
	now      func() time.Time

	known       known
	secondLooks secondLooks
	unproven    *Places  // of Read and Transact
	told        sync.Map // what was told of the wikis, by kind and identity
	notifies    bool
}

// Open makes a pool. It reads the files that cfg.TLS names and asks no server:
// its errors are mistakes in the configuration. They never quote a DSN or a
// password.
func Open(cfg Config) (*Pool, error) {
	d, err := driverByName(cfg.Driver)
	if err != nil {
		return nil, err
	}
	if cfg.QueryTimeout <= 0 {
		cfg.QueryTimeout = DefaultQueryTimeout
	}
	if cfg.ConnMaxLifetime <= 0 {
		cfg.ConnMaxLifetime = DefaultConnMaxLifetime
	}
	if cfg.MaxOpenConns <= 0 {
		cfg.MaxOpenConns = DefaultMaxOpenConns
	}
	if cfg.Observe == nil {
		cfg.Observe = func(time.Duration, error) {}
	}
	notifies := cfg.Notify != nil
	if !notifies {
		cfg.Notify = func(Event) {}
	}
	if cfg.OAuthDatabase != "" && !d.Dialect().Databases() {
		return nil, fmt.Errorf("oauth_database %q: a connection of driver %s reaches one database", cfg.OAuthDatabase, cfg.Driver)
	}
	if err := checkName("oauth_database", cfg.OAuthDatabase); err != nil {
		return nil, err
	}
	p := &Pool{
		cfg: cfg, driver: d, dialect: d.Dialect(), now: time.Now, notifies: notifies, unproven: newUnproven(cfg.MaxOpenConns),
	}
	if err := p.connect(); err != nil {
		_ = p.Close() // the first error is what matters
		return nil, err
	}
	return p, nil
}

func (p *Pool) connect() error {
	tlsConfig, err := p.cfg.TLS.config()
	if err != nil {
		return err
	}
	open := func(dsn string) (*server, error) {
		s, err := p.driver.Open(dsn, tlsConfig.Clone(), p.cfg.Writes)
		if err != nil {
			return nil, err
		}
		db := sql.OpenDB(boundedConnector{s.Connector, p.cfg.QueryTimeout})
		db.SetMaxOpenConns(p.cfg.MaxOpenConns)
		db.SetMaxIdleConns(p.cfg.MaxOpenConns)
		db.SetConnMaxLifetime(p.cfg.ConnMaxLifetime)
		gate := newGate(p.cfg.MaxOpenConns, func() time.Time { return p.now() }, p.known.any)
		return &server{Server: s, db: db, gate: gate}, nil
	}
	if p.primary, err = open(p.cfg.DSN); err != nil {
		return fmt.Errorf("dsn: %w", err)
	}
	if p.primary.Catalog != "" { // else no statement has it
		if err := checkName("dsn: schema", p.primary.Database); err != nil {
			return err
		}
	}
	for i, dsn := range p.cfg.Replicas {
		r, err := open(dsn)
		if err != nil {
			return fmt.Errorf("replica %d: %w", i+1, err)
		}
		p.replicas = append(p.replicas, r)
		if (r.Catalog != p.primary.Catalog || r.Database != p.primary.Database) && p.dialect.Databases() {
			return fmt.Errorf("replica %d: it names database %q, the primary %q", i+1, r.database(), p.primary.database())
		}
	}
	// Connections are made by the connectors from here on: the secrets are not
	// needed any more.
	p.cfg.DSN, p.cfg.Replicas = "", nil
	return nil
}

// boundedConnector bounds the making of a connection. database/sql opens some
// in the background, without a deadline: a server that accepts and then keeps
// silent would hold their places for ever.
type boundedConnector struct {
	driver.Connector
	timeout time.Duration
}

func (c boundedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, &connectError{err}
	}
	return conn, nil
}

// Close closes all connections. Lookups that are under way end with an error,
// and so do later ones.
func (p *Pool) Close() error {
	p.closed.Store(true)
	var errs []error
	for _, s := range append([]*server{p.primary}, p.replicas...) {
		if s != nil {
			errs = append(errs, s.db.Close())
		}
	}
	return errors.Join(errs...)
}

// Identity names the servers, the users and the databases that the pool reads.
// It holds no secret.
func (p *Pool) Identity() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s oauth=%q", p.cfg.Driver, p.primary, p.cfg.OAuthDatabase)
	for _, r := range p.replicas {
		fmt.Fprintf(&b, " replica=%s", r)
	}
	return b.String()
}

// OAuthIdentity names the database of the OAuth tables, in which a nonce is used
// once, and its server, whose users hold nonces. The database is named without
// the server, because one server has several names, and the primary may move to
// another.
func (p *Pool) OAuthIdentity() (database, server string) {
	server = p.primary.Address
	switch database = p.oauthDatabase(); {
	case database == "":
		database = server // a file
	case p.primary.Catalog != "":
		database = p.primary.Catalog + "." + database
	}
	return fmt.Sprintf("%s %q", p.cfg.Driver, database), server
}

// CheckWriter returns why the pool must not write what another one reads: because
// its tables are other ones, or because its account is the same, which then has
// rights that the reader needs none of. It compares DSNs, and asks no server.
func (p *Pool) CheckWriter(reader *Pool) error {
	own, other := p.primary, reader.primary
	switch {
	case p.dialect.Databases() && (own.Catalog != other.Catalog || own.Database != other.Database):
		return fmt.Errorf("it names database %q, the store %q: tokens must be written where they are looked up", own.database(), other.database())
	case p.driver.Account() != "" && own.User == other.User && own.Address == other.Address:
		return errors.New("it is the account of the store, which needs no rights to write: use one of its own")
	}
	return nil
}

func (p *Pool) oauthDatabase() string {
	if p.cfg.OAuthDatabase != "" {
		return p.cfg.OAuthDatabase
	}
	return p.primary.Database
}

// server is one server and its connections.
type server struct {
	Server
	db       *sql.DB
	gate     *gate
	until    atomic.Int64 // it is not asked until then: Unix nanoseconds
	down     atomic.Bool  // it has been told that it fails
	answered atomic.Int64 // when it last answered: nanoseconds since epoch

	accountMu   sync.Mutex
	accountName string // whom the server takes us for; empty: not known yet
}

func (s *server) String() string {
	if s.Catalog != "" {
		return fmt.Sprintf("%q@%s/%q.%q", s.User, s.Address, s.Catalog, s.Database)
	}
	return fmt.Sprintf("%q@%s/%q", s.User, s.Address, s.Database)
}

// database names the database with its catalog, for errors.
func (s *server) database() string {
	if s.Catalog != "" {
		return s.Catalog + "." + s.Database
	}
	return s.Database
}

func (s *server) pause(now time.Time, d time.Duration) { s.until.Store(now.Add(d).UnixNano()) }

func (s *server) paused(now time.Time) bool { return now.UnixNano() < s.until.Load() }

// epoch is what the answers of servers are timed from, because a step of the
// wall clock must not touch them.
var epoch = time.Now()

// answeredSince reports whether a lookup was answered since t.
func (s *server) answeredSince(t time.Time) bool { return s.answered.Load() > int64(t.Sub(epoch)) }

// order lists the servers to ask: the replicas that do not pause, each first in
// its turn, those without a free connection after the others, then the primary.
func (p *Pool) order() []*server {
	servers := make([]*server, 0, len(p.replicas)+1)
	now := p.now()
	turn := p.turn.Add(1)
	var busy []*server
	for i := range uint64(len(p.replicas)) {
		switch r := p.replicas[(turn+i)%uint64(len(p.replicas))]; {
		case r.paused(now):
		case r.gate.busy():
			busy = append(busy, r)
		default:
			servers = append(servers, r)
		}
	}
	return append(append(servers, busy...), p.primary)
}
