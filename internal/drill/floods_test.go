package drill

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// BenchmarkFloods floods the gateway from 16 connections with what is refused.
func BenchmarkFloods(b *testing.B) {
	fmt.Fprintln(os.Stdout, "\n| Flood of 10 s, 16 connections | Cached user, 50/s | Cold users, 20/s | Statements | Log lines | Memory |\n|---|---|---|---|---|---|")
	const during = 10 * time.Second
	for _, tt := range []struct {
		name string
		next func(d *drill) func() harness.App
	}{
		{"random OAuth 1 tokens", func(d *drill) func() harness.App { return d.random(false) }},
		{"random bearer tokens", (*drill).randomBearer},
		{"one's own token, random consumers", (*drill).randomConsumer},
	} {
		b.Run(tt.name, func(b *testing.B) {
			d := startWith(b, harness.Options{LogLevel: "INFO"}, 300, nil, "cache {\n\tttl 1h\n}")
			warm := func() harness.App { return d.w.HMAC }
			before := d.steadily(50, 2*time.Second, warm)
			server := mariadb.Start(b)
			heap, used, statements := heapInUse(), memory(), server.Counters(b).Selects
			lines, series := d.refusalLines(), strings.Count(d.g.Metrics(b), "\ncaddy_oauth_")
			stop := d.flood(16, []string{d.g.HTTP}, func(n int) string { return fmt.Sprint("127.0.0.", 2+n) }, tt.next(d))
			cold := make(chan *tally)
			go func() { cold <- d.steadily(20, during, d.cold) }()
			cached := d.steadily(50, during, warm)
			t := <-cold
			sent := stop()
			grown := heapInUse() - heap
			d.row(
				fmt.Sprintf("%s, %.0f/s", tt.name, float64(sent)/during.Seconds()),
				"%v (before %v) | %v | %d | %d | before %s, after %s; heap %+d MiB; %d metric series, %+d",
				cached, before.p99(), t, server.Counters(b).Selects-statements, d.refusalLines()-lines,
				used, memory(), grown>>20, series, strings.Count(d.g.Metrics(b), "\ncaddy_oauth_")-series,
			)
			d.refused(tt.name, t, 0)
			d.refused(tt.name+", cached", cached, 0)
			if grown > 64<<20 {
				b.Errorf("%s: the heap has grown by %d MiB", tt.name, grown>>20)
			}
		})
	}
}

// heapInUse returns what the process needs, its clients included.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// refusalLines returns how many refusals are in the log.
func (d *drill) refusalLines() int { return strings.Count(d.g.Log(d.b), `"refused: `) }

// randomConsumer returns apps with one token and keys that no consumer has.
func (d *drill) randomConsumer() func() harness.App {
	return func() harness.App {
		app := d.w.HMAC
		app.Credentials.ConsumerKey = wikidb.RandomHex(16)
		return app
	}
}

// randomBearer returns apps with bearer tokens whose signatures are random.
func (d *drill) randomBearer() func() harness.App {
	app := d.w.OAuth2
	token := d.w.Token(d.b, app, nil)
	return func() harness.App {
		app := app
		app.JTI = token[:len(token)-64] + wikidb.RandomHex(32)
		return app
	}
}

// BenchmarkReplica counts the statements of known users and of strangers, which
// are for the replica.
func BenchmarkReplica(b *testing.B) {
	fmt.Fprintln(os.Stdout, "\n| One replica | Statements at the primary | Statements at the replica |\n|---|---|---|")
	d := &drill{b: b, w: harness.NewWiki(b, validator.Release139)}
	replica := newProxy(b, mariadb.Start(b).TCPAddr())
	dsn := strings.Replace(d.w.DSN, mariadb.Start(b).TCPAddr(), replica.addr, 1)
	file := b.TempDir() + "/replica"
	if err := os.WriteFile(file, []byte(dsn), 0o600); err != nil {
		b.Fatal(err)
	}
	d.serve(harness.Options{LogLevel: "ERROR"}, 1000, []string{"replica {file." + file + "}"})
	count := func() (primary, atReplica int64) { return d.proxy.queries.Swap(0), replica.queries.Swap(0) }
	count()
	t := d.steadily(200, 4*time.Second, d.cold)
	primary, atReplica := count()
	d.row(fmt.Sprintf("%d users of a known app", t.total()), "%d | %d", primary, atReplica)
	d.refused("with a replica", t, 0)
	if primary > 0 {
		b.Errorf("%d statements of known users at the primary", primary)
	}
	for _, known := range []bool{false, true} {
		stop := d.flood(16, []string{d.g.HTTP}, func(n int) string { return fmt.Sprint("127.0.0.", 2+n) }, d.random(known))
		time.Sleep(4 * time.Second)
		sent := stop()
		primary, atReplica = count()
		name := "of an unknown app"
		if known {
			name = "of a known app"
		}
		d.row(fmt.Sprintf("%d random tokens %s", sent, name), "%d | %d", primary, atReplica)
		if primary > atReplica/5 {
			b.Errorf("%d statements of strangers at the primary, %d at the replica", primary, atReplica)
		}
	}
}
