package gateway

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestThroughCaddy(t *testing.T) {
	s := newSite(t)
	s.load(t, "require grant editpage", "")
	evil := func(r *http.Request) *http.Request {
		r.Header["X_OAuth_User_Id"] = []string{"1"}
		r.Header["X.OAuth.User.Id"] = []string{"1"}
		r.Header["X-OAuth-Owner-Only"] = []string{"true"}
		r.Header["Connection"] = []string{"close, X-OAuth-User-Id, x-oauth-groups"}
		return r
	}
	bearer, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+"/a", nil)
	bearer.Header.Set("Authorization", s.bearer(t))
	for _, test := range []struct {
		version string
		request *http.Request
	}{
		{"1.0a", evil(s.signed(t, http.MethodGet, "/w/api.php?action=query&titles=%7Ea", nil))},
		{"2.0", evil(bearer)},
		{"2.0", bearer}, // from the cache
	} {
		s.seen.Store(nil)
		response, body := do(t, test.request)
		if response.StatusCode != http.StatusOK {
			t.Fatalf("status %d: %s", response.StatusCode, body)
		}
		seen := s.seen.Load()
		names := ownNames(seen.Header)
		for _, name := range names {
			if name != http.CanonicalHeaderKey(name) || strings.ContainsAny(name, "_.") {
				t.Errorf("the backend was sent %s", name)
			}
		}
		if h := seen.Header; h.Get("X-OAuth-User-Id") != "7" || h.Get("X-OAuth-User-Name") != "%C3%96zdemir" || h.Get("X-OAuth-Groups") != "sysop" ||
			h.Get("X-OAuth-Version") != test.version || h.Get("X-OAuth-Wiki") != "testwiki" || h["X-Oauth-Owner-Only"] != nil {
			t.Errorf("the backend was sent %v", h)
		}
		if vary := response.Header["Vary"]; len(vary) != 1 || vary[0] != "Authorization" {
			t.Errorf("Vary %q", vary)
		}
	}

	replay := s.signed(t, http.MethodGet, "/metrics", nil)
	_, first := do(t, replay)
	for _, want := range []string{
		`caddy_oauth_decisions_total{outcome="allow",protocol="oauth1",reason="ok"}`,
		`caddy_oauth_cache_misses_total{cache="facts"}`, `caddy_oauth_cache_hits_total{cache="tokens"}`, `caddy_oauth_cache_bytes{cache="nonces"}`,
		`caddy_oauth_store_query_duration_seconds_count`, `caddy_oauth_store_errors_total`,
	} {
		if !strings.Contains(first, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	response, body := do(t, replay)
	if response.StatusCode != http.StatusUnauthorized || !strings.Contains(body, `"reason":"nonce_used"`) {
		t.Errorf("replayed: status %d: %s", response.StatusCode, body)
	}
	s.checkLog(t, replay.Header.Get("Authorization"))
}

// checkLog looks for what the access log and our own say, and for what they
// must not.
func (s *site) checkLog(t *testing.T, authorization string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(s.bearer(t), " ")
	jwtHeader, _, _ := strings.Cut(token, ".") // the same in every token of ours
	for _, secret := range []string{s.credentials.ConsumerSecret, s.credentials.TokenSecret, s.credentials.Token, s.jti, "site key", authorization, jwtHeader} {
		if strings.Contains(string(content), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	passed, refused, told := 0, 0, 0
	for line := range strings.Lines(string(content)) {
		var entry struct {
			Msg    string
			UserID string `json:"user_id"`
			OAuth  struct{ Outcome, Reason, Protocol string }
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		switch {
		case entry.Msg == "handled request" && entry.OAuth.Outcome == "allow" && entry.UserID == "7":
			passed++
		case entry.Msg == "handled request" && entry.OAuth.Reason == "nonce_used" && entry.UserID == "":
			refused++
		case entry.Msg == "refused: nonce_used":
			told++
		}
	}
	if passed != 4 || refused != 1 || told != 1 {
		t.Errorf("%d passed, %d refused, %d told in:\n%s", passed, refused, told, content)
	}
}

// TestTrailersThroughCaddy sends trailers that reverse_proxy copies when the
// body ends.
func TestTrailersThroughCaddy(t *testing.T) {
	s := newSite(t)
	s.load(t, "", "")
	for _, announced := range []string{"X-OAuth-User-Id, X-Sum", "X-Sum", "X-Sum, X_OAuth_User_Id"} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		r := s.signed(t, http.MethodPost, "/", nil)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: %s\r\n\r\n"+
			"4\r\nbody\r\n0\r\nX-OAuth-User-Id: 1\r\nX_OAuth_User_Id: 1\r\nX-Sum: 2\r\n\r\n", s.address, r.Header.Get("Authorization"), announced)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		_ = conn.Close()
		s.checkTrailers(t, announced, response.StatusCode)
	}

	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	defer client.CloseIdleConnections()
	r := s.signed(t, http.MethodPost, "/", io.MultiReader(strings.NewReader("body")))
	r.Trailer = http.Header{"X-Oauth-User-Id": {"1"}, "X_OAuth_User_Id": {"1"}, "X-Sum": {"2"}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.ProtoMajor != 2 {
		t.Errorf("over HTTP/%d", response.ProtoMajor)
	}
	s.checkTrailers(t, "HTTP/2", response.StatusCode)
}

func (s *site) checkTrailers(t *testing.T, what string, status int) {
	t.Helper()
	seen := s.seen.Swap(nil)
	if status != http.StatusOK || seen == nil {
		t.Fatalf("%s: status %d", what, status)
	}
	if left := ownNames(seen.Trailer); left != nil || seen.Trailer.Get("X-Sum") != "2" {
		t.Errorf("%s: the backend was sent the trailers %v", what, seen.Trailer)
	}
	if seen.Header.Get("X-OAuth-User-Id") != "7" {
		t.Errorf("%s: the backend was sent %v", what, seen.Header)
	}
}

func TestErrorsCaddy(t *testing.T) {
	s := newSite(t)
	s.load(t, "errors caddy", `handle_errors {
		header X-Reason {http.oauth.reason}
		respond "{http.error.status_code} {http.oauth.reason}"
	}`)
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+"/", nil)
	response, body := do(t, r)
	if response.StatusCode != http.StatusUnauthorized || body != "401 no_credentials" || len(response.Header["Www-Authenticate"]) != 2 ||
		response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("X-Reason") != "no_credentials" {
		t.Errorf("status %d, body %q, headers %v", response.StatusCode, body, response.Header)
	}
}

// Requests run on while the configuration under them is replaced, again and again.
func TestReloadUnderLoad(t *testing.T) {
	s := newSite(t)
	s.load(t, "realm first", "")
	stop := make(chan struct{})
	var running sync.WaitGroup
	var served atomic.Int64
	for range 4 {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				response, err := client.Do(s.signed(t, http.MethodGet, "/", nil))
				if err != nil {
					continue // Caddy closes connections of the old configuration, with or without us
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK {
					t.Errorf("status %d", response.StatusCode)
					return
				}
				served.Add(1)
			}
		})
	}
	held := make(chan struct{})
	running.Go(func() {
		defer close(held)
		response, err := client.Do(s.signed(t, http.MethodGet, "/wait", nil))
		if err != nil {
			t.Error(err)
			return
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("the held request: status %d", response.StatusCode)
		}
	})
	select {
	case <-s.entered:
	case <-held:
		t.Fatal("the held request did not reach the backend")
	}
	replayed := s.signed(t, http.MethodGet, "/replayed", nil)
	if response, _ := do(t, replayed); response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
	for i := range 10 {
		s.timeout = fmt.Sprintf("%ds", i+3) // another database pool, and another cache; the nonces stay
		s.load(t, fmt.Sprintf("realm r%d\ncache {\n\tttl %ds\n}", i, i+1), "")
	}
	if response, body := do(t, replayed); response.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "nonce_used") {
		t.Errorf("replayed after the reloads: status %d: %s", response.StatusCode, body)
	}
	close(s.leave)
	close(stop)
	running.Wait()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	emptied(t)
	content, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil || served.Load() == 0 || strings.Contains(string(content), "panic") {
		t.Errorf("%d served, error %v, log:\n%s", served.Load(), err, content)
	}
}
