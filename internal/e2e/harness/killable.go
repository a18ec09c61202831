package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
)

// asCaddy is set in the environment of a test program that is to be Caddy itself.
const asCaddy = "TEST_AS_CADDY"

// Kill ends the process of the gateway as SIGKILL does. Start starts it again.
func (g *Gateway) Kill() {
	g.Client.CloseIdleConnections()
	g.process.Kill()
}

// Start starts the process of the gateway, with the Caddyfile that it had before.
func (g *Gateway) Start(tb testing.TB) {
	tb.Helper()
	executable, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	output, err := os.OpenFile(filepath.Join(g.dir, "output"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer output.Close() //nolint:errcheck // the process has its own descriptor
	//nolint:gosec,noctx // it is this very program, and Kill ends it
	cmd := exec.Command(executable, "run", "--config", g.file(), "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), asCaddy+"=1")
	cmd.Stdout, cmd.Stderr = output, output
	if g.process, err = process.Launch(cmd); err != nil {
		tb.Fatal(err)
	}
	if err := g.wait(); err != nil {
		text, _ := os.ReadFile(output.Name())
		tb.Fatalf("%v\n%s", err, text)
	}
}

// Restart stops the process of the gateway as an operator does, and starts it again.
func (g *Gateway) Restart(tb testing.TB) {
	tb.Helper()
	g.Client.CloseIdleConnections()
	g.process.Stop(syscall.SIGTERM)
	g.Start(tb)
}

func (g *Gateway) file() string { return filepath.Join(g.dir, "Caddyfile") }

// wait returns when the process listens on all its ports.
func (g *Gateway) wait() error {
	for _, port := range []string{g.ports.http, g.ports.https, g.ports.metrics} {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			//nolint:noctx // loopback answers at once
			if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
				_ = conn.Close() // nothing was sent
				break
			}
			select {
			case <-g.process.Done():
				return fmt.Errorf("caddy ended at once: %w", g.process.Err())
			default:
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("caddy does not listen on port %s", port)
			}
		}
	}
	return nil
}

// run writes the configuration and starts the process with it, in place of one
// that is killed.
func (g *Gateway) run(tb testing.TB, caddyfile string) {
	tb.Helper()
	if err := os.WriteFile(g.file(), []byte(caddyfile), 0o600); err != nil {
		tb.Fatal(err)
	}
	if g.process != nil {
		g.process.Kill()
	}
	g.Start(tb)
}

// Options returns the options of the gateway, for another one of the same site.
func (g *Gateway) Options() Options { return g.options }
