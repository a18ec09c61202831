package store_test

import (
	"cmp"
	"errors"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestDeniedIsNotMissing has tables of both kinds, of which one is not filled.
// What leads from one to the other must not be a denial.
func TestDeniedIsNotMissing(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.42"))
	for _, statement := range wikidb.WikiSchema(f.Driver, validator.Release143, "") {
		if strings.Contains(statement, "block") {
			f.Exec(t, statement)
		}
	}
	grant(t, f, validator.Release143)
	ipblocks := storetest.Columns(t, f.Backend)["ipblocks"]
	for name, test := range map[string]struct {
		release validator.Release
		columns []string
	}{
		"a column, 1.42":   {42, ipblocks[:1]},
		"a column, 1.41":   {41, ipblocks[:1]},
		"the table, 1.42":  {42, ipblocks},
		"another of 1.42":  {42, ipblocks[len(ipblocks)-1:]},
		"an expiry, 1.39":  {39, []string{"ipb_expiry"}},
		"a deletion, 1.39": {39, []string{"ipb_deleted"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, queries := f.counted(t, test.release)
			f.lookUp(t, s, queries, 1)
			f.Deny(t, "ipblocks", test.columns...)
			_, err := s.Lookup(t.Context(), f.oauth1)
			f.Allow(t, "ipblocks", test.columns...)
			if missing, ok := errors.AsType[*store.SchemaError](err); !ok || !strings.Contains(missing.Message, "ipblocks") {
				t.Errorf("got %v", err)
			}
			if n := queries(); n != 1 {
				t.Errorf("%d queries, want 1", n)
			}
			f.lookUp(t, s, queries, 1)
		})
	}
}

// TestLeftoversAreNotRead has what another release reads left over, with its
// grant, and denies what is in use.
func TestLeftoversAreNotRead(t *testing.T) {
	for _, test := range []struct {
		backend  string
		leftover []string
		granted  map[string][]string
		table    string // in use
		column   string // of it; empty: all
	}{
		{
			"MariaDB 1.43",
			[]string{"CREATE TABLE ipblocks (ipb_user INT, ipb_expiry INT, ipb_deleted INT, ipb_sitewide INT)"},
			map[string][]string{"ipblocks": {"ipb_user", "ipb_expiry", "ipb_deleted", "ipb_sitewide"}},
			"block", "",
		},
		{
			"MariaDB 1.43",
			[]string{"CREATE TABLE ipblocks (ipb_user INT, ipb_expiry INT, ipb_deleted INT, ipb_sitewide INT)"},
			map[string][]string{"ipblocks": {"ipb_user", "ipb_expiry", "ipb_deleted", "ipb_sitewide"}},
			"block_target", "",
		},
		{
			"MariaDB 1.39",
			[]string{
				"CREATE TABLE block (bl_target INT, bl_expiry INT, bl_sitewide INT, bl_deleted INT)",
				"CREATE TABLE block_target (bt_id INT, bt_user INT)",
			},
			map[string][]string{"block": {"bl_target", "bl_expiry", "bl_sitewide", "bl_deleted"}, "block_target": {"bt_id", "bt_user"}},
			"ipblocks", "",
		},
		{
			"MariaDB 1.39 CentralAuth",
			[]string{"ALTER TABLE %s.globaluser ADD gu_hidden VARBINARY(255) DEFAULT ''"},
			map[string][]string{"globaluser": {"gu_hidden"}},
			"globaluser", "gu_hidden_level",
		},
		{
			"MariaDB 1.35 CentralAuth",
			[]string{"ALTER TABLE %s.globaluser ADD gu_hidden_level INT DEFAULT 0"},
			map[string][]string{"globaluser": {"gu_hidden_level"}},
			"globaluser", "gu_hidden",
		},
	} {
		t.Run(test.backend+" without "+test.table+" "+test.column, func(t *testing.T) {
			f := newFarm(t, storetest.Named(t, test.backend))
			for _, statement := range test.leftover {
				f.Exec(t, strings.ReplaceAll(statement, "%s", f.CentralDatabase))
			}
			for table, columns := range test.granted {
				f.Allow(t, table, columns...)
			}
			columns := []string{test.column}
			if test.column == "" {
				columns = storetest.Columns(t, f.Backend)[test.table]
			}
			f.Deny(t, test.table, columns...)
			f.wantDenied(t, f.Release, cmp.Or(test.column, test.table))
			f.Allow(t, test.table, columns...)
			s, queries := f.counted(t, f.Release)
			if _, err := s.Lookup(t.Context(), f.oauth1); err != nil { // which may find what else is missing
				t.Error(err)
			}
			queries()
			f.lookUp(t, s, queries, 1)
		})
	}
	// Memberships end, also when the tables got their expiry under a list of
	// grants that lacks it.
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39 CentralAuth"))
	f.Deny(t, "global_user_groups", "gug_expiry")
	f.Allow(t, "globaluser", "gu_id")
	f.Exec(t, "ALTER TABLE "+f.Table("globaluser")+" ADD gu_hidden VARBINARY(255) DEFAULT ''")
	f.Allow(t, "globaluser", "gu_hidden")
	f.wantDenied(t, validator.Release135, "gug_expiry")
}
