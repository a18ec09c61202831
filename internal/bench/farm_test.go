package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// anyFacts is a store that knows every key, with rows of the usual size.
type anyFacts struct{}

func (anyFacts) Lookup(_ context.Context, key validator.Key) (validator.Facts, error) {
	app := &validator.Consumer{
		ID: 1, Key: key.Consumer, Name: "An app of a usual name", Wiki: "*", Version: 1, Stage: validator.Approved, Secret: key.Consumer,
		Restrictions: validator.ParseRestrictions([]byte(`{"IPAddresses":["0.0.0.0/0","::/0"]}`), validator.Release147),
	}
	return validator.Facts{
		Consumer: app, Accepted: app,
		Acceptance: &validator.Acceptance{ID: 1, ConsumerID: 1, UserID: 1, Wiki: "*", Secret: key.Token, Grants: []string{"basic", "editpage", "createeditmovepage"}},
		User: &validator.User{CentralID: 1, Name: "A user", Local: true, Attached: true, Groups: []validator.Group{
			{Name: "autopatrolled", Expires: validator.Never}, {Name: "rollbacker", Expires: validator.Never},
		}},
	}, nil
}

// BenchmarkFarm is one cache of the default size in front of 300 wikis. Each
// wiki has 2,000 tokens, of which a few make most requests, as it is with bots
// (Zipf, s = 1.1).
func BenchmarkFarm(b *testing.B) {
	const wikis, tokens = 300, 2000
	for _, size := range []int64{64 << 20, 256 << 20} {
		b.Run(fmt.Sprintf("%dMiB", size>>20), func(b *testing.B) {
			c, err := cache.New(cache.Config{Size: size, TTL: time.Hour, NegativeTTL: time.Second, MaxStale: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			var stores [wikis]validator.Store
			for i := range stores {
				stores[i] = c.Store(anyFacts{}, fmt.Sprintf("farm, wiki %d", i), nil)
			}
			r := rand.New(rand.NewPCG(1, 2))
			which, whose := rand.NewZipf(r, 1.1, 1, wikis-1), rand.NewZipf(r, 1.1, 1, tokens-1)
			ask := func() {
				wiki, token := which.Uint64(), whose.Uint64()
				key := validator.Key{
					Wiki: fmt.Sprintf("wiki%d", wiki), Protocol: validator.OAuth1,
					Consumer: fmt.Sprintf("%032x", token%50), Token: fmt.Sprintf("%032x", wiki<<32|token),
				}
				if _, err := stores[wiki].Lookup(b.Context(), key); err != nil {
					b.Fatal(err)
				}
			}
			for range 2_000_000 {
				ask()
			}
			before := c.Stats()[0]
			for b.Loop() {
				ask()
			}
			after := c.Stats()[0]
			hits, misses := after.Hits-before.Hits, after.Misses-before.Misses
			b.ReportMetric(float64(hits)/float64(hits+misses), "hits/lookup")
			b.ReportMetric(float64(after.Bytes)/(1<<20), "MiB")
		})
	}
}
