package e2e_test

import (
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

var stateBytes = regexp.MustCompile(`(?m)^caddy_oauth_server_state_bytes (\S+)$`)

// stateUsed returns the bytes that request tokens take.
func (i *issuer) stateUsed(t *testing.T) float64 {
	t.Helper()
	m := stateBytes.FindStringSubmatch(i.Metrics(t))
	if m == nil {
		t.Fatal("there is no metric of the state's bytes")
	}
	used, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return used
}

// What strangers send to the pages and to /initiate takes no room that stays: none
// of the state, no goroutine and no series of metrics. Their bodies are together
// larger than what one address may hold, so that none of them is held on to.
func TestIssuingStrangersTakeNoRoom(t *testing.T) {
	i := newIssuer(t)
	strangers := func(n int) (sent int) {
		const streams = 16
		var wg sync.WaitGroup
		for range streams {
			wg.Go(func() {
				for range n {
					for _, r := range i.strangers(t) {
						if a, err := i.Try(r); err != nil || a.Status/100 == 5 || a.Status == http.StatusRequestEntityTooLarge || a.Seen != nil || strings.Contains(string(a.Body), "oauth_token_secret") {
							t.Errorf("%s: %+v, %v", r.URL, a, err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		return streams * n * 5
	}
	strangers(1) // so that the series are there
	used := i.stateUsed(t)
	if used != 0 {
		t.Fatalf("the state holds %v bytes before anybody has a token", used)
	}
	series := strings.Count(i.Metrics(t), "\ncaddy_oauth_")
	i.Client.CloseIdleConnections()
	goroutines := settled(0)
	sent := strangers(60)
	if used := i.stateUsed(t); used != 0 {
		t.Errorf("%d requests of strangers leave %v bytes in the state", sent, used)
	}
	if now := strings.Count(i.Metrics(t), "\ncaddy_oauth_"); now > series {
		t.Errorf("%d requests of strangers leave %d series of metrics, %d before", sent, now, series)
	}
	i.Client.CloseIdleConnections()
	if now := settled(goroutines + 20); now > goroutines+20 {
		t.Errorf("%d goroutines after %d requests of strangers, %d before", now, sent, goroutines)
	}
}

// settled returns the number of goroutines once it is at most a number, or after
// a while.
func settled(most int) int {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && runtime.NumGoroutine() > most; {
		time.Sleep(20 * time.Millisecond)
	}
	return runtime.NumGoroutine()
}

// strangers are requests of somebody without a credential of ours, each new.
func (i *issuer) strangers(t *testing.T) (out []*http.Request) {
	t.Helper()
	random := wikidb.RandomHex(16)
	for _, tt := range []struct{ method, target, body string }{
		{http.MethodGet, "/oauth/initiate?oauth_callback=oob&oauth_consumer_key=" + random + "&oauth_signature_method=HMAC-SHA1&oauth_signature=x&oauth_nonce=" + random + "&oauth_timestamp=" + strconv.FormatInt(time.Now().Unix(), 10), ""},
		{http.MethodPost, "/oauth/initiate", "oauth_consumer_key=" + i.app1.Key + "&oauth_callback=oob&oauth_signature_method=HMAC-SHA1&oauth_signature=x&oauth_nonce=" + random + "&oauth_timestamp=" + strconv.FormatInt(time.Now().Unix(), 10)},
		{http.MethodGet, "/w/index.php?title=Special:OAuth%2Fauthorize&oauth_token=" + random, ""},
		{http.MethodGet, authorizeApp(i.app2, "&state="+random), ""},
		{http.MethodPost, "/oauth2/access_token", "grant_type=authorization_code&client_id=" + i.app2.Key + "&client_secret=x&code=" + random + strings.Repeat("x", 32<<10)},
	} {
		r := i.Request(t, tt.method, i.URL(tt.target), tt.body)
		if tt.body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		out = append(out, r)
	}
	return out
}
