package recording

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// definition is a CREATE TABLE.
type definition struct {
	table   string
	columns []columnDefinition
	keys    [][]token // of several columns
}

type columnDefinition struct {
	name string
	kind kind
	typ  string // MariaDB's
	rest []token
}

var errDefinition = errors.New("a table is defined as: CREATE TABLE [IF NOT EXISTS] <name> (<columns and keys>) [options]")

func parseDefinition(tokens []token) (d definition, err error) {
	if len(tokens) < 2 || !tokens[1].is("TABLE") {
		return d, errDefinition
	}
	if rest := tokens[2:]; len(rest) > 3 && rest[0].is("IF") {
		tokens = tokens[3:] // IF NOT EXISTS
	}
	if len(tokens) < 4 || !tokens[2].isName() || !tokens[3].isSign("(") {
		return d, errDefinition
	}
	d.table = strings.ToLower(tokens[2].text)
	items, err := bracketed(tokens[3:])
	if err != nil {
		return d, err
	}
	for _, item := range items {
		switch {
		case item[0].is("PRIMARY"):
			d.keys = append(d.keys, item)
		case item[0].is("UNIQUE"):
			open := slices.IndexFunc(item, func(t token) bool { return t.isSign("(") })
			if open < 0 {
				return d, errDefinition
			}
			d.keys = append(d.keys, append([]token{{word, "UNIQUE"}}, item[open:]...))
		case item[0].is("KEY", "INDEX"):
		default:
			c, err := parseColumn(item)
			if err != nil {
				return d, err
			}
			d.columns = append(d.columns, c)
		}
	}
	return d, nil
}

// bracketed returns what stands between the first bracket and its end, divided at
// the commas.
func bracketed(tokens []token) (items [][]token, err error) {
	depth, start := 0, 1
	for i, t := range tokens {
		switch {
		case t.isSign("("):
			depth++
		case t.isSign(")"):
			depth--
		}
		if depth == 0 || depth == 1 && t.isSign(",") {
			if i == start {
				return nil, errDefinition
			}
			items, start = append(items, tokens[start:i]), i+1
		}
		if depth == 0 {
			return items, nil
		}
	}
	return nil, errDefinition
}

func parseColumn(item []token) (c columnDefinition, err error) {
	if len(item) < 2 || !item[0].isName() || item[1].kind != word {
		return c, errDefinition
	}
	c = columnDefinition{name: strings.ToLower(item[0].text), typ: strings.ToUpper(item[1].text), rest: item[2:]}
	if len(c.rest) >= 3 && c.rest[0].isSign("(") {
		c.typ += "(" + c.rest[1].text + ")"
		c.rest = c.rest[3:]
	}
	if len(c.rest) > 0 && c.rest[0].is("UNSIGNED") {
		c.rest = c.rest[1:]
	}
	switch {
	case c.typ == "BINARY(14)" || c.typ == "VARBINARY(14)":
		c.kind = timestamp
	case strings.HasSuffix(c.typ, "INT"):
		c.kind = number
		if slices.ContainsFunc(c.rest, func(t token) bool { return t.is("AUTO_INCREMENT") }) {
			c.kind = serial
		}
	case strings.HasSuffix(c.typ, "BLOB") || strings.HasPrefix(c.typ, "VARBINARY(") || strings.HasPrefix(c.typ, "VARCHAR("):
		c.kind = text
	default:
		return c, fmt.Errorf("a column of type %q is not translated", c.typ)
	}
	return c, nil
}

// types are those of MediaWiki's own tables, as internal/wikidb has them.
var types = map[string]map[kind]string{
	wikidb.SQLite: {
		number: "INTEGER", serial: "INTEGER PRIMARY KEY AUTOINCREMENT", text: "BLOB", timestamp: "BLOB",
	},
	wikidb.Postgres: {
		number: "INT", serial: "SERIAL PRIMARY KEY", text: "TEXT", timestamp: "TIMESTAMPTZ",
	},
}

func (w *writing) define() ([]string, error) {
	d, err := parseDefinition(w.tokens)
	if err != nil {
		return nil, err
	}
	w.write("CREATE TABLE")
	w.name(d.table)
	w.write("(")
	for i, c := range d.columns {
		if i > 0 {
			w.write(",")
		}
		w.write(c.name)
		if c.kind == text && strings.HasPrefix(c.typ, "VARCHAR") && w.driver == wikidb.SQLite {
			w.write(c.typ)
		} else {
			w.write(types[w.driver][c.kind])
		}
		if c.kind == serial {
			continue // the rest is said
		}
		if err := w.rest(c.rest); err != nil {
			return nil, err
		}
	}
	for _, key := range d.keys {
		w.write(",")
		if err := w.rest(key); err != nil {
			return nil, err
		}
	}
	w.write(")")
	return []string{w.out.String()}, nil
}
