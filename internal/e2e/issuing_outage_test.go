package e2e_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/packets"
)

// fragile is an issuer whose two accounts reach the database through proxies.
type fragile struct {
	*issuer
	reader, writer *harness.Proxy
	packets        *packets.Proxy // behind that of the writer
}

func newFragile(t *testing.T, queryTimeout string, own ...string) *fragile {
	t.Helper()
	w := harness.NewWiki(t, release139)
	w.StoreLines = append(w.StoreLines, "query_timeout "+queryTimeout)
	f := &fragile{reader: w.Through(t)}
	server := mariadb.Start(t).TCPAddr()
	f.packets = packets.NewProxy(t, server, packets.ReadMySQL)
	f.writer = harness.NewProxy(t, f.packets.Addr)
	f.issuer = issuerOf(t, harness.Options{Wiki: w}, account{
		through: func(dsn string) string { return strings.Replace(dsn, server, f.writer.Addr, 1) },
		block:   "query_timeout " + queryTimeout,
	}, own...)
	return f
}

// falsely is what an answer must not say while the database cannot be asked.
var falsely = regexp.MustCompile(`E0\d\d|invalid_|access_denied|[Nn]ot found|unknown|revoked|withdrawn`)

// wantUnavailable holds an answer that could not be decided.
func wantUnavailable(t *testing.T, a *harness.Answer) {
	t.Helper()
	if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || a.Header.Get("Location") != "" || a.Header.Get("Www-Authenticate") != "" {
		t.Errorf("%d %v, want 503 with Retry-After", a.Status, a.Header)
	}
	text := string(a.Body)
	if style := strings.Index(text, "</style>"); style > 0 {
		text = text[style:]
	}
	if found := falsely.FindString(text); found != "" {
		t.Errorf("the answer says %q: %s", found, text)
	}
}

func (o *operation) want(t *testing.T, a *harness.Answer) {
	t.Helper()
	if a.Status != o.status || !strings.Contains(string(a.Body)+a.Header.Get("Location"), o.contains) {
		t.Errorf("%d %v %s, want %d with %q", a.Status, a.Header, a.Body, o.status, o.contains)
	}
}

// recovers sends a request until it is decided, and wants it to succeed: the answers
// before have used up nothing.
func (o *operation) recovers(t *testing.T, i *issuer, send sender) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		a := i.Do(t, send(t))
		if a.Status != http.StatusServiceUnavailable || time.Now().After(end) {
			o.want(t, a)
			return
		}
	}
}

// While the database is down for one of the two accounts, each request that needs it
// is answered with 503 and Retry-After, and nothing else is. Afterwards the same
// request succeeds.
func TestIssuingWithoutDatabase(t *testing.T) {
	f := newFragile(t, "10s")
	covered := map[authserver.Endpoint]bool{}
	for _, o := range operations {
		covered[o.endpoint] = true
		for account, proxy := range map[string]*harness.Proxy{"reader": f.reader, "writer": f.writer} {
			t.Run(o.name+" without the "+account, func(t *testing.T) {
				send := o.prepare(t, f.issuer)
				proxy.Down()
				a := f.Do(t, send(t))
				needed := account == "reader" && o.reader || account == "writer" && o.writer
				if needed {
					wantUnavailable(t, a)
				} else {
					o.want(t, a)
				}
				proxy.Up()
				if needed {
					o.recovers(t, f.issuer, send)
				}
			})
		}
	}
	for e := authserver.Initiate; e <= authserver.UnknownRoute; e++ {
		if !covered[e] {
			t.Errorf("no request reaches %v", e)
		}
	}
}

// The database goes down for the account that writes in place of each of its
// statements, in the middle of the request: whatever was found until then, the answer
// is 503, and the same request succeeds afterwards.
func TestIssuingDatabaseGoesDown(t *testing.T) {
	f := newFragile(t, "10s")
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			statements := 0
			for ; f.goesDown(t, &o, statements); statements++ {
				if t.Failed() {
					t.Fatalf("down in place of statement %d", statements+1)
				}
			}
			if (statements > 0) != o.writer {
				t.Errorf("%d statements", statements)
			}
		})
	}
}

// The same for a refresh token that is used again within refresh_grace.
func TestIssuingDatabaseGoesDownWithinGrace(t *testing.T) {
	f := newFragile(t, "10s", "lifetimes {\nrefresh_token 1h\nrefresh_grace 5m\n}")
	o := usedRefreshToken
	o.status, o.contains = http.StatusOK, `"access_token":`
	statements := 0
	for f.goesDown(t, &o, statements) && !t.Failed() {
		statements++
	}
	if statements < 5 {
		t.Errorf("%d statements", statements)
	}
}

// goesDown sends the request of an operation, and lets the database go down after a
// number of statements. It reports whether there were more. A ROLLBACK that fails
// leaves what was decided before.
func (f *fragile) goesDown(t *testing.T, o *operation, statements int) bool {
	t.Helper()
	send := o.prepare(t, f.issuer)
	f.packets.CutAfterRequests(statements, f.writer.Down)
	a := f.Do(t, send(t))
	cut, last := f.packets.WasCut(), f.packets.Last()
	f.packets.CutAfter(0, nil)
	f.writer.Up()
	if !cut || a.Status == o.status && strings.HasSuffix(last, "ROLLBACK") {
		o.want(t, a)
		return cut
	}
	wantUnavailable(t, a)
	o.recovers(t, f.issuer, send)
	return true
}
