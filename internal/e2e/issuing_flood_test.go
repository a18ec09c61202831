package e2e_test

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// A client sends more than may wait, for random apps or for one app without its
// secret, until most of it is refused. The app itself comes from another address.
// The handshake, a code and a refresh of apps that had proven nothing before
// succeed all the same.
func TestIssuingFloodLeavesApps(t *testing.T) {
	for _, name := range []string{"random apps", "one app"} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			key := func() string { return wikidb.RandomHex(16) }
			if name == "one app" {
				key = func() string { return i.app1.Key }
			}
			f := i.flood(t, key)
			for end := time.Now().Add(30 * time.Second); f.refused.Load() < 100; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d requests of the flood are refused", f.refused.Load())
				}
			}
			for range 3 {
				c := sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}
				request := tokenPair(t, i.signed(t, "/oauth/initiate", c, sign.Options{Callback: "oob"}))
				back := query(t, i.press(t, "/oauth/authorize?oauth_token="+request.Get("oauth_token"), "approve"))
				c.Token, c.TokenSecret = request.Get("oauth_token"), request.Get("oauth_token_secret")
				tokenPair(t, i.signed(t, "/oauth/token", c, sign.Options{Verifier: back.Get("oauth_verifier")}))

				back = query(t, i.press(t, "/oauth2/authorize?response_type=code&client_id="+i.app2.Key, "approve"))
				got := i.token(t, "/oauth2/", "grant_type", "authorization_code", "code", back.Get("code"))
				if next := i.token(t, "/oauth2/", "grant_type", "refresh_token", "refresh_token", got.Refresh); next.Access == "" {
					t.Errorf("refresh: %+v", next)
				}
			}
			before := f.refused.Load()
			f.stop()
			if f.failed.Load() > 0 || before == 0 {
				t.Errorf("%d requests of the flood are refused, %d fail", before, f.failed.Load())
			}
			if used := i.stateUsed(t); used > 3*2048 {
				t.Errorf("the state holds %v bytes", used)
			}
		})
	}
}

// issuingFlood counts what a flood is answered.
type issuingFlood struct {
	refused, failed atomic.Int64
	stop            func()
}

// flood sends wrongly signed requests for apps from an address of its own, more at
// once than may wait.
func (i *issuer) flood(t *testing.T, key func() string) *issuingFlood {
	t.Helper()
	f := &issuingFlood{}
	ctx, cancel := context.WithCancel(t.Context())
	const streams = 150
	client := &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext,
		MaxIdleConnsPerHost: streams,
	}}
	var wg sync.WaitGroup
	for range streams {
		wg.Go(func() {
			for ctx.Err() == nil {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.URL("/oauth/initiate?oauth_callback=oob&oauth_signature_method=HMAC-SHA1"+
					"&oauth_signature=x&oauth_nonce=x&oauth_timestamp="+strconv.FormatInt(time.Now().Unix(), 10)+"&oauth_consumer_key="+key()), nil)
				if err != nil {
					t.Error(err)
					return
				}
				a, err := client.Do(r)
				if err != nil {
					continue // the flood has ended
				}
				_ = a.Body.Close() // the status is enough
				switch {
				case a.StatusCode == http.StatusTooManyRequests && a.Header.Get("Retry-After") != "":
					f.refused.Add(1)
				case a.StatusCode != http.StatusOK: // of an error in MediaWiki's form
					f.failed.Add(1)
				}
			}
		})
	}
	f.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		client.CloseIdleConnections()
	})
	t.Cleanup(f.stop)
	return f
}
