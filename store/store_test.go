package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const dsn = "gateway:s3cr3t@tcp(db.example:3306)/enwiki"

func TestOpenRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config store.Config
		want   string
	}{
		"driver":           {store.Config{Driver: "oracle", DSN: dsn}, "importing github.com/caddy-mwoauth/caddy-mwoauth/store/oracle"},
		"no driver":        {store.Config{DSN: dsn}, `unknown store driver "": this build has mysql, postgres, sqlite`},
		"dsn":              {store.Config{Driver: "mysql", DSN: "s3cr3t"}, "dsn: malformed"},
		"replica":          {store.Config{Driver: "mysql", DSN: dsn, Replicas: []string{dsn, "s3cr3t"}}, "replica 2: malformed"},
		"replica database": {store.Config{Driver: "mysql", DSN: dsn, Replicas: []string{dsn + "2"}}, `it names database "enwiki2", the primary "enwiki"`},
		"oauth_database":   {store.Config{Driver: "mysql", DSN: dsn, OAuthDatabase: "meta`; DROP"}, "want letters, digits, _ and -"},
		"postgres schema":  {store.Config{Driver: "postgres", DSN: `postgres://u:s3cr3t@[::1]/db?search_path=a"b`}, "want letters, digits, _ and -"},
		"postgres replica": {
			store.Config{Driver: "postgres", DSN: "postgres://u:s3cr3t@[::1]/db", Replicas: []string{"postgres://u:s3cr3t@[::1]/db?search_path=b"}},
			`it names database "db.b", the primary "db.mediawiki"`,
		},
		"sqlite database": {store.Config{Driver: "sqlite", DSN: "wiki.sqlite", OAuthDatabase: "meta"}, "reaches one database"},
		"sqlite options":  {store.Config{Driver: "sqlite", DSN: "wiki.sqlite?mode=rwc"}, "want the path of the database file"},
		"sqlite memory":   {store.Config{Driver: "sqlite", DSN: ":memory:"}, "want the path of the database file"},
		"sqlite tls":      {store.Config{Driver: "sqlite", DSN: "wiki.sqlite", TLS: &store.TLS{}}, "tls: a file has none"},
		"ca missing":      {store.Config{Driver: "mysql", DSN: dsn, TLS: &store.TLS{CA: empty + "x"}}, "tls ca: open " + empty + "x"},
		"ca empty":        {store.Config{Driver: "mysql", DSN: dsn, TLS: &store.TLS{CA: empty}}, "no PEM certificate found"},
		"cert alone":      {store.Config{Driver: "mysql", DSN: dsn, TLS: &store.TLS{Cert: empty}}, "cert and key belong together"},
		"cert empty":      {store.Config{Driver: "mysql", DSN: dsn, TLS: &store.TLS{Cert: empty, Key: empty}}, "tls cert "},
	} {
		t.Run(name, func(t *testing.T) {
			pool, err := store.Open(test.config)
			if err == nil {
				_ = pool.Close()
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestWikiNames(t *testing.T) {
	pool := open(t, store.Config{Driver: "mysql", DSN: dsn})
	for _, w := range []store.Wiki{
		{CentralAuthDatabase: "central`auth"},
		{CentralAuthDatabase: "a.b"},
		{Database: "*"},
		{Database: "a`b"},
		{Database: "a.b"},
		{Database: "a b"},
		{Database: "a{token}"},
		{Database: "ä"},
		{Database: "a\x00"},
		{TablePrefix: "mw_`"},
		{TablePrefix: "x."},
		{TablePrefix: "x", OAuthTablePrefix: new("x.")},
		{TablePrefix: "--{"},
		{TablePrefix: strings.Repeat("p", 65)},
	} {
		_, err := pool.Wiki(w).Lookup(t.Context(), validator.Key{Protocol: validator.OAuth1})
		if err == nil || !strings.Contains(err.Error(), "want letters, digits, _ and -") && !strings.Contains(err.Error(), "longer than 64") {
			t.Errorf("%+v: %v", w, err)
		}
	}
	nameless := store.Wiki{Users: validator.CentralAuth}
	if _, err := pool.Wiki(nameless).Lookup(t.Context(), validator.Key{}); err == nil || !strings.Contains(err.Error(), "the wiki has no id") {
		t.Errorf("CentralAuth without a wiki id: %v", err)
	}
	files := open(t, store.Config{Driver: "sqlite", DSN: "wiki.sqlite"})
	for _, w := range []store.Wiki{{CentralAuthDatabase: "other"}, {Database: "other"}} {
		if _, err := files.Wiki(w).Lookup(t.Context(), validator.Key{}); err == nil || !strings.Contains(err.Error(), "reaches one database") {
			t.Errorf("%+v in SQLite: %v", w, err)
		}
	}
}

func open(t *testing.T, c store.Config) *store.Pool {
	t.Helper()
	pool, err := store.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// TestIdentities has one pair of configurations per setting that changes what
// is found.
func TestIdentities(t *testing.T) {
	base := store.Config{Driver: "mysql", DSN: dsn}
	wiki := store.Wiki{Release: validator.Release147}
	other := base
	other.DSN += "2"
	seen := map[string]string{}
	for name, c := range map[string]struct {
		config store.Config
		wiki   store.Wiki
	}{
		"base":         {base, wiki},
		"host":         {store.Config{Driver: "mysql", DSN: strings.Replace(dsn, "db.", "db2.", 1)}, wiki},
		"user":         {store.Config{Driver: "mysql", DSN: "x" + dsn}, wiki},
		"dsn db":       {store.Config{Driver: "mysql", DSN: dsn + "x"}, wiki},
		"oauth db":     {store.Config{Driver: "mysql", DSN: dsn, OAuthDatabase: "meta"}, wiki},
		"replica":      {store.Config{Driver: "mysql", DSN: dsn, Replicas: []string{dsn}}, wiki},
		"database":     {base, store.Wiki{Release: validator.Release147, Database: "dewiki"}},
		"prefix":       {base, store.Wiki{Release: validator.Release147, TablePrefix: "mw_"}},
		"oauth prefix": {base, store.Wiki{Release: validator.Release147, OAuthTablePrefix: new("mw_")}},
		"release":      {base, store.Wiki{Release: validator.Release139}},
		"sqlite":       {store.Config{Driver: "sqlite", DSN: "wiki.sqlite"}, wiki},

		"id":                 {base, store.Wiki{Release: validator.Release147, ID: "dewiki"}},
		"server":             {base, store.Wiki{Release: validator.Release147, Server: open(t, base)}},
		"other server":       {base, store.Wiki{Release: validator.Release147, Server: open(t, other)}},
		"users":              {base, store.Wiki{Release: validator.Release147, Users: validator.CentralAuth}},
		"centralauth":        {base, store.Wiki{Release: validator.Release147, Users: validator.CentralAuth, CentralAuthDatabase: "centralauth"}},
		"centralauth server": {base, store.Wiki{Release: validator.Release147, Users: validator.CentralAuth, CentralAuthServer: open(t, base)}},
		"other centralauth":  {base, store.Wiki{Release: validator.Release147, Users: validator.CentralAuth, CentralAuthServer: open(t, other)}},
		"both servers": {base, store.Wiki{
			Release: validator.Release147, Users: validator.CentralAuth, Server: open(t, other), CentralAuthServer: open(t, other),
		}},
	} {
		id := open(t, c.config).Wiki(c.wiki).Identity()
		if other, taken := seen[id]; taken {
			t.Errorf("%s and %s have one identity: %s", name, other, id)
		}
		if strings.Contains(id, "s3cr3t") {
			t.Errorf("%s: the identity holds the password: %s", name, id)
		}
		seen[id] = name
	}
	again := open(t, store.Config{Driver: "mysql", DSN: strings.Replace(strings.Replace(dsn, "s3cr3t", "other", 1), "db.e", "DB.e", 1)})
	if seen[again.Wiki(wiki).Identity()] != "base" {
		t.Error("a changed password changes the identity")
	}
	socket := func(path string) string {
		return open(t, store.Config{Driver: "mysql", DSN: "gateway@unix(" + path + ")/enwiki"}).Wiki(wiki).Identity()
	}
	if socket("/run/A.sock") == socket("/run/a.sock") {
		t.Error("two sockets have one identity")
	}
}

func TestOAuthIdentity(t *testing.T) {
	database, server := open(t, store.Config{Driver: "mysql", DSN: dsn}).OAuthIdentity()
	for name, test := range map[string]struct {
		config               store.Config
		sameDatabase, server bool
	}{
		"user and password": {store.Config{Driver: "mysql", DSN: strings.Replace(dsn, "gateway:s3cr3t", "me:pw", 1)}, true, true},
		"named database":    {store.Config{Driver: "mysql", DSN: strings.Replace(dsn, "enwiki", "dewiki", 1), OAuthDatabase: "enwiki"}, true, true},
		"replica":           {store.Config{Driver: "mysql", DSN: dsn, Replicas: []string{dsn}}, true, true},
		"host":              {store.Config{Driver: "mysql", DSN: strings.Replace(dsn, "db.", "db2.", 1)}, true, false},
		"port":              {store.Config{Driver: "mysql", DSN: strings.Replace(dsn, "3306", "3307", 1)}, true, false},
		"database":          {store.Config{Driver: "mysql", DSN: dsn, OAuthDatabase: "meta"}, false, true},
	} {
		d, s := open(t, test.config).OAuthIdentity()
		if (d == database) != test.sameDatabase || (s == server) != test.server {
			t.Errorf("%s: %q on %q, and %q on %q", name, d, s, database, server)
		}
	}
}

func TestSharedUserIDs(t *testing.T) {
	for _, test := range []struct {
		oauth, wiki string
		want        bool
	}{
		{"", "", false},
		{"enwiki", "", false},
		{"meta", "", true},
		{"meta", "meta", false},
		{"enwiki", "dewiki", true},
		{"", "dewiki", true},
		{"", "enwiki", false},
	} {
		pool := open(t, store.Config{Driver: "mysql", DSN: dsn, OAuthDatabase: test.oauth})
		if got := pool.Wiki(store.Wiki{Database: test.wiki}).SharedUserIDs(); got != test.want {
			t.Errorf("OAuth tables in %q, wiki in %q: %v, want %v", test.oauth, test.wiki, got, test.want)
		}
	}
}
