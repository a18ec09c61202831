package recording

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// Translate reads statements that were written for MariaDB and its tables of SQL,
// and writes them for SQLite or PostgreSQL. What it cannot translate is an error:
// there is no statement that it passes on unread. For MariaDB it returns them as
// they are.
func Translate(driver, statements string) (translated []string, err error) {
	if driver == wikidb.MySQL {
		return []string{statements}, nil
	}
	list, err := tokenize(statements)
	if err != nil {
		return nil, err
	}
	for _, tokens := range list {
		w := &writing{driver: driver, schema: recordedSchema(), tokens: tokens}
		out, err := w.statement()
		if err != nil {
			return nil, err
		}
		translated = append(translated, out...)
	}
	return translated, nil
}

// writing is one statement on its way.
type writing struct {
	driver string
	schema
	tokens []token
	out    strings.Builder

	column  string   // what the next literal is compared with, or stored in
	columns []string // where the values of an INSERT go
	place   int      // the index in columns
	depth   int      // of brackets
	base    int      // the depth at which the values of an INSERT stand
}

func (w *writing) statement() ([]string, error) {
	switch first := w.tokens[0]; {
	case first.is("SET") && len(w.tokens) > 1 && w.tokens[1].is("NAMES"):
		return nil, nil // both others have UTF-8
	case first.is("CREATE"):
		return w.define()
	case first.is("RENAME"):
		return w.rename()
	case first.is("START", "BEGIN"):
		return []string{"BEGIN"}, nil
	case first.is("COMMIT", "ROLLBACK"):
		return []string{strings.ToUpper(first.text)}, nil
	case first.is("INSERT"):
		return w.insert()
	case first.is("SELECT", "UPDATE", "DELETE"):
		err := w.rest(w.tokens)
		return []string{w.out.String()}, err
	default:
		return nil, fmt.Errorf("a statement that begins with %q is not translated", first.text)
	}
}

// insert writes an INSERT. PostgreSQL does not count a value that a statement gives
// itself, as MariaDB does, so that its counter is moved.
func (w *writing) insert() ([]string, error) {
	tokens := w.tokens[1:]
	ignore := len(tokens) > 0 && tokens[0].is("IGNORE")
	if ignore {
		tokens = tokens[1:]
	}
	if len(tokens) < 2 || !tokens[0].is("INTO") || !w.isTable(tokens[1].text) {
		return nil, errors.New("an INSERT is translated as: INSERT [IGNORE] INTO <recorded table> [(columns)] VALUES or SELECT")
	}
	table := strings.ToLower(tokens[1].text)
	begin := "INSERT INTO"
	if ignore && w.driver == wikidb.SQLite {
		begin = "INSERT OR IGNORE INTO"
	}
	w.write(begin)
	w.name(tokens[1].text)
	tokens = tokens[2:]
	w.columns = w.schema.columns[table]
	if len(tokens) > 0 && tokens[0].isSign("(") {
		w.columns = nil
		for len(tokens) > 0 {
			t := tokens[0]
			tokens = tokens[1:]
			if t.isName() {
				w.columns = append(w.columns, t.text)
			}
			w.token(t)
			if t.isSign(")") {
				break
			}
		}
	}
	w.column = ""
	if len(tokens) > 0 && tokens[0].is("VALUES", "VALUE") {
		w.base = 1
	}
	if err := w.rest(tokens); err != nil {
		return nil, err
	}
	if w.driver != wikidb.Postgres {
		return []string{w.out.String()}, nil
	}
	if ignore {
		w.write("ON CONFLICT DO NOTHING")
	}
	out := []string{w.out.String()}
	if column := w.serialOf(table); column != "" {
		out = append(out, fmt.Sprintf(`DO $$ DECLARE s TEXT := pg_get_serial_sequence('"%s"', '%s'); BEGIN `+
			`PERFORM setval(s, GREATEST(nextval(s), (SELECT MAX(%s) + 1 FROM "%s")), false); END $$`, table, column, column, table))
	}
	return out, nil
}

// rest writes tokens, each literal as its column needs it.
func (w *writing) rest(tokens []token) error {
	for i, t := range tokens {
		w.follow(t)
		if t.kind != literal && t.kind != digits {
			w.token(t)
			continue
		}
		value, err := w.literal(t)
		if err != nil {
			return err
		}
		w.write(value)
		if w.driver == wikidb.SQLite && i > 0 && tokens[i-1].is("LIKE") {
			w.write(`ESCAPE '\'`)
		}
	}
	return nil
}

// follow keeps track of the column that the next literal belongs to.
func (w *writing) follow(t token) {
	switch {
	case t.isSign("("):
		w.depth++
		if w.depth == w.base {
			w.place = 0
		}
	case t.isSign(")"):
		w.depth--
	case t.isSign(",") && w.depth == w.base:
		w.place++
	case t.is("FROM") && w.depth == w.base:
		w.columns, w.column = nil, ""
	case t.is("SELECT", "WHERE", "SET", "OR", "LIMIT", "ORDER", "GROUP", "HAVING", "ON", "FROM"):
		w.column = ""
	case t.isName() && w.kindOf(t.text) != unknown:
		w.column = t.text
	}
	if w.columns != nil && w.place < len(w.columns) {
		w.column = w.columns[w.place]
	}
}

// token writes a token that is not a literal.
func (w *writing) token(t token) {
	switch {
	case t.kind == name, t.kind == word && w.isTable(t.text):
		w.name(t.text)
	case t.isSign("||"):
		w.write("OR")
	case t.isSign("&&"):
		w.write("AND")
	default:
		w.write(t.text)
	}
}

// literal writes a value. Numbers are texts in columns of texts, as MariaDB
// compares and stores them.
func (w *writing) literal(t token) (string, error) {
	kind := w.kindOf(w.column)
	if t.kind == digits && kind != text && kind != timestamp {
		return t.text, nil
	}
	value := t.text
	if w.driver == wikidb.Postgres {
		if strings.ContainsRune(value, 0) {
			return "", errors.New("a text of PostgreSQL cannot hold a NUL")
		}
		if kind == timestamp && isDigits(value) {
			at, err := time.Parse(stored, value)
			if err != nil {
				return "", fmt.Errorf("%s: %q is not a time", w.column, value)
			}
			value = at.Format("2006-01-02 15:04:05") + "+00"
		}
	}
	return w.quote(value), nil
}

// stored is how MediaWiki's tables hold a time on MariaDB and SQLite.
const stored = "20060102150405"

// quote writes a text. SQLite ends a statement at a NUL.
func (w *writing) quote(value string) string {
	if strings.ContainsRune(value, 0) {
		return fmt.Sprintf("CAST(x'%x' AS TEXT)", value)
	}
	return "'" + strings.ReplaceAll(value, "'", "''") + "'"
}

// name writes the name of a table, or one that was quoted. PostgreSQL takes "user"
// without quotes for the account.
func (w *writing) name(name string) {
	if w.driver == wikidb.Postgres {
		w.write(`"` + strings.ReplaceAll(name, `"`, `""`) + `"`)
		return
	}
	w.write("`" + name + "`")
}

func (w *writing) write(text string) {
	if w.out.Len() > 0 {
		w.out.WriteByte(' ')
	}
	w.out.WriteString(text)
}

// rename writes a RENAME TABLE: one statement for each table.
func (w *writing) rename() (out []string, err error) {
	rest := w.tokens[1:]
	if len(rest) == 0 || !rest[0].is("TABLE") {
		return nil, errors.New("RENAME is translated for a TABLE alone")
	}
	for {
		rest = rest[1:]
		if len(rest) < 3 || !rest[0].isName() || !rest[1].is("TO") || !rest[2].isName() {
			return nil, errors.New("RENAME TABLE is translated as: <name> TO <name>, …")
		}
		w.out.Reset()
		w.write("ALTER TABLE")
		w.name(rest[0].text)
		w.write("RENAME TO")
		w.name(rest[2].text)
		out, rest = append(out, w.out.String()), rest[3:]
		if len(rest) == 0 {
			return out, nil
		}
		if !rest[0].isSign(",") {
			return nil, errors.New("RENAME TABLE is translated as: <name> TO <name>, …")
		}
	}
}
