package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Errors that the function of a transaction meets or returns.
var (
	// ErrDuplicate means that a unique index has the value of an INSERT already.
	ErrDuplicate = errors.New("the row exists already")
	// ErrAgain is returned by the function of a transaction to have it tried
	// again from its beginning, because another one was faster.
	ErrAgain = errors.New("the tables have changed in between")
)

var (
	errReadsOnly = errors.New("the pool does not write: open it with Config.Writes")
	errValue     = errors.New("a value has bytes that no text of the database can hold")
)

// rollbackTimeout bounds a ROLLBACK. A connection that does not answer it is
// closed, which ends the transaction too.
const rollbackTimeout = time.Second

// Rights are what an account needs, by table, as the list of a GRANT statement.
type Rights map[string]string

// Tx asks the statements of Read, or of the transaction of Transact, on the
// primary of the OAuth tables.
type Tx struct {
	ctx    context.Context //nolint:containedctx // a Tx lives as long as one call
	view   *Store
	conn   *sql.Conn
	rights Rights
	writes bool
	broken error // of a statement that failed
}

// Transact calls do in one transaction on the primary of the OAuth tables, and
// commits when do returns nil. After any error nothing was changed, except that
// the outcome is not known when the connection was lost in COMMIT. An error of do
// that is not one of Tx is returned as it is. A transaction that lost a race is
// tried again within the query timeout, so do may be called several times.
func (s *Store) Transact(ctx context.Context, rights Rights, do func(*Tx) error) error {
	if !s.pool.cfg.Writes {
		return errReadsOnly
	}
	return s.run(ctx, &Tx{rights: rights, writes: true}, do)
}

// Read is like Transact for one SELECT, without a transaction around it.
func (s *Store) Read(ctx context.Context, rights Rights, do func(*Tx) error) error {
	return s.run(ctx, &Tx{rights: rights}, do)
}

func (s *Store) run(ctx context.Context, tx *Tx, do func(*Tx) error) error {
	if s.err != nil {
		return s.err
	}
	p := s.pool
	asker := validator.AskerOf(ctx)
	if asker.Unproven {
		leave, err := p.unproven.Enter(ctx, asker.Client, p.cfg.QueryTimeout)
		if err != nil {
			return err
		}
		defer leave()
	}
	e := entry{from: source{client: clientID(asker.Client)}, patience: time.Now().Add(p.cfg.QueryTimeout), last: true}
	return p.admit(ctx, p.primary, e, func() error {
		bounded, cancel := context.WithTimeout(ctx, p.cfg.QueryTimeout)
		defer cancel()
		for {
			err := s.attempt(bounded, tx, do)
			if !errors.Is(err, ErrAgain) || bounded.Err() != nil {
				return unfinished(ctx, err)
			}
			sleep(bounded, rand.N(10*time.Millisecond)) //nolint:gosec // spreads those that met
		}
	})
}

// unfinished classifies an error that no statement of the transaction is to blame
// for: the caller left, or the time was over while others were faster.
func unfinished(ctx context.Context, err error) error {
	_, classed := errors.AsType[*validator.StoreError](err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &validator.StoreError{Failure: validator.KeyFailure, Err: err}
	case errors.Is(err, ErrAgain) && !classed:
		return &validator.StoreError{Failure: validator.KeyFailure, Err: err}
	}
	return err
}

// attempt runs the transaction once. Its error is ErrAgain when it may be tried
// again.
func (s *Store) attempt(ctx context.Context, tx *Tx, do func(*Tx) error) (err error) {
	p, start := s.pool, time.Now()
	conn, err := s.begin(ctx, tx.writes)
	if err != nil {
		return err
	}
	ended := !tx.writes
	defer func() {
		if !ended {
			rollback(ctx, conn)
		}
		_ = conn.Close() // it goes back to its pool, or was closed
		observed := err
		if _, failed := errors.AsType[*validator.StoreError](err); !failed {
			observed = nil // the tables said no
		}
		p.cfg.Observe(time.Since(start), observed)
	}()
	tx.ctx, tx.view, tx.conn, tx.broken = ctx, s, conn, nil
	switch err := do(tx); {
	case err != nil || ended:
		return err
	case tx.broken != nil:
		// PostgreSQL would roll back, and answer a COMMIT without an error.
		return tx.broken
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		if p.driver.Conflict(err) == LostRace {
			return p.lost(err)
		}
		err = p.classify(ctx, err, time.Since(start))
		return at(p.primary, &validator.StoreError{
			Failure: validator.FailureOf(err),
			Err:     fmt.Errorf("COMMIT failed, so it is not known whether the tables were changed: %w", err),
		})
	}
	ended = true
	return nil
}

// begin takes a connection that works, and begins a transaction that writes. A
// connection that was lost while nobody used it says nothing about the server.
func (s *Store) begin(ctx context.Context, writes bool) (*sql.Conn, error) {
	p := s.pool
	for attempt := 1; ; attempt++ {
		conn, err := p.connection(ctx, p.primary, p.cfg.QueryTimeout)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		if writes {
			_, err = conn.ExecContext(ctx, p.dialect.Begin())
		}
		if err == nil {
			return conn, nil
		}
		discard(conn)
		_ = conn.Close() // likewise
		switch {
		case p.driver.Conflict(err) == LostRace: // a file that another one writes
			return nil, p.lost(err)
		case !errors.Is(err, driver.ErrBadConn) || attempt == 3:
			return nil, at(p.primary, p.classify(ctx, err, time.Since(start)))
		}
	}
}

// lost is ErrAgain with what the server said.
func (p *Pool) lost(err error) error { return fmt.Errorf("%w: %w", ErrAgain, p.driver.Explain(err)) }

// rollback ends a transaction without its changes, whatever became of ctx.
func rollback(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		discard(conn)
	}
}

// discard closes the connection instead of giving it back, because no other
// lookup may find a transaction on it.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // the error is what closes it
}

// Dialect returns how statements are written for the server.
func (t *Tx) Dialect() Dialect { return t.view.pool.dialect }

// Query runs a SELECT and calls row with the cells of each row, which are valid
// until it returns. In the text a name in braces stands for that table, and $1 to
// $9 for the values.
func (t *Tx) Query(text string, values []string, row func(cells []sql.RawBytes) error) error {
	text, args := t.fill(text, values)
	start := time.Now()
	rows, err := t.conn.QueryContext(t.ctx, text, args...)
	if err != nil {
		return t.failed(err, start)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has told
	columns, err := rows.Columns()
	if err != nil {
		return t.failed(err, start)
	}
	cells, dest := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range cells {
		dest[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return t.failed(err, start)
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return t.failed(err, start)
	}
	return nil
}

// Exec runs a statement that changes rows, and returns how many it has changed.
// The text is as that of Query. Its error is ErrDuplicate if a row of an INSERT
// exists already; the transaction must end then. It refuses a value that the
// database would not keep as it is.
func (t *Tx) Exec(text string, values ...string) (changed int64, err error) {
	for _, v := range values {
		if !t.Dialect().Holds(v) {
			return 0, errValue
		}
	}
	text, args := t.fill(text, values)
	start := time.Now()
	result, err := t.conn.ExecContext(t.ctx, text, args...)
	if err != nil {
		return 0, t.failed(err, start)
	}
	return result.RowsAffected()
}

// fill puts the names of tables and the values into a text.
func (t *Tx) fill(text string, values []string) (string, []any) {
	d := t.Dialect()
	expressions, args := d.Bind(values)
	pairs := make([]string, 0, 2*(len(values)+len(oauthTableNames)))
	for i, e := range expressions {
		pairs = append(pairs, "$"+strconv.Itoa(i+1), e)
	}
	for _, table := range oauthTableNames {
		pairs = append(pairs, "{"+table+"}", t.view.names[slotOAuth]+table+d.Quote())
	}
	return strings.NewReplacer(pairs...).Replace(text), args
}

var oauthTableNames = []string{"oauth_registered_consumer", "oauth_accepted_consumer", "oauth2_access_tokens"}

// failed classifies the error of a statement, after which nothing is committed.
func (t *Tx) failed(err error, start time.Time) error {
	t.broken = t.classify(err, start)
	return t.broken
}

func (t *Tx) classify(err error, start time.Time) error {
	p := t.view.pool
	switch p.driver.Conflict(err) {
	case DuplicateRow:
		return ErrDuplicate
	case LostRace:
		return p.lost(err)
	case NoConflict:
	}
	if !t.writes && errors.Is(err, driver.ErrBadConn) {
		return ErrAgain // it was lost while nobody used it
	}
	if missing := p.driver.Missing(err); missing != nil {
		err = t.view.schemaError(t.ctx, p, p.primary, t.conn, *missing, func(table string) string { return t.rights[table] })
		return at(p.primary, &validator.StoreError{Failure: validator.TableFailure, Err: err})
	}
	return at(p.primary, p.classify(t.ctx, err, time.Since(start)))
}
