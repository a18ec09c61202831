package cache

import (
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

type fakeTokens struct {
	asked  atomic.Int64
	token  validator.Token
	reason validator.Reason
}

func (f *fakeTokens) Verify(string) (validator.Token, validator.Reason) {
	f.asked.Add(1)
	return f.token, f.reason
}

func TestTokenTTL(t *testing.T) {
	now := time.Unix(1_700_000_000, 500_000_000)
	at := 1_700_000_000.5
	tests := []struct {
		name     string
		exp      float64
		min, max time.Duration
	}{
		{"a thousand years off", at + 1000*365*86400, 54 * time.Minute, time.Hour},
		{"1e308", 1e308, 54 * time.Minute, time.Hour},
		{"never", math.Inf(1), 54 * time.Minute, time.Hour},
		{"an hour", at + 3600, 54 * time.Minute, time.Hour},
		{"under an hour", at + 3599, 3598 * time.Second, 3599 * time.Second},
		{"0.4 s", at + 0.4, 399 * time.Millisecond, 401 * time.Millisecond},
		{"2 ms", at + 0.002, time.Millisecond, 3 * time.Millisecond},
		{"half a millisecond", at + 0.0005, 0, 0},
		{"now", at, 0, 0},
		{"past", at - 1, 0, 0},
		{"-1", -1, 0, 0},
		{"-1e308", -1e308, 0, 0},
		{"minus infinity", math.Inf(-1), 0, 0},
		{"no number", math.NaN(), 0, 0},
	}
	for _, tt := range tests {
		if got := tokenTTL(tt.exp, now); got < tt.min || got > tt.max {
			t.Errorf("%s: kept %v, want %v to %v", tt.name, got, tt.min, tt.max)
		}
	}
}

func TestTokensAreKeptUntilTheyExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		next := &fakeTokens{token: validator.Token{ID: "jti", Scopes: []string{"basic"}, Expires: float64(time.Now().Unix() + 30)}}
		tokens := c.Tokens(next, "keys")
		verify := func(want int64) {
			t.Helper()
			token, reason := tokens.Verify("a.b.c")
			if reason != validator.OK || token.ID != "jti" || len(token.Scopes) != 1 {
				t.Errorf("got %+v, %v", token, reason)
			}
			settle(c)
			if got := next.asked.Load(); got != want {
				t.Errorf("verified %d times, want %d", got, want)
			}
		}
		verify(1)
		verify(1)
		time.Sleep(29 * time.Second)
		verify(1)
		time.Sleep(2 * time.Second)
		verify(2) // expired: that it is not stored again shows below
		verify(3)
		time.Sleep(time.Minute)
		if bytes := c.Stats()[2].Bytes; bytes != 0 {
			t.Errorf("%d bytes held after the token expired", bytes)
		}
	})
}

func TestRefusedTokensAreNotKept(t *testing.T) {
	c := newCache(t, config())
	next := &fakeTokens{token: validator.Token{Expires: math.Inf(1)}, reason: validator.BadTokenSignature}
	tokens := c.Tokens(next, "keys")
	for range 2 {
		if _, reason := tokens.Verify("a.b.c"); reason != validator.BadTokenSignature {
			t.Errorf("reason %v, want %v", reason, validator.BadTokenSignature)
		}
		settle(c)
	}
	if got := next.asked.Load(); got != 2 {
		t.Errorf("verified %d times, want 2", got)
	}
}

// A verifier may well return parts of the raw token. Kept in an entry they
// would keep all of it.
func TestNoRawTokenIsKept(t *testing.T) {
	c := newCache(t, config())
	raw := string([]byte("jti.aud.sub.scope"))
	next := &fakeTokens{token: validator.Token{
		ID: raw[:3], Audience: raw[4:7], Subject: raw[8:11], Scopes: []string{raw[12:]}, Expires: math.Inf(1),
	}}
	tokens := c.Tokens(next, "keys")
	tokens.Verify(raw)
	settle(c)
	kept, _ := tokens.Verify(raw)
	if next.asked.Load() != 1 {
		t.Fatal("the token was not kept")
	}
	start := uintptr(unsafe.Pointer(unsafe.StringData(raw)))
	for _, s := range []string{kept.ID, kept.Audience, kept.Subject, kept.Scopes[0]} {
		if at := uintptr(unsafe.Pointer(unsafe.StringData(s))); at >= start && at < start+uintptr(len(raw)) {
			t.Errorf("%q is a part of the raw token", s)
		}
	}
}
