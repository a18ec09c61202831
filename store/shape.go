package store

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// schemaVariant is what differs between the tables of releases. The configured
// release says what is asked for first; what there is, is found by asking: a
// farm is upgraded wiki by wiki, and its tables at another time than its
// programs.
type schemaVariant uint8

const (
	blockTables  schemaVariant = 1 << iota // block and block_target (1.43), not ipblocks
	hiddenLevel                            // gu_hidden_level, not gu_hidden
	groupExpiry                            // gug_expiry, which 1.35 lacks
	oldUserTable                           // Dialect.OldUserTable, not user
)

// keepVariant is how long a variant that is not the release's is taken for
// granted. When a new table or column appears next to the one that is read, no
// error tells.
const keepVariant = 5 * time.Minute

// suggested is the variant of the release. An expiry of memberships is always
// asked for: without it they do not end.
func suggested(r validator.Release) schemaVariant {
	s := groupExpiry
	if r >= 43 {
		s |= blockTables
	}
	if r >= 39 {
		s |= hiddenLevel
	}
	return s
}

// foundShape is a variant that was found, and until when it is taken for
// granted.
type foundVariant struct {
	variant schemaVariant
	until   time.Time
}

func (s *Store) variant() schemaVariant {
	if f := s.foundVariant.Load(); f != nil && s.now().Before(f.until) {
		return f.variant
	}
	return suggested(s.wiki.Release)
}

// storeVariant keeps bits that a query has shown to be so; the others are as
// they were.
func (s *Store) storeVariant(seen, bits schemaVariant) {
	for {
		old := s.foundVariant.Load()
		before := s.variant()
		now := before&^bits | seen&bits
		if now == before && (old == nil || s.now().Before(old.until)) {
			return
		}
		var f *foundVariant
		if now != suggested(s.wiki.Release) {
			f = &foundVariant{now, s.now().Add(keepVariant)}
		}
		if s.foundVariant.CompareAndSwap(old, f) {
			s.tell(now)
			return
		}
	}
}

// tell tells that the tables have another variant than before, over reloads
// too.
func (s *Store) tell(now schemaVariant) {
	before, known := s.pool.told.Swap("shape "+s.Identity(), now)
	if known && before == now || !known && now == suggested(s.wiki.Release) {
		return
	}
	e := Event{Wiki: s.wiki.ID, Text: "the tables of a wiki are again as its `mediawiki` setting says"}
	if differ := now ^ suggested(s.wiki.Release); differ != 0 {
		var read []string
		for _, variantTable := range variantTables {
			if differ&variantTable.bit != 0 {
				read = append(read, variantTable.told[now&variantTable.bit != 0])
			}
		}
		e.Trouble = true
		e.Text = fmt.Sprintf("the tables of a wiki are those of another release than its `mediawiki` setting says: %s; "+
			"change the setting when the wiki has been updated", strings.Join(read, ", "))
	}
	s.pool.cfg.Notify(e)
}

// bits are those that matter to the query.
func (st *stage) bits() (bits schemaVariant) {
	if st.tableSets&centralTables != 0 {
		bits |= hiddenLevel | groupExpiry
	}
	if st.tableSets&wikiTables != 0 {
		bits |= blockTables
		if st.pool.dialect.OldUserTable() != "" {
			bits |= oldUserTable
		}
	}
	return bits
}

// variantTables are the tables and columns that the two ways of each bit read
// alone, and what is told of them.
var variantTables = []struct {
	bit           schemaVariant
	without, with []string
	told          map[bool]string // with the bit or without
}{
	{
		blockTables,
		[]string{"ipblocks"},
		[]string{"block", "block_target"},
		map[bool]string{false: "blocks are read from ipblocks", true: "blocks are read from block and block_target"},
	},
	{
		hiddenLevel,
		[]string{"gu_hidden"},
		[]string{"gu_hidden_level"},
		map[bool]string{false: "hidden names are read from gu_hidden", true: "hidden names are read from gu_hidden_level"},
	},
	{
		groupExpiry, nil,
		[]string{"gug_expiry"},
		map[bool]string{false: "global groups do not end", true: "global groups end"},
	},
	{
		oldUserTable,
		[]string{"user"},
		[]string{"mwuser"},
		map[bool]string{false: "users are read from user", true: "users are read from mwuser"},
	},
}

// other says which bit of the variant may be the other way round, given what is
// missing; 0: none. What is denied may be there: it never leads to what is
// there besides, which may be left over or not filled yet, and would say less.
func (q *query) other(requested schemaVariant, m Missing) schemaVariant {
	variantTable := q.variantTableOf(requested, m)
	if m.Denied || variantTable < 0 {
		return 0
	}
	return variantTables[variantTable].bit
}

// variantTableOf is the index in variantTables of what is missing; -1: it is
// read in every release.
func (q *query) variantTableOf(requested schemaVariant, m Missing) int {
	table, column := m.object(&q.store.wiki)
	for i, variantTable := range variantTables {
		if q.stage.bits()&variantTable.bit == 0 {
			continue
		}
		names := variantTable.without
		if requested&variantTable.bit != 0 {
			names = variantTable.with
		}
		if slices.Contains(names, table) || slices.Contains(names, column) {
			return i
		}
	}
	return -1
}
