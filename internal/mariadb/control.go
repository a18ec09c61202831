package mariadb

import (
	"os"
	"syscall"
	"testing"
)

// Stop ends the server. Connections to it are refused until Restart.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		tb.Fatal("mariadb: Stop: the server is not running")
	}
	s.proc.Stop(syscall.SIGTERM)
	s.proc = nil
}

// Kill ends the server as SIGKILL does, in the middle of whatever it does.
// Connections to it are refused until Restart.
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		tb.Fatal("mariadb: Kill: the server is not running")
	}
	s.proc.Kill()
	s.proc = nil
}

// Restart starts the stopped or killed server again: same port, same data,
// counters at zero.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	mariadbd, err := find("mariadbd")
	if err != nil {
		tb.Fatal(err)
	}
	s.mu.Lock()
	running := s.proc != nil
	s.own = 0
	s.mu.Unlock()
	if running {
		tb.Fatal("mariadb: Restart: the server is running")
	}
	if err := s.run(mariadbd); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil {
		_ = s.root.Close() // nothing of it is needed any more
	}
	if s.proc != nil {
		s.proc.Kill() // the data goes too: no need to end in good order
		s.proc = nil
	}
	_ = os.RemoveAll(s.dir) // a temporary directory
}
