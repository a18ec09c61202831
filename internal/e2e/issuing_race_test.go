package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// copies is how many clients exchange one credential at once.
const copies = 100

// atOnce sends requests at once and returns the answers. The table of tokens of
// OAuth 2 is locked until the gateway has all of them, so that none comes later.
func (i *issuer) atOnce(t *testing.T, requests []*http.Request) []*harness.Answer {
	t.Helper()
	db, err := i.Wiki.Connect(t, i.Wiki.Database).Conn(t.Context())
	if err == nil {
		_, err = db.ExecContext(t.Context(), "LOCK TABLES oauth2_access_tokens WRITE")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	answers := make([]*harness.Answer, len(requests))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for n, r := range requests {
		wg.Go(func() {
			<-start
			a, err := i.Try(r)
			if err != nil {
				t.Error(err)
				return
			}
			answers[n] = a
		})
	}
	close(start)
	for end := time.Now().Add(time.Second); time.Now().Before(end) && i.inFlight(t) < len(requests); {
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := db.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return answers
}

var inFlight = regexp.MustCompile(`(?m)^caddy_http_requests_in_flight\{handler="subroute".*\} (\d+)$`)

// inFlight returns how many requests the gateway is answering.
func (i *issuer) inFlight(t *testing.T) (n int) {
	t.Helper()
	for _, m := range inFlight.FindAllStringSubmatch(i.Metrics(t), -1) {
		of, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		n += of
	}
	return n
}

// race sends copies of a form to the token endpoint at once, and returns the
// tokens of the one that succeeds. The others are refused with the hint.
func (i *issuer) race(t *testing.T, sites []string, refusal string, pairs ...string) (won tokens) {
	t.Helper()
	var requests []*http.Request
	for n := range copies {
		r := i.tokenRequest(t, "/oauth2/", basic(i.app2.Key, i.secret(i.app2)), pairs...)
		site, err := url.Parse(sites[n%len(sites)])
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Scheme, r.URL.Host, r.Host = site.Scheme, site.Host, site.Host
		requests = append(requests, r)
	}
	succeeded := 0
	for _, a := range i.atOnce(t, requests) {
		var out tokens
		if err := json.Unmarshal(a.Body, &out); err != nil {
			t.Fatalf("%d %s: %v", a.Status, a.Body, err)
		}
		switch {
		case a.Status == http.StatusOK && out.Access != "" && out.Refresh != "":
			succeeded++
			won = out
		case a.Status/100 != 4 || !strings.Contains(string(a.Body), `"hint":"`+refusal+`"`):
			t.Errorf("a loser is told %d %s, want %s", a.Status, a.Body, refusal)
		}
	}
	if succeeded != 1 {
		t.Fatalf("%d of %d succeed", succeeded, copies)
	}
	return won
}

// Of a hundred exchanges of one code, refresh token or verifier at once exactly one
// succeeds, and its token works: also when the hundred are spread over two sites of
// one Caddy.
func TestIssuingRaces(t *testing.T) {
	i := newIssuer(t)
	for name, sites := range map[string][]string{
		"one site": {i.URL("")}, "two sites": {i.URL(""), "https://" + i.HTTPS},
	} {
		t.Run(name, func(t *testing.T) {
			back := query(t, i.press(t, "/oauth2/authorize?response_type=code&client_id="+i.app2.Key+pkce, "approve"))
			first := i.race(t, sites, "Authorization code has been revoked", "grant_type", "authorization_code", "code", back.Get("code"), "code_verifier", codeVerifier)
			i.Get(t, "/w/api.php", "Bearer "+first.Access, "Cache-Control", "no-cache").Want(t, "ok")
			second := i.race(t, sites, "Token has been revoked", "grant_type", "refresh_token", "refresh_token", first.Refresh)
			i.Get(t, "/w/api.php", "Bearer "+second.Access).Want(t, "ok")
			// The refresh token of the one that succeeded works too.
			third := i.token(t, "/oauth2/", "grant_type", "refresh_token", "refresh_token", second.Refresh)
			i.Get(t, "/w/api.php", "Bearer "+third.Access).Want(t, "ok")

			c := sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}
			request := tokenPair(t, i.signed(t, "/oauth/initiate", c, sign.Options{Callback: "oob"}))
			approved := query(t, i.press(t, "/oauth/authorize?oauth_token="+request.Get("oauth_token"), "approve"))
			c.Token, c.TokenSecret = request.Get("oauth_token"), request.Get("oauth_token_secret")
			var requests []*http.Request
			for n := range copies {
				target := sites[n%len(sites)] + "/oauth/token"
				header, err := sign.Header(c, http.MethodGet, target, nil, sign.Options{Verifier: approved.Get("oauth_verifier")})
				if err != nil {
					t.Fatal(err)
				}
				requests = append(requests, i.Request(t, http.MethodGet, target, "", "Authorization", header))
			}
			var won []url.Values
			for _, a := range i.atOnce(t, requests) {
				if out, err := url.ParseQuery(string(a.Body)); err == nil && out.Get("oauth_token_secret") != "" {
					won = append(won, out)
				} else if !strings.Contains(string(a.Body), "E009") {
					t.Errorf("a loser is told %d %s, want E009", a.Status, a.Body)
				}
			}
			if len(won) != 1 {
				t.Fatalf("%d of %d exchanges of one verifier succeed", len(won), copies)
			}
			c.Token, c.TokenSecret = won[0].Get("oauth_token"), won[0].Get("oauth_token_secret")
			if a := i.signed(t, "/w/api.php?action=query", c, sign.Options{}); a.Identity("User-Name") != "Bob" {
				t.Errorf("the token of the one that succeeded: %d %s", a.Status, a.Body)
			}
		})
	}
}
