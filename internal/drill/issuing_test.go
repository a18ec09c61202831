package drill

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// issuingSite has both directives, which the probe measures. No user is signed in.
const issuingSite = `route {
	probe begin
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
	probe end
	import backend
}
`

// startIssuer starts a gateway that issues tokens too, in a process of its own.
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
		Wiki: d.w, Site: fmt.Sprintf(issuingSite, dsn, key), LogLevel: "ERROR", OwnProcess: true,
		Backend: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }),
	})
	d.get(http.DefaultClient, d.g.HTTP, d.w.HMAC, nil)
	return d
}

// strangersAtTheIssuer are requests without a credential that is good.
func (d *drill) strangersAtTheIssuer() map[string]string {
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: " + d.g.HTTP + "\r\n\r\n" }
	initiate := func(key string) string {
		return get("/oauth/initiate?oauth_callback=oob&oauth_signature_method=HMAC-SHA1&oauth_signature=x&oauth_nonce=" + random +
			"&oauth_timestamp=" + strconv.FormatInt(time.Now().Unix(), 10) + "&oauth_consumer_key=" + key)
	}
	form := "grant_type=authorization_code&client_id=" + d.w.OAuth2.Consumer.Key + "&client_secret=x&code=" + random
	return map[string]string{
		"/oauth2/authorize":                        get("/oauth2/authorize?response_type=code&client_id=" + d.w.OAuth2.Consumer.Key + "&state=" + random),
		"/oauth/authorize":                         get("/oauth/authorize?oauth_token=" + random),
		"/oauth/initiate, random apps":             initiate(random),
		"/oauth/initiate, one app, not its key":    initiate(d.w.HMAC.Consumer.Key),
		"/oauth2/access_token, one app, no secret": "POST /oauth2/access_token HTTP/1.1\r\nHost: " + d.g.HTTP + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(form)) + "\r\n\r\n" + form,
	}
}

// issuerFlood is a flood of strangers.
type issuerFlood struct {
	name     string
	during   time.Duration
	requests []string
}

// BenchmarkStrangersAtTheIssuer floods the pages and /initiate with requests of
// strangers, 10,000 a second over 384 connections from two
// addresses, while a cached user goes on.
func BenchmarkStrangersAtTheIssuer(b *testing.B) {
	fmt.Fprintln(os.Stdout, "\n| Strangers | answered a second | Gateway's CPU a request | Cached user, 100/s: p50 and p99 before, during, after | in the handlers | Live heap before, during, after | Goroutines | Idle CPU of the machine before, during |\n|---|---|---|---|---|---|---|---|")
	d := startIssuer(b)
	strangers := d.strangersAtTheIssuer()
	all := issuerFlood{name: "all", during: 30 * time.Second}
	floods := []issuerFlood{}
	for _, name := range slices.Sorted(maps.Keys(strangers)) {
		all.requests = append(all.requests, strangers[name])
		floods = append(floods, issuerFlood{name, 10 * time.Second, []string{strangers[name]}})
	}
	for _, f := range append([]issuerFlood{all}, floods...) {
		b.Run(f.name, func(b *testing.B) {
			d.b = b
			d.floodIssuer(f)
		})
	}
}

func (d *drill) floodIssuer(f issuerFlood) {
	const rate, connections, pause = 10_000, 384, 5 * time.Second
	b := d.b
	warm := func() harness.App { return d.w.HMAC }
	d.probe()
	quiet := idleCPU()
	before := d.steadily(100, pause, warm)
	start := d.probe()
	quiet, loaded := idleCPU()-quiet, idleCPU()
	began := time.Now()
	flood := (&pipeline{To: d.g.HTTP, Rate: rate, Connections: connections, Requests: f.requests}).start(b)
	cached := d.steadily(100, f.during, warm)
	middle := d.probe()
	took := time.Since(began)
	loaded = idleCPU() - loaded
	answers, total := flood.stop(b)
	d.probe() // forgets what passed meanwhile
	after := d.steadily(100, pause, warm)
	end := d.probe()
	d.row(fmt.Sprintf("%s, %v", f.name, f.during), "%.0f %v | %v | %v %v, %v %v, %v %v | %v %v, %v %v, %v %v | %.1f, %.1f, %.1f MiB | %d, %d, %d | %.0f %%, %.0f %%",
		float64(total)/took.Seconds(), answers, ((middle.CPU - start.CPU) / time.Duration(max(1, total))).Round(time.Microsecond),
		before.p50(), before.p99(), cached.p50(), cached.p99(), after.p50(), after.p99(),
		start.P50, start.P99, middle.P50, middle.P99, end.P50, end.P99,
		mib(start.Heap), mib(middle.Heap), mib(end.Heap), start.Goroutines, middle.Goroutines, end.Goroutines,
		share(quiet, pause), share(loaded, took))
	d.refused(f.name, cached, 0)
	if end.Heap > start.Heap+8<<20 {
		b.Errorf("%s: the heap has grown by %.1f MiB", f.name, mib(end.Heap-start.Heap))
	}
	if !strings.Contains(d.g.Metrics(b), "\ncaddy_oauth_server_state_bytes 0\n") {
		b.Errorf("%s: strangers take room in the state", f.name)
	}
}

// idleCPU returns how long the machine's processors were idle, in seconds, or 0 on
// other systems than Linux.
func idleCPU() float64 {
	text, _ := os.ReadFile("/proc/stat") // else it is empty
	fields := strings.Fields(string(text))
	if len(fields) < 6 || fields[0] != "cpu" {
		return 0
	}
	ticks, _ := strconv.ParseFloat(fields[4], 64) // of 10 ms
	return ticks / 100
}

// share is idle time as a percentage of all processors'.
func share(idle float64, of time.Duration) float64 {
	return 100 * idle / of.Seconds() / float64(runtime.NumCPU())
}

func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
