package store

import (
	"context"
	"database/sql"
	"math"
	"strconv"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Lookup finds what the tables say about the key: in one query, or in one for each server that the wiki's tables are
// on. OAuth 2 needs neither secrets nor the consumer's RSA key: they are left out then. A context that ends, and a
// server that cannot be asked, are errors; tables that are not what they should be are a *SchemaError among them.
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
	f := found{release: s.wiki.Release, central: s.wiki.Users == validator.CentralAuth, wiki: s.wiki.ID}
	for i := range s.steps {
		q, needed := s.query(&s.steps[i], key, &f)
		if !needed {
			break
		}
		// After the first step the credential is known to exist.
		q.from, q.stranger = from, i == 0 && !credited
		var err error
		if f, err = s.steps[i].pool.read(ctx, q); err != nil {
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

// query is one step of a lookup, ready to be asked of a server.
type query struct {
	store  *Store
	step   *step
	key    validator.Key
	form   form // but for its shape
	values [places]string
	before *found // in the steps before

	from     source
	stranger bool // nothing says yet that the credential exists
}

// query prepares a step, given what the steps before have found. It is not needed when it would ask for nobody.
func (s *Store) query(st *step, key validator.Key, before *found) (q *query, needed bool) {
	q = &query{
		store: s, step: st, key: key, form: s.form(st.parts, key.Protocol, 0), values: s.names, before: before,
	}
	q.form.subject = key.Subject != 0 && st.parts != oauthTables
	q.values[placeSubject] = idText(key.Subject)
	q.values[placeWikiID] = s.wiki.ID
	if st.parts&oauthTables != 0 {
		// A key that is longer than its column matches no row. The servers need not see the rest of it.
		maxToken := 32
		if key.Protocol == validator.OAuth2 {
			maxToken = 255
		}
		q.values[placeConsumer], q.values[placeToken] = clip(key.Consumer, 32), clip(key.Token, maxToken)
		return q, true
	}
	q.form.protocol = validator.NoProtocol
	user := before.userID(key)
	q.form.user = user != 0
	q.values[placeUser] = idText(user)
	if q.form.central && st.parts&centralTables == 0 {
		q.values[placeUserName], q.values[placeSubjectName] = before.user.central.name, before.subject.central.name
		q.form.user = q.form.user && before.user.central.id == user
		q.form.subject = q.form.subject && before.subject.central.id == key.Subject
	}
	return q, q.form.user || q.form.subject
}

func (s *Store) form(read parts, protocol validator.Protocol, shape shape) form {
	return form{
		driver: s.pool.cfg.Driver, parts: read, protocol: protocol, central: s.wiki.Users == validator.CentralAuth,
		sitewide: s.sitewide(shape), shape: shape,
	}
}

// sitewide says whether only blocks of the whole site count: from 1.42 on. A wiki that has ipblocks alone is older than
// its release says; there blocks of a part of the site count too.
func (s *Store) sitewide(asked shape) bool {
	return s.wiki.Release == 42 || s.wiki.Release > 42 && asked&blockTables != 0
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

// statement is the query's text and arguments for tables of the shape.
func (q *query) statement(asked shape) (text string, args []any) {
	f := q.form
	f.driver, f.shape, f.sitewide = q.step.pool.cfg.Driver, asked&q.step.bits(), q.store.sitewide(asked)
	return f.statement().fill(q.step.pool.dialect, q.values)
}

// run asks the server. Everything that it answers is turned into facts here, once; what cannot be read is taken
// for what refuses more.
func (q *query) run(ctx context.Context, conn *sql.Conn, asked shape) (found, error) {
	text, args := q.statement(asked)
	rows, err := conn.QueryContext(ctx, text, args...)
	if err != nil {
		return found{}, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has told
	var kind int
	var cells [width]sql.RawBytes
	dest := make([]any, 0, 1+width)
	dest = append(dest, &kind)
	for i := range cells {
		dest = append(dest, &cells[i])
	}
	f := *q.before // each step fills in what the others leave empty
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return found{}, err
		}
		if err := f.add(kind, cells[:]); err != nil {
			return found{}, err
		}
	}
	return f, rows.Err()
}

// complete says whether nothing is missing that a replica may not have yet.
func (q *query) complete(f *found) bool {
	if q.step.parts&oauthTables != 0 {
		// The consumer may be a configured one, which no table holds.
		facts := f.facts(q.key)
		return facts.Acceptance != nil || facts.Token != nil && facts.Token.AcceptanceID == 0
	}
	return (!q.form.user || f.user.complete(q.step.parts)) && (!q.form.subject || f.subject.complete(q.step.parts))
}
