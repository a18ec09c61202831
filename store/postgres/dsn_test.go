package postgres

import (
	"crypto/tls"
	"strings"
	"testing"
)

var dsns = []struct {
	dsn  string
	want string // in the error; empty: it is accepted
}{
	{"postgres://gateway:s3cr3t@db.example/enwiki?sslmode=verify-full", ""},
	{"postgresql://gateway:s3cr3t@db.example:6432/enwiki?sslmode=disable&search_path=wiki-1&application_name=gateway", ""},
	{"postgres://gateway:s3cr3t@localhost/enwiki", ""},
	{"postgres://gateway:s3cr3t@[::1]:5432/enwiki", ""},
	{"postgres://gateway@/enwiki?host=/var/run/postgresql", ""},
	{"postgres://gateway:s3%2Fcr%3F3%23t%25@127.0.0.1/enwiki", ""},
	{"", "malformed"},
	{"s3cr3t", "malformed"},
	{"gateway:s3cr3t@tcp(db)/enwiki", "malformed"},
	{"host=db user=gateway password=s3cr3t", "malformed"},
	{"postgres:s3cr3t", "malformed"},
	{"postgres://gateway:s3cr3t@db.example:port/enwiki", "malformed"},
	{"postgres://gateway:s3cr3t@db.example:0/enwiki", "malformed"},
	{"postgres://gateway:s3cr3t@db.example:65536/enwiki", "malformed"},
	{"postgres://gateway:s3cr3t@a,b/enwiki", "malformed"},
	{"postgres://gateway:a#s3cr3t@db/enwiki", "malformed"},
	{"postgres://gateway:a?s3cr3t@db/enwiki", "malformed"},
	{"postgres://gateway:s3cr3t@db/enwiki/more", "malformed"},
	{"postgres://gateway:s3cr3t%00@db/enwiki", "malformed"},
	{"postgres://:s3cr3t@localhost/enwiki", "names no user"},
	{"postgres://localhost/enwiki", "names no user"},
	{"postgres://gateway:s3cr3t@localhost/", "names no database"},
	{"postgres://gateway:s3cr3t@/enwiki", "names no host"},
	{"postgres://gateway:s3cr3t@db/enwiki", "option sslmode: say verify-full"},
	{"postgres://gateway:s3cr3t@db/enwiki?sslmode=prefer", "option sslmode=prefer is not allowed"},
	{"postgres://gateway:s3cr3t@db/enwiki?sslmode=allow", "option sslmode=allow is not allowed"},
	{"postgres://gateway:s3cr3t@db/enwiki?sslmode=require", "option sslmode=require is not allowed"},
	{"postgres://gateway:s3cr3t@db/enwiki?sslmode=verify-ca", "option sslmode=verify-ca is not allowed"},
	{"postgres://gateway:s3cr3t@db/enwiki?sslmode=s3cr3t", "option sslmode: use verify-full or disable"},
	{"postgres://gateway:s3cr3t@db/enwiki?sslmode=disable&sslmode=verify-full", "malformed"},
	{"postgres://gateway@/enwiki?host=/run&sslmode=verify-full", "a socket has none"},
	{"postgres://gateway@db/enwiki?host=/run", "option host"},
	{"postgres://gateway@/enwiki?host=db", "option host"},
	{"postgres://gateway:s3cr3t@localhost/enwiki?search_path=", "name one schema"},
	{"postgres://gateway:s3cr3t@localhost/enwiki?search_path=a%22b", "malformed"},
	{"postgres://gateway:s3cr3t@localhost/enwiki?options=-cs3cr3t", "option options is not allowed"},
	{"postgres://gateway:s3cr3t@localhost/enwiki?sslrootcert=s3cr3t", "option sslrootcert is not allowed: name the authority"},
	{"postgres://gateway@localhost/enwiki?password=s3cr3t", "option password is not allowed"},
	{"postgres://gateway@localhost/enwiki?passfile=s3cr3t", "option passfile is not allowed"},
	{"postgres://gateway@localhost/enwiki?service=s3cr3t", "option service is not allowed"},
	{"postgres://gateway:s3cr3t@localhost/enwiki?s3cr3t=1", "an option that is not known here"},
	{"postgres://gateway:s3cr3t@localhost/enwiki?s3cr3t", "malformed"},
	{"postgres://gateway:s3cr3t@localhost/enwiki?default_query_exec_mode=simple_protocol", "an option that is not known here"},
}

func TestOpen(t *testing.T) {
	t.Setenv("PGPASSWORD", "other")
	t.Setenv("PGSSLMODE", "prefer")
	t.Setenv("PGHOST", "other.test")
	t.Setenv("PGOPTIONS", "-csearch_path=other")
	for _, test := range dsns {
		s, err := driver{}.Open(test.dsn, nil, false)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.dsn, err)
		case test.want == "" && (s.Catalog != "enwiki" || s.User != "gateway" || strings.Contains(s.Address, "other")):
			t.Errorf("%s: %+v", test.dsn, s)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %q", test.dsn, err, test.want)
		case err != nil && strings.Contains(err.Error(), "s3cr3t"):
			t.Errorf("%s: the error quotes it: %v", test.dsn, err)
		}
	}
}

// TestConfig looks at what pgx is told.
func TestConfig(t *testing.T) {
	t.Setenv("PGPASSWORD", "other")
	t.Setenv("PGAPPNAME", "other")
	t.Setenv("PGOPTIONS", "-csearch_path=other")
	for text, test := range map[string]struct {
		tls          *tls.Config
		password     string
		server, auth string // of TLS; empty: no TLS
	}{
		"postgres://gateway:a%2Fb@db/enwiki?sslmode=verify-full":  {nil, "a/b", "db", ""},
		"postgres://gateway:a@DB/enwiki":                          {&tls.Config{}, "a", "db", ""},
		"postgres://gateway:a@db/enwiki?application_name=x":       {&tls.Config{ServerName: "other.test"}, "a", "other.test", ""},
		"postgres://gateway:a@127.0.0.1/enwiki":                   {nil, "a", "", "scram-sha-256,md5,none"},
		"postgres://gateway:a@db/enwiki?sslmode=disable":          {nil, "a", "", "scram-sha-256,md5,none"},
		"postgres://gateway@/enwiki?host=/run":                    {nil, "", "", ""},
		"postgres://gateway@/enwiki?host=/run&search_path=a-wiki": {nil, "", "", ""},
	} {
		d, err := parseDSN(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.secure(test.tls); err != nil {
			t.Fatal(err)
		}
		c, err := d.config()
		if err != nil {
			t.Fatal(err)
		}
		server := ""
		if c.TLSConfig != nil {
			server = c.TLSConfig.ServerName
		}
		if c.Password != test.password || server != test.server || c.RequireAuth != test.auth || len(c.Fallbacks) > 0 ||
			c.RuntimeParams["options"] != "" || c.RuntimeParams["application_name"] == "other" {
			t.Errorf("%s: password %q, TLS %q, auth %q, %d fallbacks, %v", text, c.Password, server, c.RequireAuth, len(c.Fallbacks), c.RuntimeParams)
		}
	}
	for text, config := range map[string]*tls.Config{
		"postgres://gateway@db/enwiki?sslmode=disable": {},
		"postgres://gateway@/enwiki?host=/run":         {},
	} {
		if _, err := (driver{}).Open(text, config, false); err == nil {
			t.Errorf("%s was accepted with tls", text)
		}
	}
}

func FuzzParseDSN(f *testing.F) {
	for _, test := range dsns {
		f.Add(test.dsn)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDSN(text)
		if err != nil {
			return
		}
		if d.secure(nil) != nil {
			return
		}
		c, err := d.config()
		if err != nil || c.User == "" || c.Database == "" || c.Host == "" || len(c.Fallbacks) > 0 ||
			c.TLSConfig != nil && c.TLSConfig.InsecureSkipVerify || c.TLSConfig == nil && !d.isSocket() && c.RequireAuth == "" {
			t.Errorf("%q was accepted: %+v, %v", text, d, err)
		}
	})
}
