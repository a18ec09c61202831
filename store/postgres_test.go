package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestPostgresDenials takes rights away, does what the error says, and wants the
// same store to find everything again.
func TestPostgresDenials(t *testing.T) {
	for name, test := range map[string]struct{ backend, revoke, grant string }{
		"schema": {
			"PostgreSQL 1.47 prefixed, OAuth apart", "USAGE ON SCHEMA oauth",
			`GRANT USAGE ON SCHEMA "oauth" TO "oauth_gateway"`,
		},
		"table": {
			"PostgreSQL 1.39", "SELECT (user_name) ON mediawiki.\"user\"",
			`GRANT SELECT (user_id, user_name) ON "mediawiki"."user" TO "oauth_gateway"`,
		},
		"old table": {
			"PostgreSQL 1.42", "SELECT (user_name) ON mediawiki.mwuser",
			`GRANT SELECT (user_id, user_name) ON "mediawiki"."mwuser" TO "oauth_gateway"`,
		},
		"prefixed": {
			"PostgreSQL 1.47 prefixed, OAuth apart", `SELECT (bt_id) ON mediawiki."mw-1_block_target"`,
			`GRANT SELECT (bt_id, bt_user) ON "mediawiki"."mw-1_block_target" TO "oauth_gateway"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, storetest.Named(t, test.backend))
			s := f.Store(t)
			f.Exec(t, "REVOKE "+test.revoke+" FROM "+storetest.User)
			_, err := s.Lookup(t.Context(), f.oauth1)
			missing, ok := errors.AsType[*store.SchemaError](err)
			if !ok || validator.FailureOf(err) != validator.TableFailure {
				t.Fatalf("got %v", err)
			}
			if !slices.Contains(missing.Grants, test.grant) {
				t.Errorf("%q is not among %q", test.grant, missing.Grants)
			}
			for _, grant := range missing.Grants {
				f.Exec(t, grant)
			}
			if facts, err := s.Lookup(t.Context(), f.oauth1); err != nil || facts.User == nil {
				t.Errorf("afterwards: %+v, %v", facts.User, err)
			}
		})
	}
}

// TestOldUserTable has the table of users under each name. What was found is
// asked for first, and both are missing only when neither is there.
func TestOldUserTable(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "PostgreSQL 1.42"))
	s, queries := f.counted(t, f.Release)
	f.lookUp(t, s, queries, 2)
	f.lookUp(t, s, queries, 1)
	f.Exec(t, "ALTER TABLE mwuser RENAME TO \"user\"")
	f.lookUp(t, s, queries, 2)
	f.lookUp(t, s, queries, 1)
	f.Exec(t, "ALTER TABLE \"user\" RENAME TO gone")
	_, err := s.Lookup(t.Context(), f.oauth1)
	if missing, ok := errors.AsType[*store.SchemaError](err); !ok || !strings.Contains(missing.Message, "user") {
		t.Errorf("without a table of users: %v", err)
	}
	// Another driver has one name only.
	f = newFarm(t, storetest.Backend{Driver: wikidb.MySQL, Release: validator.Release139})
	f.Exec(t, "ALTER TABLE user RENAME TO mwuser")
	s, queries = f.counted(t, f.Release)
	if _, err := s.Lookup(t.Context(), f.oauth1); err == nil || queries() != 1 {
		t.Errorf("mwuser of MariaDB was asked for: %v", err)
	}
}

// TestPostgresTimes has times that MediaWiki does not write. A membership ends or
// is none, and a block lasts.
func TestPostgresTimes(t *testing.T) {
	for _, text := range []string{"-infinity", "10000-01-01 00:00:00+00", "2000-01-01 00:00:00+05"} {
		f := newFarm(t, storetest.Named(t, "PostgreSQL 1.39"))
		f.Exec(t, "UPDATE user_groups SET ug_expiry = '"+text+"'")
		f.Exec(t, "UPDATE ipblocks SET ipb_expiry = '"+text+"'")
		facts, err := f.Store(t).Lookup(t.Context(), f.oauth1)
		if err != nil || facts.User == nil {
			t.Fatalf("%s: %+v, %v", text, facts.User, err)
		}
		blocked, groups := validator.Never, 0
		if strings.HasPrefix(text, "2000") {
			blocked, groups = 946666800, 2
		}
		if facts.User.Blocked != blocked || len(facts.User.Groups) != groups {
			t.Errorf("%s: blocked until %d, groups %v", text, facts.User.Blocked, facts.User.Groups)
		}
	}
}
