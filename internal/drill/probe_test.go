package drill

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// probe is a handler of Caddy that measures what it costs to let a request
// through: at `begin` the time begins, and at `end` it ends. Its report is that of
// the process.
type probe struct {
	At string `json:"at,omitempty"`
}

func init() {
	caddy.RegisterModule(probe{})
	httpcaddyfile.RegisterHandlerDirective("probe", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		if !h.NextArg() {
			return nil, h.ArgErr()
		}
		return probe{At: h.Val()}, nil
	})
}

// CaddyModule returns the Caddy module information.
func (probe) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.probe", New: func() caddy.Module { return new(probe) }}
}

// passes are the times of the requests that were let through since the last
// report.
var passes struct {
	sync.Mutex
	times []time.Duration
}

const reportPath, profilePath, began = "/probe", "/debug/pprof/", "probe"

// report is what a process tells of itself.
type report struct {
	Heap       uint64 // bytes that are live
	Goroutines int
	CPU        time.Duration // since its start
	P50, P99   time.Duration // of passes
}

// ServeHTTP implements [caddyhttp.MiddlewareHandler].
func (p probe) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	switch {
	case p.At == "begin" && r.URL.Path == reportPath:
		return json.NewEncoder(w).Encode(newReport())
	case p.At == "begin" && strings.HasPrefix(r.URL.Path, profilePath):
		if r.URL.Path == profilePath+"profile" {
			pprof.Profile(w, r)
		} else {
			pprof.Index(w, r)
		}
		return nil
	case p.At == "begin":
		caddyhttp.SetVar(r.Context(), began, time.Now())
	default:
		if start, ok := caddyhttp.GetVar(r.Context(), began).(time.Time); ok {
			took := time.Since(start)
			passes.Lock()
			passes.times = append(passes.times, took)
			passes.Unlock()
		}
	}
	return next.ServeHTTP(w, r)
}

func newReport() report {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // it cannot fail
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	passes.Lock()
	times := passes.times
	passes.times = nil
	passes.Unlock()
	return report{
		Heap: m.HeapAlloc, Goroutines: runtime.NumGoroutine(), P50: percentile(times, 50), P99: percentile(times, 99),
		CPU: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
	}
}

func percentile(times []time.Duration, n int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[len(times)*n/100]
}

// probe asks the gateway's process for its report.
func (d *drill) probe() (r report) {
	d.b.Helper()
	response, err := http.Get(d.g.URL(reportPath))
	if err != nil {
		d.b.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if err := json.NewDecoder(response.Body).Decode(&r); err != nil {
		d.b.Fatal(fmt.Errorf("the report of the gateway: %w", err))
	}
	return r
}
