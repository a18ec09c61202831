package pools

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache"
	"github.com/caddy-mwoauth/caddy-mwoauth/cache/nonces"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// metrics are those of the process: they go on over a reload, like the pools.
var metrics = newInstruments()

type instruments struct {
	decisions   *prometheus.CounterVec
	queries     prometheus.Histogram
	queryErrors prometheus.Counter
	memories    memoryCollector

	// counters of decisions, so that a request does not look its counter up by
	// labels. Made at first use: most combinations never occur, and would be
	// series of zeros.
	byDecision []atomic.Pointer[prometheus.Counter]
}

var (
	numReasons   = len(validator.Reasons())
	numVerdicts  = int(validator.Unavailable) + 1
	numProtocols = int(validator.OAuth2) + 1
)

func newInstruments() *instruments {
	return &instruments{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "caddy_oauth_decisions_total",
			Help: "Requests by what was decided about them, and why.",
		}, []string{"protocol", "outcome", "reason"}),
		queries: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "caddy_oauth_store_query_duration_seconds",
			Help:    "Time that queries to the database took.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
		queryErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "caddy_oauth_store_errors_total",
			Help: "Queries to the database that failed.",
		}),
		memories:   memoryCollector{ended: make(map[string]cache.Stats)},
		byDecision: make([]atomic.Pointer[prometheus.Counter], numProtocols*numVerdicts*numReasons),
	}
}

// Register adds the metrics to the registry of one configuration, which may have
// several handlers.
func Register(registry *prometheus.Registry) error { return metrics.register(registry) }

// Count counts a decision.
func Count(d *validator.Decision) { metrics.decided(d) }

func (m *instruments) register(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{m.decisions, m.queries, m.queryErrors, &m.memories} {
		err := registry.Register(c)
		if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !already {
			return err
		}
	}
	return nil
}

func (m *instruments) decided(d *validator.Decision) {
	i := (int(d.Protocol)*numVerdicts+int(d.Verdict))*numReasons + int(d.Reason)
	counter := m.byDecision[i].Load()
	if counter == nil {
		c := m.decisions.WithLabelValues(d.Protocol.String(), d.Verdict.String(), d.Reason.String())
		counter = &c
		m.byDecision[i].Store(counter)
	}
	(*counter).Inc()
}

// observeQuery counts a query of a store.
func (m *instruments) observeQuery(d time.Duration, err error) {
	m.queries.Observe(d.Seconds())
	if err != nil {
		m.queryErrors.Inc()
	}
}

var (
	hitsDesc   = prometheus.NewDesc("caddy_oauth_cache_hits_total", "Answers from the cache.", []string{"cache"}, nil)
	missesDesc = prometheus.NewDesc("caddy_oauth_cache_misses_total", "Questions that the cache could not answer.", []string{"cache"}, nil)
	bytesDesc  = prometheus.NewDesc("caddy_oauth_cache_bytes", "Memory that the cache holds, by its own account.", []string{"cache"}, nil)

	noncesCapacityDesc = prometheus.NewDesc("caddy_oauth_nonces_capacity_bytes", "Memory that nonces may take, of all databases.", nil, nil)
	noncesUsedDesc     = prometheus.NewDesc("caddy_oauth_nonces_used_ratio", "Part of the memory of nonces that is in use, of the database whose memory is the fullest.", nil, nil)
)

// memoryCollector reads the live caches and nonce memories.
type memoryCollector struct {
	mu    sync.Mutex
	ended map[string]cache.Stats
}

func (*memoryCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- hitsDesc
	ch <- missesDesc
	ch <- bytesDesc
	ch <- noncesCapacityDesc
	ch <- noncesUsedDesc
}

func (c *memoryCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	sums := maps.Clone(c.ended)
	c.mu.Unlock()
	caches.Range(func(_, value any) bool {
		if m, ok := value.(*sharedCache); ok {
			addStats(sums, m.Stats())
		}
		return true
	})
	for name, s := range sums {
		ch <- prometheus.MustNewConstMetric(hitsDesc, prometheus.CounterValue, float64(s.Hits), name)
		ch <- prometheus.MustNewConstMetric(missesDesc, prometheus.CounterValue, float64(s.Misses), name)
		ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(s.Bytes), name)
	}
	var sum nonces.Stats
	var fullest float64
	nonceMemories.Range(func(_, value any) bool {
		if m, ok := value.(*nonceMemory); ok {
			s := m.Stats()
			sum.Bytes += s.Bytes
			sum.Capacity += s.Capacity
			fullest = max(fullest, float64(s.Bytes)/float64(s.Capacity))
		}
		return true
	})
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(sum.Bytes), "nonces")
	ch <- prometheus.MustNewConstMetric(noncesCapacityDesc, prometheus.GaugeValue, float64(sum.Capacity))
	ch <- prometheus.MustNewConstMetric(noncesUsedDesc, prometheus.GaugeValue, fullest)
}

// retire keeps the counts of a cache that ends, so that the sums do not fall.
func (c *memoryCollector) retire(all []cache.Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range all {
		all[i].Bytes = 0
	}
	addStats(c.ended, all)
}

func addStats(sums map[string]cache.Stats, all []cache.Stats) {
	for _, s := range all {
		sum := sums[s.Name]
		sums[s.Name] = cache.Stats{Name: s.Name, Hits: sum.Hits + s.Hits, Misses: sum.Misses + s.Misses, Bytes: sum.Bytes + s.Bytes}
	}
}
