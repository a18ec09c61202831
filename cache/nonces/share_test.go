package nonces

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// defaultSize is the default of the directive's `nonces memory size`.
const defaultSize = 192 << 20

// TestOneUserHoldsAnEighth lets one user spend what they can with many tokens of
// many apps.
func TestOneUserHoldsAnEighth(t *testing.T) {
	for _, size := range []int64{1 << 18, 1 << 20, 5 << 20} {
		m := newMemory(t, size)
		held := 0
		for i := 0; ; i++ {
			use := m.sign(1, strconv.Itoa(i%50), strconv.Itoa(i), 0)
			use.Key.Consumer = strconv.Itoa(i % 17)
			fresh, err := m.Use(t.Context(), use)
			if !fresh {
				if !errors.Is(err, validator.ErrNonceShare) {
					t.Fatal(fresh, err)
				}
				break
			}
			held++
		}
		if most := int(m.limit) / 8; held > most || held < most*3/4 {
			t.Errorf("%d bytes: one user holds %d of %d, want at most %d and not much less", size, held, m.limit, most)
		}
		use := m.sign(1, "1", "1", 0)
		use.Key.Consumer = "1"
		m.want(use, false) // a replay is one all the same
		m.refused(m.sign(1, "new token", "n", 0), validator.ErrNonceShare)
		m.want(m.sign(2, "new token", "n", 0), true)
		m.pass(kept + 2)
		m.tidyAll()
		if again, err := m.spend(1, 2*held, 0); again < held-2 || !errors.Is(err, validator.ErrNonceShare) {
			t.Errorf("%d and %v once all have ended, want %d again", again, err, held)
		}
	}
}

// TestGreedyUsers lets any number of users spend as much as they can, over and
// over. They never fill the memory for users who hold few.
func TestGreedyUsers(t *testing.T) {
	for _, tt := range []struct {
		attackers uint64
		size      int64
		ahead     int64
	}{{17, 1 << 20, 0}, {17, 1 << 20, 299}, {100, 4 << 20, 0}, {100, 4 << 20, 299}, {10_000, 32 << 20, 0}} {
		t.Run(fmt.Sprint(tt.attackers, " ", tt.ahead), func(t *testing.T) {
			m := newMemory(t, tt.size)
			const newcomers = 20           // of each round
			for round := range uint32(3) { // some of what they hold ends between the rounds
				for passed := 1; passed > 0; {
					passed = 0
					for user := range tt.attackers {
						n, err := m.spend(user+1, 20, tt.ahead)
						if err != nil && !errors.Is(err, validator.ErrNonceShare) {
							t.Fatal(err)
						}
						passed += n
					}
				}
				if free := m.limit - m.table.used; free+round*newcomers*(few+1) < m.limit/reserve {
					t.Errorf("round %d: the attackers leave %d of %d places", round, free, m.limit)
				}
				for user := range uint64(newcomers) {
					if n, err := m.spend(1e6+100*uint64(round)+user, few, 0); err != nil {
						t.Errorf("round %d: user %d, who holds %d nonces: %v", round, user, n, err)
					}
				}
				m.pass(150)
				m.tidyAll()
			}
		})
	}
}

// TestWhileOnePlaceIsFree fills the memory to the last place with users who hold
// few.
func TestWhileOnePlaceIsFree(t *testing.T) {
	m := newMemory(t, 1<<20)
	var user uint64
	for m.limit-m.table.used >= 1+few {
		user++
		if n, err := m.spend(user, few, 0); err != nil {
			t.Fatalf("user %d, nonce %d: %v with %d places free", user, n, err, m.limit-m.table.used)
		}
	}
	m.refused(m.sign(user, "t", "n", 0), validator.ErrNonceShare) // holds 64
	user++
	for m.limit-m.table.used > 1 {
		if _, err := m.spend(user, 1, 250); err != nil {
			t.Fatalf("%v with %d places free", err, m.limit-m.table.used)
		}
	}
	m.want(m.sign(user+1, "t", "the last", 0), true) // of a user who holds none
	m.refused(m.sign(user+2, "t", "n", 0), errFull)
	m.refused(m.sign(user+1, "t", "n", 0), errFull)
	m.want(m.sign(user+1, "t", "the last", 0), false)
	if s := m.Stats(); s.Bytes < s.Capacity {
		t.Errorf("full with %+v", s)
	}
	m.pass(kept + 2)
	m.want(m.sign(user+2, "t", "n", 0), true)
}

// TestABusyApp sends 2,000 requests a second for as long as it takes until as
// many nonces end as come, with the default size: by one token, by one app for
// many users, and with a clock that is a little fast.
func TestABusyApp(t *testing.T) {
	for _, tt := range []struct {
		name  string
		users uint64
		ahead int64
	}{{"one token", 1, 0}, {"a thousand users", 1000, 0}, {"a clock that is fast", 1, 3}} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory(t, defaultSize)
			const perSecond, seconds = 2000, kept + 10
			for i := range perSecond * seconds {
				user := uint64(i)%tt.users + 1
				m.want(m.sign(user, strconv.Itoa(int(user)), strconv.Itoa(i), tt.ahead), true)
				if i%perSecond == perSecond-1 {
					m.pass(1)
				}
			}
		})
	}
}

// TestNotRefusedWhileNearlyEmpty holds one user against the memory's emptiness,
// whatever its size: no user is refused while nine tenths of it are free.
func TestNotRefusedWhileNearlyEmpty(t *testing.T) {
	for _, size := range []int64{1 << 18, 1 << 20, 3 << 20} {
		for _, others := range []int{0, 5} {
			m := newMemory(t, size)
			for i := range others {
				if _, err := m.spend(uint64(10+i), int(m.limit)/100, 0); err != nil {
					t.Fatal(err)
				}
			}
			_, err := m.spend(1, 1<<30, 0)
			if free := float64(m.limit-m.table.used) / float64(m.limit); !errors.Is(err, validator.ErrNonceShare) || free > 0.9 {
				t.Errorf("%d bytes, %d others: %v with %.3f free", size, others, err, free)
			}
		}
	}
}

// TestAFutureTimestampCostsItsUser compares what a user holds, over the time
// that it is held, with what the same user holds by timestamps of now.
func TestAFutureTimestampCostsItsUser(t *testing.T) {
	holds := func(ahead int64) (sum int64) {
		m := newMemory(t, 1<<20)
		_, err := m.spend(1, 1<<20, ahead)
		if !errors.Is(err, validator.ErrNonceShare) {
			t.Fatal(err)
		}
		for m.held() > 0 {
			sum += int64(m.held())
			m.pass(1)
		}
		return sum
	}
	now := holds(0)
	for _, ahead := range []int64{1, 30, 31, 120, 299} {
		if future := holds(ahead); future > now+now/9 {
			t.Errorf("%d s ahead: holds %d places times seconds, and %d by timestamps of now", ahead, future, now)
		}
	}
	// The weight goes with the nonce.
	m := newMemory(t, 1<<20)
	if _, err := m.spend(1, 1<<20, 299); !errors.Is(err, validator.ErrNonceShare) {
		t.Fatal(err)
	}
	m.pass(kept + 301)
	m.tidyAll()
	before, _ := newMemory(t, 1<<20).spend(1, 1<<20, 0)
	if after, _ := m.spend(1, 1<<20, 0); after != before {
		t.Errorf("%d nonces of now after those of the future have ended, want %d", after, before)
	}
}

// TestWithoutAUser counts nonces without a user by their consumer.
func TestWithoutAUser(t *testing.T) {
	m := newMemory(t, 1<<20)
	_, err := m.spend(0, 1<<20, 0)
	if !errors.Is(err, validator.ErrNonceShare) {
		t.Fatal(err)
	}
	use := m.sign(0, "another token", "n", 0)
	m.refused(use, validator.ErrNonceShare)
	use.Key.Consumer = "d"
	m.want(use, true)
}

// TestRealms checks that a nonce is used once for all realms, and that each has
// users of its own.
func TestRealms(t *testing.T) {
	m := newMemory(t, 1<<20)
	one, two := m.Of("one"), m.Of("two")
	use := m.sign(1, "t", "n", 0)
	for i, realm := range []validator.Nonces{one, two, m, one} {
		if fresh, err := realm.Use(t.Context(), use); fresh != (i == 0) || err != nil {
			t.Errorf("%d: %t, %v", i, fresh, err)
		}
	}
	for i := 0; ; i++ {
		if _, err := one.Use(t.Context(), m.sign(1, "t", strconv.Itoa(i), 0)); err != nil {
			break
		}
	}
	for _, realm := range []validator.Nonces{one, m.Of("one")} {
		if _, err := realm.Use(t.Context(), m.sign(1, "t", "m", 0)); !errors.Is(err, validator.ErrNonceShare) {
			t.Errorf("%v, want %v", err, validator.ErrNonceShare)
		}
	}
	if fresh, err := two.Use(t.Context(), m.sign(1, "t", "m", 0)); !fresh || err != nil {
		t.Errorf("the other realm's user: %t, %v", fresh, err)
	}
}

// TestEvents checks that each event is told once in its episode.
func TestEvents(t *testing.T) {
	m := newMemory(t, 1<<20)
	var told []Event
	m.notify = func(e Event, s Stats) {
		if s != m.Stats() { // not under the lock
			t.Errorf("%+v, want %+v", s, m.Stats())
		}
		told = append(told, e)
	}
	want := func(events ...Event) {
		t.Helper()
		if !slices.Equal(told, events) {
			t.Fatalf("told %v, want %v", told, events)
		}
		told = nil
	}
	add := func(user uint64) {
		t.Helper()
		if _, err := m.spend(user, 32, int64(user%300)); err != nil {
			t.Fatal(err)
		}
	}
	for user := uint64(1); m.table.used < m.limit/100*79; user++ {
		add(user)
	}
	want()
	for user := uint64(1e6); m.table.used < m.limit/100*90; user++ {
		add(user)
	}
	want(NearlyFull)
	for m.table.used > m.limit/100*71 {
		m.pass(1)
		m.tidyAll()
	}
	for user := uint64(2e6); m.table.used < m.limit/100*85; user++ {
		add(user)
	}
	want()
	m.pass(1000)
	m.tidyAll()
	want(Relieved)

	m.want(m.sign(1, "t", "n", 0), true)
	m.pass(kept + 2)
	m.tidyAll()
	m.hand.wall -= 2000
	for i := range 3 {
		m.refused(m.sign(1, "t", strconv.Itoa(i), 0), validator.ErrNonceExpired)
	}
	m.refused(m.sign(1, "t", "a", -1000), validator.ErrNonceExpired)
	want(ClockBack)
	m.pass(2000)
	m.want(m.sign(1, "t", "m", 0), true)
	m.refused(m.sign(1, "t", "old", -1000), validator.ErrNonceExpired)
	want()
	m.pass(kept + 2)
	m.tidyAll()
	m.hand.wall -= 2000
	m.refused(m.sign(1, "t", "again", 0), validator.ErrNonceExpired)
	want(ClockBack)
}

// TestFigures holds the table of the manual to what the memory allows, within
// a hundredth.
func TestFigures(t *testing.T) {
	text, err := os.ReadFile("../../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (\d+) (MiB|GiB)(?: \(default\))? \| ([\d,]+) a second, [^|]*\| ([\d,]+) a second \| ([\d,]+) a second \|$`)
	rows := row.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 4 {
		t.Fatalf("the manual has %d rows", len(rows))
	}
	const kept = 302 // seconds that a nonce is kept for
	for _, cells := range rows {
		number := func(cell string) float64 {
			n, err := strconv.ParseFloat(strings.ReplaceAll(cell, ",", ""), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		size := int64(number(cells[1])) << 20
		if cells[2] == "GiB" {
			size <<= 10
		}
		m := New(Config{Size: size})
		t.Cleanup(m.Close)
		alone := 0.0
		for n := float64(m.limit); n >= 1; n /= 2 { // what is held is no longer free
			for m.table.used = uint32(alone + n); float64(m.bound()) >= alone+n; m.table.used = uint32(alone + n) {
				alone += n
			}
		}
		m.table.used = m.limit / 2
		for i, want := range []float64{alone, float64(m.bound()), float64(m.limit)} {
			if got := number(cells[3+i]); got < want/kept*0.99 || got > want/kept*1.01 {
				t.Errorf("%s %s: the manual says %v a second, and it is %.0f", cells[1], cells[2], got, want/kept)
			}
		}
		m.table.used = 0
	}
}
