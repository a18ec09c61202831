package grants_test

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// cuttingProxy stands between the tables and the server. It hands on a number of
// packets of both directions, and then calls cut once instead of handing on the
// next one, and closes the connection. Later connections are not cut.
type cuttingProxy struct {
	addr, target string
	cut          func()

	mu     sync.Mutex
	passed int // packets that were handed on
	left   int
	didCut bool
	conns  sync.WaitGroup
}

func newProxy(t testing.TB, target string, packets int, cut func()) *cuttingProxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cuttingProxy{addr: l.Addr().String(), target: target, left: packets, cut: cut}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.serve(client) })
		}
	}()
	return p
}

func (p *cuttingProxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // either end may hang up
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // likewise
	var wg sync.WaitGroup
	pipe := func(to, from net.Conn) {
		p.pipe(to, from)
		_ = client.Close() // likewise
		_ = server.Close()
	}
	wg.Go(func() { pipe(server, client) })
	wg.Go(func() { pipe(client, server) })
	wg.Wait()
}

// pipe hands on packets: three bytes of length, a number, and that many bytes.
func (p *cuttingProxy) pipe(to io.Writer, from io.Reader) {
	for {
		packet := make([]byte, 4)
		if _, err := io.ReadFull(from, packet); err != nil {
			return
		}
		body := make([]byte, int(packet[0])|int(packet[1])<<8|int(packet[2])<<16)
		if _, err := io.ReadFull(from, body); err != nil || !p.next() {
			return
		}
		if _, err := to.Write(slices.Concat(packet, body)); err != nil {
			return
		}
	}
}

// next reports whether a packet is handed on.
func (p *cuttingProxy) next() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.didCut || p.left > 0 {
		p.left--
		p.passed++
		return true
	}
	p.didCut = true
	p.cut()
	return false
}

// wasCut reports whether there were more packets than were handed on.
func (p *cuttingProxy) wasCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.didCut
}

// handedOn returns how many packets were handed on.
func (p *cuttingProxy) handedOn() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed
}
