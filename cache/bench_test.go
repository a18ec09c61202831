package cache

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func BenchmarkFactsHit(b *testing.B) {
	c := newCache(b, Config{Size: 64 << 20, TTL: 24 * time.Hour})
	next := answering(true)
	s := c.Store(next, strings.Repeat("i", 64))
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

func BenchmarkNonceUse(b *testing.B) {
	for _, perSecond := range []int{100, 1000, 5000} { // each kept for 300 s
		b.Run(strconv.Itoa(300*perSecond), func(b *testing.B) {
			n := NewNonces(64 << 20)
			wall, used := int64(dawn), 0
			n.clock = func() (int64, time.Duration) {
				return wall + int64(used/perSecond), time.Duration(used/perSecond) * time.Second
			}
			keys := make([]validator.Key, 1000)
			for i := range keys {
				keys[i] = validator.Key{Consumer: strings.Repeat("c", 32), Token: strings.Repeat("t", 29) + strconv.Itoa(100 + i)[:3]}
			}
			nonces := make([]string, 1<<16)
			for i := range nonces {
				nonces[i] = strings.Repeat("n", 20) + strconv.Itoa(i)
			}
			step := func() {
				until := time.Unix(wall+int64(used/perSecond)+300, 0)
				if _, err := n.Use(b.Context(), validator.NonceUse{Key: keys[used%len(keys)], UserID: 1, Nonce: nonces[used%len(nonces)], Until: until}); err != nil {
					b.Fatal(err)
				}
				used++
			}
			for used < 301*perSecond {
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}

func BenchmarkNonceUseParallel(b *testing.B) {
	n := NewNonces(64 << 20)
	k := validator.Key{Consumer: strings.Repeat("c", 32), Token: strings.Repeat("t", 32)}
	until := time.Now().Add(time.Hour)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := n.Use(b.Context(), validator.NonceUse{Key: k, UserID: 1, Nonce: strconv.Itoa(i % 50_000), Until: until}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
