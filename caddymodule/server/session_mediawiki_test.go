package server

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// browserRequest is a request of a browser at an address, with more in it than the
// wiki is to see.
func browserRequest(t testing.TB, cookies ...string) *http.Request {
	t.Helper()
	ctx := context.WithValue(t.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: "203.0.113.9"})
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "https://wiki.example/oauth/authorize?oauth_token=x", nil)
	r.Header = http.Header{
		"User-Agent": {"Browser/1"}, "Authorization": {"Basic eDp5"}, "X-Forwarded-For": {"198.51.100.1"}, "Accept-Language": {"de"},
	}
	if len(cookies) > 0 {
		r.Header["Cookie"] = cookies
	}
	return r
}

func TestMediaWikiSession(t *testing.T) {
	const alice = `{"batchcomplete":true,"query":{"userinfo":{"id":3,"name":"Alice","groups":["*","user"],"centralids":{"local":3,"CentralAuth":1003}}}}`
	for _, tt := range []struct {
		name, source string
		answer       string
		status       int
		want         string // name, or empty
		id           uint64
		fails        string
	}{
		{"signed in", "local", alice, 200, "Alice", 3, ""},
		{"signed in, CentralAuth", "CentralAuth", alice, 200, "Alice", 1003, ""},
		{"anonymous", "local", `{"query":{"userinfo":{"id":0,"name":"203.0.113.9","anon":true}}}`, 200, "", 0, ""},
		{"temporary", "local", `{"query":{"userinfo":{"id":9,"name":"~2026-1","temp":true,"centralids":{"local":9}}}}`, 200, "", 0, ""},
		{"temporary by its group", "local", `{"query":{"userinfo":{"id":9,"name":"~2026-1","groups":["*","temp"],"centralids":{"local":9}}}}`, 200, "", 0, ""},
		{"no central id", "CentralAuth", `{"query":{"userinfo":{"id":3,"name":"Alice","centralids":{"local":3}}}}`, 200, "", 0, "no id of CentralAuth"},
		{"not attached", "CentralAuth", `{"query":{"userinfo":{"id":3,"name":"Alice","centralids":{"local":3,"CentralAuth":0}}}}`, 200, "Alice", math.MaxUint64, ""},
		{"no id", "local", `{"query":{"userinfo":{"name":"Alice","centralids":{"local":3}}}}`, 200, "", 0, "does not say"},
		{"id 0, not anonymous", "local", `{"query":{"userinfo":{"id":0,"name":"Alice","centralids":{"local":3}}}}`, 200, "", 0, "without an id"},
		{"error", "local", `{"error":{"code":"readapidenied"}}`, 200, "", 0, "does not say"},
		{"no JSON", "local", `<html>`, 200, "", 0, "not JSON"},
		{"status", "local", alice, 500, "", 0, "status 500"},
		{"redirect", "local", alice, 302, "", 0, "status 302"},
		{"too large", "local", alice + strings.Repeat(" ", wikiMaxAnswer), 200, "", 0, "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen *http.Request
			wiki := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = r
				if tt.status == http.StatusFound {
					w.Header().Set("Location", "/elsewhere")
				}
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.answer))
			}))
			defer wiki.Close()
			s := newMediaWikiSessions(newWikiAPI(wiki.URL+"/w/api.php", "", nil, wikiTimeout), tt.source)
			v, err := s.Visitor(browserRequest(t, "a=1", "b=2"))
			switch {
			case tt.fails != "":
				if v != nil || err == nil || !strings.Contains(err.Error(), tt.fails) || strings.Contains(err.Error(), "a=1") {
					t.Errorf("%v, %v", v, err)
				}
			case err != nil:
				t.Error(err)
			case tt.want == "" && v != nil, tt.want != "" && (v == nil || v.Name != tt.want || v.ID != tt.id):
				t.Errorf("%+v", v)
			}
			if seen.URL.Path != "/w/api.php" || seen.Header.Get("Cookie") != "a=1; b=2" || seen.Header.Get("User-Agent") != "Browser/1" ||
				seen.Header.Get("X-Forwarded-For") != "203.0.113.9" {
				t.Errorf("the wiki was asked %s with %v", seen.URL, seen.Header)
			}
			for _, name := range []string{"Authorization", "Accept-Language", "Referer"} {
				if seen.Header.Get(name) != "" {
					t.Errorf("the wiki was sent %s", name)
				}
			}
		})
	}
}

// A browser without cookies has no session; the wiki is not asked.
func TestNoCookiesNoSession(t *testing.T) {
	s := newMediaWikiSessions(newWikiAPI("http://127.0.0.1:1/w/api.php", "", nil, wikiTimeout), "local")
	if v, err := s.Visitor(browserRequest(t)); v != nil || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := s.Visitor(browserRequest(t, "a=1")); v != nil || err == nil {
		t.Errorf("a wiki that cannot be asked: %v, %v", v, err)
	}
	if v, err := s.Visitor(browserRequest(t, strings.Repeat("a", maxCookies+1))); v != nil || err == nil || !strings.Contains(err.Error(), "cookies are larger") {
		t.Errorf("large cookies: %v, %v", v, err)
	}
}

// Browsers of strangers wait for a wiki that does not answer, far more than it is
// asked about at once. A browser at another address is asked about,
// and most of the strangers get their answer at once.
func TestStrangersDoNotFloodTheWiki(t *testing.T) {
	var asked, most, strangers atomic.Int32
	release := make(chan struct{})
	wiki := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer asked.Add(-1)
		if n := asked.Add(1); n > most.Load() {
			most.Store(n)
		}
		if r.Header.Get("X-Forwarded-For") == "203.0.113.9" {
			strangers.Add(1)
			<-release
		}
		_, _ = w.Write([]byte(`{"query":{"userinfo":{"id":3,"name":"Alice","centralids":{"local":3}}}}`))
	}))
	defer wiki.Close()
	s := newMediaWikiSessions(newWikiAPI(wiki.URL, "", nil, time.Minute), "local")
	const flood = 200
	refused := make(chan error, flood)
	var wg sync.WaitGroup
	for range flood {
		wg.Go(func() {
			if _, err := s.Visitor(browserRequest(t, "a=1")); err != nil {
				refused <- err
			}
		})
	}
	for range flood - maxAsked - maxWaitingOfOne {
		if err := <-refused; !errors.Is(err, validator.ErrCrowded) || !strings.Contains(err.Error(), "too many browsers") {
			t.Error(err)
		}
	}
	r := browserRequest(t, "b=1")
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "203.0.113.10")
	answered := make(chan bool)
	go func() {
		v, err := s.Visitor(r)
		answered <- err == nil && v != nil
	}()
	for waiting := true; waiting; {
		select {
		case release <- struct{}{}:
		case ok := <-answered:
			if waiting = false; !ok {
				t.Error("the browser at another address has no answer")
			}
		}
	}
	close(release)
	wg.Wait()
	if n := most.Load(); n > maxAsked {
		t.Errorf("the wiki was asked about %d browsers at once, want at most %d", n, maxAsked)
	}
	if n := strangers.Load(); n != maxAsked+maxWaitingOfOne {
		t.Errorf("the wiki was asked about %d strangers, want %d", n, maxAsked+maxWaitingOfOne)
	}
}

func FuzzSession(f *testing.F) {
	for _, seed := range []string{`{}`, `{"query":{"userinfo":{"id":3,"name":"Alice","centralids":{"local":3}}}}`, `{"query":{"userinfo":{"id":0,"anon":true}}}`, `null`, `[]`} {
		f.Add([]byte(seed))
	}
	s := mediaWikiSessions{source: "local"}
	f.Fuzz(func(t *testing.T, body []byte) {
		if v, err := s.read(body); v != nil && (err != nil || v.Name == "" || v.ID == 0) {
			t.Errorf("%s: %+v, %v", body, v, err)
		}
	})
}
