package store

import (
	"context"
	"database/sql"
	"math"
	"strconv"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Lookup finds what the tables say about the key: in one query, or in one for
// each server that the wiki's tables are on. OAuth 2 needs neither secrets nor
// the consumer's RSA key: they are left out then. A context that ends, and a
// server that cannot be asked, are errors; tables that are not what they should
// be are a *SchemaError among them.
func (s *Store) Lookup(ctx context.Context, key validator.Key) (validator.Facts, error) {
	if s.err != nil {
		return validator.Facts{}, s.err
	}
	consumer := s.consumerID(key.Consumer)
	credited, remembered := s.pool.known.state(consumer)
	from := source{client: clientID(key.Client)}
	if remembered { // keys that nobody has share one turn
		from.consumer = consumer
	}
	f := result{release: s.wiki.Release, central: s.wiki.Users == validator.CentralAuth, wiki: s.wiki.ID}
	for i := range s.stages {
		q, needed := s.query(&s.stages[i], key, &f)
		if !needed {
			break
		}
		// After the first stage the credential is known to exist.
		q.from, q.stranger = from, i == 0 && !credited
		var err error
		if f, err = s.stages[i].pool.read(ctx, q); err != nil {
			if validator.FailureOf(err) == validator.KeyFailure {
				s.pool.known.note(consumer, false)
			}
			return validator.Facts{}, err
		}
	}
	facts := f.facts(key)
	s.pool.known.note(consumer, facts.Positive() && facts.Consumer != nil)
	s.checkID(&facts)
	return facts, nil
}

// query is one stage of a lookup, ready to be asked of a server.
type query struct {
	store  *Store
	stage  *stage
	key    validator.Key
	kind   statementKind // but for its variant
	values [slots]string
	before *result // in the stages before

	from     source
	stranger bool // nothing says yet that the credential exists
}

// query prepares a stage, given what the stages before have found. It is not
// needed when it would ask for nobody.
func (s *Store) query(st *stage, key validator.Key, before *result) (q *query, needed bool) {
	q = &query{
		store: s, stage: st, key: key, kind: s.statementKind(st.tableSets, key.Protocol, 0), values: s.names, before: before,
	}
	q.kind.subject = key.Subject != 0 && st.tableSets != oauthTables
	q.values[slotSubject] = idText(key.Subject)
	q.values[slotWikiID] = s.wiki.ID
	if st.tableSets&oauthTables != 0 {
		// A key that is longer than its column matches no row. The servers need
		// not see the rest of it.
		maxToken := 32
		if key.Protocol == validator.OAuth2 {
			maxToken = 255
		}
		q.values[slotConsumer], q.values[slotToken] = clip(key.Consumer, 32), clip(key.Token, maxToken)
		return q, true
	}
	q.kind.protocol = validator.NoProtocol
	user := before.userID(key)
	q.kind.user = user != 0
	q.values[slotUser] = idText(user)
	if q.kind.central && st.tableSets&centralTables == 0 {
		q.values[slotUserName], q.values[slotSubjectName] = before.user.central.name, before.subject.central.name
		q.kind.user = q.kind.user && before.user.central.id == user
		q.kind.subject = q.kind.subject && before.subject.central.id == key.Subject
	}
	return q, q.kind.user || q.kind.subject
}

func (s *Store) statementKind(read tableSets, protocol validator.Protocol, variant schemaVariant) statementKind {
	return statementKind{
		driver: s.pool.cfg.Driver, tableSets: read, protocol: protocol, central: s.wiki.Users == validator.CentralAuth,
		sitewide: s.sitewide(variant), variant: variant,
	}
}

// sitewide reports whether only blocks of the whole site count: from 1.42 on. A
// wiki that has ipblocks alone is older than its release says; there blocks of
// a part of the site count too.
func (s *Store) sitewide(requested schemaVariant) bool {
	return s.wiki.Release == 42 || s.wiki.Release > 42 && requested&blockTables != 0
}

// idText returns an id as it stands in a statement. No column holds an id beyond
// 63 bits, and PostgreSQL would compare one without an index: such an id is
// asked for as one that no row has.
func idText(id uint64) string {
	if id > math.MaxInt64 {
		return "-1"
	}
	return strconv.FormatUint(id, 10)
}

func clip(s string, n int) string { return s[:min(len(s), n+1)] }

// statement is the query's text and arguments for tables of the variant.
func (q *query) statement(requested schemaVariant) (text string, args []any) {
	f := q.kind
	f.driver, f.variant, f.sitewide = q.stage.pool.cfg.Driver, requested&q.stage.bits(), q.store.sitewide(requested)
	return f.statement().fill(q.stage.pool.dialect, q.values)
}

// run asks the server. Everything that it answers is turned into facts here,
// once; what cannot be read is taken for what refuses more.
func (q *query) run(ctx context.Context, conn *sql.Conn, requested schemaVariant) (result, error) {
	text, args := q.statement(requested)
	rows, err := conn.QueryContext(ctx, text, args...)
	if err != nil {
		return result{}, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has told
	var kind int
	var cells [width]sql.RawBytes
	dest := make([]any, 0, 1+width)
	dest = append(dest, &kind)
	for i := range cells {
		dest = append(dest, &cells[i])
	}
	f := *q.before // each stage fills in what the others leave empty
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return result{}, err
		}
		if err := f.add(kind, cells[:]); err != nil {
			return result{}, err
		}
	}
	return f, rows.Err()
}

// complete reports whether nothing is missing that a replica may not have yet.
func (q *query) complete(f *result) bool {
	if q.stage.tableSets&oauthTables != 0 {
		// The consumer may be a configured one, which no table holds.
		facts := f.facts(q.key)
		return facts.Acceptance != nil || facts.Token != nil && facts.Token.AcceptanceID == 0
	}
	return (!q.kind.user || f.user.complete(q.stage.tableSets)) && (!q.kind.subject || f.subject.complete(q.stage.tableSets))
}
