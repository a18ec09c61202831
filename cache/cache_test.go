package cache

import (
	"crypto/rsa"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestConfigErrors(t *testing.T) {
	tests := []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Size = 1<<20 - 1 }, "cache size 1048575: use at least 1048576 bytes"},
		{func(c *Config) { c.Size = -1 }, "cache size -1: use at least 1048576 bytes"},
		{func(c *Config) { c.TTL = -1 }, "cache ttl -1ns: use 0 to 720h0m0s"},
		{func(c *Config) { c.NegativeTTL = -time.Second }, "cache negative_ttl -1s: use 0 to 720h0m0s"},
		{func(c *Config) { c.MaxStale = 1 << 62 }, "cache max_stale 1281023h53m38.427387904s: use 0 to 720h0m0s"},
	}
	for _, tt := range tests {
		cfg := config()
		tt.change(&cfg)
		if _, err := New(cfg); err == nil || err.Error() != tt.want {
			t.Errorf("error %v, want %s", err, tt.want)
		}
	}
}

func TestStats(t *testing.T) {
	c := newCache(t, config())
	s := c.Store(answering(true), "id", nil)
	tokens := c.Tokens(&fakeTokens{token: validator.Token{Expires: 1e308}}, "keys")
	for range 3 {
		mustLookup(t, s, key(1))
		tokens.Verify("a.b.c")
		settle(c)
	}
	got := c.Stats()
	want := []Stats{{"facts", 2, 1, 0}, {"negative", 0, 1, 0}, {"tokens", 2, 1, 0}}
	for i := range want {
		if (got[i].Bytes > 0) != (i != 1) {
			t.Errorf("%s: %d bytes", got[i].Name, got[i].Bytes)
		}
		got[i].Bytes = 0
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}

func TestClosedCache(t *testing.T) {
	// The bubble does not end before the cache's goroutines have.
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, config())
		next, jwt := answering(true), &fakeTokens{token: validator.Token{Expires: 1e308}}
		s, tokens := c.Store(next, "id", nil), c.Tokens(jwt, "keys")
		mustLookup(t, s, key(1))
		tokens.Verify("a.b.c")
		settle(c)
		c.Close()
		c.Close()
		c.Purge()
		mustLookup(t, s, key(1))
		tokens.Verify("a.b.c")
		wantAsked(t, next, 2)
		if got := jwt.asked.Load(); got != 2 {
			t.Errorf("the token was verified %d times, want 2", got)
		}
		for _, st := range c.Stats() {
			if st.Bytes != 0 {
				t.Errorf("%s: %d bytes", st.Name, st.Bytes)
			}
		}
	})
}

func TestCloseAndPurgeInUse(t *testing.T) {
	for range 20 {
		c := newCache(t, config())
		s := c.Store(answering(true), "id", nil)
		negative := c.Store(answering(false), "negative", nil)
		tokens := c.Tokens(&fakeTokens{token: validator.Token{Expires: 1e308}}, "keys")
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for n := range 200 {
					mustLookup(t, s, key(n/(g+1)))
					mustLookup(t, negative, key(n))
					tokens.Verify(fmt.Sprint(n))
					c.Stats()
				}
			})
		}
		wg.Go(func() {
			c.Purge()
			c.Purge()
			c.Close()
			c.Purge()
		})
		wg.Wait()
	}
}

// bulky makes facts of about 1 to 9 KiB that share nothing.
func bulky(n int) validator.Facts {
	text := func(size int) string { return strings.Repeat(string(rune('a'+n%26)), size) }
	restrictions := `{"IPAddresses":["10.0.0.0/8"` + strings.Repeat(`,"2001:db8::/32"`, n%100) + `]}`
	app := &validator.Consumer{
		Key: text(32), Name: text(n % 100), Secret: text(32), Wiki: text(1),
		RSAKey:       &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), uint(1024*(1+n%4))), E: 65537},
		Restrictions: validator.ParseRestrictions([]byte(restrictions), validator.Release147),
	}
	grants := make([]string, n%30)
	for i := range grants {
		grants[i] = text(12)
	}
	user := &validator.User{Name: text(n % 50)}
	for range n % 10 {
		user.Groups = append(user.Groups, validator.Group{Name: text(15)})
	}
	return validator.Facts{
		Consumer: app, Accepted: app, User: user, Token: &validator.AccessToken{AcceptanceID: 1},
		Acceptance: &validator.Acceptance{Wiki: text(6), Secret: text(32), Grants: grants},
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The estimate has to be honest: what the cache says to hold, the heap holds.
func TestBytesStayUnderTheSize(t *testing.T) {
	const size = 16 << 20
	tests := []struct {
		name  string
		inner int
		share int64
		fill  func(c *Cache, n int)
		count int
	}{
		{"large facts", 0, size / 16 * 10, func(c *Cache, n int) {
			f := bulky(n)
			c.keep(&entry[validator.Facts]{digest: spread(n), until: 1 << 62, value: f}, factsCost(&f))
		}, 10_000},
		{"small facts", 0, size / 16 * 10, func(c *Cache, n int) {
			f := granted(fmt.Sprintf("%032d", n))
			c.keep(&entry[validator.Facts]{digest: spread(n), until: 1 << 62, value: f}, factsCost(&f))
		}, 200_000},
		{"negative facts", 1, size / 16, func(c *Cache, n int) {
			f := validator.Facts{Consumer: bulky(n).Consumer}
			c.keep(&entry[validator.Facts]{digest: spread(n), until: 1 << 62, value: f}, factsCost(&f))
		}, 10_000},
		{"tokens", 2, size / 16 * 4, func(c *Cache, n int) {
			jwt := &fakeTokens{token: validator.Token{
				ID: fmt.Sprintf("%080d", n), Audience: fmt.Sprintf("%032d", n), Subject: fmt.Sprint(n),
				Scopes: []string{"basic", "editpage", fmt.Sprint(n)}, Expires: 1e308,
			}}
			c.Tokens(jwt, "keys").Verify(fmt.Sprint(n))
		}, 100_000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			time.Sleep(2 * grace) // timers of other tests still hold their caches
			c := newCache(t, Config{Size: size, TTL: time.Hour, NegativeTTL: time.Hour})
			before := heap()
			for n := range tt.count {
				tt.fill(c, n)
				if n%1000 == 0 {
					settle(c)
				}
			}
			settle(c)
			after := heap()
			held := c.Stats()[tt.inner].Bytes
			if held < tt.share*9/10 || held > tt.share {
				t.Errorf("holds %d bytes, want it full, at most %d", held, tt.share)
			}
			holds := after - before
			t.Logf("says %d bytes, holds %d: %.2f", held, holds, float64(holds)/float64(held))
			if holds > held*12/10 || holds < held*6/10 {
				t.Errorf("the heap holds %d bytes, want about %d", holds, held)
			}
			runtime.KeepAlive(c)
		})
	}
}

// spread makes digests as SHA-256 would.
func spread(n int) digest { return tokenDigest(nil, fmt.Sprint(n)) }
