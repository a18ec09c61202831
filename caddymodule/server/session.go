package server

import (
	"math"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
)

// caddySessions takes the user at the browser from placeholders of the request,
// which an authentication handler before this one has set.
type caddySessions struct{ name, id string }

// Visitor implements [authserver.Sessions]. An id that is not a number equals no
// user's. Where oauth stands before this handler, it sets the same placeholders for
// the user of a credential, which is no session, and may have removed it from the
// request.
func (s caddySessions) Visitor(r *http.Request) (*authserver.Visitor, error) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok || outcome.Allowed(r) {
		return nil, nil
	}
	v := &authserver.Visitor{Name: repl.ReplaceAll(s.name, "")}
	if v.Name == "" {
		return nil, nil
	}
	if s.id == "" {
		return v, nil
	}
	text := repl.ReplaceAll(s.id, "")
	if text == "" {
		return nil, nil
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id == 0 {
		id = math.MaxUint64
	}
	v.ID = id
	return v, nil
}
