package authserver

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// proven are the clients of the process that were apps lately. They outlive a
// reload.
var proven provenClients

// maxProven bounds the clients that are remembered, in each generation.
const maxProven = 8192

// provenClients remembers which clients have proven that they are an app: by a
// signature or by its secret. Consumer keys are public, so a key alone proves
// nothing. Clients are remembered by hashes of their network and the key.
type provenClients struct {
	mu             sync.Mutex
	current, older map[uint64]struct{}
}

var provenSeed = maphash.MakeSeed()

func provenID(key string, client netip.Addr) uint64 {
	return maphash.Comparable(provenSeed, struct {
		key    string
		client netip.Addr
	}{key, validator.Network(client)})
}

func (p *provenClients) has(id uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, now := p.current[id]
	_, before := p.older[id]
	return now || before
}

// note remembers a client that has proven itself, and forgets one that failed to.
func (p *provenClients) note(id uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.older, id)
	delete(p.current, id)
	if !ok {
		return
	}
	if len(p.current) >= maxProven {
		p.older, p.current = p.current, nil
	}
	if p.current == nil {
		p.current = make(map[uint64]struct{})
	}
	p.current[id] = struct{}{}
}

// claimedApp finds the app that a client says it is. Such a lookup has few places,
// unless something vouches for the client: what it was issued before, or an
// earlier proof.
func (s *Server) claimedApp(ctx context.Context, key string, vouched bool) (*Consumer, error) {
	asker := validator.AskerOf(ctx)
	asker.Unproven = !vouched && !proven.has(provenID(key, asker.Client))
	return s.tables.Consumer(validator.WithAsker(ctx, asker), key)
}

// noteProof notes whether a client has proven that it is the app.
func (s *Server) noteProof(ctx context.Context, key string, ok bool) {
	proven.note(provenID(key, validator.AskerOf(ctx).Client), ok)
}
