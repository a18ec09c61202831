package drill

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pipeline sends requests at a rate, whether they are answered or not, and costs
// little itself: requests are text that is made beforehand, several are written at
// once, and of the answers only the status is read.
type pipeline struct {
	sent   atomic.Int64
	late   atomic.Int64 // not sent, because too many before it had no answer
	status [600]atomic.Int64
	done   chan struct{}
	wg     sync.WaitGroup
}

const (
	// tick is how often each connection writes.
	tick = 40 * time.Millisecond
	// maxUnanswered bounds the requests of a connection that have no answer.
	maxUnanswered = 16
	// random stands in a request for 32 random hexadecimal digits.
	random = "$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$"
)

// startPipeline sends the requests, one after the other, over connections from two
// addresses.
func startPipeline(b *testing.B, to string, rate, connections int, requests []string) *pipeline {
	b.Helper()
	p := &pipeline{done: make(chan struct{})}
	for n := range connections {
		from := net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+n%2))}
		conn, err := (&net.Dialer{LocalAddr: &from}).DialContext(b.Context(), "tcp", to)
		if err != nil {
			b.Fatal(err)
		}
		var answered atomic.Int64
		p.wg.Go(func() {
			if err := p.read(conn, &answered); err != nil && !errors.Is(err, net.ErrClosed) {
				b.Errorf("connection %d: %v", n, err)
			}
		})
		p.wg.Go(func() {
			defer conn.Close() //nolint:errcheck // the drill has ended
			p.write(conn, float64(rate)/float64(connections), n, connections, requests, &answered)
		})
	}
	return p
}

// write writes what is due at each tick.
func (p *pipeline) write(conn net.Conn, rate float64, n, connections int, requests []string, answered *atomic.Int64) {
	var buffer []byte
	var sent, due int64
	start := time.Now().Add(time.Duration(n) * tick / time.Duration(connections)) // not all at once
	for {
		select {
		case <-p.done:
			for end := time.Now().Add(5 * time.Second); answered.Load() < sent && time.Now().Before(end); {
				time.Sleep(tick)
			}
			return
		case <-time.After(tick):
		}
		buffer = buffer[:0]
		for until := int64(time.Since(start).Seconds() * rate); due < until; due++ {
			if sent-answered.Load() >= maxUnanswered {
				p.late.Add(1)
				continue
			}
			sent++
			p.sent.Add(1)
			buffer = appendRequest(buffer, requests[(due+int64(n))%int64(len(requests))])
		}
		if _, err := conn.Write(buffer); err != nil {
			return // the reader tells
		}
	}
}

// appendRequest appends a request with random digits.
func appendRequest(buffer []byte, request string) []byte {
	start := len(buffer)
	buffer = append(buffer, request...)
	if at := bytes.Index(buffer[start:], []byte(random)); at >= 0 {
		var digits [len(random) / 2]byte
		for i := range digits {
			digits[i] = byte(rand.Uint32())
		}
		hex.Encode(buffer[start+at:], digits[:])
	}
	return buffer
}

// read counts the answers. A body does not hold what a status line begins with.
func (p *pipeline) read(conn net.Conn, answered *atomic.Int64) error {
	begin := []byte("HTTP/1.1 ")
	line := len(begin) + 3
	buffer, used := make([]byte, 256<<10), 0
	for {
		n, err := conn.Read(buffer[used:])
		if err != nil {
			return err
		}
		used += n
		rest := buffer[:used]
		for {
			at := bytes.Index(rest, begin)
			if at < 0 || len(rest) < at+line {
				break
			}
			if status, err := strconv.Atoi(string(rest[at+len(begin) : at+line])); err == nil && status < len(p.status) {
				p.status[status].Add(1)
				answered.Add(1)
			}
			rest = rest[at+line:]
		}
		rest = rest[max(0, len(rest)-line):]
		used = copy(buffer, rest)
	}
}

// stop ends the flood, and returns how many answers there are by their status.
func (p *pipeline) stop() (answers map[int]int64, total int64) {
	close(p.done)
	p.wg.Wait()
	answers = map[int]int64{}
	for status := range p.status {
		if n := p.status[status].Load(); n > 0 {
			answers[status] = n
			total += n
		}
	}
	return answers, total
}
