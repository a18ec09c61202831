package cache

import (
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestEveryPartSeparatesFacts(t *testing.T) {
	type lookup struct {
		identity string
		key      validator.Key
	}
	base := func() lookup {
		return lookup{"server/wiki/1.47/local", validator.Key{
			Wiki: "enwiki", Protocol: validator.OAuth2, Consumer: "ab", Token: "cd", Subject: 7,
		}}
	}
	tests := []struct {
		part   string
		change func(*lookup)
		shared bool
	}{
		{"nothing", func(*lookup) {}, true},
		{"client", func(l *lookup) { l.key.Client = netip.MustParseAddr("192.0.2.1") }, true},
		{"identity: release", func(l *lookup) { l.identity = "server/wiki/1.39/local" }, false},
		{"identity: users mode", func(l *lookup) { l.identity = "server/wiki/1.47/centralauth" }, false},
		{"wiki", func(l *lookup) { l.key.Wiki = "dewiki" }, false},
		{"protocol", func(l *lookup) { l.key.Protocol = validator.OAuth1 }, false},
		{"consumer", func(l *lookup) { l.key.Consumer = "ax" }, false},
		{"token", func(l *lookup) { l.key.Token = "cx" }, false},
		{"subject", func(l *lookup) { l.key.Subject = 8 }, false},
		{"subject, high bits", func(l *lookup) { l.key.Subject |= 1 << 63 }, false},
		{"border of consumer and token", func(l *lookup) { l.key.Consumer, l.key.Token = "abc", "d" }, false},
		{"border of wiki and consumer", func(l *lookup) { l.key.Wiki, l.key.Consumer = "enwikia", "b" }, false},
		{"border of identity and wiki", func(l *lookup) { l.identity, l.key.Wiki = "server/wiki/1.47/locale", "nwiki" }, false},
		{"token moved into the consumer", func(l *lookup) { l.key.Consumer, l.key.Token = "abcd", "" }, false},
		{"zero byte", func(l *lookup) { l.key.Token = "cd\x00" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.part, func(t *testing.T) {
			c := newCache(t, config())
			next := answering(true)
			a, b := base(), base()
			tt.change(&b)
			mustLookup(t, c.Store(next, a.identity, nil), a.key)
			settle(c)
			mustLookup(t, c.Store(next, b.identity, nil), b.key)
			if shared := next.asked.Load() == 1; shared != tt.shared {
				t.Errorf("entry shared: %t, want %t", shared, tt.shared)
			}
		})
	}
}

func TestEveryPartSeparatesTokens(t *testing.T) {
	tests := []struct {
		part, identity, raw string
		shared              bool
	}{
		{"nothing", "keys", "a.b.c", true},
		{"key set", "kexs", "a.b.c", false},
		{"raw token", "keys", "a.b.d", false},
		{"border", "keysa", ".b.c", false},
	}
	for _, tt := range tests {
		t.Run(tt.part, func(t *testing.T) {
			c := newCache(t, config())
			next := &fakeTokens{token: validator.Token{Expires: float64(time.Now().Unix() + 1000)}}
			c.Tokens(next, "keys").Verify("a.b.c")
			settle(c)
			c.Tokens(next, tt.identity).Verify(tt.raw)
			if shared := next.asked.Load() == 1; shared != tt.shared {
				t.Errorf("entry shared: %t, want %t", shared, tt.shared)
			}
		})
	}
	if kindFacts == kindToken {
		t.Error("two kinds of entries have one name")
	}
}

// Ristretto knows 64 bits of a digest. Another one with the same bits must not
// be taken for it.
func TestTheWholeDigestIsCompared(t *testing.T) {
	c := newCache(t, config())
	victim := digest{1, 2, 3, 4, 5, 6, 7, 8, 9}
	c.facts.set(&entry[validator.Facts]{victim, 0, 0, 1, granted("victim")}, entryOverhead, time.Minute)
	settle(c)
	if e, fresh := c.facts.get(&victim, 0, 0); e == nil || !fresh {
		t.Fatal("the entry was not stored")
	}
	for i := 8; i < len(victim); i++ {
		other := victim
		other[i] ^= 0x10
		if other.hash() != victim.hash() {
			t.Fatal("no collision to test")
		}
		if e, _ := c.facts.get(&other, 0, 0); e != nil {
			t.Errorf("a digest that differs in byte %d got the entry of %q", i, e.value.Acceptance.Secret)
		}
	}
}
