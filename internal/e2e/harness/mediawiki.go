package harness

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	mediaWikiCode = "/usr/share/mediawiki"
	mediaWikiDeps = "apt-get install --no-install-recommends mediawiki php-cli php-mysql php-mbstring php-xml php-intl"
)

// UserPassword is that of the user Bob of a MediaWiki.
const UserPassword = "bob's very own password" //nolint:gosec // of a wiki that lives as long as its test

// MediaWiki is Debian's MediaWiki 1.39 in a database of its own, with users and a
// login of its own, and our tables of the OAuth extension.
type MediaWiki struct {
	*Wiki
	Addr string // host:port, where api.php is below /w

	dir string
}

// NewMediaWiki installs a wiki, with the users Admin and Bob. It fails where the
// package is not installed.
func NewMediaWiki(tb testing.TB) *MediaWiki {
	tb.Helper()
	s := mariadb.Start(tb)
	addr, err := loopback.FreeAddr()
	if err != nil {
		tb.Fatal(err)
	}
	m := &MediaWiki{Addr: addr, dir: tb.TempDir()}
	database := s.CreateDatabase(tb)
	s.CreateUser(tb, "wiki_"+database, "wiki", "GRANT ALL ON "+database+".*")
	m.run(tb, "install.php", "--dbtype", "mysql", "--dbserver", s.TCPAddr(), "--dbname", database, "--dbuser", "wiki_"+database, "--dbpass", "wiki",
		"--server", "http://"+addr, "--scriptpath", "/w", "--pass", "of-no-use-to-anybody", "--confpath", m.dir, "--skins", "", "Wiki", "Admin")
	m.run(tb, "createAndPromote.php", "--conf", m.file("LocalSettings.php"), "Bob", UserPassword)

	conn, err := sql.Open("mysql", s.RootDSN(database))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	w := &Wiki{
		Wiki: storetest.Wiki{
			Backend: storetest.Backend{Driver: wikidb.MySQL, Release: validator.Release139}, Database: database, OAuthDatabase: database,
			Rows: wikidb.DB{Conn: conn, Driver: wikidb.MySQL, Release: validator.Release139}, Config: store.Config{Driver: wikidb.MySQL},
		}.On(s),
		SiteKey: "site-key-" + wikidb.RandomHex(16), Password: wikidb.RandomHex(16), IssuerKey: issuerKey(),
	}
	for _, statement := range wikidb.OAuthSchema(w.Driver, w.Release, "") {
		w.Exec(tb, statement)
	}
	user := "gateway_" + database
	s.CreateUser(tb, user, w.Password, w.Grants(tb)...)
	w.DSN = s.DSN(user, w.Password, database)
	m.Wiki = w
	return m
}

func (m *MediaWiki) file(name string) string { return filepath.Join(m.dir, name) }

// run runs a program of MediaWiki's maintenance.
func (m *MediaWiki) run(tb testing.TB, program string, args ...string) {
	tb.Helper()
	args = append([]string{filepath.Join(mediaWikiCode, "maintenance", program)}, args...)
	cmd := exec.CommandContext(tb.Context(), "php", args...) //nolint:gosec // arguments of our own
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v: %s\n%s", program, err, mediaWikiDeps, out)
	}
}

// Serve starts the wiki, for browsers that reach it as the server, such as
// https://wiki.test. It ends with the test.
func (m *MediaWiki) Serve(tb testing.TB, server string) {
	tb.Helper()
	settings, err := os.OpenFile(m.file("LocalSettings.php"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = fmt.Fprintf(settings, "\n$wgServer = '%s';\n$wgArticlePath = '/wiki/$1';\n$wgCacheDirectory = '%s';\n", server, m.dir)
	if err != nil {
		tb.Fatal(err)
	}
	if err := settings.Close(); err != nil {
		tb.Fatal(err)
	}
	root := m.file("root")
	if err := os.Mkdir(root, 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.Symlink(mediaWikiCode, filepath.Join(root, "w")); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), "php", "-S", m.Addr, "-t", root) //nolint:gosec // an address of our own
	cmd.Env = append(os.Environ(), "MW_CONFIG_FILE="+m.file("LocalSettings.php"))
	p, err := process.Launch(cmd)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Kill)
	client := newClient()
	for deadline := time.Now().Add(time.Minute); ; {
		err := m.alive(tb, client)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("the wiki does not answer: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (m *MediaWiki) alive(tb testing.TB, client *http.Client) error {
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://"+m.Addr+"/w/api.php?action=query&meta=siteinfo&format=json", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	a, err := ReadAnswer(response)
	if err == nil && !strings.Contains(string(a.Body), `"generator":"MediaWiki 1.39`) {
		err = fmt.Errorf("%d %s", a.Status, a.Body)
	}
	return err
}
