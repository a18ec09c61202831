package cache

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func BenchmarkFactsHit(b *testing.B) {
	c := newCache(b, Config{Size: 64 << 20, TTL: 24 * time.Hour})
	next := answering(true)
	s := c.Store(next, strings.Repeat("i", 64), nil)
	k := validator.Key{Wiki: "enwiki", Protocol: validator.OAuth1, Consumer: strings.Repeat("c", 32), Token: strings.Repeat("t", 32)}
	mustLookup(b, s, k)
	settle(c)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Lookup(b.Context(), k); err != nil {
				b.Fatal(err)
			}
		}
	})
	wantAsked(b, next, 1)
}

func BenchmarkTokensHit(b *testing.B) {
	c := newCache(b, Config{Size: 64 << 20})
	next := &fakeTokens{token: validator.Token{ID: "jti", Expires: math.Inf(1)}}
	s := c.Tokens(next, strings.Repeat("i", 64))
	raw := strings.Repeat("r", 1000)
	s.Verify(raw)
	settle(c)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, reason := s.Verify(raw); reason != validator.OK {
				b.Fatal(reason)
			}
		}
	})
	if next.asked.Load() != 1 {
		b.Error("not a hit")
	}
}
