// Package pools holds what outlives a configuration: connections to databases,
// caches, memories of nonces and metrics.
package pools

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Each kind of value has a pool of its own, so that a changed setting of one
// leaves the others warm.
var (
	databases     = caddy.NewUsagePool() // of *database
	caches        = caddy.NewUsagePool() // of *sharedCache
	nonceMemories = caddy.NewUsagePool() // of *nonceMemory
)

type database struct {
	*store.Pool
	schema schemaLog
	// admission bounds the lookups of all sites and wikis that use the pool.
	admission *cache.Admission
	// log is the logger of the newest configuration: the pool outlives those
	// before.
	log atomic.Pointer[zap.Logger]
}

func (d *database) Destruct() error { return d.Close() }

type sharedCache struct{ *cache.Cache }

func (c *sharedCache) Destruct() error {
	metrics.memories.retire(c.Stats())
	c.Close()
	return nil
}

// Open returns a held lease of what the settings need from each pool, and makes
// what is not there yet. It connects to nothing.
func Open(s *config.Settings, log *zap.Logger) (_ *Lease, err error) {
	l := NewLease(make(map[string]Wiki, len(s.Served)))
	defer func() {
		if err != nil {
			l.end()
		}
	}()

	d, err := takeDatabase(l, s, s.Database, log)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	c, err := Acquire(l, caches, cacheKey(s.Cache), func() (*sharedCache, error) {
		c, err := cache.New(s.Cache)
		return &sharedCache{c}, err
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	n, err := takeNonces(l, s.NonceMemory, d.Pool, log)
	if err != nil {
		return nil, fmt.Errorf("nonces: %w", err)
	}

	var central *store.Pool
	if s.CentralAuth != nil {
		d, err := takeDatabase(l, s, *s.CentralAuth, log)
		if err != nil {
			return nil, fmt.Errorf("users centralauth: %w", err)
		}
		central = d.Pool
	}
	tokens := make(map[validator.Release]validator.Tokens)
	for _, w := range s.Served {
		w.Tables.CentralAuthServer = central
		if w.Server != nil {
			own, err := takeDatabase(l, s, *w.Server, log)
			if err != nil {
				return nil, fmt.Errorf("wiki %s: %w", w.Tables.ID, err)
			}
			w.Tables.Server = own.Pool
		}
		if tokens[w.Policy.Release] == nil {
			jwt := validator.NewJWT(s.Keys, w.Policy)
			tokens[w.Policy.Release] = c.Tokens(jwt, jwt.Identity())
		}
		tables := d.Wiki(w.Tables)
		w.Policy.SharedUserIDs = w.Policy.SharedUserIDs || tables.SharedUserIDs()
		var facts validator.Store = tables
		identity := tables.Identity()
		if w.Consumers {
			facts = validator.Configured(facts, s.Consumers)
			identity += " consumers=" + consumersKey(s.Consumers)
		}
		facts = c.Store(watched{facts, tables.Identity(), &d.schema, log}, identity, d.admission.Servers(serversOf(d, w.Tables)))
		l.Wikis[w.Tables.ID] = Wiki{
			Verifier: validator.New(w.Policy, facts, n, tokens[w.Policy.Release]), Policy: w.Policy, Tables: w.Tables, Nonces: n, Consumers: w.Consumers,
		}
	}
	return l, nil
}

// serversOf names the servers that the lookups of a wiki need: a failing one
// stops only the lookups of wikis that need it.
func serversOf(d *database, w store.Wiki) string {
	names := []string{d.Identity()}
	for _, p := range []*store.Pool{w.Server, w.CentralAuthServer} {
		if p != nil {
			names = append(names, p.Identity())
		}
	}
	return strings.Join(names, " ")
}

// takeDatabase takes the connections to a server.
func takeDatabase(l *Lease, s *config.Settings, c store.Config, log *zap.Logger) (*database, error) {
	d, err := Acquire(l, databases, databaseKey(c, s.DatabaseFiles), func() (_ *database, err error) {
		d := &database{admission: cache.NewAdmission()}
		c.Notify, c.Observe = d.tell, metrics.observeQuery
		d.Pool, err = store.Open(c)
		return d, err
	})
	if err == nil {
		d.log.Store(log)
	}
	return d, err
}

// Change is something that was changed in the tables.
type Change = cache.Change

// Changed tells every cache of the process what was changed.
func Changed(changes ...Change) {
	caches.Range(func(_, value any) bool {
		if c, ok := value.(*sharedCache); ok {
			c.Changed(changes...)
		}
		return true
	})
}

// InUse returns how many values each pool holds.
func InUse() (counts [3]int) {
	for i, pool := range []*caddy.UsagePool{databases, caches, nonceMemories} {
		pool.Range(func(any, any) bool { counts[i]++; return true })
	}
	return counts
}
