package gateway

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// held is a core whose requests wait.
type held struct{ entered, leave chan struct{} }

func (h held) Verify(context.Context, validator.Request) validator.Decision {
	h.entered <- struct{}{}
	<-h.leave
	return allow()
}

// Caddy cleans up a configuration while its requests still run, and others are
// still on their way to us.
func TestCleanupUnderLoad(t *testing.T) {
	emptied(t)
	before := pools.InUse()
	h := mustLoad(t, nil)
	s := &shell{Handler: h}
	s.next = func(http.ResponseWriter, *http.Request) error { return nil }
	h.log = outcome.NewLog(zap.NewNop())
	l := h.lease.Load()
	core := held{make(chan struct{}), make(chan struct{})}
	l.Wikis["enwiki"] = pools.Wiki{Verifier: core}

	var running sync.WaitGroup
	for range 5 {
		running.Go(func() {
			one := &shell{Handler: h, next: s.next}
			if _, err := one.serve(t, get("/")); err != nil {
				t.Error(err)
			}
		})
		<-core.entered
	}
	if err := h.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if pools.InUse() == before {
		t.Error("the pools were given back while requests are inside")
	}
	late, err := h.enter() // a request that comes to us after the cleanup
	if err != nil || late == l {
		t.Fatalf("error %v", err)
	}
	for range 5 {
		core.leave <- struct{}{}
	}
	running.Wait()
	if pools.InUse() == before {
		t.Error("the pools were given back while the late request is inside")
	}
	late.Release()
	eventually(t, func() bool { return pools.InUse() == before })

	again, err := h.enter()
	if err != nil {
		t.Fatal(err)
	}
	again.Release()
	eventually(t, func() bool { return pools.InUse() == before })
	if err := h.Cleanup(); err != nil {
		t.Error(err)
	}
}
