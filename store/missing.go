package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Missing says that a table or a column is not there, or may not be read.
type Missing struct {
	Message string // the server's; it names the table or the column
	Column  bool   // a column is meant
	// Denied says that it is not granted. Servers say so of any table that is
	// not granted, whether it is there or not.
	Denied bool
	// Grant is what must be granted, up to TO, where that is not the table or
	// the column; else empty.
	Grant string
	// Sequence is what counts the ids of one of the OAuth tables, where that is
	// denied; else empty.
	Sequence string
}

// owners maps the beginnings of the names of columns to their tables.
var owners = map[string]string{
	"oarc": "oauth_registered_consumer", "oaac": "oauth_accepted_consumer", "oaat": "oauth2_access_tokens",
	"user": "user", "ug": "user_groups", "ipb": "ipblocks", "bl": "block", "bt": "block_target",
	"gu": "globaluser", "lu": "localuser", "gug": "global_user_groups",
}

// object finds which table is missing, or which column of which table: the last
// word of the message that is the name of one. The user's name may stand before
// it, and be the same.
func (m Missing) object(w *Wiki) (table, column string) {
	words := strings.FieldsFunc(m.Message, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
	for _, word := range slices.Backward(words) {
		table := strings.TrimPrefix(word, w.TablePrefix)
		if slotOf(table) == noSlot || slotOf(table) == slotOAuth {
			table = strings.TrimPrefix(word, w.oauthPrefix())
		}
		isTable := slotOf(table) != noSlot
		owner, _, _ := strings.Cut(word, "_")
		switch {
		case m.Column && !isTable && owners[owner] != "":
			return owners[owner], word
		case !m.Column && isTable:
			return table, ""
		}
	}
	return "", ""
}

// SchemaError says that a wiki's tables are not what they should be: one of
// them, or a column, is missing or not granted. It says what to do, and goes
// away once that is done.
type SchemaError struct {
	Wiki    string // wiki id
	Account string // whom the server takes us for, such as 'gateway'@'10.0.0.%'; empty: it knows no accounts
	Message string // the server's
	// Grants are statements that let the account read what is missing, when it
	// is there.
	Grants []string
	// table and column are what is missing. Without a column it is the table, or
	// the server does not tell which column.
	table, column string
	// OfRelease says that other releases do not have what is missing.
	OfRelease bool
}

func (e *SchemaError) Error() string {
	if e.Account == "" {
		return fmt.Sprintf("wiki %q: missing: %s", e.Wiki, e.Message)
	}
	text := fmt.Sprintf("wiki %q: missing, or not granted to %s: %s: when it is there, %s",
		e.Wiki, e.Account, e.Message, strings.Join(e.Grants, "; "))
	if e.OfRelease {
		text += "; when the tables are of a release that has none, name that release with `mediawiki`"
	}
	return text + "; see docs/database.md"
}

// refusal is what a server said when it was asked for tables of a variant.
type refusal struct {
	variant schemaVariant
	missing Missing
}

// chooseRefusal chooses, of the refusals of both ways of a bit, the one to
// tell: a table that is denied, rather than one that is known to be missing;
// else the release's. The last refusal is the one to tell where no bit is in
// question.
func chooseRefusal(refusals []refusal, bit, suggested schemaVariant) refusal {
	last := refusals[len(refusals)-1]
	for _, r := range refusals {
		if (r.variant^last.variant)&bit == 0 {
			continue
		}
		if r.missing.Denied && !last.missing.Denied || r.missing.Denied == last.missing.Denied && (r.variant^suggested)&bit == 0 {
			return r
		}
	}
	return last
}

// explain makes the error for the operator.
func (q *query) explain(ctx context.Context, on *server, conn *sql.Conn, r refusal) error {
	e := q.store.schemaError(ctx, q.stage.pool, on, conn, r.missing, func(table string) string {
		return "SELECT (" + strings.Join(q.store.columns(r.variant, q.kind.profile)[table], ", ") + ")"
	})
	e.OfRelease = r.missing.Denied && q.variantTableOf(r.variant, r.missing) >= 0
	return e
}

// schemaError names the GRANT statement that is needed if what is missing is
// there. rights returns what the statement grants of a table.
func (s *Store) schemaError(
	ctx context.Context, p *Pool, on *server, conn *sql.Conn, m Missing, rights func(table string) string,
) *SchemaError {
	e := &SchemaError{Wiki: s.wiki.ID, Account: on.account(ctx, conn, p.driver), Message: m.Message}
	table, column := m.object(&s.wiki)
	e.table, e.column = plainName(table), column
	switch {
	case e.Account != "" && m.Grant != "":
		e.Grants = []string{"GRANT " + m.Grant + " TO " + e.Account}
		return e
	case e.Account != "" && m.Sequence != "":
		quote := p.dialect.Quote()
		e.Grants = []string{"GRANT USAGE ON SEQUENCE " + quote + p.oauthDatabase() + quote + "." + quote + m.Sequence + quote + " TO " + e.Account}
		return e
	case e.Account == "" || table == "":
		return e
	}
	needed := []string{table}
	if table == "block" || table == "block_target" { // of no use without each other
		needed = []string{"block", "block_target"}
	}
	for _, table := range needed {
		quote := p.dialect.Quote()
		name := s.names[slotOf(table)] + table + quote
		if !strings.Contains(name, ".") {
			name = quote + on.Database + quote + "." + name
		}
		e.Grants = append(e.Grants, fmt.Sprintf("GRANT %s ON %s TO %s", rights(plainName(table)), name, e.Account))
	}
	return e
}

// slotOf is where the table's qualifier stands in a statement.
func slotOf(table string) slot {
	switch table {
	case "oauth_registered_consumer", "oauth_accepted_consumer", "oauth2_access_tokens":
		return slotOAuth
	case "globaluser", "localuser", "global_user_groups":
		return slotCentral
	case "user", "mwuser", "user_groups", "ipblocks", "block", "block_target":
		return slotWiki
	}
	return noSlot
}

// plainName is the name of a table that does not depend on the dialect.
func plainName(table string) string {
	if table == "mwuser" {
		return "user"
	}
	return table
}

var columnName = regexp.MustCompile(`\b[a-z]+\.([a-z0-9]+)_[a-z0-9_]+`)

// columns are the columns that lookups read of tables of the variant, by table.
func (s *Store) columns(requested schemaVariant, profile profileLevel) map[string][]string {
	sets := map[string]map[string]bool{}
	for _, protocol := range []validator.Protocol{validator.OAuth1, validator.OAuth2} {
		f := s.statementKind(oauthTables|centralTables|wikiTables, protocol, requested)
		f.profile = profile
		if s.wiki.Users == validator.LocalUsers {
			f.tableSets &^= centralTables
		}
		for _, match := range columnName.FindAllStringSubmatch(f.text(), -1) {
			table := owners[match[1]]
			if sets[table] == nil {
				sets[table] = map[string]bool{}
			}
			_, column, _ := strings.Cut(match[0], ".")
			sets[table][column] = true
		}
	}
	columns := map[string][]string{}
	for table, set := range sets {
		columns[table] = slices.Sorted(maps.Keys(set))
	}
	return columns
}

// account asks the server whom it takes us for, once. An answer that does not
// come leaves the DSN's user.
func (s *server) account(ctx context.Context, conn *sql.Conn, d Driver) string {
	ask := d.Account()
	if ask == "" {
		return ""
	}
	s.accountMu.Lock()
	defer s.accountMu.Unlock()
	if s.accountName == "" {
		var name string
		if err := conn.QueryRowContext(ctx, ask).Scan(&name); err != nil {
			return d.Dialect().Grantee(s.User)
		}
		s.accountName = d.Dialect().Grantee(name)
	}
	return s.accountName
}
