package drill

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestMain(m *testing.M) {
	if os.Getenv(asPipeline) == "" {
		harness.Main(m)
		return
	}
	if err := runPipeline(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type drill struct {
	b     *testing.B
	w     *harness.Wiki
	g     *harness.Gateway
	proxy *slowProxy
	cold  func() harness.App
}

// sites is the number of sites that share the database.
const sites = 8

func start(b *testing.B, users int, storeLines []string, settings ...string) *drill {
	b.Helper()
	return startWith(b, harness.Options{LogLevel: "ERROR"}, users, storeLines, settings...)
}

func startWith(b *testing.B, o harness.Options, users int, storeLines []string, settings ...string) *drill {
	b.Helper()
	d := &drill{b: b, w: harness.NewWiki(b, validator.Release139)}
	d.serve(o, users, storeLines, settings...)
	return d
}

// serve starts the gateway of a wiki.
func (d *drill) serve(o harness.Options, users int, storeLines []string, settings ...string) {
	b := d.b
	b.Helper()
	d.cold = accept(b, d.w, users)
	addr := mariadb.Start(b).TCPAddr()
	d.proxy = newProxy(b, addr)
	d.w.DSN = strings.Replace(d.w.DSN, addr, d.proxy.addr, 1)
	d.w.StoreLines = storeLines
	var more strings.Builder
	for n := 1; n < sites; n++ {
		fmt.Fprintf(&more, "http://site%d.localhost:{$HTTP2} {\n\toauth {\n%s\n\t}\n\treverse_proxy {$BACKEND}\n}\n", n, d.w.Settings(b, settings...))
	}
	o.Wiki, o.Settings, o.Sites, o.Servers = d.w, settings, more.String(), "protocols h1 h2c"
	o.Backend = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	d.g = harness.New(b, o)
	d.get(http.DefaultClient, d.g.HTTP, d.w.HMAC, nil) // opens a connection
}

func (d *drill) row(name string, format string, args ...any) {
	fmt.Fprintf(os.Stdout, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
}

// refused fails the drill when more than a share of the requests does not pass.
func (d *drill) refused(name string, t *tally, most float64) {
	if passed := t.status[http.StatusOK]; float64(t.total()-passed) > most*float64(t.total()) {
		d.b.Errorf("%s: %v %v, want at most %.0f %% refused; logged: %v", name, t, t.status, 100*most, d.causes())
	}
}

// causes returns why the gateway could not answer, and how often each cause is
// in its log, which has a sample of them.
func (d *drill) causes() map[string]int {
	causes := map[string]int{}
	for line := range strings.Lines(d.g.Log(d.b)) {
		var l struct{ Reason, Error string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Reason != "" {
			causes[l.Reason+": "+numbers.ReplaceAllString(l.Error, "N")]++
		}
	}
	return causes
}

// numbers are what the texts of one cause differ in.
var numbers = regexp.MustCompile(`\d+(\.\d+)?`)

func memory() string {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	status, _ := os.ReadFile("/proc/self/status") // empty on other systems
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	rss, _, _ = strings.Cut(rss, "\n")
	return fmt.Sprintf("RSS %s, heap %d MiB, %d goroutines", strings.TrimSpace(rss), m.HeapInuse>>20, runtime.NumGoroutine())
}

// BenchmarkOneFailure has failures that are not an outage. No other request may
// be refused because of them.
func BenchmarkOneFailure(b *testing.B) {
	fmt.Fprintln(os.Stdout, "\n| One failure | Cold users |\n|---|---|")
	const during = 5 * time.Second
	b.Run("connections", func(b *testing.B) {
		d := start(b, 1200, []string{"max_open_conns 16"})
		s := mariadb.Start(b)
		user := "'gateway_" + d.w.Database + "'@'%'"
		s.Exec(b, "GRANT USAGE ON *.* TO "+user+" WITH MAX_USER_CONNECTIONS 8")
		d.proxy.cut()
		d.proxy.delay.Store(int64(20 * time.Millisecond))
		t := d.steadily(100, during, d.cold)
		d.row("a) the server takes 8 connections of 16, DB +20 ms, 100/s", "%v", t)
		d.refused("a)", t, 0)
	})
	b.Run("table", func(b *testing.B) {
		d := start(b, 600, nil)
		d.w.Exec(b, "RENAME TABLE oauth2_access_tokens TO away")
		bearer := newClient("127.0.0.41", false)
		stop := make(chan struct{})
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Second / 3):
					r, _ := http.NewRequestWithContext(b.Context(), http.MethodGet, d.g.URL("/"), http.NoBody)
					r.Header.Set("Authorization", "Bearer "+d.w.Token(b, d.w.OAuth2, map[string]any{"jti": fmt.Sprint(n)}))
					if response, err := bearer.Do(r); err == nil {
						_ = response.Body.Close()
					}
				}
			}
		}()
		t := d.steadily(50, during, d.cold)
		close(stop)
		d.row("b) one protocol's table is missing, 3/s ask for it", "%v", t)
		d.refused("b)", t, 0)
	})
	b.Run("key", func(b *testing.B) {
		d := start(b, 600, nil)
		d.w.Exec(b, "ALTER TABLE oauth_accepted_consumer CONVERT TO CHARACTER SET ascii")
		stop := d.flood(1, []string{d.g.HTTP}, func(int) string { return "127.0.0.2" }, func() harness.App {
			time.Sleep(time.Second / 3)
			app := d.w.HMAC
			app.Credentials.Token = "\xff" + app.Credentials.Token[1:]
			return app
		})
		t := d.steadily(50, during, d.cold)
		stop()
		d.row("c) a key that the tables' character set cannot hold, 3/s", "%v", t)
		d.refused("c)", t, 0)
	})
	b.Run("slow", func(b *testing.B) {
		d := start(b, 400, nil)
		d.proxy.delay.Store(int64(time.Second))
		const seconds = 12
		t := d.steadily(20, seconds*time.Second, d.cold)
		passed := t.status[http.StatusOK]
		d.row("d) DB answers in 1 s, 20/s where 16/s can be served", "%v, %.0f %% of 16 a second", t, 100*float64(passed)/(16*seconds))
		if passed < 16*seconds*9/10 {
			b.Errorf("d) %d pass, want at least %d", passed, 16*seconds*9/10)
		}
	})
}

// BenchmarkStrangers floods the gateway with random tokens.
func BenchmarkStrangers(b *testing.B) {
	fmt.Fprintln(os.Stdout, "\n| Strangers, 1,500 streams, DB +5 ms | Cold users, 25/s | Cached user, 50/s | |\n|---|---|---|---|")
	for _, tt := range []struct {
		name  string
		known bool // the consumer
		same  bool // address as the cold users'
		sites int
	}{
		{"random consumers, one site", false, false, 1},
		{"random consumers, eight sites", false, false, sites},
		{"random consumers, from the users' own address", false, true, 1},
		{"a known consumer, eight sites", true, false, sites},
	} {
		b.Run(tt.name, func(b *testing.B) {
			d := start(b, 300, nil, "cache {\n\tttl 1h\n}")
			d.proxy.delay.Store(int64(5 * time.Millisecond))
			warm := func() harness.App { return d.w.HMAC }
			before := d.steadily(50, 2*time.Second, warm)
			hosts := []string{d.g.HTTP}
			_, port, _ := strings.Cut(d.g.HTTP2, ":")
			for n := 1; n < tt.sites; n++ {
				hosts = append(hosts, fmt.Sprintf("site%d.localhost:%s", n, port))
			}
			stop := d.flood(1500, hosts, func(n int) string {
				if tt.same {
					return "127.0.0.40"
				}
				return fmt.Sprint("127.0.0.", 2+n)
			}, d.random(tt.known))
			time.Sleep(time.Second)
			cold := make(chan *tally)
			started := time.Now()
			go func() { cold <- d.steadily(25, 6*time.Second, d.cold) }()
			cached := d.steadily(50, 6*time.Second, warm)
			t := <-cold
			used := memory()
			sent := stop()
			d.row(tt.name, "%v | %v (before %v) | %.0f/s, %s", t, cached, before.p99(), float64(sent)/(time.Since(started).Seconds()+1), used)
			d.refused(tt.name, t, 0.05)
			d.refused(tt.name+", cached", cached, 0)
		})
	}
}

// BenchmarkFaults takes the database away for some seconds.
func BenchmarkFaults(b *testing.B) {
	fmt.Fprintln(os.Stdout, "\n| Fault of 8 s, ttl 3 s | Cached user, 20/s | Cold users, 20/s | First cold 200 after the end | |\n|---|---|---|---|---|")
	for _, tt := range []struct {
		name       string
		begin, end func(d *drill)
	}{
		{"server killed, restarted", func(d *drill) { mariadb.Start(d.b).Stop(d.b) }, func(d *drill) { mariadb.Start(d.b).Restart(d.b) }},
		{"server silent", func(d *drill) { d.proxy.silent.Store(true) }, func(d *drill) { d.proxy.silent.Store(false) }},
		{
			"connections refused",
			func(d *drill) { d.proxy.refuse.Store(true); d.proxy.cut() },
			func(d *drill) { d.proxy.refuse.Store(false) },
		},
		{"5 s a query", func(d *drill) { d.proxy.delay.Store(int64(5 * time.Second)) }, func(d *drill) { d.proxy.delay.Store(0) }},
		{"1 s a query", func(d *drill) { d.proxy.delay.Store(int64(time.Second)) }, func(d *drill) { d.proxy.delay.Store(0) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			d := start(b, 500, nil, "cache {\n\tttl 3s\n\tmax_stale 60s\n}")
			goroutines := runtime.NumGoroutine()
			warm := make(chan *tally)
			go func() { warm <- d.steadily(20, 11*time.Second, func() harness.App { return d.w.HMAC }) }()
			time.Sleep(time.Second)
			tt.begin(d)
			during := d.steadily(20, 8*time.Second, d.cold)
			tt.end(d)
			ended := time.Now()
			for { // one at a time, until one passes
				after := &tally{}
				d.get(http.DefaultClient, d.g.HTTP, d.cold(), after)
				if after.status[http.StatusOK] == 1 || time.Since(ended) > 5*time.Second {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			back := time.Since(ended).Round(10 * time.Millisecond)
			t := <-warm
			d.row(tt.name, "%v | %v | %v | %d goroutines before, %s", t, during, back, goroutines, memory())
			d.refused(tt.name+", cached", t, 0)
			if back > 3*time.Second {
				b.Errorf("%s: no cold user passes for %v after its end", tt.name, back)
			}
		})
	}
}

// BenchmarkCacheBytes has a real token with random consumer keys.
func BenchmarkCacheBytes(b *testing.B) {
	d := start(b, 1, nil)
	bytes := func() (facts string) {
		for line := range strings.SplitSeq(d.g.Metrics(b), "\n") {
			if strings.HasPrefix(line, `caddy_oauth_cache_bytes{cache="facts"}`) || strings.HasPrefix(line, `caddy_oauth_cache_bytes{cache="negative"}`) {
				facts += line[len("caddy_oauth_cache_bytes"):] + " "
			}
		}
		return facts
	}
	before := bytes()
	stop := d.flood(16, []string{d.g.HTTP}, func(int) string { return "127.0.0.2" }, d.randomConsumer())
	time.Sleep(5 * time.Second)
	sent := stop()
	fmt.Fprintln(os.Stdout, "\n| One's own token, random consumers | Bytes of the cache |\n|---|---|")
	d.row(fmt.Sprintf("%d requests", sent), "before %s, after %s", before, bytes())
}
