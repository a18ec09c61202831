package gateway

import (
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// headerOnly is a writer that keeps only headers.
type headerOnly struct{ header http.Header }

func (w *headerOnly) Header() http.Header              { return w.header }
func (*headerOnly) Write(p []byte) (int, error)        { return len(p), nil }
func (*headerOnly) WriteHeader(int)                    {}
func nothing(http.ResponseWriter, *http.Request) error { return nil }

// BenchmarkShell measures what the gateway adds to the validator: a request that
// passes with a full identity.
func BenchmarkShell(b *testing.B) {
	for _, bench := range []struct {
		name     string
		decision validator.Decision
	}{{"pass", allow()}, {"refuse", deny(validator.BadSignature)}} {
		b.Run(bench.name, func(b *testing.B) {
			s := newShell(b, &Handler{}, bench.decision)
			s.log = outcome.NewLog(zap.NewNop())
			s.core.verify = func(validator.Request) validator.Decision { s.core.asked = s.core.asked[:0]; return bench.decision }
			sent := http.Header{
				"Accept": {"*/*"}, "Connection": {"keep-alive"}, "User-Agent": {"bench"}, "Authorization": {"Bearer x"}, "Accept-Encoding": {"gzip"},
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				w := &headerOnly{make(http.Header)}
				r := get("/w/api.php?action=query")
				r.Header = sent.Clone()
				r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, s.server)
				b.StartTimer()
				if err := s.ServeHTTP(w, r, caddyhttp.HandlerFunc(nothing)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
