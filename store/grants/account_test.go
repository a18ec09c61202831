package grants_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/grants"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// everything calls every method, so that each right is needed by one.
func (s *scene) everything(t *testing.T, tables authserver.Tables) error {
	ctx := t.Context()
	run := func() error {
		_, err := tables.Consumer(ctx, s.app2.Key)
		if err != nil {
			return err
		}
		if _, err = tables.ConsumerByID(ctx, 1); err != nil {
			return err
		}
		if _, err = tables.UserByID(ctx, s.alice); err != nil {
			return err
		}
		if _, err = tables.UserByName(ctx, "Alice"); err != nil {
			return err
		}
		if _, err := tables.Accept(ctx, s.approval(s.alice, s.app2)); err != nil {
			return err
		}
		a, err := tables.Accept(ctx, s.approval(s.alice, s.app2))
		if err != nil {
			return err
		}
		if _, err := tables.Acceptances(ctx, s.alice, 2); err != nil {
			return err
		}
		if _, err := tables.AcceptancesOf(ctx, s.alice, 2); err != nil {
			return err
		}
		first, need := token(a, "basic")
		if err := tables.IssueToken(ctx, first, need); err != nil {
			return err
		}
		if _, err := tables.Token(ctx, first.JTI); err != nil {
			return err
		}
		next, _ := token(a)
		if err := tables.RefreshToken(ctx, first.JTI, next, need); err != nil {
			return err
		}
		if _, err := tables.RevokeFamily(ctx, next.JTI[:40]); err != nil {
			return err
		}
		_, _, err = tables.Withdraw(ctx, s.alice, a.ID)
		return err
	}
	err := run()
	s.clear(t)
	return err
}

// TestEachRight takes away each right that docs/database.md grants: something
// fails, and names the GRANT statement that is needed.
func TestEachRight(t *testing.T) {
	for _, name := range []string{"MariaDB 1.39", "MariaDB 1.43", "MariaDB 1.35 CentralAuth", "MariaDB 1.47 CentralAuth prefixed, OAuth apart"} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, storetest.Named(t, name))
			cfg := s.Writer(t)
			if err := s.everything(t, openTables(t, s.Wiki, cfg)); err != nil {
				t.Fatal(err)
			}
			for table, rights := range storetest.WriterRights(t, s.Backend) {
				for _, right := range rights {
					if right == "SELECT (user_email)" || right == "SELECT (user_real_name)" {
						continue // optional: see TestProfiles of package store
					}
					t.Run(table+" "+right, func(t *testing.T) {
						s.Revoke(t, table, right)
						s.wantGrant(t, s.everything(t, openTables(t, s.Wiki, cfg)), table, right)
					})
				}
			}
		})
	}
}

func (s *scene) wantGrant(t *testing.T, err error, table, right string) {
	t.Helper()
	missing, ok := errors.AsType[*store.SchemaError](err)
	if !ok || validator.FailureOf(err) != validator.TableFailure {
		t.Fatalf("got %v", err)
	}
	kind, column, _ := strings.Cut(strings.TrimSuffix(right, ")"), " (")
	named := slices.ContainsFunc(missing.Grants, func(grant string) bool {
		_, after, found := strings.Cut(grant, kind)
		if list, _, ok := strings.Cut(after, ")"); found && ok && column != "" {
			found = slices.Contains(strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' || r == '(' }), column)
		}
		return found && strings.Contains(grant, " ON "+s.Table(table)+" TO '"+storetest.WriterUser+"'@'%'")
	})
	if !named {
		t.Errorf("no statement grants %s on %s: %v", right, table, err)
	}
	if table == "global_user_groups" && kind == right {
		return // the message asks for a column that 1.35 does not have
	}
	// The statement does what it says.
	for _, grant := range missing.Grants {
		mariadb.Start(t).Exec(t, grant)
	}
	if err := s.everything(t, openTables(t, s.Wiki, s.config)); err != nil {
		t.Errorf("after what the message says was done: %v", err)
	}
}

// TestRightsAreDocumented compares what messages tell with what the page grants.
func TestRightsAreDocumented(t *testing.T) {
	documented := storetest.WriterRights(t, storetest.Named(t, "MariaDB 1.39"))
	for table, told := range grants.Rights {
		got, want := storetest.SplitRights(told), documented[table]
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: messages tell %q, docs/database.md grants %q", table, got, want)
		}
	}
}

// TestAccountCannotWriteElse tries what an attacker with the account's password
// would like to write.
func TestAccountCannotWriteElse(t *testing.T) {
	s := only(t)
	db := openDB(t, s.config.DSN)
	for _, statement := range []string{
		"UPDATE oauth_registered_consumer SET oarc_stage = 1", "INSERT INTO oauth_registered_consumer (oarc_id) VALUES (9)",
		"DELETE FROM oauth_registered_consumer", "UPDATE user SET user_name = 'x'", "DELETE FROM user",
		"INSERT INTO user (user_id, user_name) VALUES (9, 'x')", "INSERT INTO user_groups (ug_user, ug_group) VALUES (3, 'sysop')",
		"UPDATE oauth_accepted_consumer SET oaac_access_secret = ''", "UPDATE oauth_accepted_consumer SET oaac_user_id = 4",
		"UPDATE oauth2_access_tokens SET oaat_acceptance_id = 1", "UPDATE oauth2_access_tokens SET oaat_expires = ''",
		"DELETE FROM ipblocks", "DROP TABLE oauth2_access_tokens", "CREATE TABLE x (x INT)", "TRUNCATE oauth2_access_tokens",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "denied") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// TestErrorsKeepSecrets makes statements fail that hold secrets.
func TestErrorsKeepSecrets(t *testing.T) {
	s := only(t)
	a := s.approval(s.alice, s.app2)
	row, need := token(s.accept(t, s.approval(s.bob, s.app2)), "basic")
	for _, table := range []string{"oauth_accepted_consumer", "oauth2_access_tokens"} {
		s.Exec(t, "ALTER TABLE "+s.Table(table)+" ADD CONSTRAINT never CHECK ("+
			map[string]string{"oauth_accepted_consumer": "oaac_user_id > 3", "oauth2_access_tokens": "oaat_revoked > 7"}[table]+")")
	}
	_, err := s.Accept(t.Context(), a)
	for what, err := range map[string]error{
		"accept": err, "issue": s.IssueToken(t.Context(), row, need),
	} {
		if err == nil || !strings.Contains(err.Error(), "error 4025 of the server") || validator.FailureOf(err) != validator.KeyFailure {
			t.Errorf("%s: %v", what, err)
		} else {
			noSecrets(t, err, a.Token, a.Secret, row.JTI)
		}
	}
	s.Exec(t, "DROP TABLE "+s.Table("oauth2_access_tokens"))
	if _, err := s.Token(t.Context(), row.JTI); validator.FailureOf(err) != validator.TableFailure {
		t.Errorf("without the table: %v", err)
	}
	noSecrets(t, err, row.JTI)
}

// TestPrimaryAlone holds that no replica is configured.
func TestPrimaryAlone(t *testing.T) {
	_, err := grants.Open(store.Config{Driver: wikidb.MySQL, DSN: "u:p@tcp(h)/d", Replicas: []string{"u:p@tcp(h)/d"}})
	if err == nil || !strings.Contains(err.Error(), "the primary alone") {
		t.Errorf("got %v", err)
	}
}

// TestReadOnlyServer is a primary that was demoted.
func TestReadOnlyServer(t *testing.T) {
	s, server := only(t), mariadb.Start(t)
	server.Exec(t, "SET GLOBAL read_only = ON")
	t.Cleanup(func() { server.Exec(t, "SET GLOBAL read_only = OFF") })
	if _, err := s.Accept(t.Context(), s.approval(s.alice, s.app1)); validator.FailureOf(err) != validator.ServerFailure {
		t.Errorf("got %v of class %v", err, validator.FailureOf(err))
	}
	server.Exec(t, "SET GLOBAL read_only = OFF")
	s.accept(t, s.approval(s.alice, s.app1))
}
