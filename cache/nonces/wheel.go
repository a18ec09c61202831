package nonces

import (
	"runtime"
	"time"
	"unsafe"
)

// wheel lists nonces by the second in which they are dropped, in seconds since
// the start, which no step of the wall clock changes.
type wheel struct {
	slots [wheelSize]slot
	swept int64 // the nonces of earlier seconds are dropped
}

// slot is the nonces of one second.
type slot struct {
	first uint32 // chained by next
	end   int64  // the latest end of those nonces, as a second of the wall clock
}

const (
	// wheelSize is more than two hours: a timestamp_window of one hour, and
	// timestamps that lie as far in the future.
	wheelSize  = 1 << 13
	wheelBytes = int64(unsafe.Sizeof(wheel{}))
	// batch is how many steps the janitor sweeps before others get the lock.
	batch = 128
)

// takes reports whether the second due is near enough. The wheel may lag behind
// now, because it is turned in steps.
func (w *wheel) takes(t *table, now, due int64) bool {
	if t.nonces > 0 {
		now = w.swept
	}
	return due-now < wheelSize
}

// add lists a nonce under the second due, which the wheel takes.
func (w *wheel) add(t *table, nonce uint32, now, due, end int64) {
	if t.nonces == 1 {
		w.swept = now
	}
	s := &w.slots[due%wheelSize]
	t.at(nonce).next = s.first
	if s.first == 0 {
		s.end = end
	}
	s.first, s.end = nonce, max(s.end, end)
}

// sweep drops what is due by now, in a number of steps, and reports whether
// there may be more to drop. A step drops one nonce or passes one second.
func (m *Memory) sweep(now int64, steps int) (more bool) {
	w := &m.wheel
	for ; steps > 0; steps-- {
		if m.table.nonces == 0 || w.swept > now {
			return false
		}
		s := &w.slots[w.swept%wheelSize]
		nonce := s.first
		if nonce == 0 {
			w.swept++
			continue
		}
		s.first = m.table.at(nonce).next
		m.dropped = max(m.dropped, s.end)
		m.table.drop(nonce)
	}
	return m.table.nonces > 0 && w.swept <= now
}

// watch starts the janitor, which sweeps while no request does: so a request
// that comes after a quiet time does not find much to sweep.
func (m *Memory) watch() {
	if m.janitor == nil && !m.closed {
		m.janitor = time.AfterFunc(time.Second, m.tidy)
	}
}

// tidy drops what is due, in batches, so that requests get the lock meanwhile.
func (m *Memory) tidy() {
	for m.tidyBatch() {
		runtime.Gosched()
	}
}

func (m *Memory) tidyBatch() (more bool) {
	m.mu.Lock()
	wall, elapsed := m.clock()
	more = m.sweep(elapsed, batch)
	if !more && m.janitor != nil {
		if m.table.nonces > 0 && !m.closed {
			m.janitor.Reset(time.Second)
		} else {
			m.janitor = nil
		}
	}
	event, stats := m.event(wall, wall, nil), m.stats()
	m.mu.Unlock()
	if event != 0 && m.notify != nil {
		m.notify(event, stats)
	}
	return more
}

// Close ends the sweeping in the background. The memory can still be used.
func (m *Memory) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.janitor != nil {
		m.janitor.Stop()
		m.janitor = nil
	}
}
