package server

import (
	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
)

// marks tells the caches of the process what was changed, so that the directive
// oauth does not let pass what was withdrawn. It implements [authserver.Marks].
type marks struct{}

// Changed implements [authserver.Marks].
func (marks) Changed(changes ...authserver.Change) {
	out := make([]pools.Change, len(changes))
	for i, c := range changes {
		out[i] = pools.Change{Consumer: c.ConsumerKey, Token: c.Token}
	}
	pools.Changed(out...)
}
