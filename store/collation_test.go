package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestOtherCollations has tables that were not made as MediaWiki makes them:
// their columns find keys that differ in case or in blanks, and the bytes still
// decide.
func TestOtherCollations(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.47"))
	for table, columns := range map[string][]string{
		"oauth_registered_consumer": {"oarc_consumer_key VARCHAR(32)"},
		"oauth_accepted_consumer":   {"oaac_access_token VARCHAR(32)"},
		"oauth2_access_tokens":      {"oaat_identifier VARCHAR(255)"},
	} {
		for _, column := range columns {
			f.Exec(t, "ALTER TABLE "+f.Table(table)+" MODIFY "+column+" CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL")
		}
	}
	server := mariadb.Start(t)
	server.CreateUser(t, storetest.User, storetest.Password, f.Grants(t)...)
	s := f.Store(t)
	for i, key := range []validator.Key{f.oauth2, f.oauth1} {
		name := []string{"oauth2", "oauth1"}[i]
		tokenColumn := []string{"oauth2_access_tokens.oaat_identifier", "oauth_accepted_consumer.oaac_access_token"}[i]
		for _, v := range []struct {
			variant string
			change  func(string) string
		}{
			{"same", strings.Clone},
			{"upper case", strings.ToUpper},
			{"trailing blank", func(s string) string { return s[:len(s)-1] + " " }},
		} {
			t.Run(name+" "+v.variant, func(t *testing.T) {
				for _, step := range explain(t, f, statements(t, s, key)[0]) {
					if !step.ok {
						t.Errorf("not by a key: %s", step.text)
					}
				}
				changed := key
				changed.Consumer, changed.Token = v.change(key.Consumer), v.change(key.Token)
				if v.variant == "trailing blank" { // PAD SPACE: the columns hold the keys without it
					for column, value := range map[string]string{
						"oauth_registered_consumer.oarc_consumer_key": key.Consumer, tokenColumn: key.Token,
					} {
						table, column, _ := strings.Cut(column, ".")
						set := "UPDATE " + f.Table(table) + " SET " + column + " = '%s' WHERE " + column + " = '%s'"
						f.Exec(t, fmt.Sprintf(set, value[:len(value)-1], value))
						defer f.Exec(t, fmt.Sprintf(set, value, value[:len(value)-1]))
					}
				}
				facts, err := s.Lookup(t.Context(), changed)
				if err != nil {
					t.Fatal(err)
				}
				facts.Subject = nil
				if found := facts != (validator.Facts{}); found != (v.variant == "same") {
					t.Errorf("found %+v", facts)
				}
			})
		}
	}
}

// TestOtherCollationsOfNames is the same for CentralAuth's names: those of
// others are found, and are not theirs.
func TestOtherCollationsOfNames(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.39 CentralAuth"))
	for table, columns := range map[string][]string{
		"globaluser": {"gu_name"}, "localuser": {"lu_name", "lu_wiki"}, "user": {"user_name"},
	} {
		for _, column := range columns {
			f.Exec(t, "ALTER TABLE "+f.Table(table)+" MODIFY "+column+" VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL")
		}
	}
	s := f.Store(t)
	for _, test := range []struct {
		change          string
		local, attached bool
	}{
		{"", true, true},
		{"UPDATE " + f.Table("user") + " SET user_name = UPPER(user_name)", false, true},
		{"UPDATE " + f.Table("localuser") + " SET lu_name = UPPER(lu_name)", false, false},
		{"UPDATE " + f.Table("localuser") + " SET lu_name = CONCAT('User ', SUBSTR(lu_name, 6)), lu_wiki = 'ENWIKI'", false, false},
		{"UPDATE " + f.Table("localuser") + " SET lu_wiki = 'enwiki'", false, true},
	} {
		if test.change != "" {
			f.Exec(t, test.change)
		}
		facts, err := s.Lookup(t.Context(), f.oauth1)
		if err != nil || facts.User == nil {
			t.Fatalf("%s: %+v, %v", test.change, facts.User, err)
		}
		if u := facts.User; u.Local != test.local || u.Attached != test.attached || (len(u.Groups) == 0) == (u.Local || u.Attached) ||
			(u.Blocked != 0) != u.Local {
			t.Errorf("%s: %+v, want local %v, attached %v", test.change, u, test.local, test.attached)
		}
	}
}
