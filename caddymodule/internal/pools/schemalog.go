package pools

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// schemaLog knows which wikis' tables are not what they should be, so that this
// is logged once when it begins and once when it ends, and not with every
// request. It lives as long as the connections, over reloads.
type schemaLog struct {
	mu sync.Mutex
	// logged is what was logged of a store, by its identity and the protocol of
	// a lookup, because each protocol reads other tables.
	logged map[string]map[string]bool
}

// worsens notes a text, and reports whether it is new.
func (l *schemaLog) worsens(key, text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logged == nil {
		l.logged = make(map[string]map[string]bool)
	}
	if l.logged[key] == nil {
		l.logged[key] = make(map[string]bool)
	}
	news := !l.logged[key][text]
	l.logged[key][text] = true
	return news
}

// heals reports whether something was wrong before.
func (l *schemaLog) heals(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ill := l.logged[key]
	delete(l.logged, key)
	return ill
}

// watched is a store between cache and tables that logs when a wiki's tables are
// not what they should be.
type watched struct {
	next     validator.Store
	identity string
	schema   *schemaLog
	log      *zap.Logger
}

func (w watched) Lookup(ctx context.Context, key validator.Key) (validator.Facts, error) {
	facts, err := w.next.Lookup(ctx, key)
	state := key.Protocol.String() + " " + w.identity
	schema, mismatch := errors.AsType[*store.SchemaError](err)
	switch {
	case mismatch:
		if w.schema.worsens(state, schema.Error()) { // errors of other servers may be new each time
			w.log.Error("the tables of a wiki cannot be read: its requests get 503 until this is mended",
				zap.String("wiki", key.Wiki), zap.String("protocol", key.Protocol.String()), zap.Error(err))
		}
	case err == nil && facts.Positive(): // a row that is not found may not have read every table
		if w.schema.heals(state) {
			w.log.Info("the tables of a wiki can be read again", zap.String("wiki", key.Wiki), zap.String("protocol", key.Protocol.String()))
		}
	}
	return facts, err
}

// tell logs an event of the store, which reports each event once.
func (d *database) tell(e store.Event) {
	log := d.log.Load()
	if log == nil {
		return
	}
	var fields []zap.Field
	if e.Wiki != "" {
		fields = append(fields, zap.String("wiki", e.Wiki))
	}
	if e.Server != "" {
		fields = append(fields, zap.String("server", e.Server))
	}
	if e.Err != nil {
		fields = append(fields, zap.Error(e.Err))
	}
	if e.Trouble {
		log.Warn(e.Text, fields...)
		return
	}
	log.Info(e.Text, fields...)
}
