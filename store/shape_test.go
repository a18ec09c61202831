package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// counted is a store of the farm's wiki, and how many queries it has asked.
func (f farm) counted(t *testing.T, release validator.Release) (s *store.Store, queries func() int) {
	t.Helper()
	n := 0
	f.Config.Observe = func(time.Duration, error) { n++ }
	f.Release = release
	return f.Store(t), func() int { defer func() { n = 0 }(); return n }
}

// lookUp wants the farm's user found blocked, in so many queries.
func (f farm) lookUp(t *testing.T, s *store.Store, queries func() int, want int) {
	t.Helper()
	facts, err := s.Lookup(t.Context(), f.oauth1)
	if err != nil {
		t.Fatal(err)
	}
	if facts.User == nil || facts.User.Blocked != validator.Never {
		t.Errorf("found %+v", facts.User)
	}
	if got := queries(); got != want {
		t.Errorf("%d queries, want %d", got, want)
	}
}

// turn makes the tables of blocks of another release, with the block of the
// farm's user, and drops those there are.
func (f farm) turn(t *testing.T, to validator.Release) {
	t.Helper()
	f.add(t, to)
	gone := []string{"block", "block_target"}
	if wikidb.NewBlocks(to) {
		gone = []string{"ipblocks"}
	}
	for _, table := range gone {
		f.Exec(t, "DROP TABLE "+f.Table(table))
	}
}

func (f farm) add(t *testing.T, release validator.Release) {
	t.Helper()
	for _, statement := range wikidb.WikiSchema(f.Driver, release, f.Prefix) {
		if strings.Contains(statement, "block") {
			f.Exec(t, statement)
		}
	}
	f.Rows.Release = release
	f.Insert(t, wikidb.Block{UserID: f.acceptance.UserID, Name: "User 50", Expiry: wikidb.Infinity})
}

// TestUpgradedWiki updates a wiki under a gateway that is configured for the
// release before, and one whose configuration came first.
func TestUpgradedWiki(t *testing.T) {
	for _, driver := range []string{wikidb.MySQL, wikidb.SQLite, wikidb.Postgres} {
		for _, configured := range []validator.Release{validator.Release139, validator.Release147} {
			t.Run(fmt.Sprintf("%s configured %s", driver, configured), func(t *testing.T) {
				f := newFarm(t, storetest.Backend{Driver: driver, Release: validator.Release139})
				first := 1
				if configured == validator.Release147 {
					first = 2
					if driver == wikidb.MySQL {
						f.wantDenied(t, configured, "block_target")
						f.grantAbsent(t, "block", "block_target")
					}
				}
				s, queries := f.counted(t, configured)
				f.lookUp(t, s, queries, first)
				f.lookUp(t, s, queries, 1)
				f.turn(t, validator.Release147)
				if driver != wikidb.SQLite {
					grant(t, f, validator.Release147)
				}
				f.lookUp(t, s, queries, 2)
				f.lookUp(t, s, queries, 1)
			})
		}
	}
}

// grantAbsent lets the user read tables that are not there yet, as
// docs/database.md does it.
func (f farm) grantAbsent(t *testing.T, tables ...string) {
	t.Helper()
	for _, table := range tables {
		user := " '" + storetest.User + "'@'%'"
		mariadb.Start(t).Exec(t, "GRANT SELECT, CREATE ON "+f.Table(table)+" TO"+user, "REVOKE CREATE ON "+f.Table(table)+" FROM"+user)
	}
}

// wantDenied wants a lookup to fail because a table or column is denied that
// other releases do not have.
func (f farm) wantDenied(t *testing.T, configured validator.Release, object string) {
	t.Helper()
	s, queries := f.counted(t, configured)
	_, err := s.Lookup(t.Context(), f.oauth1)
	missing, ok := errors.AsType[*store.SchemaError](err)
	if !ok || !strings.Contains(missing.Message, object) || !missing.OfRelease || validator.FailureOf(err) != validator.TableFailure {
		t.Errorf("got %v, want %s denied", err, object)
	}
	if n := queries(); n > 2 { // another column may have been found missing first
		t.Errorf("%d queries", n)
	}
}

// grant gives the user the list of another release.
func grant(t *testing.T, f farm, release validator.Release) {
	t.Helper()
	for table, columns := range storetest.Columns(t, storetest.Backend{Driver: f.Driver, Release: release}) {
		if strings.HasPrefix(table, "block") || table == "ipblocks" {
			f.Allow(t, table, columns...)
		}
	}
}

// TestReleaseOfOthers has tables of another release than the configured one:
// with the grants of theirs, which cannot show that a table or column is
// missing, and with grants that can.
func TestReleaseOfOthers(t *testing.T) {
	for _, b := range storetest.Backends {
		if b.Release == 41 || b.Release == 42 || b.Prefix != "" || b.CentralServer || b.WikiServer {
			continue
		}
		f := newFarm(t, b)
		if b.CentralAuth {
			f.Insert(t, wikidb.GlobalUser{ID: 99, Name: "Suppressed", Hidden: wikidb.Suppressed},
				wikidb.NewAcceptance(99, f.consumer, 99), wikidb.Token{Identifier: "suppressed", AcceptanceID: 99})
		}
		releases := []validator.Release{35, 36, 37, 38, 39, 40, 41, 43, 47}
		if b.Driver == wikidb.MySQL {
			for _, configured := range releases {
				t.Run(fmt.Sprintf("%s configured %s, granted", b.Name, configured), func(t *testing.T) { f.otherRelease(t, configured) })
			}
			for _, database := range []string{f.Database, f.CentralDatabase} {
				if database != "" {
					mariadb.Start(t).Exec(t, "GRANT SELECT ON `"+database+"`.* TO '"+storetest.User+"'@'%'") //nolint:unqueryvet // a grant, of all tables
				}
			}
		}
		for _, configured := range releases {
			t.Run(fmt.Sprintf("%s configured %s", b.Name, configured), func(t *testing.T) { f.anyRelease(t, configured) })
		}
	}
}

// otherRelease wants the tables read where they are those of the configured
// release, and else a denial.
func (f farm) otherRelease(t *testing.T, configured validator.Release) {
	t.Helper()
	hidden := map[bool]string{false: "gu_hidden", true: "gu_hidden_level"}
	switch {
	case (configured >= 43) != (f.Release >= 43): // tables are looked at before columns
		f.wantDenied(t, configured, map[bool]string{false: "ipblocks", true: "block_target"}[configured >= 43])
	case f.CentralAuth && (configured >= 39) != (f.Release >= 39) && f.hidesColumns(t):
		f.wantDenied(t, configured, hidden[configured >= 39])
	default:
		f.anyRelease(t, configured)
	}
}

// hidesColumns reports whether the server says of a column that does not exist that
// it is denied, to an account that may read others of its table. MariaDB says so in
// some of its releases, and that it is unknown in others.
func (f farm) hidesColumns(t *testing.T) bool {
	t.Helper()
	db, err := sql.Open(wikidb.MySQL, f.Config.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	_, err = db.ExecContext(t.Context(), "SELECT gu_absent FROM "+f.Table("globaluser"))
	const denied, unknown = "Error 1143 ", "Error 1054 "
	if err == nil || !strings.HasPrefix(err.Error(), denied) && !strings.HasPrefix(err.Error(), unknown) {
		t.Fatalf("a column that does not exist: %v", err)
	}
	return strings.HasPrefix(err.Error(), denied)
}

// anyRelease wants the tables read as what they are.
func (f farm) anyRelease(t *testing.T, configured validator.Release) {
	t.Helper()
	s, queries := f.counted(t, configured)
	if _, err := s.Lookup(t.Context(), f.oauth1); err != nil {
		t.Fatal(err)
	}
	if n := queries(); n > 4 {
		t.Errorf("%d queries", n)
	}
	f.lookUp(t, s, queries, 1)
	if !f.CentralAuth {
		return
	}
	facts, err := s.Lookup(t.Context(), validator.Key{Protocol: validator.OAuth2, Consumer: f.consumer.Key, Token: "suppressed"})
	if err != nil || facts.User == nil || facts.User.Hidden != validator.Never {
		t.Errorf("suppressed: %+v, %v", facts.User, err)
	}
}

// TestOwnShapeIsAskedForAgain has the tables of the release come beside those
// of the one before, which stay: no error tells.
func TestOwnShapeIsAskedForAgain(t *testing.T) {
	f := newFarm(t, storetest.Backend{Driver: wikidb.SQLite, Release: validator.Release139})
	s, queries := f.counted(t, validator.Release147)
	now := time.Now()
	s.SetClock(func() time.Time { return now })
	f.lookUp(t, s, queries, 2)
	f.add(t, validator.Release147)
	f.Exec(t, "UPDATE ipblocks SET ipb_expiry = '20010101000000'")
	now = now.Add(5*time.Minute - time.Second)
	facts, err := s.Lookup(t.Context(), f.oauth1)
	if err != nil || facts.User.Blocked == validator.Never || queries() != 1 {
		t.Errorf("before 5 minutes: %+v, %v", facts.User, err)
	}
	now = now.Add(2 * time.Second)
	f.lookUp(t, s, queries, 1)
	f.lookUp(t, s, queries, 1)
}

// TestSchemaErrorHeals takes tables or grants away, does what the error says,
// and wants the same store to find everything again.
func TestSchemaErrorHeals(t *testing.T) {
	for _, test := range []struct {
		backend    string
		configured validator.Release
		table      string // whose grants are taken
		names      []string
		queries    int
	}{
		{"MariaDB 1.39", 39, "ipblocks", []string{"GRANT SELECT (ipb_deleted, ipb_expiry, ipb_sitewide, ipb_user) ON `%s`.`ipblocks` TO 'oauth_gateway'@'%%'"}, 1},
		{"MariaDB 1.42", 42, "ipblocks", []string{"GRANT SELECT (ipb_deleted, ipb_expiry, ipb_sitewide, ipb_user) ON `%s`.`ipblocks` TO"}, 1},
		{"MariaDB 1.47", 47, "block", []string{
			"GRANT SELECT (bl_deleted, bl_expiry, bl_sitewide, bl_target) ON `%s`.`block` TO",
			"GRANT SELECT (bt_id, bt_user) ON `%s`.`block_target` TO",
		}, 1},
		{"MariaDB 1.47", 47, "block_target", []string{"GRANT SELECT (bt_id, bt_user) ON `%s`.`block_target` TO"}, 1},
		// The release's own table is known to be gone: the tables that are
		// denied are meant.
		{"MariaDB 1.47", 39, "block", []string{"GRANT SELECT (bl_deleted, bl_expiry, bl_sitewide, bl_target) ON `%s`.`block` TO"}, 2},
		{"MariaDB 1.47", 39, "block_target", []string{"GRANT SELECT (bt_id, bt_user) ON `%s`.`block_target` TO"}, 1},
		{"MariaDB 1.47", 47, "user_groups", []string{"GRANT SELECT (ug_expiry, ug_group, ug_user) ON `%s`.`user_groups` TO"}, 1},
		{"MariaDB 1.39 CentralAuth", 39, "globaluser", []string{"GRANT SELECT (gu_hidden_level, gu_id, gu_locked, gu_name) ON `%s`.`globaluser` TO"}, 1},
		{"MariaDB 1.39 CentralAuth", 39, "global_user_groups", []string{"GRANT SELECT (gug_expiry, gug_group, gug_user) ON `%s`.`global_user_groups` TO"}, 1},
		{"MariaDB 1.39 CentralAuth", 39, "localuser", []string{"GRANT SELECT (lu_name, lu_wiki) ON `%s`.`localuser` TO"}, 1},
	} {
		t.Run(fmt.Sprintf("%s configured %s without %s", test.backend, test.configured, test.table), func(t *testing.T) {
			f := newFarm(t, storetest.Named(t, test.backend))
			if test.configured == 39 && strings.HasPrefix(test.table, "block") { // as an update leaves it
				f.Exec(t, "CREATE TABLE ipblocks (ipb_user INT, ipb_expiry INT, ipb_sitewide INT, ipb_deleted INT)")
				grant(t, f, 39)
				f.Exec(t, "DROP TABLE ipblocks")
			}
			s, queries := f.counted(t, test.configured)
			columns := storetest.Columns(t, f.Backend)[test.table]
			if test.table == "block_target" { // it has worked, and what was found is asked for first
				for range 2 {
					if _, err := s.Lookup(t.Context(), f.oauth1); err != nil {
						t.Fatal(err)
					}
				}
				queries()
			}
			f.Deny(t, test.table, columns...)
			before := mariadb.Start(t).Counters(t)
			var missing *store.SchemaError
			for range 3 { // the account is asked for once, and is no query of the lookup
				_, err := s.Lookup(t.Context(), f.oauth1)
				var ok bool
				if missing, ok = errors.AsType[*store.SchemaError](err); !ok {
					t.Fatalf("got %v", err)
				}
				if got := queries(); got != test.queries {
					t.Errorf("%d queries, want %d", got, test.queries)
				}
				for _, want := range []string{`wiki "enwiki": missing, or not granted to 'oauth_gateway'@'%': `, test.table, "docs/database.md"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("the error lacks %q: %v", want, err)
					}
				}
				if strings.Contains(err.Error(), storetest.Password) || strings.Contains(err.Error(), f.oauth1.Token) {
					t.Errorf("the error holds a secret: %v", err)
				}
			}
			if got := mariadb.Start(t).Counters(t).Sub(before).Queries; got != uint64(3*test.queries+1) {
				t.Errorf("%d queries at the server, want one more than those of the lookups", got)
			}
			database := f.Database
			if strings.HasPrefix(test.table, "global") || test.table == "localuser" {
				database = f.CentralDatabase
			}
			for _, want := range test.names {
				want = strings.Replace(strings.ReplaceAll(want, "%%", "%"), "%s", database, 1)
				if !slices.ContainsFunc(missing.Grants, func(g string) bool { return strings.HasPrefix(g, want) }) {
					t.Errorf("%q is not among %q", want, missing.Grants)
				}
			}
			mariadb.Start(t).Exec(t, missing.Grants...)
			facts, err := s.Lookup(t.Context(), f.oauth1)
			if err != nil || facts.User == nil || facts.User.Blocked != validator.Never {
				t.Errorf("afterwards: %+v, %v", facts.User, err)
			}
		})
	}
}

// TestNoTablesOfBlocks has neither kind, and then one.
func TestNoTablesOfBlocks(t *testing.T) {
	for _, b := range []string{"SQLite 1.39", "MariaDB 1.39"} {
		f := newFarm(t, storetest.Named(t, b))
		f.Exec(t, "DROP TABLE "+f.Table("ipblocks"))
		s, queries := f.counted(t, validator.Release139)
		for range 3 {
			_, err := s.Lookup(t.Context(), f.oauth1)
			if missing, ok := errors.AsType[*store.SchemaError](err); !ok || missing.Wiki != "enwiki" || !strings.Contains(missing.Message, "block") {
				t.Errorf("%s: got %v", b, err)
			}
			if n := queries(); n != 2 {
				t.Errorf("%s: %d queries, want 2", b, n)
			}
		}
		f.add(t, validator.Release139)
		f.lookUp(t, s, queries, 1)
	}
}

// TestReleaseBoundaries says what each release is asked for first.
func TestReleaseBoundaries(t *testing.T) {
	pool := open(t, store.Config{Driver: "mysql", DSN: dsn})
	for word, has := range map[string]func(r validator.Release) bool{
		"`ipblocks`":     func(r validator.Release) bool { return r <= 42 },
		"`block`":        func(r validator.Release) bool { return r >= 43 },
		"`block_target`": func(r validator.Release) bool { return r >= 43 },
		"b.ipb_sitewide": func(r validator.Release) bool { return r <= 42 },
		"b.bl_sitewide":  func(r validator.Release) bool { return r >= 43 },
		"gu.gu_hidden)":  func(r validator.Release) bool { return r <= 38 },
		"gu.gu_hidden_level": func(r validator.Release) bool {
			return r >= 39
		},
		"gug.gug_expiry": func(validator.Release) bool { return true },
	} {
		for r := validator.Release135; r <= validator.Release147; r++ {
			s := pool.Wiki(store.Wiki{ID: "enwiki", Release: r, Users: validator.CentralAuth, CentralAuthDatabase: "centralauth"})
			for name, key := range maps.All(map[string]validator.Key{"oauth1": {Protocol: validator.OAuth1}, "oauth2": {Protocol: validator.OAuth2, Subject: 1}}) {
				if got := strings.Contains(store.First(s, key), word); got != has(r) {
					t.Errorf("%s, %s: asks for %s: %v", r, name, word, got)
				}
			}
		}
	}
}
