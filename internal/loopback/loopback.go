// Package loopback finds addresses for the servers that our tests and tools start.
package loopback

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

var (
	mu    sync.Mutex
	given = map[string]bool{}
)

// FreeAddr returns an address without a listener, another one each time. Its
// port is below those that systems give to outgoing connections, so that it
// stays free until the caller takes it.
func FreeAddr() (string, error) {
	mu.Lock()
	defer mu.Unlock()
	var errs []error
	for len(errs) < 10 {
		addr := "127.0.0.1:" + strconv.Itoa(10_000+rand.N(20_000)) //nolint:gosec // it need not be hard to guess
		if given[addr] {
			continue
		}
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		given[addr] = true
		return addr, l.Close()
	}
	return "", errors.Join(errs...)
}
