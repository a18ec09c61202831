package gateway

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// health knows which wikis' tables are not what they should be, so that this is said once when it begins and once
// when it ends, and not with every request. It lives as long as the connections, over reloads.
type health struct {
	mu sync.Mutex
	// what was said of a store, by its identity and the protocol of a lookup: others read other tables
	said map[string]map[string]bool
}

// worsens says whether a text is news.
func (h *health) worsens(key, text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.said == nil {
		h.said = make(map[string]map[string]bool)
	}
	if h.said[key] == nil {
		h.said[key] = make(map[string]bool)
	}
	news := !h.said[key][text]
	h.said[key][text] = true
	return news
}

// heals says whether it is news that all is well.
func (h *health) heals(key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ill := h.said[key]
	delete(h.said, key)
	return ill
}

// watched is a store between cache and tables that tells when a wiki's tables are not what they should be.
type watched struct {
	next     validator.Store
	identity string
	health   *health
	log      *zap.Logger
}

func (w watched) Lookup(ctx context.Context, key validator.Key) (validator.Facts, error) {
	facts, err := w.next.Lookup(ctx, key)
	state := key.Protocol.String() + " " + w.identity
	schema, mismatch := errors.AsType[*store.SchemaError](err)
	switch {
	case mismatch:
		if w.health.worsens(state, schema.Error()) { // what other servers said may be new each time
			w.log.Error("the tables of a wiki cannot be read: its requests get 503 until this is mended",
				zap.String("wiki", key.Wiki), zap.String("protocol", key.Protocol.String()), zap.Error(err))
		}
	case err == nil && facts.Positive(): // what is not found may not have read every table
		if w.health.heals(state) {
			w.log.Info("the tables of a wiki can be read again", zap.String("wiki", key.Wiki), zap.String("protocol", key.Protocol.String()))
		}
	}
	return facts, err
}

// tell logs what the store says of its servers and tables. The store says each thing once.
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
