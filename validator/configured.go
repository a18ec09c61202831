package validator

import "context"

// Configured returns a store with consumers that are kept in the wiki's
// configuration ($wgOAuthStaticApps, since 1.47). It asks next for everything
// else. As in MediaWiki they come before the database, by key and by id, and
// are approved. A cache belongs in front of it, because a cache must see the
// whole answer.
func Configured(next Store, consumers []Consumer) Store {
	if len(consumers) == 0 {
		return next
	}
	s := configured{next: next, byKey: map[string]*Consumer{}, byID: map[uint64]*Consumer{}}
	for _, app := range consumers {
		app.Stage = Approved
		s.byKey[app.Key], s.byID[app.ID] = &app, &app
	}
	return s
}

type configured struct {
	next  Store
	byKey map[string]*Consumer
	byID  map[uint64]*Consumer
}

func (s configured) Lookup(ctx context.Context, key Key) (Facts, error) {
	facts, err := s.next.Lookup(ctx, key)
	if err != nil {
		return Facts{}, err
	}
	return s.configure(key, facts), nil
}

// Refresh asks next for newer facts, if it keeps answers.
func (s configured) Refresh(ctx context.Context, key Key, known Facts) (Facts, bool, error) {
	next, ok := s.next.(Refresher)
	if !ok {
		return known, false, nil
	}
	facts, newer, err := next.Refresh(ctx, key, known)
	if err != nil {
		return Facts{}, false, err
	}
	facts = s.configure(key, facts)
	return facts, newer && facts != known, nil
}

// configure puts the configured consumers into facts.
func (s configured) configure(key Key, facts Facts) Facts {
	if app := s.byKey[key.Consumer]; app != nil {
		facts.Consumer = app
	}
	if facts.Acceptance != nil {
		if app := s.byID[facts.Acceptance.ConsumerID]; app != nil {
			facts.Accepted = app
		}
	}
	return facts
}
