package mariadb

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// Proxy stands between a client and a server, and counts the packets of both
// directions. TLS would hide them from it.
type Proxy struct {
	Addr string // where it listens: 127.0.0.1 and its port

	target string

	mu       sync.Mutex
	passed   int
	left     int
	cut      func() // nil: nothing is cut
	requests bool   // only packets of the client are counted and cut
	didCut   bool
	last     string // the packet that was not handed on
}

// NewProxy starts a proxy to the address of a server. It ends with the test.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target}
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

// pipe hands on packets: three bytes of length, a number, and that many bytes.
func (p *Proxy) pipe(to io.Writer, from io.Reader, requests bool) {
	for {
		packet := make([]byte, 4)
		if _, err := io.ReadFull(from, packet); err != nil {
			return
		}
		body := make([]byte, int(packet[0])|int(packet[1])<<8|int(packet[2])<<16)
		if _, err := io.ReadFull(from, body); err != nil || !p.next(requests, body) {
			return
		}
		if _, err := to.Write(slices.Concat(packet, body)); err != nil {
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
