package gateway

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// decisions returns how many decisions were counted.
func decisions(tb testing.TB, labels ...string) (count float64) {
	tb.Helper()
	registry := prometheus.NewRegistry()
	if err := pools.Register(registry); err != nil {
		tb.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string // protocol, outcome, reason
			for _, name := range []string{"protocol", "outcome", "reason"} {
				for _, label := range m.GetLabel() {
					if label.GetName() == name {
						values = append(values, label.GetValue())
					}
				}
			}
			if f.GetName() == "caddy_oauth_decisions_total" && slices.Equal(values, labels) {
				count += m.GetCounter().GetValue()
			}
		}
	}
	return count
}

func TestDecisionsAreCounted(t *testing.T) {
	unavailable := deny(validator.StoreUnavailable)
	unavailable.Verdict, unavailable.Protocol = validator.Unavailable, validator.OAuth2
	for _, test := range []struct {
		mode                      string
		decision                  validator.Decision
		protocol, outcome, reason string
	}{
		{"", allow(), "oauth1", "allow", "ok"},
		{"", deny(validator.BadSignature), "oauth1", "deny", "bad_signature"},
		{"", anonymous, "none", "deny", "no_credentials"},
		{modeOptional, anonymous, "none", "anonymous", "ok"},
		{"", unavailable, "oauth2", "unavailable", "store_unavailable"},
	} {
		before := decisions(t, test.protocol, test.outcome, test.reason)
		s := newShell(t, &Handler{Mode: test.mode}, test.decision)
		for range 2 {
			if _, err := s.serve(t, get("/")); err != nil {
				t.Fatal(err)
			}
		}
		if got := decisions(t, test.protocol, test.outcome, test.reason) - before; got != 2 {
			t.Errorf("%s %s %s: counted %v", test.protocol, test.outcome, test.reason, got)
		}
	}
}
