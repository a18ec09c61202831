package drill

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// issuingSite has both directives. No user is signed in.
const issuingSite = `route {
	oauth_server {
		import settings
		writer {file.%s}
		private_key %s
		issuer https://wiki.example
		session caddy {
			name {http.auth.user.id}
		}
	}
	oauth {
		import settings
	}
	import backend
}
`

// startIssuer starts a gateway that issues tokens too.
func startIssuer(b *testing.B) *drill {
	b.Helper()
	d := &drill{b: b, w: harness.NewWiki(b, validator.Release139)}
	dir := b.TempDir()
	dsn, key := filepath.Join(dir, "writer"), filepath.Join(dir, "key.pem")
	der := x509.MarshalPKCS1PrivateKey(d.w.IssuerKey)
	for file, content := range map[string]string{
		dsn: d.w.Writer(b).DSN, key: string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: der})),
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	d.g = harness.New(b, harness.Options{
		Wiki: d.w, Site: fmt.Sprintf(issuingSite, dsn, key), LogLevel: "ERROR", Servers: "protocols h1 h2c",
		Backend: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }),
	})
	d.get(http.DefaultClient, d.g.HTTP, d.w.HMAC, nil)
	return d
}

// BenchmarkStrangersAtTheIssuer floods the pages and /initiate with requests of
// nobody, at most 10,000 a second, while a cached user goes on.
func BenchmarkStrangersAtTheIssuer(b *testing.B) {
	fmt.Fprintln(os.Stdout, "\n| Strangers for 10 s, 16 streams | Cached user, 50/s | p99, after : before | Memory |\n|---|---|---|---|")
	const during = 10 * time.Second
	d := startIssuer(b)
	warm := func() harness.App { return d.w.HMAC }
	before := d.steadily(50, 4*time.Second, warm)
	for _, tt := range []struct{ name, target string }{
		{"authorize, OAuth 2", "/oauth2/authorize?response_type=code&client_id=" + d.w.OAuth2.Consumer.Key + "&state="},
		{"authorize, OAuth 1.0a", "/oauth/authorize?oauth_token="},
		{"initiate", "/oauth/initiate?oauth_callback=oob&oauth_signature_method=HMAC-SHA1&oauth_signature=x&oauth_nonce=x&oauth_timestamp=1&oauth_consumer_key="},
	} {
		heap, used := heapInUse(), memory()
		stop := d.strangers(16, tt.target)
		cached := d.steadily(50, during, warm)
		sent := stop()
		after := d.steadily(50, 4*time.Second, warm)
		grown := heapInUse() - heap
		d.row(fmt.Sprintf("%s, %.0f/s", tt.name, float64(sent)/during.Seconds()), "%v (before %v, after %v) | %.1f during, %.1f after | before %s, after %s; heap %+d MiB",
			cached, before.p99(), after.p99(), float64(cached.p99())/float64(before.p99()), float64(after.p99())/float64(before.p99()), used, memory(), grown>>20)
		d.refused(tt.name, cached, 0)
		if grown > 64<<20 {
			b.Errorf("%s: the heap has grown by %d MiB", tt.name, grown>>20)
		}
		if !strings.Contains(d.g.Metrics(b), "\ncaddy_oauth_server_state_bytes 0\n") {
			b.Errorf("%s: strangers take room in the state", tt.name)
		}
	}
}

// strangers sends requests to a target with random ends, at most 10,000 a second,
// until stop is called.
func (d *drill) strangers(streams int, target string) (stop func() (sent int64)) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	var sent atomic.Int64
	every := time.Duration(streams) * time.Second / 10_000
	for n := range streams {
		wg.Go(func() {
			client := newClient(fmt.Sprint("127.0.0.", 50+n), false)
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			defer client.CloseIdleConnections()
			for next := time.Now(); ; next = next.Add(every) {
				select {
				case <-done:
					return
				case <-time.After(time.Until(next)):
				}
				r, err := http.NewRequest(http.MethodGet, d.g.URL(target)+wikidb.RandomHex(16), http.NoBody)
				if err != nil {
					panic(err)
				}
				if response, err := client.Do(r); err == nil {
					_ = response.Body.Close()
					sent.Add(1)
				}
			}
		})
	}
	return func() int64 {
		close(done)
		wg.Wait()
		return sent.Load()
	}
}
