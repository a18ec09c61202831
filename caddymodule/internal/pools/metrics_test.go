package pools

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
			if err := Register(registry); err != nil {
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
