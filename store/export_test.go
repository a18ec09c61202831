package store

import (
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Statement is what s asks of a server first.
func Statement(s *Store, key validator.Key) (string, []any) {
	q, _ := s.query(&s.steps[0], key, &found{})
	return q.statement(s.shape())
}

// SetClock lets a test say what time it is for the servers' rests.
func (p *Pool) SetClock(now func() time.Time) { p.now = now }

// SetClock lets a test say what time it is for the shape of the tables.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// Columns are the columns that lookups read, by table.
func Columns(s *Store) map[string][]string { return s.columns(s.shape()) }
