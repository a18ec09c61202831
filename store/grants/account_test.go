package grants_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/postgres"
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
	for _, name := range []string{ // a file has no rights
		"MariaDB 1.39", "MariaDB 1.43", "MariaDB 1.35 CentralAuth", "MariaDB 1.47 CentralAuth prefixed, OAuth apart",
		"PostgreSQL 1.39", "PostgreSQL 1.42", "PostgreSQL 1.47 prefixed, OAuth apart", "PostgreSQL 1.39 CentralAuth",
	} {
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
		return found && strings.Contains(grant, " ON "+s.Granted(table)+" TO "+s.Grantee())
	})
	if !named {
		t.Errorf("no statement grants %s on %s: %v", right, table, err)
	}
	if table == "global_user_groups" && kind == right {
		return // the message asks for a column that 1.35 does not have
	}
	// The statement does what it says.
	for _, grant := range missing.Grants {
		s.Exec(t, grant)
	}
	if err := s.everything(t, openTables(t, s.Wiki, s.config)); err != nil {
		t.Errorf("after what the message says was done: %v", err)
	}
}

// TestRightsAreDocumented compares what messages tell with what the page grants.
func TestRightsAreDocumented(t *testing.T) {
	for _, name := range []string{"MariaDB 1.39", "PostgreSQL 1.39"} {
		documented := storetest.WriterRights(t, storetest.Named(t, name))
		for table, told := range grants.Rights {
			got, want := storetest.SplitRights(told), documented[table]
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: messages tell %q, docs/database.md grants %q", name, table, got, want)
			}
		}
	}
}

// TestAccountCannotWriteElse tries what an attacker with the account's password
// would like to write.
func TestAccountCannotWriteElse(t *testing.T) {
	statements := []string{
		"UPDATE oauth_registered_consumer SET oarc_stage = 1", "INSERT INTO oauth_registered_consumer (oarc_id) VALUES (9)",
		"DELETE FROM oauth_registered_consumer", "UPDATE user SET user_name = 'x'", "DELETE FROM user",
		"INSERT INTO user (user_id, user_name) VALUES (9, 'x')", "INSERT INTO user_groups (ug_user, ug_group) VALUES (3, 'sysop')",
		"UPDATE oauth_accepted_consumer SET oaac_access_secret = ''", "UPDATE oauth_accepted_consumer SET oaac_user_id = 4",
		"UPDATE oauth2_access_tokens SET oaat_acceptance_id = 1", "UPDATE oauth2_access_tokens SET oaat_expires = NULL",
		"DELETE FROM ipblocks", "DROP TABLE oauth2_access_tokens", "CREATE TABLE x (x INT)", "TRUNCATE oauth2_access_tokens",
	}
	for name, others := range map[string][]string{
		"MariaDB 1.39": nil,
		"PostgreSQL 1.39": { // what reading a sequence's value would be of use for, and schemas of others
			"SELECT setval('oauth2_access_tokens_oaat_id_seq', 1)", "SELECT last_value FROM oauth_registered_consumer_oarc_id_seq",
			"CREATE TABLE public.x (x INT)", "CREATE SCHEMA x", "COPY oauth2_access_tokens FROM PROGRAM 'id'",
			"SELECT pg_read_file('/etc/passwd')",
		},
	} {
		s := newScene(t, storetest.Named(t, name))
		db := openDB(t, s.config)
		for _, statement := range append(others, statements...) {
			if s.Driver == wikidb.Postgres {
				statement = strings.Replace(statement, " user ", ` "user" `, 1)
				statement = strings.Replace(statement, "DELETE FROM user", `DELETE FROM "user"`, 1)
			}
			_, err := db.ExecContext(t.Context(), statement)
			if err == nil || !strings.Contains(err.Error(), "denied") && !strings.Contains(err.Error(), "SQLSTATE 42501") {
				t.Errorf("%s: %s: %v", name, statement, err)
			}
		}
	}
}

// TestErrorsKeepSecrets makes statements fail that hold secrets.
func TestErrorsKeepSecrets(t *testing.T) {
	for name, want := range map[string]string{
		"MariaDB 1.39": "error 4025 of the server", "PostgreSQL 1.39": "error 23514 of the server", "SQLite 1.39": "error 1811 of the file",
	} {
		t.Run(name, func(t *testing.T) { errorsKeepSecrets(t, newScene(t, storetest.Named(t, name)), want) })
	}
}

func errorsKeepSecrets(t *testing.T, s *scene, want string) {
	a := s.approval(s.alice, s.app2)
	row, need := token(s.accept(t, s.approval(s.bob, s.app2)), "basic")
	for _, table := range []string{"oauth_accepted_consumer", "oauth2_access_tokens"} {
		if s.Driver == wikidb.SQLite {
			s.Exec(t, "CREATE TRIGGER never_"+table+" BEFORE INSERT ON "+s.Table(table)+" BEGIN SELECT RAISE(ABORT, 'never'); END")
			continue
		}
		s.Exec(t, "ALTER TABLE "+s.Table(table)+" ADD CONSTRAINT never CHECK ("+
			map[string]string{"oauth_accepted_consumer": "oaac_user_id > 3", "oauth2_access_tokens": "oaat_revoked > 7"}[table]+")")
	}
	_, err := s.Accept(t.Context(), a)
	for what, err := range map[string]error{
		"accept": err, "issue": s.IssueToken(t.Context(), row, need),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || validator.FailureOf(err) != validator.KeyFailure {
			t.Errorf("%s: %v", what, err)
		} else {
			noSecrets(t, err, a.Token, a.Secret, row.JTI)
		}
	}
	s.Exec(t, "DROP TABLE "+s.Table("oauth2_access_tokens"))
	if _, err = s.Token(t.Context(), row.JTI); validator.FailureOf(err) != validator.TableFailure {
		t.Fatalf("without the table: %v", err)
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
	for name, change := range map[string]func(t *testing.T, on bool){
		"MariaDB 1.39": func(t *testing.T, on bool) {
			mariadb.Start(t).Exec(t, fmt.Sprintf("SET GLOBAL read_only = %t", on))
		},
		"PostgreSQL 1.39": func(t *testing.T, on bool) {
			postgres.Start(t).Exec(t, "", fmt.Sprintf("ALTER ROLE %s SET default_transaction_read_only = %t", storetest.WriterUser, on))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, storetest.Named(t, name))
			change(t, true)
			t.Cleanup(func() { change(t, false) })
			if _, err := openTables(t, s.Wiki, s.config).Accept(t.Context(), s.approval(s.alice, s.app1)); validator.FailureOf(err) != validator.ServerFailure {
				t.Errorf("got %v of class %v", err, validator.FailureOf(err))
			}
			change(t, false)
			if _, err := openTables(t, s.Wiki, s.config).Accept(t.Context(), s.approval(s.alice, s.app1)); err != nil {
				t.Error(err)
			}
		})
	}
}
