// Package process runs servers for the tests of one process. They end with it,
// however it ends.
//
// A package whose tests start such a server has this TestMain:
//
//	func TestMain(m *testing.M) { process.Main(m) }
package process

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

var running struct {
	mu      sync.Mutex
	inMain  bool
	discard []func()
}

// Main runs the tests and then discards the servers that were started.
func Main(m *testing.M) {
	running.mu.Lock()
	running.inMain = true
	running.mu.Unlock()
	m.Run() // the testing package exits with its result when TestMain returns
	running.mu.Lock()
	defer running.mu.Unlock()
	for _, discard := range running.discard {
		discard()
	}
}

// AtEnd has discard called by Main when the tests have ended. It fails the test
// if Main is not in use, because the server would outlive the tests.
func AtEnd(tb testing.TB, discard func()) {
	tb.Helper()
	running.mu.Lock()
	defer running.mu.Unlock()
	if !running.inMain {
		tb.Fatal("this package's TestMain must call process.Main, or the server would outlive the tests")
	}
	running.discard = append(running.discard, discard)
}

// Process is a running server.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // why, once done is closed
}

// Launch starts the command as a child that dies with this process, however it
// ends. The kernel ties that to the thread that started the child, so one thread
// is kept for it.
func Launch(cmd *exec.Cmd) (*Process, error) {
	dieWithParent(cmd)
	p := &Process{cmd: cmd, done: make(chan struct{})}
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

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns why the process ended, once it has.
func (p *Process) Err() error { return p.err }

// Stop asks the process to end by the signal, and waits until it has.
func (p *Process) Stop(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal) // an error says that it has ended already
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.Kill()
	}
}

// Kill ends the process without order.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // an error says that it has ended already
	<-p.done
}

// ShortTemp returns a directory whose name leaves room for a socket: the path of
// a socket has 107 bytes at most.
func ShortTemp() string {
	if dir := os.TempDir(); len(dir) < 70 {
		return dir
	}
	return "/tmp"
}
