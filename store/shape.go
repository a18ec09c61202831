package store

import (
	"slices"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// shape is what differs between the tables of releases. The configured release says what is asked for first; what
// there is, is found by asking: a farm is upgraded wiki by wiki, and its tables at another time than its programs.
type shape uint8

const (
	blockTables shape = 1 << iota // block and block_target (1.43), not ipblocks
	hiddenLevel                   // gu_hidden_level, not gu_hidden
	groupExpiry                   // gug_expiry, which 1.35 lacks
)

// keepShape is how long a shape that is not the release's is taken for granted. When a new table or column appears
// beside the one that is read, no error tells.
const keepShape = 5 * time.Minute

// suggested is the shape of the release. An expiry of memberships is always asked for: without it they do not end.
func suggested(r validator.Release) shape {
	s := groupExpiry
	if r >= 43 {
		s |= blockTables
	}
	if r >= 39 {
		s |= hiddenLevel
	}
	return s
}

// foundShape is a shape that was found, and until when it is taken for granted.
type foundShape struct {
	shape shape
	until time.Time
}

func (s *Store) shape() shape {
	if f := s.found.Load(); f != nil && s.now().Before(f.until) {
		return f.shape
	}
	return suggested(s.wiki.Release)
}

// remember keeps bits that a query has shown to be so; the others are as they were.
func (s *Store) remember(found, bits shape) {
	for {
		old := s.found.Load()
		before := s.shape()
		now := before&^bits | found&bits
		if now == before {
			return
		}
		var f *foundShape
		if now != suggested(s.wiki.Release) {
			f = &foundShape{now, s.now().Add(keepShape)}
		}
		if s.found.CompareAndSwap(old, f) {
			return
		}
	}
}

// bits are those that matter to a query of the parts.
func (p parts) bits() (bits shape) {
	if p&centralTables != 0 {
		bits |= hiddenLevel | groupExpiry
	}
	if p&wikiTables != 0 {
		bits |= blockTables
	}
	return bits
}

// sides are the tables and columns that the two ways of each bit read alone.
var sides = []struct {
	bit           shape
	without, with []string
}{
	{blockTables, []string{"ipblocks"}, []string{"block", "block_target"}},
	{hiddenLevel, []string{"gu_hidden"}, []string{"gu_hidden_level"}},
	{groupExpiry, nil, []string{"gug_expiry"}},
}

// other says which bit of the shape may be the other way round, given what is missing; 0: none.
func (s *Store) other(asked shape, m Missing) shape {
	table, column := m.object(&s.wiki)
	for _, side := range sides {
		names := side.without
		if asked&side.bit != 0 {
			names = side.with
		}
		if !slices.Contains(names, table) && !slices.Contains(names, column) {
			continue
		}
		if m.Denied && !s.mayBeAbsent(side.bit, column) {
			return 0
		}
		return side.bit
	}
	return 0
}

// mayBeAbsent says whether what is denied may not be there at all. A denial of what is there must not lead to what is
// there beside it, and says less: to the tables of blocks that 1.42 does not fill, or to memberships that do not end.
func (s *Store) mayBeAbsent(bit shape, column string) bool {
	switch bit {
	case blockTables:
		return column == "" && s.wiki.Release != 42
	case groupExpiry:
		return s.wiki.Release <= 37
	}
	return true
}
