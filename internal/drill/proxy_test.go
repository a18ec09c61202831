package drill

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowProxy stands between the gateway and the database, and makes it slow or
// unreachable.
type slowProxy struct {
	addr, target string
	delay        atomic.Int64 // of each query, in nanoseconds
	silent       atomic.Bool  // answers nothing, as a stopped process does
	refuse       atomic.Bool
	queries      atomic.Int64 // that came

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newProxy(tb testing.TB, target string) *slowProxy {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &slowProxy{addr: l.Addr().String(), target: target, conns: map[net.Conn]bool{}}
	tb.Cleanup(func() {
		_ = l.Close() // no connection is accepted any more
		p.silent.Store(false)
		p.cut()
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

// cut closes all connections.
func (p *slowProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // that is the point
	}
}

func (p *slowProxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // either end may hang up
	if p.refuse.Load() {
		return
	}
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return // as if the database had refused it
	}
	defer server.Close() //nolint:errcheck // likewise
	p.mu.Lock()
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
		delete(p.conns, server)
	}()
	go func() {
		p.ask(server, client)
		_ = server.Close() // likewise
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		for p.silent.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		if _, failed := client.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// The commands that read something, of MariaDB's protocol.
const comQuery, comExecute = 0x03, 0x17

// ask hands on what the client sends, queries later than the greeting: a packet
// with the number 0 is a command.
func (p *slowProxy) ask(server io.Writer, client io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if n > 4 && buffer[3] == 0 {
			if command := buffer[4]; command == comQuery || command == comExecute {
				p.queries.Add(1)
			}
			time.Sleep(time.Duration(p.delay.Load()))
		}
		if _, failed := server.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}
