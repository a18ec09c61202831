package drill

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pipeline sends requests at a rate, whether those before are answered or not. It
// costs little: requests are text that is made beforehand, several are written at
// once, and of the answers only the status is read. It runs in a process of its
// own, so that it takes no time from the client that is measured.
type pipeline struct {
	To          string // host:port
	Rate        float64
	Connections int
	Requests    []string // one after the other

	due    atomic.Int64 // how many were sent
	status [600]atomic.Int64
	began  time.Time
	done   chan struct{}
	wg     sync.WaitGroup
}

// asPipeline is set in the environment of a test program that is a pipeline.
const asPipeline = "TEST_AS_PIPELINE"

const (
	// tick is how often each connection writes.
	tick = 40 * time.Millisecond
	// A connection writes at most maxBatch requests at once, and has at most
	// maxUnanswered. Those that are due then are sent over others.
	maxBatch, maxUnanswered = 8, 16
	// random stands in a request for 32 random hexadecimal digits.
	random = "$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$$"
)

// flooding is a pipeline that runs.
type flooding struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout bytes.Buffer
}

// start starts a pipeline in a process of its own, which ends with the test.
func (p *pipeline) start(b *testing.B) *flooding {
	b.Helper()
	executable, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	f := &flooding{cmd: exec.CommandContext(b.Context(), executable)}
	f.cmd.Env = append(os.Environ(), asPipeline+"=1")
	f.cmd.Stdout, f.cmd.Stderr = &f.stdout, os.Stderr
	stdin, err := f.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	f.stdin = stdin
	if err := f.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if err := json.NewEncoder(stdin).Encode(p); err != nil {
		b.Fatal(err)
	}
	return f
}

// stop ends the pipeline, and returns how many answers there were by their status.
func (f *flooding) stop(b *testing.B) (answers map[int]int64, total int64) {
	b.Helper()
	_ = f.stdin.Close() // that ends it
	if err := f.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(f.stdout.Bytes(), &answers); err != nil {
		b.Fatalf("the flood has told %q: %v", f.stdout.String(), err)
	}
	for _, n := range answers {
		total += n
	}
	return answers, total
}

// runPipeline is the process of a pipeline: it reads what to send, sends it until
// its input ends, and writes what was answered.
func runPipeline() error {
	in := json.NewDecoder(os.Stdin)
	p := &pipeline{done: make(chan struct{})}
	if err := in.Decode(p); err != nil {
		return err
	}
	p.began = time.Now()
	for n := range p.Connections {
		if err := p.connect(n); err != nil {
			return err
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is closed
	answers := map[int]int64{}
	for status := range p.status {
		if n := p.status[status].Load(); n > 0 {
			answers[status] = n
		}
	}
	close(p.done)
	p.wg.Wait()
	return json.NewEncoder(os.Stdout).Encode(answers)
}

// connect adds a connection from one of two addresses.
func (p *pipeline) connect(n int) error {
	from := net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+n%2))}
	conn, err := (&net.Dialer{LocalAddr: &from}).DialContext(context.Background(), "tcp", p.To)
	if err != nil {
		return err
	}
	var answered atomic.Int64
	p.wg.Go(func() {
		if err := p.read(conn, &answered); !errors.Is(err, net.ErrClosed) {
			fmt.Fprintln(os.Stderr, "a connection of the flood:", err)
		}
	})
	p.wg.Go(func() {
		defer conn.Close() //nolint:errcheck // it has ended
		time.Sleep(time.Duration(n) * tick / time.Duration(p.Connections))
		p.write(conn, &answered)
	})
	return nil
}

// write writes at each tick what is due of all connections.
func (p *pipeline) write(conn net.Conn, answered *atomic.Int64) {
	var buffer []byte
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for sent := int64(0); ; {
		select {
		case <-p.done:
			return
		case <-ticker.C:
		}
		buffer = buffer[:0]
		for n := 0; n < maxBatch && sent-answered.Load() < maxUnanswered; n++ {
			due := p.due.Add(1)
			if float64(due) > time.Since(p.began).Seconds()*p.Rate {
				p.due.Add(-1)
				break
			}
			sent++
			buffer = appendRequest(buffer, p.Requests[due%int64(len(p.Requests))])
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
	buffer, used := make([]byte, 64<<10), 0
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
		rest = rest[max(0, len(rest)-line+1):]
		used = copy(buffer, rest)
	}
}
