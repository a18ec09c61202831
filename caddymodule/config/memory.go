package config

import (
	"cmp"
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
)

// Cache bounds what is remembered.
type Cache struct {
	// Memory in bytes. Default: 64 MiB.
	Size int64 `json:"size,omitempty"`

	// How long a credential that was found is fresh. Default: 1m.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How long it is remembered that a credential was not found. Default: 5s.
	NegativeTTL caddy.Duration `json:"negative_ttl,omitempty"`

	// How long a credential that was found may be used while the database
	// cannot be asked. Default: 5m.
	MaxStale caddy.Duration `json:"max_stale,omitempty"`
}

// Nonces bounds the memory of nonces.
type Nonces struct {
	// `memory` (default): of this process.
	Backend string `json:"backend,omitempty"`

	// The most memory that nonces may take, in bytes: 32 for each nonce and for
	// each user who holds one. It is allocated as it is needed. One user may
	// hold a tenth of it. Of handlers that share one memory, the first decides.
	// Default: 192 MiB.
	Size int64 `json:"size,omitempty"`
}

func (s Site) readCache(line *caddyfile.Dispenser) error {
	c := new(Cache)
	*s.Cache = c
	return errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"size":         grammar.Size(&c.Size),
		"ttl":          grammar.Duration(&c.TTL),
		"negative_ttl": grammar.Duration(&c.NegativeTTL),
		"max_stale":    grammar.Duration(&c.MaxStale),
	}))
}

func (s Site) readNonces(line *caddyfile.Dispenser) error {
	n := new(Nonces)
	*s.Nonces = n
	if !line.NextArg() {
		return line.Err("nonces takes memory")
	}
	n.Backend = line.Val()
	if err := noncesWords.Check(n.Backend); err != nil {
		return line.WrapErr(err)
	}
	if !line.NextArg() {
		return grammar.NoBlock(line)
	}
	if line.Val() != "size" {
		return line.Err("nonces memory: unknown argument: want size")
	}
	return grammar.Size(&n.Size)(line)
}

func (r *Resolver) cache(from *Cache) cache.Config {
	c := cmp.Or(from, new(Cache))
	return cache.Config{
		Size:        r.Memory("cache size", c.Size, defaultCacheSize),
		TTL:         r.Duration("cache ttl", c.TTL, time.Minute),
		NegativeTTL: r.Duration("cache negative_ttl", c.NegativeTTL, 5*time.Second),
		MaxStale:    r.Duration("cache max_stale", c.MaxStale, 5*time.Minute),
	}
}

func (r *Resolver) nonces(from *Nonces) int64 {
	n := cmp.Or(from, new(Nonces))
	r.Choice(noncesWords, n.Backend)
	return r.Memory("nonces size", n.Size, defaultNoncesSize)
}
