package harness

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy stands between Caddy and the database. It can hold back what the database
// answers, and behave like a database that is down.
type Proxy struct {
	Addr string
	Held chan struct{} // gets a value for each answer that begins to be held, as long as somebody listens

	target string
	mu     sync.Mutex
	hold   chan struct{} // not nil: answers wait until it is closed
	down   bool
	conns  []net.Conn
}

// NewProxy starts a proxy to the address. It ends with the test.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), Held: make(chan struct{}, 1), target: target}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			go p.serve(client)
		}
	}()
	tb.Cleanup(func() {
		_ = l.Close() // no connection is accepted any more
		p.Release()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.conns {
			_ = c.Close() // likewise
		}
	})
	return p
}

func (p *Proxy) serve(client net.Conn) {
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		_ = client.Close() // as if the database had refused it
		return
	}
	p.mu.Lock()
	if p.down {
		_ = client.Close() // likewise
		_ = server.Close() // likewise
	}
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	go func() {
		_, _ = io.Copy(server, client) // either end may hang up
		_ = server.Close()             // likewise
	}()
	defer client.Close() //nolint:errcheck // likewise
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		p.wait()
		if _, failed := client.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

func (p *Proxy) wait() {
	p.mu.Lock()
	hold := p.hold
	p.mu.Unlock()
	if hold == nil {
		return
	}
	select {
	case p.Held <- struct{}{}:
	default:
	}
	<-hold
}

// Hold holds back all answers from now on.
func (p *Proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold == nil {
		p.hold = make(chan struct{})
	}
}

// Release lets the answers go, and later ones pass.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold != nil {
		close(p.hold)
		p.hold = nil
	}
}

// Down ends all connections, and those that are opened from now on.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for _, c := range p.conns {
		_ = c.Close() // it may be closed already
	}
	p.conns = nil
}

// Up lets connections pass again.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}
