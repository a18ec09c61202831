package gateway

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// What outlives a configuration. Each has a pool of its own, so that a changed setting of one leaves the others
// warm.
var (
	databases     = caddy.NewUsagePool() // of *database
	caches        = caddy.NewUsagePool() // of *memory
	nonceMemories = caddy.NewUsagePool() // of *nonceMemory
)

type database struct {
	*store.Pool
	health health
	// admission bounds the lookups of all sites and wikis that use the pool.
	admission *cache.Admission
	// log is the logger of the newest configuration: the pool outlives those
	// before.
	log atomic.Pointer[zap.Logger]
}

func (d *database) Destruct() error { return d.Close() }

type memory struct{ *cache.Cache }

func (m *memory) Destruct() error {
	metrics.memories.retire(m.Stats())
	m.Close()
	return nil
}

// lease is one configuration's share in the pools. The configuration and each request inside hold it; it ends
// when the last has let go, for Caddy cleans up a configuration while its requests are still being served.
type lease struct {
	verifiers map[string]verifier // by wiki id
	holders   atomic.Int64
	taken     []taken
}

// verifier is what a Handler asks of the core.
type verifier interface {
	Verify(ctx context.Context, r validator.Request) validator.Decision
}

type taken struct {
	pool *caddy.UsagePool
	key  string
}

// hold says whether the lease is still on, and if so holds it.
func (l *lease) hold() bool {
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

// release lets go of the lease.
func (l *lease) release() {
	if l.holders.Add(-1) == 0 {
		// Closing a database waits for its running queries: not in the way of a request.
		go l.end()
	}
}

func (l *lease) end() {
	for _, t := range l.taken {
		_, _ = t.pool.Delete(t.key) // closing has failed: there is nothing left to try
	}
}

// enter gives the handler's lease, held. A request that reaches the handler after its configuration was cleaned
// up, late from a handler before it, takes a new one for itself.
func (h *Handler) enter() (*lease, error) {
	if l := h.lease.Load(); l != nil && l.hold() {
		return l, nil
	}
	return h.settings.open(cmp.Or(h.logger, zap.NewNop()))
}

// open takes a lease: what the settings need from each pool, made where it is not there yet. It connects to
// nothing.
func (s *settings) open(log *zap.Logger) (_ *lease, err error) {
	l := new(lease)
	l.holders.Store(1)
	defer func() {
		if err != nil {
			l.end()
		}
	}()

	d, err := s.takeDatabase(l, s.database, log)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	c, err := take(l, caches, s.cacheKey(), func() (*memory, error) {
		c, err := cache.New(s.cache)
		return &memory{c}, err
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	n, err := s.takeNonces(l, d.Pool, log)
	if err != nil {
		return nil, fmt.Errorf("nonces: %w", err)
	}

	var central *store.Pool
	if s.central != nil {
		d, err := s.takeDatabase(l, *s.central, log)
		if err != nil {
			return nil, fmt.Errorf("users centralauth: %w", err)
		}
		central = d.Pool
	}
	tokens := make(map[validator.Release]validator.Tokens)
	l.verifiers = make(map[string]verifier, len(s.served))
	for _, w := range s.served {
		w.place.CentralAuthServer = central
		if w.server != nil {
			own, err := s.takeDatabase(l, *w.server, log)
			if err != nil {
				return nil, fmt.Errorf("wiki %s: %w", w.place.ID, err)
			}
			w.place.Server = own.Pool
		}
		if tokens[w.policy.Release] == nil {
			jwt := validator.NewJWT(s.keys, w.policy)
			tokens[w.policy.Release] = c.Tokens(jwt, jwt.Identity())
		}
		tables := d.Wiki(w.place)
		w.policy.SharedUserIDs = w.policy.SharedUserIDs || tables.SharedUserIDs()
		var facts validator.Store = tables
		identity := tables.Identity()
		if w.apps {
			facts = validator.Configured(facts, s.apps)
			identity += " consumers=" + s.appsIdentity()
		}
		facts = c.Store(watched{facts, tables.Identity(), &d.health, log}, identity, d.admission.Servers(serversOf(d, w.place)))
		l.verifiers[w.place.ID] = validator.New(w.policy, facts, n, tokens[w.policy.Release])
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

// take gets a value from a pool, or makes it, and notes that the lease must give it back.
func take[T caddy.Destructor](l *lease, pool *caddy.UsagePool, key string, construct func() (T, error)) (value T, err error) {
	got, _, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) { return construct() })
	if err != nil {
		return value, err
	}
	l.taken = append(l.taken, taken{pool, key})
	value, ok := got.(T)
	if !ok {
		return value, fmt.Errorf("pool holds a %T", got)
	}
	return value, nil
}

// takeDatabase takes the connections to a server.
func (s *settings) takeDatabase(l *lease, c store.Config, log *zap.Logger) (*database, error) {
	d, err := take(l, databases, s.databaseKey(c), func() (_ *database, err error) {
		d := &database{admission: cache.NewAdmission()}
		c.Notify = d.tell
		d.Pool, err = store.Open(c)
		return d, err
	})
	if err == nil {
		d.log.Store(log)
	}
	return d, err
}

func (s *settings) databaseKey(c store.Config) string {
	parts := append([]string{
		c.Driver, c.DSN, c.OAuthDatabase, c.QueryTimeout.String(), c.ConnMaxLifetime.String(),
		strconv.Itoa(c.MaxOpenConns), strconv.Itoa(len(c.Replicas)),
	}, c.Replicas...)
	if c.TLS != nil {
		parts = append(parts, c.TLS.CA, c.TLS.Cert, c.TLS.Key, c.TLS.ServerName)
	}
	return key("database", append(parts, s.databaseFiles...)...)
}

func (s *settings) cacheKey() string {
	c := s.cache
	return key("cache", strconv.FormatInt(c.Size, 10), c.TTL.String(), c.NegativeTTL.String(), c.MaxStale.String())
}

// processKey keeps passwords from being guessed from pool keys, which can be read.
var processKey = func() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key
}()

// key is the digest of everything that a pooled value is made from, each part after its length.
func key(kind string, parts ...string) string {
	mac := hmac.New(sha256.New, processKey)
	for _, part := range append([]string{kind}, parts...) {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write([]byte(part))
	}
	return string(mac.Sum(nil))
}
