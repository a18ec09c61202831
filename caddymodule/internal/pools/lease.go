package pools

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Lease is one configuration's share in the pools. The configuration and each
// request that it serves hold the lease. It ends when the last of them releases
// it, because Caddy cleans up a configuration while its requests are still
// served.
type Lease struct {
	// Wikis are the configured wikis, by id. The id may come from a request: an
	// id that is not here is refused before a cache or a database sees it.
	Wikis   map[string]Wiki
	holders atomic.Int64
	shares  []share
}

// Wiki is what a lease has for one wiki.
type Wiki struct {
	Verifier Verifier
	// Policy is that of the Verifier.
	Policy validator.Policy
	// Tables tells the wiki's tables from those of other wikis on the same servers.
	Tables store.Wiki
	// Nonces are those of the wiki's OAuth database.
	Nonces validator.Nonces
	// Consumers reports whether the wiki knows the consumers that are kept in
	// configuration.
	Consumers bool
}

// Verifier decides about requests for one wiki.
type Verifier interface {
	Verify(ctx context.Context, r validator.Request) validator.Decision
}

// NewLease returns a held lease of wikis that need nothing from the pools.
func NewLease(wikis map[string]Wiki) *Lease {
	l := &Lease{Wikis: wikis}
	l.holders.Store(1)
	return l
}

type share struct {
	pool *caddy.UsagePool
	key  string
}

// Hold holds the lease, and reports false if it has ended already.
func (l *Lease) Hold() bool {
	for {
		n := l.holders.Load()
		if n == 0 {
			return false
		}
		if l.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release ends what Hold began.
func (l *Lease) Release() {
	if l.holders.Add(-1) == 0 {
		// Closing a database waits for its running queries, so no request does it.
		go l.end()
	}
}

func (l *Lease) end() {
	for _, t := range l.shares {
		_, _ = t.pool.Delete(t.key) // closing has failed: there is nothing left to try
	}
}

// Database takes the connections of another account on the servers of a site.
func (l *Lease) Database(s *config.Settings, c store.Config, log *zap.Logger) (*store.Pool, error) {
	d, err := takeDatabase(l, s, c, log)
	if err != nil {
		return nil, err
	}
	return d.Pool, nil
}

// Acquire takes a value from a pool, or makes it, and notes that the lease must
// give it back.
func Acquire[T caddy.Destructor](l *Lease, pool *caddy.UsagePool, key string, construct func() (T, error)) (value T, err error) {
	got, _, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) { return construct() })
	if err != nil {
		return value, err
	}
	l.shares = append(l.shares, share{pool, key})
	value, ok := got.(T)
	if !ok {
		return value, fmt.Errorf("pool holds a %T", got)
	}
	return value, nil
}
