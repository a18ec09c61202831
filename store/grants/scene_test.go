package grants_test

import (
	"database/sql"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/postgres"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/grants"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
)

// scene is a wiki with two users and an app of each version, and its tables as
// the account that writes sees them.
type scene struct {
	storetest.Wiki
	*grants.Tables
	app1, app2 wikidb.Consumer
	alice, bob uint64       // central ids
	config     store.Config // of the account that writes
}

var accepted = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func newScene(t testing.TB, b storetest.Backend) *scene {
	t.Helper()
	return sceneOf(t, b.Open(t))
}

func sceneOf(t testing.TB, w storetest.Wiki) *scene {
	t.Helper()
	b := w.Backend
	s := &scene{Wiki: w, app1: wikidb.NewConsumer(1, 3), app2: wikidb.NewConsumer(2, 3), alice: 3, bob: 4}
	s.app2.Version = 2
	rows := []wikidb.Row{s.app1, s.app2, wikidb.User{ID: 3, Name: "Alice"}, wikidb.User{ID: 4, Name: "Bob"}}
	if b.CentralAuth {
		s.alice, s.bob = 13, 14
		for id, name := range map[uint64]string{3: "Alice", 4: "Bob"} {
			rows = append(rows, wikidb.GlobalUser{ID: 10 + id, Name: name},
				wikidb.Attachment{Wiki: "enwiki", Name: name, LocalID: id, GlobalID: 10 + id})
		}
	}
	s.Insert(t, rows...)
	s.config = s.Writer(t)
	s.Tables = openTables(t, s.Wiki, s.config)
	return s
}

func openTables(t testing.TB, w storetest.Wiki, cfg store.Config) *grants.Tables {
	t.Helper()
	pool, err := grants.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return grants.New(pool, w.View())
}

// TestConformance is what the tables must do on every kind of wiki that can be
// written.
func TestConformance(t *testing.T) {
	for _, b := range storetest.Backends {
		if !b.CanWrite() {
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			s := newScene(t, b)
			for name, check := range map[string]func(*testing.T, *scene){
				"consumer": checkConsumer, "users": checkUsers, "accept": checkAccept, "acceptances": checkAcceptancesOf,
				"withdraw": checkWithdraw, "tokens": checkTokens, "family": checkRevokeFamily,
			} {
				t.Run(name, func(t *testing.T) {
					s.clear(t)
					check(t, s)
				})
			}
		})
	}
}

// clear removes what the tests before have written.
func (s *scene) clear(t testing.TB) {
	t.Helper()
	s.Exec(t, "DELETE FROM "+s.Table("oauth_accepted_consumer"))
	s.Exec(t, "DELETE FROM "+s.Table("oauth2_access_tokens"))
}

// databases are a wiki on each kind of database.
var databases = []string{"MariaDB 1.39", "SQLite 1.39", "PostgreSQL 1.39"}

// each runs a test on each kind of database.
func each(t *testing.T, test func(t *testing.T, s *scene)) {
	for _, name := range databases {
		t.Run(name, func(t *testing.T) { test(t, newScene(t, storetest.Named(t, name))) })
	}
}

// only runs a test on the backend of a release.
func only(t *testing.T) *scene {
	t.Helper()
	return newScene(t, storetest.Named(t, "MariaDB 1.39"))
}

func (s *scene) approval(user uint64, app wikidb.Consumer) authserver.Approval {
	return authserver.Approval{
		UserID: user, ConsumerID: app.ID, Wiki: app.Wiki, ThisWiki: "enwiki", Version: uint8(app.Version),
		Grants: authserver.Grants("basic", "editpage"), Token: wikidb.RandomHex(16), Secret: wikidb.RandomHex(16), Accepted: accepted,
	}
}

func (s *scene) accept(t testing.TB, a authserver.Approval) authserver.Acceptance {
	t.Helper()
	row, err := s.Accept(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// token is a new token for an acceptance, and what it needs of that.
func token(a authserver.Acceptance, scopes ...string) (authserver.Token, *authserver.Acceptance) {
	need := a
	need.Grants = authserver.Grants(scopes...)
	return authserver.Token{JTI: wikidb.RandomHex(40), Expires: accepted.Add(time.Hour), AcceptanceID: a.ID}, &need
}

func (s *scene) issue(t testing.TB, a authserver.Acceptance) authserver.Token {
	t.Helper()
	row, need := token(a, "basic")
	if err := s.IssueToken(t.Context(), row, need); err != nil {
		t.Fatal(err)
	}
	return row
}

// postgresTimes writes times as the other databases keep them.
var postgresTimes = regexp.MustCompile(`\boaa[ct]_(?:accepted|expires)\b`)

// rows reads a table as its owner: the columns of each row, with | between them.
func (s *scene) rows(t testing.TB, columns, table, where string) []string {
	t.Helper()
	if s.Driver == wikidb.Postgres {
		columns = postgresTimes.ReplaceAllString(columns, "to_char($0 AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISS')")
	}
	r, err := s.Rows.Conn.QueryContext(t.Context(),
		"SELECT CONCAT_WS('|', "+columns+") FROM "+s.Table(table)+" WHERE "+where+" ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // r.Err tells
	var list []string
	for r.Next() {
		var row string
		if err := r.Scan(&row); err != nil {
			t.Fatal(err)
		}
		list = append(list, row)
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func (s *scene) acceptanceRows(t testing.TB) []string {
	return s.rows(t, "oaac_wiki, oaac_user_id, oaac_consumer_id, oaac_access_token, oaac_access_secret, oaac_grants, oaac_accepted, oaac_oauth_version",
		"oauth_accepted_consumer", "1 = 1")
}

func (s *scene) tokenRows(t testing.TB) []string {
	return s.rows(t, "oaat_identifier, oaat_expires, oaat_acceptance_id, oaat_revoked", "oauth2_access_tokens", "1 = 1")
}

func wantRows(t testing.TB, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("rows\n got %s\nwant %s", g, w)
	}
}

// approvedRow is what acceptanceRows reads of an approval on all wikis.
func approvedRow(a authserver.Approval, grants string) string {
	return fmt.Sprintf("*|%d|%d|%s|%s|%s|20260301120000|%d", a.UserID, a.ConsumerID, a.Token, a.Secret, grants, a.Version)
}

// noSecrets fails if an error holds one of the values.
func noSecrets(t testing.TB, err error, values ...string) {
	t.Helper()
	for _, v := range values {
		if strings.Contains(err.Error(), v) || strings.Contains(err.Error(), fmt.Sprintf("%x", v)) {
			t.Errorf("the error holds %q: %v", v, err)
		}
	}
}

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	process.Main(m)
}

// openDB connects as an account without the store.
func openDB(t testing.TB, cfg store.Config) *sql.DB {
	t.Helper()
	name := cfg.Driver
	if name == wikidb.Postgres {
		name = postgres.Driver
	}
	db, err := sql.Open(name, cfg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
