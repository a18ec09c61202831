package recording

import (
	_ "embed" // of the rows
	"strings"
	"sync"
)

// SQL is the database of the recorded wiki, for MariaDB: definitions of tables of
// our own, and MediaWiki's rows.
//
//go:embed db.sql
var SQL string

// kind is what a column of the recorded wiki holds.
type kind int

const (
	unknown kind = iota
	number
	serial // a number that the database counts
	text
	timestamp // 14 digits, or "infinity"; a TIMESTAMPTZ in PostgreSQL
)

// schema is what the definitions of the recorded tables say.
type schema struct {
	columns map[string][]string // of a table, in order
	kinds   map[string]kind     // of a column: names of columns differ between tables
}

// recordedSchema returns the schema of SQL.
var recordedSchema = sync.OnceValue(func() schema {
	s := schema{map[string][]string{}, map[string]kind{}}
	statements, err := tokenize(SQL)
	if err != nil {
		panic(err) // the text is in this package
	}
	for _, tokens := range statements {
		if !tokens[0].is("CREATE") {
			continue
		}
		d, err := parseDefinition(tokens)
		if err != nil {
			panic(err)
		}
		for _, c := range d.columns {
			s.columns[d.table] = append(s.columns[d.table], c.name)
			s.kinds[c.name] = c.kind
		}
	}
	return s
})

// kindOf returns the kind of a column by its name, in any case.
func (s schema) kindOf(column string) kind { return s.kinds[strings.ToLower(column)] }

// isTable reports whether the recorded wiki has a table of the name.
func (s schema) isTable(name string) bool { return s.columns[strings.ToLower(name)] != nil }

// serialOf returns the column of a table that the database counts; empty: none.
func (s schema) serialOf(table string) string {
	for _, c := range s.columns[strings.ToLower(table)] {
		if s.kinds[c] == serial {
			return c
		}
	}
	return ""
}
