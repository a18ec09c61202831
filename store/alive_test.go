package store_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// sticking is a relay whose next connection that is used answers no more, once
// it is armed.
type sticking struct {
	addr  string
	armed atomic.Bool
	stuck chan struct{}
}

type stickingConn struct {
	net.Conn
	s *sticking
}

func (c stickingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.s.armed.CompareAndSwap(true, false) {
		c.s.stuck <- struct{}{}
		for err == nil { // until the client gives up
			_, err = c.Conn.Read(b)
		}
		n = 0
	}
	return n, err
}

func newSticking(t *testing.T, to string) *sticking {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &sticking{addr: l.Addr().String(), stuck: make(chan struct{}, 10)}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go serve(stickingConn{client, s}, to)
		}
	}()
	return s
}

// TestAServerThatAnswersOthersHasNotFailed has a query without an answer, while
// others are answered or not.
func TestAServerThatAnswersOthersHasNotFailed(t *testing.T) {
	for name, want := range map[string]validator.Failure{"others": validator.QueueFailure, "nobody": validator.ServerFailure} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, storetest.Named(t, "MariaDB 1.39"))
			relay := newSticking(t, mariadb.Start(t).TCPAddr())
			f = f.throughRelay(t, relay.addr)
			f.Config.QueryTimeout, f.Config.MaxOpenConns = 2*time.Second, 2
			s := f.Store(t)
			if _, err := s.Lookup(t.Context(), f.oauth1); err != nil {
				t.Fatal(err)
			}
			relay.armed.Store(true)
			failed := make(chan error)
			go func() {
				_, err := s.Lookup(t.Context(), f.oauth1)
				failed <- err
			}()
			<-relay.stuck
			if name == "others" {
				if _, err := s.Lookup(t.Context(), f.oauth1); err != nil {
					t.Error(err)
				}
			}
			if err := <-failed; err == nil || validator.FailureOf(err) != want {
				t.Errorf("%v, class %v, want %v", err, validator.FailureOf(err), want)
			}
		})
	}
}
