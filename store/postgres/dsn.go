package postgres

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// defaultSchema is the default of $wgDBmwschema.
const defaultSchema = "mediawiki"

// dsn is what a DSN says.
type dsn struct {
	host           string // or the directory of a socket
	port           uint16
	user, password string
	database       string
	schema         string
	sslmode        string // empty: not said
	application    string
	tls            *tls.Config
}

var errMalformed = errors.New("malformed: want postgres://user:password@host:port/database?search_path=schema, " +
	"with the characters :/?#[]@% of the password written as %3A and so on")

// parseDSN reads a URL of PostgreSQL. Errors name an option, and never quote the
// DSN, because a mistake may make a part of the password look like another part.
func parseDSN(text string) (*dsn, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil: // its text quotes the DSN
		return nil, errMalformed
	case u.Scheme != "postgres" && u.Scheme != "postgresql", u.Opaque != "", u.Fragment != "" || strings.Contains(text, "#"):
		return nil, errMalformed
	}
	d := &dsn{host: strings.ToLower(u.Hostname()), port: 5432, database: strings.TrimPrefix(u.Path, "/"), schema: defaultSchema}
	d.user = u.User.Username()
	d.password, _ = u.User.Password()
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, errMalformed
		}
		d.port = uint16(n)
	}
	switch {
	case d.user == "":
		return nil, errors.New("it names no user: " + errMalformed.Error())
	case d.database == "":
		return nil, errors.New("it names no database: " + errMalformed.Error())
	case strings.ContainsAny(d.database+d.user+d.password, "\x00"), strings.Contains(d.database, "/"), strings.Contains(d.host, ","):
		return nil, errMalformed
	}
	if err := d.readOptions(u.RawQuery); err != nil {
		return nil, err
	}
	if d.host == "" {
		return nil, errors.New("it names no host: write postgres://user:password@host/database, " +
			"or postgres://user@/database?host=/var/run/postgresql for a socket")
	}
	return d, nil
}

// refused are options of libpq that are not allowed, with the reason.
var refused = map[string]string{ //nolint:gosec // words of a DSN, no secrets
	"sslrootcert": "name the authority with tls { ca <file> }",
	"sslcert":     "name the certificate with tls { cert <file> }",
	"sslkey":      "name the key with tls { key <file> }",
	"options":     "the account's settings belong to the server",
	"service":     "the DSN says all",
	"passfile":    "put the DSN into a file instead, with {file./path}",
	"port":        "write it behind the host",
	"user":        "write it before the host",
	"password":    "write it before the host",
	"dbname":      "write it behind the host",
	"sslpassword": "store the key without one",
}

func (d *dsn) readOptions(query string) error {
	if query == "" {
		return nil
	}
	seen := map[string]bool{}
	for option := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(option, "=")
		why, isRefused := refused[name]
		switch {
		case isRefused:
			return fmt.Errorf("option %s is not allowed: %s", name, why)
		case !ok || strings.ContainsAny(value, "%+\x00") || seen[name]:
			return errMalformed
		}
		seen[name] = true
		switch name {
		case "search_path":
			d.schema = value // the store checks names
		case "application_name":
			d.application = value
		case "host":
			if d.host != "" || !strings.HasPrefix(value, "/") {
				return errors.New("option host: use it for the directory of a socket, without a host before the database")
			}
			d.host = value
		case "sslmode":
			if err := checkSSLMode(value); err != nil {
				return err
			}
			d.sslmode = value
		default: // perhaps no option, but the rest of a password that was not escaped
			return errors.New("malformed, or it has an option that is not known here: allowed are search_path, sslmode, host and application_name")
		}
	}
	if d.schema == "" {
		return errors.New("option search_path: name one schema")
	}
	return nil
}

func checkSSLMode(value string) error {
	switch value {
	case "verify-full", "disable":
		return nil
	case "allow", "prefer":
		return errors.New("option sslmode=" + value + " is not allowed: it would go on without TLS when somebody in between asks for that; use verify-full or disable")
	case "require", "verify-ca":
		return errors.New("option sslmode=" + value + " is not allowed: another server could answer; use verify-full, and name a private authority with tls { ca <file> }")
	}
	return errors.New("option sslmode: use verify-full or disable")
}

// secure decides on TLS, given what the configuration says of it; nil: nothing.
func (d *dsn) secure(config *tls.Config) error {
	switch {
	case d.isSocket() && (config != nil || d.sslmode == "verify-full"):
		return errors.New("tls: a socket has none")
	case config != nil && d.sslmode == "disable":
		return errors.New("option sslmode=disable contradicts tls { }: remove one of them")
	case config != nil:
		d.tls = config
	case d.sslmode == "verify-full":
		d.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	case d.sslmode == "" && !d.isSocket() && !d.isLoopback():
		return errors.New("option sslmode: say verify-full, or disable if the network between may see passwords and tokens")
	}
	if d.tls != nil && d.tls.ServerName == "" {
		d.tls.ServerName = d.host
	}
	return nil
}

func (d *dsn) isSocket() bool { return strings.HasPrefix(d.host, "/") }

func (d *dsn) isLoopback() bool {
	addr, err := netip.ParseAddr(d.host)
	return d.host == "localhost" || err == nil && addr.IsLoopback()
}

// address names the server, without a secret.
func (d *dsn) address() string {
	port := strconv.Itoa(int(d.port))
	if d.isSocket() {
		return "unix(" + strings.TrimSuffix(d.host, "/") + "/.s.PGSQL." + port + ")"
	}
	return "tcp(" + net.JoinHostPort(d.host, port) + ")"
}
