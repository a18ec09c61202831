package postgres

import (
	"strconv"
	"strings"
)

type dialect struct{}

func (dialect) Quote() string { return `"` }

func (dialect) Databases() bool { return true }

// OldUserTable is the name up to 1.36, which wikis keep whose tables were not
// updated since.
func (dialect) OldUserTable() string { return "mwuser" }

func (dialect) Text(expression string) string { return "CAST(" + expression + " AS text)" }

// Time writes what is infinite as PostgreSQL does: "infinity" is the word of
// MediaWiki's other databases too.
func (dialect) Time(column string) string {
	return "CASE WHEN isfinite(" + column + ") THEN to_char(" + column + " AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISS') " +
		"ELSE CAST(" + column + " AS text) END"
}

// StoredTime names the zone, because the session has one of its own.
func (dialect) StoredTime(value string) string {
	return "to_timestamp(" + value + " || '+00', 'YYYYMMDDHH24MISSTZH')"
}

func (dialect) Equal(column, value string) string { return column + " = " + value }

// Bind replaces what no text of PostgreSQL can hold: NUL, and bytes that are not
// UTF-8. The server would refuse the statement because of them. What is found
// for the replacement is not what was asked for, and the caller compares.
func (dialect) Bind(values []string) (expressions []string, args []any) {
	for i, v := range values {
		expressions = append(expressions, "$"+strconv.Itoa(i+1))
		args = append(args, held(v))
	}
	return expressions, args
}

func held(value string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(value, "\uFFFD"), "\x00", "\uFFFD")
}

func (dialect) Holds(value string) bool { return held(value) == value }

// Begin names the level at which each statement sees what was committed before
// it. At a higher one a transaction would not see what the holder of a row that
// it waited for has written elsewhere.
func (dialect) Begin() string { return "BEGIN ISOLATION LEVEL READ COMMITTED" }

func (dialect) Lock() string { return " FOR UPDATE" }

func (dialect) Grantee(account string) string {
	return `"` + strings.ReplaceAll(account, `"`, `""`) + `"`
}
