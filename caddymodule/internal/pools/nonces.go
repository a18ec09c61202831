package pools

import (
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache/nonces"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// nonceMemory is a pooled memory of nonces.
type nonceMemory struct {
	*nonces.Memory
	size int64
	// log is that of the latest configuration: an older one may be closed.
	log atomic.Pointer[zap.Logger]
}

func newNonceMemory(size int64) *nonceMemory {
	m := &nonceMemory{size: size}
	m.Memory = nonces.New(nonces.Config{Size: size, Notify: m.notify})
	return m
}

func (m *nonceMemory) Destruct() error {
	m.Close()
	return nil
}

// notify logs what an operator must know of the memory.
func (m *nonceMemory) notify(e nonces.Event, s nonces.Stats) {
	log := m.log.Load()
	size := []zap.Field{zap.Int64("bytes", s.Bytes), zap.Int64("capacity_bytes", s.Capacity)}
	switch e {
	case nonces.NearlyFull:
		log.Warn("the memory of nonces is nearly full: users who sign many requests get 429, and once it is full all get 503; "+
			"raise nonces memory size and restart", size...)
	case nonces.Relieved:
		log.Info("the memory of nonces is no longer nearly full", size...)
	case nonces.ClockBack:
		log.Error("the clock was set back: OAuth 1.0a requests are refused as timestamp_expired until it has caught up, " +
			"because their nonces may have been used; a restart ends this, and forgets all nonces")
	}
}

// takeNonces takes the memory of nonces of one OAuth database. The database is
// the scope of a nonce, and nothing else is: a setting in the key would let a
// request be replayed to a second site, or after a reload.
func takeNonces(l *Lease, capacity int64, oauth *store.Pool, log *zap.Logger) (validator.Nonces, error) {
	scope, server := oauth.OAuthIdentity()
	m, err := Acquire(l, nonceMemories, Key("nonces", scope), func() (*nonceMemory, error) {
		return newNonceMemory(capacity), nil
	})
	if err != nil {
		return nil, err
	}
	m.log.Store(log)
	if m.size != capacity {
		log.Warn("nonces of this database are already kept in a memory of another size, which stays",
			zap.Int64("size", m.size), zap.Int64("size_configured", capacity))
	}
	return m.Of(server), nil
}
