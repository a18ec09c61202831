package harness

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Seen is what the backend was sent.
type Seen struct {
	Method, Target  string
	Header, Trailer http.Header
	Body            []byte
}

// Backend is a server that records what it is sent, over HTTP/1.1 and
// unencrypted HTTP/2.
type Backend struct {
	Addr string

	mu   sync.Mutex
	seen []Seen
	raw  bytes.Buffer
}

// seenHeader marks answers of the backend.
const seenHeader = "X-Backend-Saw"

// newBackend starts a backend. With a handler, that one answers; it reads the
// body itself. Without, the answer is what was seen, as JSON.
func newBackend(tb testing.TB, handler http.Handler) *Backend {
	tb.Helper()
	b := new(Backend)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler != nil {
			b.note(r, nil)
			handler.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the gateway has hung up
		}
		w.Header().Set(seenHeader, "yes")
		_ = json.NewEncoder(w).Encode(b.note(r, body)) // likewise
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Listener = recordingListener{server.Listener, b}
	server.Start()
	tb.Cleanup(server.Close)
	b.Addr = server.Listener.Addr().String()
	return b
}

func (b *Backend) note(r *http.Request, body []byte) Seen {
	s := Seen{Method: r.Method, Target: r.RequestURI, Header: r.Header.Clone(), Trailer: r.Trailer.Clone(), Body: body}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, s)
	return s
}

// Seen is what the backend was sent since the last call.
func (b *Backend) Seen() []Seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := b.seen
	b.seen = nil
	return seen
}

// Raw are the bytes that the backend was sent since the last call, on all
// connections.
func (b *Backend) Raw() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.raw.Reset()
	return b.raw.String()
}

type recordingListener struct {
	net.Listener
	b *Backend
}

func (l recordingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return recordingConn{conn, l.b}, err
}

type recordingConn struct {
	net.Conn
	b *Backend
}

func (c recordingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.raw.Write(p[:n])
	return n, err
}
