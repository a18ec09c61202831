package nonces

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func BenchmarkUse(b *testing.B) {
	for _, perSecond := range []int{100, 1000, 5000} { // each kept for 300 s
		b.Run(strconv.Itoa(300*perSecond), func(b *testing.B) {
			m := New(Config{Size: 192 << 20})
			m.closed = true // no sweeping in the background
			wall, used := int64(dawn), 0
			m.clock = func() (int64, int64) { return wall + int64(used/perSecond), int64(used / perSecond) }
			keys := make([]validator.Key, 1000)
			for i := range keys {
				keys[i] = validator.Key{Consumer: strings.Repeat("c", 32), Token: strings.Repeat("t", 29) + strconv.Itoa(100 + i)[:3]}
			}
			names := make([]string, 1<<16)
			for i := range names {
				names[i] = strings.Repeat("n", 20) + strconv.Itoa(i)
			}
			step := func() {
				until := time.Unix(wall+int64(used/perSecond)+300, 0)
				user := used % len(keys)
				if _, err := m.Use(b.Context(), validator.NonceUse{Key: keys[user], UserID: uint64(user), Nonce: names[used%len(names)], Until: until}); err != nil {
					b.Fatal(err)
				}
				used++
			}
			for used < 303*perSecond {
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}

func BenchmarkUseParallel(b *testing.B) {
	m := New(Config{Size: 64 << 20})
	k := validator.Key{Consumer: strings.Repeat("c", 32), Token: strings.Repeat("t", 32)}
	until := time.Now().Add(time.Hour)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := m.Use(b.Context(), validator.NonceUse{Key: k, UserID: 1, Nonce: strconv.Itoa(i % 50_000), Until: until}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
