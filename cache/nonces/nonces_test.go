package nonces

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestScope(t *testing.T) {
	base := validator.Key{Wiki: "enwiki", Protocol: validator.OAuth1, Consumer: "ab", Token: "cd", Subject: 1}
	tests := []struct {
		part   string
		change func(u *validator.NonceUse)
		fresh  bool
	}{
		{"nothing", func(*validator.NonceUse) {}, false},
		{"wiki", func(u *validator.NonceUse) { u.Key.Wiki = "dewiki" }, false},
		{"user", func(u *validator.NonceUse) { u.UserID = 2 }, false},
		{"timestamp", func(u *validator.NonceUse) { u.Issued, u.Until = u.Issued.Add(-time.Second), u.Until.Add(-time.Second) }, false},
		{"consumer", func(u *validator.NonceUse) { u.Key.Consumer = "ax" }, true},
		{"token", func(u *validator.NonceUse) { u.Key.Token = "cx" }, true},
		{"nonce", func(u *validator.NonceUse) { u.Nonce = "ex" }, true},
		{"border of consumer and token", func(u *validator.NonceUse) { u.Key.Consumer, u.Key.Token = "abc", "d" }, true},
		{"border of token and nonce", func(u *validator.NonceUse) { u.Key.Token, u.Nonce = "cde", "f" }, true},
		{"case of the nonce", func(u *validator.NonceUse) { u.Nonce = "EF" }, true},
	}
	for _, tt := range tests {
		m := newMemory(t, 1<<20)
		use := m.sign(1, "", "ef", 0)
		use.Key = base
		m.want(use, true)
		tt.change(&use)
		if fresh, err := m.Use(t.Context(), use); fresh != tt.fresh || err != nil {
			t.Errorf("%s changed: %t, %v, want %t", tt.part, fresh, err, tt.fresh)
		}
	}
}

func TestANonceIsKeptToTheEndOfItsSecond(t *testing.T) {
	m := newMemory(t, 1<<20)
	use := m.sign(1, "t", "n", 0)
	use.Until = use.Until.Add(999_999_999)
	m.want(use, true)
	for range kept {
		m.want(use, false)
		m.pass(1)
	}
	m.want(use, false)
	m.pass(1)
	m.refused(use, validator.ErrNonceExpired)
	m.pass(1)
	if held := m.held(); held != 0 || m.Stats().Bytes != 0 {
		t.Errorf("%d nonces and %d bytes are left", held, m.Stats().Bytes)
	}
	m.want(m.sign(1, "t", "n", 0), true) // with another timestamp
}

// TestExpired checks that a caller which took too long is not told "fresh".
func TestExpired(t *testing.T) {
	m := newMemory(t, 1<<20)
	for i, ahead := range []int64{-kept - 1, -kept - 2, -1e6, -dawn, -kept - 1} {
		use := m.sign(1, "t", strconv.Itoa(i), ahead)
		for range 3 {
			m.refused(use, validator.ErrNonceExpired)
		}
	}
	m.refused(validator.NonceUse{UserID: 1}, validator.ErrNonceExpired)
	if m.held() != 0 {
		t.Errorf("%d nonces that have expired are held", m.held())
	}
	m.want(m.sign(1, "t", "last", -kept), true)
	m.want(m.sign(1, "t", "last", -kept), false)
}

// TestOneOfManyCopiesIsFresh sends 100 copies of one request at once.
func TestOneOfManyCopiesIsFresh(t *testing.T) {
	m := New(Config{Size: 1 << 20})
	defer m.Close()
	until := time.Now().Add(5 * time.Minute)
	for round := range 50 {
		var fresh atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 100 {
			wg.Go(func() {
				<-start
				use := validator.NonceUse{Key: validator.Key{Token: strconv.Itoa(round % 2)}, UserID: 1, Nonce: strconv.Itoa(round), Until: until}
				ok, err := m.Use(t.Context(), use)
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

func TestNoMemory(t *testing.T) {
	for _, size := range []int64{-1, 0, 1000, wheelBytes + nodeBytes, 1<<17 + 31} {
		m := newMemory(t, size)
		m.refused(m.sign(1, "t", "n", 0), errFull)
	}
}

func TestKeptForTooLong(t *testing.T) {
	m := newMemory(t, 1<<20)
	const longest = wheelSize - 3 - kept
	m.want(m.sign(1, "t", "a", longest), true)
	for _, ahead := range []int64{longest + 2, wheelSize, 1e9, 1<<62 - dawn} {
		m.refused(m.sign(1, "t", "b", ahead), errTooLong)
	}
	if longest < 2*3600-kept {
		t.Errorf("the longest timestamp_window needs more than %d seconds", longest)
	}
}

// TestABacklog checks a memory that was not swept for a while: what has ended
// takes no room, and a request waits for a bounded number of steps alone.
func TestABacklog(t *testing.T) {
	m := newMemory(t, 1<<20)
	all, _ := m.spend(1, 1<<20, 0)
	m.pass(kept + 2)
	before := m.table.nonces
	m.want(m.sign(2, "t", "n", 0), true)
	if swept := before + 1 - m.table.nonces; swept > useSteps {
		t.Errorf("one request dropped %d nonces", swept)
	}
	before = m.table.nonces
	m.want(m.sign(2, "t", "n", 0), false)
	if swept := before - m.table.nonces; swept > useSteps+refusalSteps {
		t.Errorf("one refused request dropped %d nonces", swept)
	}
	before = m.table.nonces
	m.Stats()
	if m.table.nonces != before {
		t.Error("a look at the figures dropped nonces")
	}
	m.tidyBatch()
	if swept := before - m.table.nonces; swept == 0 || swept > batch {
		t.Errorf("a batch in the background dropped %d nonces", swept)
	}
	m.tidyAll()
	if again, _ := m.spend(1, 1<<20, 0); again < all-all/100 {
		t.Errorf("%d nonces pass the second time, %d the first", again, all)
	}
	// Years without a request and without the janitor: the wheel is not overrun.
	m.pass(10 * wheelSize)
	for i := range 100 {
		use := m.sign(3, "t", strconv.Itoa(i), 0)
		for {
			fresh, err := m.Use(t.Context(), use)
			if fresh {
				break
			}
			if err == nil {
				t.Fatal("a fresh nonce is a replay")
			}
		}
		m.want(use, false)
	}
}

// TestTheJanitor checks that nonces are dropped without a request, and that the
// sweeping ends with them.
func TestTheJanitor(t *testing.T) {
	m := New(Config{Size: 1 << 20})
	now := time.Now()
	for i := range 1000 {
		if fresh, err := m.Use(t.Context(), validator.NonceUse{UserID: 1, Nonce: strconv.Itoa(i), Until: now}); !fresh {
			if err == nil || time.Now().Unix() == now.Unix() {
				t.Fatal(fresh, err)
			}
			break // the second is over
		}
	}
	running := func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.janitor != nil
	}
	for deadline := now.Add(time.Minute); running() || m.Stats().Bytes > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", m.Stats())
		}
	}
	if fresh, err := m.Use(t.Context(), validator.NonceUse{UserID: 1, Until: time.Now().Add(time.Minute)}); !fresh || !running() {
		t.Fatal(fresh, err, running())
	}
	m.Close()
	if running() {
		t.Error("it goes on after Close")
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestBytesAreHonest(t *testing.T) {
	const size = 16 << 20
	before := heap()
	m := newMemory(t, size)
	if grown := heap() - before; grown > 1<<19 {
		t.Errorf("an empty memory holds %d bytes", grown)
	}
	for user := uint64(1); ; user++ {
		if _, err := m.spend(user, 3, int64(user%300)); err != nil {
			break
		}
	}
	holds, said := heap()-before, m.Stats()
	t.Logf("%d nonces, says %+v, holds %d", m.table.nonces, said, holds)
	if holds > size*21/20 || holds < said.Bytes*19/20 || said.Bytes < said.Capacity-2*nodeBytes || said.Capacity > size {
		t.Errorf("the heap holds %d bytes, want about %+v", holds, said)
	}
	m.pass(1000)
	m.tidyAll()
	if left := heap() - before; left > 1<<19 {
		t.Errorf("once all have ended, the heap still holds %d bytes", left)
	}
	runtime.KeepAlive(m.Memory)
}
