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

func (dialect) Equal(column, value string) string { return column + " = " + value }

// Bind replaces what no text of PostgreSQL can hold: NUL, and bytes that are not
// UTF-8. The server would refuse the statement because of them. What is found
// for the replacement is not what was asked for, and the caller compares.
func (dialect) Bind(values []string) (expressions []string, args []any) {
	for i, v := range values {
		expressions = append(expressions, "$"+strconv.Itoa(i+1))
		args = append(args, strings.ReplaceAll(strings.ToValidUTF8(v, "\uFFFD"), "\x00", "\uFFFD"))
	}
	return expressions, args
}

func (dialect) Begin() string { return "BEGIN" }

func (dialect) Lock() string { return " FOR UPDATE" }

func (dialect) Grantee(account string) string {
	return `"` + strings.ReplaceAll(account, `"`, `""`) + `"`
}
