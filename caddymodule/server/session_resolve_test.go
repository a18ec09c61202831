package server

import (
	"cmp"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
)

// The wiki is asked over TLS by the authorities that are configured, under the name
// of the host, within the timeout. The id is that of the site's users.
func TestMediaWikiSessionSettings(t *testing.T) {
	release := make(chan struct{})
	slow := false
	var host string
	wiki := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slow {
			<-release
		}
		host = r.Host
		_, _ = w.Write([]byte(`{"query":{"userinfo":{"id":3,"name":"Alice","centralids":{"local":3,"CentralAuth":1003}}}}`))
	}))
	defer wiki.Close()
	defer close(release)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: wiki.Certificate().Raw}))
	ask := func(change func(*Handler)) (*authserver.Visitor, error) {
		t.Helper()
		h := settled(t, func(h *Handler) {
			// The certificate is for example.com.
			h.Session = &Session{Kind: sessionMediaWiki, URL: wiki.URL + "/w/api.php", Host: "example.com:8443", CA: ca}
			change(h)
		})
		s, err := h.resolve()
		if err != nil {
			t.Fatal(err)
		}
		asks, ok := s.sessions["enwiki"].(mediaWikiSessions)
		if want := cmp.Or(time.Duration(h.Session.Timeout), wikiTimeout); !ok || asks.api.client.Timeout != want {
			t.Errorf("%+v, want a timeout of %v", s.sessions["enwiki"], want)
		}
		return s.sessions["enwiki"].Visitor(browserRequest(t, "a=1"))
	}
	if v, err := ask(func(*Handler) {}); err != nil || v == nil || v.ID != 3 || host != "example.com:8443" {
		t.Errorf("%+v, %v, asked %q", v, err, host)
	}
	central := func(h *Handler) { h.Users = &config.Users{Source: "centralauth", Database: "centralauth"} }
	if v, err := ask(central); err != nil || v == nil || v.ID != 1003 {
		t.Errorf("users centralauth: %+v, %v", v, err)
	}
	if _, err := ask(func(h *Handler) { h.Session.CA = "" }); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without the ca: %v", err)
	}
	if _, err := ask(func(h *Handler) { h.Session.Host = "other.test" }); err == nil || !strings.Contains(err.Error(), "not other.test") {
		t.Errorf("a certificate of another host: %v", err)
	}
	slow = true
	if _, err := ask(func(h *Handler) { h.Session.Timeout = caddy.Duration(minWikiTimeout) }); err == nil || !strings.Contains(err.Error(), "exceeded") {
		t.Errorf("a wiki that does not answer: %v", err)
	}
}

// In a farm each wiki is asked by its own host.
func TestMediaWikiSessionsOfAFarm(t *testing.T) {
	s, err := settled(t, farm).resolve()
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"dewiki": "de.example", "enwiki": "en.example"} {
		got, ok := s.sessions[id].(mediaWikiSessions)
		if !ok || got.api.host != want || got.api.client.Timeout != 2*time.Second {
			t.Errorf("%s: %+v", id, s.sessions[id])
		}
	}
}

// In a farm the public data of users are those of the wiki that was asked, by its own
// host: two users of one name are kept apart. A central id is of one person, so that
// one session is enough for wikis of one host.
func TestWikiAPIOfAFarm(t *testing.T) {
	wiki := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"query":{"users":[{"userid":3,"name":"Alice","groups":["of ` + r.Host + `"]}]}}`))
	}))
	defer wiki.Close()
	h := settled(t, func(h *Handler) { farm(h); h.WikiAPI = &WikiAPI{URL: wiki.URL + "/w/api.php"} })
	s, err := h.resolve()
	if err != nil {
		t.Fatal(err)
	}
	h.cfg = s
	l, err := h.open()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	var groups []string
	for _, api := range l.apis {
		u, err := api.PublicUser(t.Context(), "Alice")
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, u.Groups...)
	}
	slices.Sort(groups)
	if !slices.Equal(groups, []string{"of de.example", "of en.example"}) {
		t.Errorf("%q", groups)
	}
	if _, err := settled(t, func(h *Handler) { oneHost(h); h.Users = &config.Users{Source: "centralauth", Database: "centralauth"} }).resolve(); err != nil {
		t.Errorf("users centralauth: %v", err)
	}
}

// The wiki's own login leads back to a title of ours, which is answered as the page
// that was asked for first.
func TestWikiLogin(t *testing.T) {
	fields := []authserver.Field{{Name: "a", Value: "1&title=Evil"}, {Name: "b", Value: "ü"}}
	for endpoint, title := range map[authserver.Endpoint]string{
		authserver.Authorize: "authorize", authserver.Authenticate: "authenticate", authserver.Authorize2: "authorize2", authserver.Apps: "apps",
	} {
		s, err := settled(t, func(h *Handler) {
			h.Session = wikiSession(apiURL)
			h.Endpoints = &Endpoints{Kinds: []string{kindPlain, kindMediaWiki}, ScriptPath: "/x"}
		}).resolve()
		if err != nil {
			t.Fatal(err)
		}
		p := s.responders["enwiki"]
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if err := p.write(w, r, &authserver.Answer{Login: &authserver.Login{Endpoint: endpoint, Fields: fields}}); err != nil {
			t.Fatal(err)
		}
		location := w.Header().Get("Location")
		u, err := url.Parse(location)
		if err != nil || w.Code != http.StatusFound || !strings.HasPrefix(location, "https://wiki.example/x/index.php?title=Special:UserLogin&") {
			t.Fatalf("%d %s", w.Code, location)
		}
		q := u.Query()
		if q.Get("returnto") != "Special:OAuth/"+title || q.Get("returntoquery") != "a=1%26title%3DEvil&b=%C3%BC" {
			t.Errorf("%s", location)
		}
		back := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/wiki/"+q.Get("returnto")+"?"+q.Get("returntoquery"), nil)
		if found, ok := p.paths.find(w, back); !ok || found.endpoint != endpoint {
			t.Errorf("%s: comes back to %+v", title, found)
		}
	}
}

// The wiki's own login is the default where titles are answered. What the operator
// names comes first.
func TestWikiLoginIsTheDefault(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Handler)
		want   bool
	}{
		"default":       {func(*Handler) {}, true},
		"login":         {func(h *Handler) { h.Login = "/login?{return}" }, false},
		"plain alone":   {func(h *Handler) { h.Endpoints = &Endpoints{Kinds: []string{kindPlain}} }, false},
		"session caddy": {func(h *Handler) { h.Session = &Session{Kind: sessionCaddy, Name: "{http.auth.user.id}"} }, false},
	} {
		s, err := settled(t, func(h *Handler) { h.Session = wikiSession(apiURL); tt.change(h) }).resolve()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.responders["enwiki"].wikiLogin; got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
