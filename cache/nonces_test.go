package cache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// hand is a clock set by hand: its wall clock can step, its elapsed time cannot.
type hand struct {
	wall    int64
	elapsed time.Duration
}

func (h *hand) pass(seconds int64) {
	h.wall += seconds
	h.elapsed += time.Duration(seconds) * time.Second
}

const dawn = 1_700_000_000

func newNonces(size int64) (*Nonces, *hand) {
	n, h := NewNonces(size), &hand{wall: dawn}
	n.clock = func() (int64, time.Duration) { return h.wall, h.elapsed }
	return n, h
}

func pair(n int) validator.Key { return validator.Key{Consumer: "c", Token: strconv.Itoa(n)} }

// use uses a nonce that is to be kept until the given second after dawn.
func use(t testing.TB, n *Nonces, key validator.Key, nonce string, until int64) (bool, error) {
	t.Helper()
	return n.Use(t.Context(), validator.NonceUse{Key: key, UserID: 1, Nonce: nonce, Until: time.Unix(dawn+until, 0)})
}

func wantUse(t testing.TB, n *Nonces, key validator.Key, nonce string, until int64, want bool) {
	t.Helper()
	if fresh, err := use(t, n, key, nonce, until); fresh != want || err != nil {
		t.Fatalf("Use(%q, %q) = %t, %v, want %t", key.Token, nonce, fresh, err, want)
	}
}

// count returns the number of nonces that are held.
func count(n *Nonces) int {
	n.Bytes() // drops what has ended
	n.mu.Lock()
	defer n.mu.Unlock()
	return int(n.nonces)
}

func TestNonceScope(t *testing.T) {
	base := validator.Key{Wiki: "enwiki", Protocol: validator.OAuth1, Consumer: "ab", Token: "cd", Subject: 1}
	tests := []struct {
		part   string
		change func(k *validator.Key, nonce *string)
		fresh  bool
	}{
		{"nothing", func(*validator.Key, *string) {}, false},
		{"wiki", func(k *validator.Key, _ *string) { k.Wiki = "dewiki" }, false},
		{"consumer", func(k *validator.Key, _ *string) { k.Consumer = "ax" }, true},
		{"token", func(k *validator.Key, _ *string) { k.Token = "cx" }, true},
		{"nonce", func(_ *validator.Key, n *string) { *n = "ex" }, true},
		{"border of consumer and token", func(k *validator.Key, _ *string) { k.Consumer, k.Token = "abc", "d" }, true},
		{"border of token and nonce", func(k *validator.Key, n *string) { k.Token, *n = "cde", "f" }, true},
		{"case of the nonce", func(_ *validator.Key, n *string) { *n = "EF" }, true},
	}
	for _, tt := range tests {
		n, _ := newNonces(1 << 20)
		wantUse(t, n, base, "ef", 300, true)
		key, nonce := base, "ef"
		tt.change(&key, &nonce)
		if fresh, err := use(t, n, key, nonce, 300); fresh != tt.fresh || err != nil {
			t.Errorf("%s changed: %t, %v, want %t", tt.part, fresh, err, tt.fresh)
		}
	}
}

func TestANonceIsKeptToTheEndOfItsSecond(t *testing.T) {
	n, h := newNonces(1 << 20)
	until := time.Unix(dawn+300, 999_999_999)
	ask := func(want bool) {
		t.Helper()
		if fresh, err := n.Use(t.Context(), validator.NonceUse{Key: pair(1), UserID: 1, Nonce: "n", Until: until}); fresh != want || err != nil {
			t.Errorf("%d s after: %t, %v, want %t", h.wall-dawn, fresh, err, want)
		}
	}
	ask(true)
	for range 300 {
		ask(false)
		h.pass(1)
	}
	ask(false)
	h.pass(1)
	if count(n) != 0 || n.Bytes() != 0 {
		t.Errorf("%d nonces and %d bytes are left", count(n), n.Bytes())
	}
	ask(true)
}

// 100 copies of one request at once: one passes.
func TestOneOfManyCopiesIsFresh(t *testing.T) {
	n := NewNonces(1 << 20)
	until := time.Now().Add(5 * time.Minute)
	for round := range 50 {
		var fresh atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 100 {
			wg.Go(func() {
				<-start
				ok, err := n.Use(t.Context(), validator.NonceUse{Key: pair(round % 2), UserID: 1, Nonce: strconv.Itoa(round), Until: until})
				if err != nil {
					t.Error(err)
				}
				if ok {
					fresh.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if fresh.Load() != 1 {
			t.Fatalf("%d of 100 copies were fresh", fresh.Load())
		}
	}
}

func TestShareOfAPair(t *testing.T) {
	n, h := newNonces(1 << 15)
	share := int(n.limit / 16)
	for i := range share {
		wantUse(t, n, pair(1), strconv.Itoa(i), 10+int64(i%2), true)
	}
	refused := func() {
		t.Helper()
		if fresh, err := use(t, n, pair(1), "one more", 10); fresh || !errors.Is(err, validator.ErrNonceShare) {
			t.Errorf("got %t, %v, want %v", fresh, err, validator.ErrNonceShare)
		}
	}
	refused()
	wantUse(t, n, pair(1), "0", 10, false) // a replay is one all the same
	wantUse(t, n, pair(2), "0", 10, true)
	h.pass(10)
	refused()
	h.pass(1) // half of it has ended
	for i := range share / 2 {
		wantUse(t, n, pair(1), fmt.Sprint("new ", i), 20, true)
	}
	refused()
}

func TestAFullMemoryIsAnError(t *testing.T) {
	n, h := newNonces(1 << 16)
	fill := func(round string, until int64) (held int) {
		for {
			fresh, err := use(t, n, pair(held), round, until+int64(held%7))
			if errors.Is(err, errNoncesFull) && !errors.Is(err, validator.ErrNonceShare) {
				return held
			}
			if !fresh || err != nil {
				t.Fatalf("nonce %d: %t, %v", held, fresh, err)
			}
			held++
		}
	}
	held := fill("a", 300)
	if bytes := n.Bytes(); bytes > 1<<16 || bytes < 1<<16-3*nodeBytes {
		t.Errorf("full with %d bytes of %d", bytes, 1<<16)
	}
	for i := range held {
		wantUse(t, n, pair(i), "a", 300, false)
	}
	if count(n) != held {
		t.Errorf("%d nonces held, want %d", count(n), held)
	}
	// All of it ends: also what a single sweep does not get to.
	h.pass(1000)
	if again := fill("b", 1300); again != held {
		t.Errorf("held %d nonces the second time, %d the first", again, held)
	}
}

func TestNoMemory(t *testing.T) {
	for _, size := range []int64{-1, 0, 2 * nodeBytes} {
		if fresh, err := use(t, NewNonces(size), pair(1), "n", 1<<30); fresh || !errors.Is(err, errNoncesFull) {
			t.Errorf("size %d: %t, %v, want %v", size, fresh, err, errNoncesFull)
		}
	}
}

// What has ended is no replay and takes no room, however far the sweep is behind.
func TestABacklogRefusesNothing(t *testing.T) {
	n, h := newNonces(1 << 20)
	for i := range 1000 {
		wantUse(t, n, pair(1), strconv.Itoa(i), int64(i), true)
	}
	h.pass(1000)
	wantUse(t, n, pair(1), "999", 2000, true)
	wantUse(t, n, pair(1), "999", 2000, false)
}

func TestStepsOfTheWallClock(t *testing.T) {
	tests := []struct {
		name  string
		steps func(h *hand, look func())
		fresh bool
	}{
		{"back", func(h *hand, look func()) {
			h.wall -= 3600
			look()
			h.pass(3600)
			look()
		}, false},
		{"back, and over", func(h *hand, look func()) {
			h.wall -= 3600
			look()
			h.pass(3600 + 301)
			look()
		}, true},
		{"forward", func(h *hand, look func()) {
			h.wall += 3600
			look()
			h.pass(300)
			look()
		}, false},
		{"forward and back", func(h *hand, look func()) {
			h.wall += 3600
			look()
			h.pass(1)
			look()
			h.wall -= 3600
			look()
		}, false},
		{"forward, and over", func(h *hand, look func()) {
			h.wall += 3600
			look()
			h.pass(301)
			look()
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, h := newNonces(1 << 20)
			wantUse(t, n, pair(1), "n", 300, true)
			tt.steps(h, func() {
				wantUse(t, n, pair(2), fmt.Sprint(*h), h.wall-dawn+300, true)
			})
			wantUse(t, n, pair(1), "n", h.wall-dawn+300, tt.fresh)
			h.pass(10_000)
			if count(n) != 0 || n.Bytes() != 0 {
				t.Errorf("%d nonces and %d bytes are left", count(n), n.Bytes())
			}
		})
	}
}

// A second step forward does not shorten what the first one holds.
func TestTwoStepsForwardAndBack(t *testing.T) {
	n, h := newNonces(1 << 20)
	wantUse(t, n, pair(1), "n", 300, true)
	for range 2 {
		h.wall += 3600
		wantUse(t, n, pair(2), fmt.Sprint(*h), h.wall-dawn+1, true)
	}
	h.pass(10)
	wantUse(t, n, pair(2), fmt.Sprint(*h), h.wall-dawn+1, true)
	h.wall -= 7200
	wantUse(t, n, pair(1), "n", 300, false)
}

// A clock that was set years ahead leaves no years to be swept, second by second, while everybody waits.
func TestAStepOverYears(t *testing.T) {
	n, h := newNonces(1 << 20)
	wantUse(t, n, pair(1), "n", 300, true)
	h.wall += 50 * 365 * 86400
	wantUse(t, n, pair(1), "m", h.wall-dawn+300, true)
	h.pass(302)
	for i := range 10 {
		wantUse(t, n, pair(1), strconv.Itoa(i), h.wall-dawn+300, true)
	}
	if n.nonces != 10 {
		t.Errorf("%d nonces are held, want the last 10 alone", n.nonces)
	}
}

// TestANonceWithinAStep: the clock was set ahead, and back half of the way. What ends there is dropped like any other.
func TestANonceWithinAStep(t *testing.T) {
	n, h := newNonces(1 << 20)
	wantUse(t, n, pair(1), "before", 300, true)
	h.wall += 2000
	wantUse(t, n, pair(1), "ahead", 2300, true)
	h.wall -= 1000
	wantUse(t, n, pair(1), "within", 1300, true)
	h.pass(302)
	if held := count(n); held != 1 {
		t.Errorf("%d nonces are held, want the one that is ahead", held)
	}
	h.pass(1000)
	if held := count(n); held != 0 {
		t.Errorf("%d nonces are held, want none", held)
	}
}

// TestAgainstAModel compares with what a map would say, over random traffic and a clock that goes on.
func TestAgainstAModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	n, h := newNonces(256 * nodeBytes)
	until := map[string]int64{}
	held := func(token string) (total, of int) {
		for id, end := range until {
			if end < h.wall {
				delete(until, id)
				continue
			}
			total++
			if id[:1] == token {
				of++
			}
		}
		return total, of
	}
	seen := map[string]int{}
	for range 100_000 {
		if r.IntN(40) == 0 {
			h.pass(r.Int64N(4))
		}
		token, nonce := r.IntN(10), strconv.Itoa(r.IntN(40))
		id := strconv.Itoa(token) + nonce
		end := h.wall + r.Int64N(20)
		fresh, err := n.Use(t.Context(), validator.NonceUse{Key: pair(token), UserID: 1, Nonce: nonce, Until: time.Unix(end, 0)})
		total, of := held(id[:1])
		_, known := until[id]
		switch {
		case known && !fresh && err == nil:
			seen["replay"]++
		case !known && of >= int(n.share) && errors.Is(err, validator.ErrNonceShare):
			seen["share"]++
		case !known && of < int(n.share) && fresh && err == nil:
			until[id] = end
			total++
			seen["fresh"]++
		default:
			t.Fatalf("%s: %t, %v; known %t, %d of %d", id, fresh, err, known, of, n.share)
		}
		if count(n) != total {
			t.Fatalf("%d nonces held, want %d", count(n), total)
		}
	}
	for _, what := range []string{"replay", "share", "fresh"} {
		if seen[what] < 1000 {
			t.Errorf("only %d times %s", seen[what], what)
		}
	}
}

func TestNonceBytesAreHonest(t *testing.T) {
	const size = 16 << 20
	time.Sleep(2 * grace) // timers of other tests still hold their caches
	before := heap()
	n, _ := newNonces(size)
	for i := 0; ; i++ {
		if _, err := use(t, n, pair(i/3), strconv.Itoa(i), int64(i%600)); err != nil {
			break
		}
	}
	holds := heap() - before
	t.Logf("%d nonces, says %d bytes, holds %d", count(n), n.Bytes(), holds)
	if said := n.Bytes(); holds > size*21/20 || holds < said*19/20 {
		t.Errorf("the heap holds %d bytes, want about %d", holds, said)
	}
	runtime.KeepAlive(n)
}
