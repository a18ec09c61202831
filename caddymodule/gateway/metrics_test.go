package gateway

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// value reads one counter.
func value(tb testing.TB, c prometheus.Collector) float64 {
	tb.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 1 {
		tb.Fatalf("%v: %v", families, err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
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
		counter := metrics.decisions.WithLabelValues(test.protocol, test.outcome, test.reason)
		before := value(t, counter)
		s := newShell(t, &Handler{Mode: test.mode}, test.decision)
		for range 2 {
			if _, err := s.serve(t, get("/")); err != nil {
				t.Fatal(err)
			}
		}
		if got := value(t, counter) - before; got != 2 {
			t.Errorf("%s %s %s: counted %v", test.protocol, test.outcome, test.reason, got)
		}
	}
}

func TestEveryDecisionHasItsOwnCounter(t *testing.T) {
	m := newInstruments()
	all := 0
	for p := range validator.Protocol(numProtocols) {
		for v := range validator.Verdict(numVerdicts) {
			for _, reason := range validator.Reasons() {
				m.decided(&validator.Decision{Protocol: p, Verdict: v, Reason: reason})
				all++
			}
		}
	}
	series := make(chan prometheus.Metric, all+1)
	m.decisions.Collect(series)
	if len(series) != all {
		t.Errorf("%d series for %d decisions", len(series), all)
	}
}

// Every configuration has a registry of its own, and may have many handlers.
func TestRegistries(t *testing.T) {
	for range 2 {
		registry := prometheus.NewPedanticRegistry()
		for range 2 {
			if err := metrics.register(registry); err != nil {
				t.Fatal(err)
			}
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		names := make(map[string]bool)
		for _, f := range families {
			names[f.GetName()] = true
		}
		for _, want := range []string{"caddy_oauth_store_query_duration_seconds", "caddy_oauth_store_errors_total", "caddy_oauth_cache_bytes"} {
			if !names[want] {
				t.Errorf("no %s in %v", want, names)
			}
		}
	}
}

func TestQueriesAreCounted(t *testing.T) {
	before := value(t, metrics.queryErrors)
	metrics.observeQuery(time.Millisecond, nil)
	metrics.observeQuery(time.Millisecond, errors.New("down"))
	if got := value(t, metrics.queryErrors) - before; got != 1 {
		t.Errorf("%v errors", got)
	}
}
