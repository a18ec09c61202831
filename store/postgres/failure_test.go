package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func pgError(code, message string) error {
	return fmt.Errorf("query: %w", &pgconn.PgError{Severity: "ERROR", Code: code, Message: message})
}

func TestFailure(t *testing.T) {
	for _, test := range []struct {
		err  error
		want validator.Failure
	}{
		{pgError("53300", "too many connections for role"), validator.LimitFailure},
		{pgError("08P01", "no more connections allowed (max_client_conn)"), validator.LimitFailure},
		{pgError("08006", "connection failure"), validator.ServerFailure},
		{pgError("57P01", "terminating connection due to administrator command"), validator.ServerFailure},
		{pgError("57P03", "the database system is starting up"), validator.ServerFailure},
		{pgError("57014", "canceling statement due to statement timeout"), validator.ServerFailure},
		{pgError("53200", "out of memory"), validator.ServerFailure},
		{pgError("53100", "disk full"), validator.ServerFailure},
		{pgError("58030", "io error"), validator.ServerFailure},
		{pgError("28P01", "password authentication failed"), validator.ServerFailure},
		{pgError("40001", "canceling statement due to conflict with recovery"), validator.ServerFailure},
		{pgError("42501", "permission denied for table x"), validator.TableFailure},
		{pgError("42P01", "no relation"), validator.TableFailure},
		{pgError("42703", "no column"), validator.TableFailure},
		{pgError("XX001", "invalid page in block 0"), validator.TableFailure},
		{pgError("XX002", "index is corrupted"), validator.TableFailure},
		{pgError("22P02", "invalid input syntax"), validator.KeyFailure},
		{pgError("42883", "operator does not exist"), validator.KeyFailure},
		{pgError("XX000", "internal"), validator.KeyFailure},
		{pgError("", ""), validator.KeyFailure},
		{pgconn.ErrConnClosed, validator.ServerFailure},
		{errors.New("other"), validator.KeyFailure},
	} {
		if got := (driver{}).Failure(test.err); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
	}
}

func TestConflict(t *testing.T) {
	for code, want := range map[string]store.Conflict{
		"23505": store.DuplicateRow, "40001": store.LostRace, "40P01": store.LostRace, "55P03": store.LostRace,
		"23503": store.NoConflict, "42P01": store.NoConflict,
	} {
		if got := (driver{}).Conflict(pgError(code, "x")); got != want {
			t.Errorf("%s: %v, want %v", code, got, want)
		}
	}
}

// TestExplain wants messages that may quote a value left out.
func TestExplain(t *testing.T) {
	for code, told := range map[string]bool{
		"22P02": false, "22021": false, "42601": false, "XX000": false, "": false,
		"53300": true, "28P01": true, "3D000": true, "57P03": true, "42501": true, "42P01": true,
	} {
		if got := strings.Contains(driver{}.Explain(pgError(code, "s3cr3t")).Error(), "s3cr3t"); got != told {
			t.Errorf("%q: the message is told: %v, want %v", code, got, told)
		}
	}
}

func TestMissingSchema(t *testing.T) {
	m := driver{}.Missing(pgError("42501", "permission denied for schema central-auth"))
	if m == nil || m.Grant != `USAGE ON SCHEMA "central-auth"` || !m.Denied {
		t.Errorf("%+v", m)
	}
}

// FuzzBind wants values that every text of PostgreSQL can hold, which are the
// values themselves where those can be held.
func FuzzBind(f *testing.F) {
	for _, seed := range []string{"", "abc", "a\x00b", "\xff", "\xed\xa0\x80", "é", "\uFFFD", "\xc0\xaf", "\x00\xff\x00", "日本"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		expressions, args := dialect{}.Bind([]string{"first", value})
		bound, ok := args[1].(string)
		switch {
		case !ok || expressions[1] != "$2":
			t.Errorf("%q: %v, %v", value, expressions, args)
		case !utf8.ValidString(bound) || strings.Contains(bound, "\x00"):
			t.Errorf("%q is bound as %q", value, bound)
		case utf8.ValidString(value) && !strings.Contains(value, "\x00") && bound != value:
			t.Errorf("%q is bound as %q", value, bound)
		}
	})
}
