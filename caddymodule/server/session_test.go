package server

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// A name or an id that is unset or empty means that nobody is signed in, and an id
// that is not a number equals nobody's.
func TestCaddySession(t *testing.T) {
	for _, tt := range []struct {
		session caddySessions
		name    any // of the placeholder; nil: unset
		id      any
		want    string
		wantID  uint64
	}{
		{caddySessions{name: "{http.auth.user.id}"}, "Alice", nil, "Alice", 0},
		{caddySessions{name: "{http.auth.user.id}"}, nil, nil, "", 0},
		{caddySessions{name: "{http.auth.user.id}"}, "", nil, "", 0},
		{caddySessions{"{http.auth.user.id}", "{http.auth.user.central}"}, "Alice", "7", "Alice", 7},
		{caddySessions{"{http.auth.user.id}", "{http.auth.user.central}"}, "Alice", nil, "", 0},
		{caddySessions{"{http.auth.user.id}", "{http.auth.user.central}"}, "Alice", "", "", 0},
		{caddySessions{"{http.auth.user.id}", "{http.auth.user.central}"}, "Alice", "0", "Alice", math.MaxUint64},
		{caddySessions{"{http.auth.user.id}", "{http.auth.user.central}"}, "Alice", "x", "Alice", math.MaxUint64},
		{caddySessions{"{http.auth.user.id}", "{http.auth.user.central}"}, "Alice", "-7", "Alice", math.MaxUint64},
		{caddySessions{name: "{http.auth.user.id}"}, "{http.auth.user.central}", "7", "{http.auth.user.central}", 0},
	} {
		repl := caddy.NewReplacer()
		if tt.name != nil {
			repl.Set("http.auth.user.id", tt.name)
		}
		if tt.id != nil {
			repl.Set("http.auth.user.central", tt.id)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl))
		v, err := tt.session.Visitor(r)
		switch {
		case err != nil:
			t.Error(err)
		case v == nil && tt.want != "", v != nil && (v.Name != tt.want || v.ID != tt.wantID):
			t.Errorf("%v with %v and %v: %+v, want %q %d", tt.session, tt.name, tt.id, v, tt.want, tt.wantID)
		}
	}
	// oauth has let the request pass by a credential, and removed it.
	repl := caddy.NewReplacer()
	ctx := context.WithValue(t.Context(), caddy.ReplacerCtxKey, repl)
	r := httptest.NewRequestWithContext(context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{}), http.MethodGet, "/", nil)
	outcome.Publish(r, outcome.Outcome{Decision: validator.Decision{Verdict: validator.Allow, Identity: validator.Identity{UserID: 7, UserName: "Alice"}}})
	if name := repl.ReplaceAll("{http.auth.user.name}", ""); name != "Alice" {
		t.Fatalf("the placeholder holds %q", name)
	}
	for _, s := range []caddySessions{{name: "{http.auth.user.name}"}, {"{http.auth.user.name}", "{http.auth.user.id}"}} {
		if v, err := s.Visitor(r); v != nil || err != nil {
			t.Errorf("a credential is a session: %+v, %v", v, err)
		}
	}
	if v, err := (caddySessions{name: "x"}).Visitor(httptest.NewRequest(http.MethodGet, "/", nil)); v != nil || err != nil {
		t.Errorf("outside of Caddy: %+v, %v", v, err)
	}
}
