package cache

import (
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Tokens returns next with the cache in front of it. It keeps good signatures
// alone, for no longer than the token lives. Tokens of one identity share their
// entries. The identity must name everything that the answer depends on in
// addition to the raw token: the key set, and how strictly tokens are read.
func (c *Cache) Tokens(next validator.Tokens, identity string) validator.Tokens {
	return &tokens{cache: c, next: next, prefix: appendPart(appendPart(nil, kindToken), identity)}
}

type tokens struct {
	cache  *Cache
	next   validator.Tokens
	prefix []byte
}

func (t *tokens) Verify(raw string) (validator.Token, validator.Reason) {
	c := t.cache
	d := tokenDigest(t.prefix, raw)
	generation, now := c.generation.Load(), c.clock()
	if e, fresh := c.tokens.get(&d, generation, now); fresh {
		return e.value, validator.OK
	}
	token, reason := t.next.Verify(raw)
	if reason != validator.OK {
		return token, reason
	}
	if ttl := tokenTTL(token.Expires, c.cfg.Now()); ttl > 0 {
		e := &entry[validator.Token]{d, generation, now, now + int64(ttl), detach(token)}
		c.tokens.set(e, tokenCost(&e.value), ttl)
	}
	return token, reason
}

// tokenTTL returns how long a token that expires at exp is kept; 0 means not at
// all. exp can be any number that a token holds, so it is bounded before it
// becomes a Duration: neither 1e308 seconds nor NaN fits into one.
func tokenTTL(exp float64, now time.Time) time.Duration {
	life := exp - float64(now.UnixNano())/1e9
	switch {
	case life >= maxTokenTTL.Seconds():
		return jitter(maxTokenTTL)
	case life >= time.Millisecond.Seconds():
		return time.Duration(life * 1e9)
	}
	return 0
}

// detach copies the strings, which may be parts of the raw token.
func detach(t validator.Token) validator.Token {
	t.ID, t.Audience, t.Subject = strings.Clone(t.ID), strings.Clone(t.Audience), strings.Clone(t.Subject)
	scopes := make([]string, len(t.Scopes))
	for i, s := range t.Scopes {
		scopes[i] = strings.Clone(s)
	}
	t.Scopes = scopes
	return t
}
