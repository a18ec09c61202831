package drill

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// tally counts the answers to one kind of client.
type tally struct {
	mu      sync.Mutex
	status  map[int]int
	latency []time.Duration
	first   time.Time // the first 200 after since
	since   time.Time
}

func (c *tally) add(status int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == nil {
		c.status = map[int]int{}
	}
	c.status[status]++
	c.latency = append(c.latency, took)
	if now := time.Now(); status == http.StatusOK && !c.since.IsZero() && c.first.IsZero() && now.Add(-took).After(c.since) {
		c.first = now
	}
}

func (c *tally) total() int { return len(c.latency) }

func (c *tally) p50() time.Duration { return percentile(c.latency, 50).Round(100 * time.Microsecond) }

func (c *tally) p99() time.Duration { return percentile(c.latency, 99).Round(100 * time.Microsecond) }

func (c *tally) String() string {
	return fmt.Sprintf("%d of %d pass, p99 %v", c.status[http.StatusOK], c.total(), c.p99())
}

// newClient returns a client from an address of its own.
func newClient(from string, h2c bool) *http.Client {
	t := &http.Transport{
		DialContext:         (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
		MaxIdleConnsPerHost: 1000,
	}
	if h2c {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return &http.Client{Transport: t, Timeout: 20 * time.Second}
}

// get sends a signed request to a host of the gateway's.
func (d *drill) get(client *http.Client, host string, app harness.App, into *tally) {
	url := "http://" + host + "/"
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		panic(err)
	}
	if app.JTI != "" { // the whole token
		r.Header.Set("Authorization", "Bearer "+app.JTI)
	} else {
		r.Header.Set("Authorization", harness.Sign(d.b, app, http.MethodGet, url, ""))
	}
	start, status := time.Now(), 0
	if response, err := client.Do(r); err == nil {
		status = response.StatusCode
		_ = response.Body.Close() // it is short
	}
	if into != nil {
		into.add(status, time.Since(start))
	}
}

// steadily sends rate requests a second for a time, each whether those before
// are answered or not, and returns when all are.
func (d *drill) steadily(rate int, during time.Duration, next func() harness.App) *tally {
	into := &tally{}
	client := newClient("127.0.0.40", false)
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(time.Second / time.Duration(rate)) {
		app := next()
		wg.Go(func() { d.get(client, d.g.HTTP, app, into) })
	}
	wg.Wait()
	return into
}

// flood sends requests from a number of streams until stop is called.
func (d *drill) flood(streams int, hosts []string, from func(n int) string, next func() harness.App) (stop func() (sent int64)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var sent atomic.Int64
	clients := make([]*http.Client, 6)
	for i := range clients {
		clients[i] = newClient(from(i), true)
	}
	for n := range streams {
		wg.Go(func() {
			for ctx.Err() == nil {
				d.get(clients[n%len(clients)], hosts[n%len(hosts)], next(), nil)
				sent.Add(1)
			}
		})
	}
	return func() int64 {
		cancel()
		wg.Wait()
		for _, c := range clients {
			c.CloseIdleConnections()
		}
		return sent.Load()
	}
}

// random returns an app with a token that does not exist, and a consumer that
// does not either unless it is known.
func (d *drill) random(known bool) func() harness.App {
	return func() harness.App {
		app := d.w.HMAC
		app.Credentials.Token = wikidb.RandomHex(16)
		if !known {
			app.Credentials.ConsumerKey = wikidb.RandomHex(16)
		}
		return app
	}
}

// accept returns n apps: one consumer accepted by n users, and not used yet.
func accept(tb testing.TB, w *harness.Wiki, n int) func() harness.App {
	tb.Helper()
	apps := make(chan harness.App, n)
	rows := make([]wikidb.Row, 0, n)
	for i := range n {
		user := wikidb.User{ID: uint64(1000 + i), Name: fmt.Sprint("User ", 1000+i)}
		rows = append(rows, user)
	}
	w.Insert(tb, rows...)
	for i := range n {
		apps <- w.Accept(tb, w.HMAC.Consumer, wikidb.User{ID: uint64(1000 + i)})
	}
	return func() harness.App {
		select {
		case app := <-apps:
			return app
		default:
			panic("all users are used up")
		}
	}
}
