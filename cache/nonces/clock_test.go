package nonces

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestStepsOfTheWallClock sends a request, lets the clock step, and sends it
// again. What it must not be told is "fresh".
func TestStepsOfTheWallClock(t *testing.T) {
	for _, tt := range []struct {
		name string
		move func(m memory)
		want error // nil: a replay
	}{
		{"a second", func(m memory) { m.pass(1) }, nil},
		{"back", func(m memory) { m.hand.wall -= 3600 }, nil},
		{"back, and almost caught up", func(m memory) { m.hand.wall -= 3600; m.pass(3600) }, validator.ErrNonceExpired},
		{"back, and over", func(m memory) { m.hand.wall -= 3600; m.pass(4000) }, validator.ErrNonceExpired},
		{"forward", func(m memory) { m.hand.wall += 3600 }, validator.ErrNonceExpired},
		{"a little forward", func(m memory) { m.hand.wall += 100; m.pass(200) }, nil},
		{"forward and back", func(m memory) { m.hand.wall += 3600; m.pass(10); m.tidyAll(); m.hand.wall -= 3600 }, nil},
		{"twice forward and back", func(m memory) {
			for range 2 {
				m.hand.wall += 3600
				m.tidyAll()
			}
			m.pass(10)
			m.hand.wall -= 7200
		}, nil},
		{"forward, over, and back", func(m memory) { m.hand.wall += 3600; m.pass(400); m.tidyAll(); m.hand.wall -= 3900 }, validator.ErrNonceExpired},
		{"50 years forward", func(m memory) { m.hand.wall += 50 * 365 * 86400 }, validator.ErrNonceExpired},
		{"50 years back", func(m memory) { m.hand.wall -= 50 * 365 * 86400 }, errTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory(t, 1<<20)
			use := m.sign(1, "t", "n", 0)
			m.want(use, true)
			tt.move(m)
			m.tidyAll()
			if tt.want == nil {
				m.want(use, false)
			} else {
				m.refused(use, tt.want)
			}
			m.pass(10_000)
			if held := m.held(); held != 0 {
				t.Errorf("%d nonces are left", held)
			}
		})
	}
}

// TestAStepDoesNotFillTheMemory steps the clock of a half-full memory, and goes
// on with the same traffic: none of it is refused.
func TestAStepDoesNotFillTheMemory(t *testing.T) {
	for _, step := range []int64{3, 100, 299, 300, 600, 3600, 86400, 50 * 365 * 86400, -3, -100, -299} {
		t.Run(strconv.FormatInt(step, 10), func(t *testing.T) {
			m := newMemory(t, 1<<20)
			perSecond := int(m.limit) * 56 / 100 / kept
			most := uint32(0)
			for second := range 1500 {
				if second == 400 {
					m.hand.wall += step
				}
				for range perSecond {
					if _, err := m.spend(uint64(1+*m.count%400), 1, 0); err != nil {
						t.Fatalf("%d seconds after the step: %v, %d of %d used", second-400, err, m.table.used, m.limit)
					}
				}
				most = max(most, m.table.used)
				m.pass(1)
				m.tidyAll()
			}
			if most > m.limit*60/100 {
				t.Errorf("up to %d of %d places were used", most, m.limit)
			}
		})
	}
}

// TestFreshOnce sends random requests, and copies of earlier ones, while the
// clock goes on and steps at random: no request is ever fresh twice, whenever
// its copy comes.
func TestFreshOnce(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := newMemory(t, 1<<18)
		var sent []validator.NonceUse
		fresh := map[string]bool{}
		seen := map[string]int{}
		for i := range 20_000 {
			switch r.IntN(100) {
			case 0:
				m.pass(r.Int64N(100))
			case 1:
				m.hand.wall += r.Int64N(2000) - 1000
			case 2:
				m.hand.wall += r.Int64N(20) - 10
			case 3:
				m.tidyBatch()
			}
			use := m.sign(r.Uint64N(9), strconv.Itoa(r.IntN(3)), strconv.Itoa(i), r.Int64N(600)-300)
			if len(sent) > 0 && r.IntN(3) == 0 {
				use = sent[max(0, len(sent)-1-int(r.ExpFloat64()*300))]
				// What the validator would refuse itself tells nothing.
			}
			sent = append(sent, use)
			ok, err := m.Use(t.Context(), use)
			id := fmt.Sprint(use.Key, use.Nonce)
			switch {
			case ok && fresh[id]:
				t.Fatalf("seed %d: request %d is fresh a second time", seed, i)
			case ok && err == nil:
				fresh[id] = true
				seen["fresh"]++
			case ok, err == nil && !fresh[id]:
				t.Fatalf("seed %d: request %d: %t, %v; known %t", seed, i, ok, err, fresh[id])
			case err == nil:
				seen["replay"]++
			case errors.Is(err, validator.ErrNonceExpired):
				seen["expired"]++
			}
		}
		for _, what := range []string{"fresh", "replay", "expired"} {
			if seen[what] < 100 {
				t.Errorf("seed %d: only %d times %s", seed, seen[what], what)
			}
		}
	}
}
