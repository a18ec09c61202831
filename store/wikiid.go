package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	// idCheckAfter is how long after a view is first used its wiki id is
	// compared with the tables, unless a row gives reason to do so at once.
	idCheckAfter = time.Minute
	// maxWikis bounds the wiki ids that are read for it.
	maxWikis = 1000
)

// idCheck finds out, once for a view, whether the OAuth tables know the wiki's
// id. With a wrong one, apps for all wikis pass under a false id.
type idCheck struct {
	begun, done atomic.Bool
}

// checkID sees what a lookup found. OAuth tables of several wikis are not
// checked: there it is usual that no app is for this wiki alone.
func (s *Store) checkID(facts *validator.Facts) {
	c := &s.idCheck
	if c.done.Load() || !s.pool.notifies || s.wiki.ID == "" {
		return
	}
	var named []string
	for _, consumer := range []*validator.Consumer{facts.Consumer, facts.Accepted} {
		if consumer != nil {
			named = append(named, consumer.Wiki)
		}
	}
	if facts.Acceptance != nil {
		named = append(named, facts.Acceptance.Wiki)
	}
	switch {
	case len(named) == 0:
	case slices.Contains(named, s.wiki.ID) || s.SharedUserIDs():
		c.done.Store(true)
	case slices.ContainsFunc(named, namesWiki):
		if !c.done.Swap(true) {
			go s.compareID()
		}
	case !c.begun.Swap(true):
		time.AfterFunc(idCheckAfter, func() {
			if !c.done.Swap(true) {
				s.compareID()
			}
		})
	}
}

// namesWiki reports whether the column names one wiki.
func namesWiki(wiki string) bool { return wiki != "" && wiki != "*" }

// compareID asks for which wikis there are apps, and tells if this is none of
// them.
func (s *Store) compareID() {
	p := s.pool
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.QueryTimeout)
	defer cancel()
	on := p.order()[0]
	if on.gate.enter(ctx, true, source{}, p.cfg.QueryTimeout) != nil {
		return
	}
	defer on.gate.leave(true)
	wikis, err := s.wikisOfApps(ctx, on)
	if err != nil || len(wikis) == 0 || len(wikis) == maxWikis || slices.Contains(wikis, s.wiki.ID) || !p.news("wiki id", s) {
		return
	}
	p.cfg.Notify(Event{
		Trouble: true, Wiki: s.wiki.ID, Server: on.Address,
		Text: fmt.Sprintf("no app is registered for this wiki id, but some are for %s: compare `wiki` with the wiki's own id",
			strings.Join(wikis[:min(len(wikis), 3)], ", ")),
	})
}

func (s *Store) wikisOfApps(ctx context.Context, on *server) (wikis []string, err error) {
	rows, err := on.db.QueryContext(ctx, fmt.Sprintf("SELECT DISTINCT c.oarc_wiki FROM %soauth_registered_consumer%s c LIMIT %d",
		s.names[slotOAuth], s.pool.dialect.Quote(), maxWikis))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has told
	for rows.Next() {
		var wiki string
		if err := rows.Scan(&wiki); err != nil {
			return nil, err
		}
		if namesWiki(wiki) {
			wikis = append(wikis, wiki)
		}
	}
	return wikis, rows.Err()
}

// news reports, once for each kind of event and wiki, that it is to be told. It
// lasts as long as the pool does.
func (p *Pool) news(kind string, s *Store) bool {
	_, told := p.told.LoadOrStore(kind+" "+s.Identity(), true)
	return !told
}
