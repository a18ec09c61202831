package server

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
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

// takeState takes the memory of request tokens of one OAuth database. The database
// is its scope, and nothing else is, so that a token which was issued through one
// site, or before a reload, is known to all.
func takeState(l *pools.Lease, writer *store.Pool, size int64, log *zap.Logger) (authserver.State, error) {
	database, _ := writer.OAuthIdentity()
	m, err := pools.Acquire(l, states, pools.Key("state", database), func() (*stateMemory, error) {
		return &stateMemory{authserver.NewMemory(size, nil), size}, nil
	})
	if err == nil && m.size != size {
		log.Warn("request tokens of this database are already kept in a memory of another size, which stays",
			zap.Int64("size", m.size), zap.Int64("size_configured", size))
	}
	return m, err
}
