// Package packets cuts connections to a database server at a packet that a test
// names.
package packets

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy stands between a client and a server, and counts the packets of both
// directions. TLS would hide them from it.
type Proxy struct {
	Addr string // where it listens: 127.0.0.1 and its port

	target string
	read   Reader

	mu       sync.Mutex
	passed   int
	left     int
	cut      func() // nil: nothing is cut
	requests bool   // only packets of the client are counted and cut
	didCut   bool
	last     string // the packet that was not handed on
}

// Reader reads one packet, whole. first reports whether it is the first one that a
// client sends over a connection.
type Reader func(from io.Reader, first bool) ([]byte, error)

// NewProxy starts a proxy to the address of a server. It ends with the test.
func NewProxy(tb testing.TB, target string, read Reader) *Proxy {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, read: read}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			go p.serve(client)
		}
	}()
	return p
}

// CutAfter hands on a number of packets from now on, and then calls cut once in
// place of the next one, and closes its connection. Everything waits until cut
// returns. Later connections are not cut.
func (p *Proxy) CutAfter(packets int, cut func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed, p.left, p.cut, p.requests, p.didCut = 0, packets, cut, false, false
}

// CutAfterRequests is like CutAfter, and leaves out the packets of the server.
func (p *Proxy) CutAfterRequests(packets int, cut func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed, p.left, p.cut, p.requests, p.didCut = 0, packets, cut, true, false
}

// Passed returns how many packets were handed on since CutAfter.
func (p *Proxy) Passed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed
}

// WasCut reports whether there were more packets than CutAfter was told.
func (p *Proxy) WasCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.didCut
}

// Last returns the packet in place of which the connection was cut.
func (p *Proxy) Last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // either end may hang up
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // likewise
	var wg sync.WaitGroup
	pipe := func(to, from net.Conn) {
		p.pipe(to, from, from == client)
		_ = client.Close() // likewise
		_ = server.Close()
	}
	wg.Go(func() { pipe(server, client) })
	wg.Go(func() { pipe(client, server) })
	wg.Wait()
}

// pipe hands on packets: requests of a client, or what the server answers.
func (p *Proxy) pipe(to io.Writer, from io.Reader, requests bool) {
	for first := requests; ; first = false {
		packet, err := p.read(from, first)
		if err != nil || !p.next(requests, packet) {
			return
		}
		if _, err := to.Write(packet); err != nil {
			return
		}
	}
}

// next reports whether a packet is handed on.
func (p *Proxy) next(request bool, packet []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.requests && !request {
		return true
	}
	if p.cut == nil || p.didCut || p.left > 0 {
		p.left--
		p.passed++
		return true
	}
	p.didCut, p.last = true, string(packet)
	p.cut()
	return false
}

// ReadMySQL reads a packet of MySQL: three bytes of length, a number, and that many
// bytes.
func ReadMySQL(from io.Reader, _ bool) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	return rest(from, head, int(head[0])|int(head[1])<<8|int(head[2])<<16)
}

// ReadPostgres reads a message of PostgreSQL: a type, which the first one of a
// client lacks, and four bytes of length, which count themselves.
func ReadPostgres(from io.Reader, first bool) ([]byte, error) {
	kind := 1
	if first {
		kind = 0
	}
	head := make([]byte, kind+4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	return rest(from, head, int(binary.BigEndian.Uint32(head[kind:]))-4)
}

// rest reads what follows the head of a packet.
func rest(from io.Reader, head []byte, size int) ([]byte, error) {
	if size < 0 || size > 1<<24 {
		return nil, errors.New("not a packet")
	}
	packet := append(head, make([]byte, size)...)
	_, err := io.ReadFull(from, packet[len(head):])
	return packet, err
}
