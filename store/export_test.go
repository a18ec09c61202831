package store

import (
	"context"
	"database/sql/driver"
	"net/netip"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Asked is a statement that a lookup asks.
type Asked struct {
	Text     string
	Args     []any
	Database string // of the connection
}

// Statements looks the key up and says what was asked for, in the variant that
// was found.
func Statements(ctx context.Context, s *Store, key validator.Key) (requested []Asked, err error) {
	f := result{central: s.wiki.Users == validator.CentralAuth, wiki: s.wiki.ID, release: s.wiki.Release}
	for i := range s.stages {
		before := f
		q, needed := s.query(&s.stages[i], key, &before)
		if !needed {
			break
		}
		if f, err = s.stages[i].pool.read(ctx, q); err != nil {
			return nil, err
		}
		text, args := q.statement(s.variant())
		requested = append(requested, Asked{text, args, s.stages[i].pool.primary.Database})
	}
	return requested, nil
}

// SetClock lets a test say what time it is for the servers' rests.
func (p *Pool) SetClock(now func() time.Time) { p.now = now }

// SetClock lets a test say what time it is for the variant of the tables.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// Columns are the columns that lookups read, by table.
func Columns(s *Store) map[string][]string { return s.columns(s.variant(), noProfile) }

// First is the first statement of a lookup, in the variant that the release
// suggests.
func First(s *Store, key validator.Key) string {
	q, _ := s.query(&s.stages[0], key, &result{})
	text, _ := q.statement(s.variant())
	return text
}

// MaxWaiting is the number of lookups that may wait for one server.
const MaxWaiting = maxWaiting

// Gate lets tests use the gate of a server.
type Gate struct{ g *gate }

// NewGate makes one. Strangers must leave places free if reserved.
func NewGate(slots int, reserved bool) *Gate {
	return &Gate{newGate(slots, time.Now, func() bool { return reserved })}
}

// Enter waits for a place.
func (g *Gate) Enter(ctx context.Context, stranger bool, client netip.Addr, consumer uint64, wait time.Duration) error {
	return g.g.enter(ctx, stranger, source{clientID(client), consumer}, wait)
}

// Leave gives a place back.
func (g *Gate) Leave(stranger bool) { g.g.leave(stranger) }

// Shrink lowers the limit.
func (g *Gate) Shrink(open int) (int, bool) { return g.g.shrink(open) }

// Busy reports whether a lookup would have to wait.
func (g *Gate) Busy() bool { return g.g.busy() }

// Calm reports whether it is to be told that all connections are accepted.
func (g *Gate) Calm() bool { return g.g.calm() }

// Limit returns the number of places.
func (g *Gate) Limit() int {
	g.g.mu.Lock()
	defer g.g.mu.Unlock()
	return g.g.limit
}

// CompareID does what the background does to find a wrong wiki id, if it is to
// be done for the store.
func CompareID(s *Store) {
	if s.wiki.ID != "" && !s.SharedUserIDs() {
		s.compareID()
	}
}

// ConnectBounded makes a connection as database/sql does in the background: with
// a context that never ends.
func ConnectBounded(c driver.Connector, timeout time.Duration) error {
	_, err := boundedConnector{c, timeout}.Connect(context.Background())
	return err
}
