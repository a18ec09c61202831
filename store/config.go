package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// Defaults of a Config.
const (
	DefaultQueryTimeout    = 2 * time.Second
	DefaultMaxOpenConns    = 16
	DefaultConnMaxLifetime = 5 * time.Minute
)

// Config says where the tables are and how to reach them.
type Config struct {
	Driver string // "mysql", or another one that was imported
	DSN    string // of the primary; names the database. It is secret
	// Replicas are DSNs that are read in turn. One that fails rests for 5 s,
	// and the next is asked. A token that a replica does not have is asked of
	// the primary, so that a fresh authorization works at once.
	Replicas []string
	// OAuthDatabase is the database of the OAuth tables on the same servers,
	// when it is not the DSN's own.
	OAuthDatabase string
	TLS           *TLS // nil: as the DSN says
	// Writes makes a pool for Transact. Without it a connection to a file cannot
	// change it, whatever it is asked.
	Writes bool
	// QueryTimeout bounds a lookup's query on each server of the wiki,
	// connecting and replicas included, and also how long it waits for a
	// connection before. Default 2 s.
	QueryTimeout    time.Duration
	ConnMaxLifetime time.Duration // default 5 min
	MaxOpenConns    int           // to each server; default 16
	// Observe is told of every query: how long it took, and its error or nil.
	// Neither holds a secret.
	Observe func(d time.Duration, err error)
	// Notify is told of what an operator should know.
	Notify func(Event)
}

// Event is a change that an operator should know of. Each is told once when it
// begins, and once when it ends. It holds no secret.
type Event struct {
	Trouble bool   // else it is good news
	Text    string // what happened, and what it means
	Server  string // address of the server; empty: none in particular
	Wiki    string // id of the wiki; empty: none in particular
	Err     error  // what the server said; nil: nothing
}

// TLS names PEM files for connections to the servers. The server's certificate
// is always checked.
type TLS struct {
	CA         string // authorities that may sign the server's certificate; empty: the system's
	Cert, Key  string // the client's certificate, for servers that ask for one
	ServerName string // the name in the server's certificate; empty: the DSN's host
}

func (t *TLS) config() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New("tls ca: no PEM certificate found in the file")
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("tls: cert and key belong together")
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls cert and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// checkName reports whether a name may stand for a database or begin a table's
// name. Whatever a configuration takes from elsewhere, nothing but such a name
// gets into a statement.
func checkName(what, name string) error {
	if len(name) > 64 {
		return fmt.Errorf("%s %q: longer than 64 characters", what, name)
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return fmt.Errorf("%s %q: want letters, digits, _ and -", what, name)
		}
	}
	return nil
}
