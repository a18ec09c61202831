package process

import (
	"sync"
	"testing"
)

// Shared is a server that all tests of this process share. Its zero value is not
// started.
type Shared[Server any] struct {
	mu     sync.Mutex
	server *Server
	err    error
}

// Start returns the server. The first call starts it, and Main discards it. Where
// it cannot start, every test that needs it fails.
func (s *Shared[Server]) Start(tb testing.TB, name string, start func() (*Server, error), discard func(*Server)) *Server {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil && s.err == nil {
		AtEnd(tb, func() {
			if s.server != nil {
				discard(s.server)
			}
		})
		s.server, s.err = start()
	}
	if s.err != nil {
		tb.Fatalf("start %s: %v", name, s.err)
	}
	return s.server
}
