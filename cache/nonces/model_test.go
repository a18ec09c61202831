package nonces

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// model says in a simple way what a Memory must answer.
type model struct {
	limit   int
	nonces  map[string]modelNonce // what is held
	dropped int64
}

type modelNonce struct {
	user     uint64
	due, end int64
	weight   int
}

var errModelFull = errors.New("full")

func (m *model) users() map[uint64]struct{ nonces, weight int } {
	users := map[uint64]struct{ nonces, weight int }{}
	for _, n := range m.nonces {
		u := users[n.user]
		u.nonces++
		u.weight += n.weight
		users[n.user] = u
	}
	return users
}

func (m *model) use(user uint64, nonce string, issued, end, wall, elapsed int64) (bool, error) {
	for id, n := range m.nonces {
		if n.due <= elapsed {
			m.dropped = max(m.dropped, n.end)
			delete(m.nonces, id)
		}
	}
	if end < wall || end <= m.dropped {
		return false, validator.ErrNonceExpired
	}
	if _, known := m.nonces[nonce]; known {
		return false, nil
	}
	users := m.users()
	used := len(m.nonces) + len(users)
	weight := 1
	if issued > wall+30 {
		weight = 2
	}
	free := max(m.limit-used-m.limit/16, 0)
	if u := users[user]; u.nonces >= min(64, m.limit/8) && u.weight+weight > free/8 {
		return false, validator.ErrNonceShare
	}
	if used >= m.limit {
		return false, errModelFull
	}
	m.nonces[nonce] = modelNonce{user, elapsed + end - wall + 2, end, weight}
	return true, nil
}

// against plays one sequence of moves, four bytes each, to a Memory and to the
// model.
func against(t *testing.T, limit int, moves []byte, seen map[string]int) {
	t.Helper()
	m := newMemory(t, wheelBytes+int64(limit+1)*nodeBytes)
	if int(m.limit) != limit {
		t.Fatalf("%d places, want %d", m.limit, limit)
	}
	model := model{limit: limit, nonces: map[string]modelNonce{}, dropped: -1 << 62}
	for ; len(moves) >= 4; moves = moves[4:] {
		switch kind := moves[0]; {
		case kind < 8:
			m.pass(int64(moves[1]) % 64)
		case kind < 10:
			m.hand.wall += int64(int8(moves[1])) * 8
		}
		m.tidyAll()
		user, ahead := uint64(moves[1]%20), int64(moves[2])%64-24
		if user > 8 {
			user = 1 // a greedy one
		}
		nonce := strconv.Itoa(int(binary.LittleEndian.Uint16(moves[2:])) % 1000)
		use := m.sign(user+1, "t", nonce, ahead*2)
		use.Until = use.Issued.Add(1e9 * 50)
		fresh, err := m.Use(t.Context(), use)
		wantFresh, want := model.use(user+1, nonce, use.Issued.Unix(), use.Until.Unix(), m.wall, m.elapsed)
		if errors.Is(want, errModelFull) {
			want = errFull
		}
		if fresh != wantFresh || !errors.Is(err, want) {
			t.Fatalf("%v: %t, %v, want %t, %v", use, fresh, err, wantFresh, want)
		}
		if held := m.held(); held != len(model.nonces) || int(m.table.used) != held+len(model.users()) {
			t.Fatalf("%d nonces in %d places, want %d", held, m.table.used, len(model.nonces))
		}
		switch {
		case fresh:
			seen["fresh"]++
		case err == nil:
			seen["replay"]++
		default:
			seen[err.Error()]++
		}
	}
}

func TestAgainstAModel(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 2))
		moves := make([]byte, 4*8000)
		for i := range moves {
			moves[i] = byte(r.Uint32())
		}
		against(t, []int{16, 100, 600, 1500}[seed%4], moves, seen)
	}
	for _, what := range []string{"fresh", "replay", validator.ErrNonceExpired.Error(), validator.ErrNonceShare.Error(), errFull.Error()} {
		if seen[what] < 100 {
			t.Errorf("only %d times %s: %v", seen[what], what, seen)
		}
	}
}

func FuzzMemory(f *testing.F) {
	f.Add(uint16(16), []byte("\x10abc\x10abc\x00\x3fxy\x10abc\x09\xf0xy\x10abc\x09\x10xy\x20abc"))
	f.Add(uint16(600), []byte("\x10\x01ab\x11\x01cd\x12\x02ef\x05\x33gh\x10\x01ab"))
	f.Fuzz(func(t *testing.T, limit uint16, moves []byte) {
		against(t, 8+int(limit)%2000, moves[:min(len(moves), 4000)], map[string]int{})
	})
}
