package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// retryAfter is how long a lookup waits while the server accepts no connection
// at all.
const retryAfter = 100 * time.Millisecond

// reading is one query on its way through the servers of a pool.
type reading struct {
	pool *Pool
	q    *query
	// patience is when waiting for connections ends, and budget the time that is
	// left for queries: time in our own queue is not the server's.
	patience time.Time
	budget   time.Duration

	missing     *result   // what a replica found, when something is missing there
	schemaWrong bool      // a replica's tables are not what they should be
	requested   time.Time // when the last server was asked
	failed      failures
}

// read asks the servers in order until one has the answer. The time is shared
// out, so that a server that hangs leaves some for the others.
func (p *Pool) read(ctx context.Context, q *query) (result, error) {
	r := reading{pool: p, q: q, patience: time.Now().Add(p.cfg.QueryTimeout), budget: p.cfg.QueryTimeout}
	order := p.order()
	if q.key.Primary {
		order = order[len(order)-1:] // a replica may lag behind what was changed
	}
	for i, s := range order {
		if r.skips(s) {
			continue
		}
		f, err := r.visit(ctx, s, len(order)-i)
		switch {
		case err == nil && (s == p.primary || q.complete(&f)):
			return f, nil
		case err == nil:
			// A replica may lag behind an authorization that was given a moment
			// ago (T124942).
			r.missing = &f
			if !q.secondLook(&f) {
				return f, nil
			}
		case ctx.Err() != nil:
			// The caller left: that says nothing about the server.
			return result{}, &validator.StoreError{Failure: validator.KeyFailure, Err: err}
		default:
			if !r.goesOn(s, err) {
				return r.end()
			}
		}
	}
	return r.end()
}

// skips reports whether a server cannot tell more than what is known already.
func (r *reading) skips(s *server) bool {
	p := r.pool
	return r.missing != nil && (s != p.primary || s.paused(p.now())) || r.schemaWrong && s != p.primary
}

// goesOn notes that a server has failed, and reports whether the next one is
// asked.
func (r *reading) goesOn(s *server, err error) bool {
	p := r.pool
	failure := validator.FailureOf(err)
	if failure == validator.ServerFailure && s.answeredSince(r.requested) {
		// One connection was lost, or this process had no time for it: others are
		// answered.
		r.failed.add(&validator.StoreError{Failure: validator.QueueFailure, Err: err})
		return true
	}
	r.failed.add(err)
	switch failure {
	case validator.ServerFailure:
		p.pause(s, err)
	case validator.TableFailure: // that is one wiki's: to the others the server is as good as ever
		r.schemaWrong = true
	case validator.QueueFailure:
		return false // the time for waiting is over
	case validator.KeyFailure:
		return p.secondLooks.allow(r.q.from.client, p.now())
	}
	return true
}

// end returns a replica's answer, if there is one: the credential is refused, as
// it would be without the primary.
func (r *reading) end() (result, error) {
	if r.missing != nil {
		return *r.missing, nil
	}
	return result{}, r.failed.err()
}

// secondLook reports whether the primary is asked for what a replica does not
// have. It is for the new token of a known app, and a few more.
func (q *query) secondLook(f *result) bool {
	p := q.stage.pool
	if q.stage.tableSets&oauthTables == 0 || !q.stranger && f.facts(q.key).Consumer != nil {
		return true
	}
	return p.secondLooks.allow(q.from.client, p.now())
}

// visit asks one of the servers that are left, with a place for a connection.
func (r *reading) visit(ctx context.Context, s *server, left int) (f result, err error) {
	err = r.pool.admit(ctx, s, entry{r.q.stranger, r.q.from, r.patience, left == 1}, func() (err error) {
		f, err = r.ask(ctx, s, left)
		return err
	})
	return f, err
}

// ask asks a server, within its share of the time.
func (r *reading) ask(ctx context.Context, s *server, left int) (f result, err error) {
	r.requested = time.Now()
	share := r.budget / time.Duration(left)
	f, err = r.pool.ask(ctx, s, r.q, share)
	if validator.FailureOf(err) != validator.LimitFailure {
		r.budget -= min(time.Since(r.requested), share) // connecting and asking have a share each
	}
	return f, err
}

// entry is what decides how something waits for a place at a server.
type entry struct {
	stranger bool
	from     source
	patience time.Time // when waiting ends
	last     bool      // no other server can be asked
}

// admit calls do with a place for a connection. At the last server it calls do
// again while the server accepts no more connections.
func (p *Pool) admit(ctx context.Context, s *server, e entry, do func() error) error {
	for {
		if err := s.gate.enter(ctx, e.stranger, e.from, time.Until(e.patience)); err != nil {
			return at(s, err)
		}
		err := do()
		open := s.db.Stats().OpenConnections
		limited := validator.FailureOf(err) == validator.LimitFailure
		switch {
		case err == nil:
			s.answered.Store(int64(time.Since(epoch)))
			p.answers(s)
		case limited:
			p.limited(s, open, err)
		}
		again := limited && e.last && time.Now().Before(e.patience)
		if again && open == 0 { // with its place, so that one at a time tries
			sleep(ctx, min(retryAfter, time.Until(e.patience)))
		}
		s.gate.leave(e.stranger)
		if !again || ctx.Err() != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// pause leaves a server alone for a while, if there is another one.
func (p *Pool) pause(s *server, err error) {
	s.pause(p.now(), pauseAfterFailure)
	if s != p.primary && !s.down.Swap(true) {
		p.cfg.Notify(Event{
			Trouble: true, Server: s.Address, Err: err,
			Text: fmt.Sprintf("a replica does not answer: the other servers are asked, and it is tried again every %v", pauseAfterFailure),
		})
	}
}

// limited uses fewer connections to a server that accepts no more.
func (p *Pool) limited(s *server, open int, err error) {
	limit, news := s.gate.shrink(open)
	if open == 0 {
		s.pause(p.now(), time.Second)
	}
	if news {
		p.cfg.Notify(Event{
			Trouble: true, Server: s.Address, Err: err,
			Text: fmt.Sprintf("the server accepts no more connections: lookups wait for the %d that are open, of max_open_conns %d", limit, s.gate.max),
		})
	}
}

// answers notes that a server has answered.
func (p *Pool) answers(s *server) {
	if s.down.Load() && s.down.Swap(false) {
		p.cfg.Notify(Event{Server: s.Address, Text: "a replica answers again"})
	}
	if s.gate.calm() {
		p.cfg.Notify(Event{Server: s.Address, Text: "the server accepts all connections again"})
	}
}

// ask asks one server. A connection that was lost while nobody used it says
// nothing about the server.
func (p *Pool) ask(ctx context.Context, on *server, q *query, share time.Duration) (f result, err error) {
	for range 3 {
		if f, err = p.askOver(ctx, on, q, share); !errors.Is(err, driver.ErrBadConn) {
			break
		}
	}
	return f, err
}

// askOver asks over one connection: once, and once more for each thing that the
// server has in another variant than was asked for. The time counts from when
// the connection is there.
func (p *Pool) askOver(ctx context.Context, on *server, q *query, share time.Duration) (result, error) {
	conn, err := p.connection(ctx, on, share)
	if err != nil {
		return result{}, err
	}
	defer conn.Close() //nolint:errcheck // it goes back to its pool
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	requested, switched := q.store.variant(), schemaVariant(0)
	var refusals []refusal
	for {
		f, missing, err := p.try(ctx, on, conn, q, requested)
		if err == nil {
			q.store.storeVariant(requested, q.stage.bits())
			return f, nil
		}
		if missing == nil {
			return result{}, err
		}
		refusals = append(refusals, refusal{requested, *missing})
		bit := q.other(requested, *missing)
		if bit == 0 || switched&bit != 0 {
			err = q.explain(ctx, on, conn, chooseRefusal(refusals, bit, suggested(q.store.wiki.Release)))
			return result{}, at(on, &validator.StoreError{Failure: validator.TableFailure, Err: err})
		}
		requested ^= bit
		switched |= bit
	}
}

// connection takes a connection that is free, or makes one.
func (p *Pool) connection(ctx context.Context, on *server, share time.Duration) (*sql.Conn, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	conn, err := on.db.Conn(ctx)
	if err != nil {
		err = at(on, p.classify(ctx, err, time.Since(start)))
		p.cfg.Observe(time.Since(start), err)
	}
	return conn, err
}

// try asks for tables of one variant.
func (p *Pool) try(ctx context.Context, on *server, conn *sql.Conn, q *query, requested schemaVariant) (f result, missing *Missing, err error) {
	start := time.Now()
	if f, err = q.run(ctx, conn, requested); err != nil {
		missing = p.driver.Missing(err)
		err = at(on, p.classify(ctx, err, time.Since(start)))
	}
	p.cfg.Observe(time.Since(start), err)
	return f, missing, err
}

// at names the server that an error is of. The failure stays what it is.
func at(s *server, err error) error {
	e, ok := errors.AsType[*validator.StoreError](err)
	if !ok {
		return err
	}
	return &validator.StoreError{Failure: e.Failure, Err: fmt.Errorf("%s: %w", s.Address, e.Err)}
}
