package nonces

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// hand is a clock set by hand. Its wall clock can step, the time since the start
// cannot.
type hand struct{ wall, elapsed int64 }

func (h *hand) pass(seconds int64) {
	h.wall += seconds
	h.elapsed += seconds
}

const (
	dawn = 1_700_000_000
	// kept is how long a nonce with a timestamp of now is kept, as the validator
	// has it by default.
	kept = 301
)

// memory is a Memory with a clock set by hand, and nothing in the background.
type memory struct {
	testing.TB
	*Memory
	*hand
	count *int // nonces that spend has made
}

func newMemory(tb testing.TB, size int64) memory {
	tb.Helper()
	m := memory{tb, New(Config{Size: size}), &hand{wall: dawn, elapsed: 7}, new(int)}
	m.closed = true
	m.clock = func() (int64, int64) { return m.hand.wall, m.elapsed }
	return m
}

// tidyAll drops all that is due.
func (m memory) tidyAll() {
	for m.tidyBatch() {
	}
}

// held returns the number of nonces that are held, once what is due is dropped.
func (m memory) held() int {
	m.tidyAll()
	return int(m.table.nonces)
}

// sign returns the use of a nonce by a request that was signed ahead seconds
// from now.
func (m memory) sign(user uint64, token, nonce string, ahead int64) validator.NonceUse {
	issued := time.Unix(m.wall+ahead, 0)
	return validator.NonceUse{
		Key: validator.Key{Consumer: "c", Token: token}, UserID: user, Nonce: nonce,
		Issued: issued, Until: issued.Add(kept * time.Second),
	}
}

// want uses a nonce and wants it to be fresh or not.
func (m memory) want(use validator.NonceUse, want bool) {
	m.Helper()
	if fresh, err := m.Use(m.Context(), use); fresh != want || err != nil {
		m.Fatalf("Use(user %d, %q, %q) = %t, %v, want %t", use.UserID, use.Key.Token, use.Nonce, fresh, err, want)
	}
}

// refused uses a nonce and wants an error.
func (m memory) refused(use validator.NonceUse, want error) {
	m.Helper()
	if fresh, err := m.Use(m.Context(), use); fresh || !errors.Is(err, want) {
		m.Fatalf("Use(user %d, %q, %q) = %t, %v, want %v", use.UserID, use.Key.Token, use.Nonce, fresh, err, want)
	}
}

// spend uses up to n nonces of a user, each by another token, and returns how
// many were fresh before the first that was refused, and why it was.
func (m memory) spend(user uint64, n int, ahead int64) (fresh int, err error) {
	m.Helper()
	for ; fresh < n; fresh++ {
		*m.count++
		ok, err := m.Use(m.Context(), m.sign(user, strconv.Itoa(fresh%40), strconv.Itoa(*m.count), ahead))
		if err != nil {
			return fresh, err
		}
		if !ok {
			m.Fatalf("nonce %d of user %d is a replay", fresh, user)
		}
	}
	return fresh, nil
}
