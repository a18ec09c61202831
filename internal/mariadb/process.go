package mariadb

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// process is a running mariadbd.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // why, once done is closed
}

// launch starts the command as a child that dies with this process, however it
// ends. The kernel ties that to the thread that started the child, so one
// thread is kept for it.
func launch(cmd *exec.Cmd) (*process, error) {
	dieWithParent(cmd)
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.done)
	}()
	return p, <-started
}

// stop ends the process and waits until it has.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended already
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill() // likewise
		<-p.done
	}
}

// Stop ends the server. Connections to it are refused until Restart.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		tb.Fatal("mariadb: Stop: the server is not running")
	}
	s.proc.stop()
	s.proc = nil
}

// Restart starts the stopped server again: same port, same data, counters at zero.
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
		_ = s.proc.cmd.Process.Kill() // the data goes too: no need to end in good order
		<-s.proc.done
		s.proc = nil
	}
	_ = os.RemoveAll(s.dir) // a temporary directory
}
