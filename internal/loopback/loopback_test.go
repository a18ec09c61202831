package loopback_test

import (
	"net"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
)

func TestFreeAddr(t *testing.T) {
	seen := map[string]bool{}
	for range 500 {
		addr, err := loopback.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		if seen[addr] {
			t.Fatalf("%s is given twice", addr)
		}
		seen[addr] = true
		if len(seen) > 5 {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
