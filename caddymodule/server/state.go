package server

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
)

// states outlive configurations: a request token that was handed out before a
// reload can be approved and exchanged after it.
var states = caddy.NewUsagePool() // of *stateMemory

// stateMemory is a pooled memory of request tokens.
type stateMemory struct {
	*authserver.Memory
	size int64
}

// Destruct implements [caddy.Destructor].
func (*stateMemory) Destruct() error { return nil }

var (
	stateUsedDesc = prometheus.NewDesc("caddy_oauth_server_state_bytes",
		"Memory that request tokens take, of all OAuth databases.", nil, nil)
	stateCapacityDesc = prometheus.NewDesc("caddy_oauth_server_state_capacity_bytes",
		"Memory that request tokens may take, of all OAuth databases.", nil, nil)
)

// stateCollector reads the live memories of request tokens.
type stateCollector struct{}

// Describe implements [prometheus.Collector].
func (stateCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- stateUsedDesc
	ch <- stateCapacityDesc
}

// Collect implements [prometheus.Collector].
func (stateCollector) Collect(ch chan<- prometheus.Metric) {
	var used, capacity int64
	states.Range(func(_, value any) bool {
		if m, ok := value.(*stateMemory); ok {
			u, c := m.Bytes()
			used += u
			capacity += c
		}
		return true
	})
	ch <- prometheus.MustNewConstMetric(stateUsedDesc, prometheus.GaugeValue, float64(used))
	ch <- prometheus.MustNewConstMetric(stateCapacityDesc, prometheus.GaugeValue, float64(capacity))
}
