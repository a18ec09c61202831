// Package harness runs the whole gateway for end-to-end tests: a wiki in a real
// MariaDB, a backend that records what it gets, and between them a real Caddy
// with the module, in this process.
//
// A package whose tests use it has this TestMain:
//
//	func TestMain(m *testing.M) { harness.Main(m) }
//
// There is one Caddy per process: tests that run one must not be parallel. With
// Options.OwnProcess the test program runs itself again, to be Caddy.
package harness

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
)

// extendedConnect switches on the extended CONNECT of HTTP/2 (RFC 8441), which
// Go's server reads once, from the environment, before main.
const extendedConnect = "http2xconnect=1"

// Main runs the tests, with Caddy's own files in a directory that goes with
// them, and then stops MariaDB.
func Main(m *testing.M) {
	if os.Getenv(asCaddy) != "" {
		caddycmd.Main()
		return
	}
	if !strings.Contains(os.Getenv("GODEBUG"), extendedConnect) {
		if err := runAgain(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	home := os.Getenv("XDG_DATA_HOME")
	defer os.RemoveAll(home) //nolint:errcheck // a temporary directory
	process.Main(m)
}

// runAgain replaces this process by one with the environment that Caddy wants.
func runAgain() error {
	home, err := os.MkdirTemp("", "caddy")
	if err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	debug := strings.Trim(os.Getenv("GODEBUG")+","+extendedConnect, ",")
	//nolint:gosec // it is this very program
	return syscall.Exec(executable, os.Args, append(
		os.Environ(),
		"GODEBUG="+debug, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home,
		"QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true",
	))
}
