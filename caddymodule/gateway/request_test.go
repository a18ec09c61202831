package gateway

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestTheOriginalTargetIsVerified(t *testing.T) {
	s := newShell(t, &Handler{}, allow())
	rewrite := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		r.Method, r.URL.Path, r.RequestURI = http.MethodPost, "/index.php", "/index.php?a=b"
		return s.ServeHTTP(w, r, s.next)
	})
	outer := newShell(t, &Handler{Mode: modeStrip}, validator.Decision{})
	outer.next = rewrite
	if _, err := outer.serve(t, get("http://wiki.example/w//api%2Fx;?a=%7e#f")); err != nil {
		t.Fatal(err)
	}
	if got := s.core.asked[0]; got.Method != http.MethodGet || got.Target != "http://wiki.example/w//api%2Fx;?a=%7e#f" || got.Host != "wiki.example" {
		t.Errorf("described as %+v", got)
	}
}

func TestForwarded(t *testing.T) {
	peer := "192.0.2.1:1234"
	for _, test := range []struct {
		name         string
		trusted      bool
		strict       int
		tls          bool
		headers      map[string][]string
		client       string
		scheme, host string
		spoofable    bool
		peer         string // the setting trusted_peer
	}{
		{"plain", false, 0, false, nil, "192.0.2.1", "http", "wiki.example", false, ""},
		{"tls", false, 0, true, nil, "192.0.2.1", "https", "wiki.example", false, ""},
		{
			"untrusted", false, 0, false,
			map[string][]string{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-For": {"10.0.0.1"}},
			"192.0.2.1", "http", "wiki.example", false, "",
		},
		{
			"trusted", true, 1, false,
			map[string][]string{"X-Forwarded-Proto": {"HTTPS"}, "X-Forwarded-Host": {"real.example"}, "X-Forwarded-For": {"203.0.113.9"}},
			"203.0.113.9", "https", "real.example", false, "",
		},
		{
			"trusted, several values", true, 1, true,
			map[string][]string{"X-Forwarded-Proto": {"http, https"}, "X-Forwarded-Host": {"a.example", "b.example"}},
			"192.0.2.1", "https", "wiki.example", true, "",
		},
		{"odd scheme", true, 1, false, map[string][]string{"X-Forwarded-Proto": {"gopher"}}, "192.0.2.1", "http", "wiki.example", true, ""},
		{"not strict", true, 0, false, map[string][]string{"X-Forwarded-For": {"203.0.113.9"}}, "203.0.113.9", "http", "wiki.example", true, ""},
		{"not strict, the peer's own address claimed", true, 0, false, map[string][]string{"X-Forwarded-For": {"192.0.2.1"}}, "192.0.2.1", "http", "wiki.example", true, ""},
		{"not strict, header taken away", true, 0, false, nil, "203.0.113.9", "http", "wiki.example", true, ""},
		{"not strict, the proxy itself", true, 0, false, nil, "192.0.2.1", "http", "wiki.example", true, ""},
		{"strict, claimed left of it", true, 1, false, map[string][]string{"X-Forwarded-For": {"198.51.100.1, unknown", "203.0.113.9:80,192.0.2.7"}}, "203.0.113.9", "http", "wiki.example", false, ""},
		{"strict, a proxy that tells no address", true, 1, false, map[string][]string{"X-Forwarded-For": {"203.0.113.9, unknown"}}, "203.0.113.9", "http", "wiki.example", true, ""},
		{"strict, an address that Caddy cannot read", true, 1, false, map[string][]string{"X-Forwarded-For": {"203.0.113.9", "[2001:db8::1]"}}, "203.0.113.9", "http", "wiki.example", true, ""},
		{"strict, no header", true, 1, false, nil, "192.0.2.1", "http", "wiki.example", true, ""},
		{"strict, unknown", true, 1, false, map[string][]string{"X-Forwarded-For": {"unknown"}}, "192.0.2.1", "http", "wiki.example", true, ""},
		{"strict, empty", true, 1, false, map[string][]string{"X-Forwarded-For": {""}}, "192.0.2.1", "http", "wiki.example", true, ""},
		{"strict, hidden", true, 1, false, map[string][]string{"X-Forwarded-For": {"_hidden"}}, "192.0.2.1", "http", "wiki.example", true, ""},
		{"strict, one proxy told of another", true, 1, false, map[string][]string{"X-Forwarded-For": {"192.0.2.7"}}, "192.0.2.1", "http", "wiki.example", true, ""},
		{"strict, the client is on the proxy", true, 1, false, map[string][]string{"X-Forwarded-For": {"192.0.2.1"}}, "192.0.2.1", "http", "wiki.example", false, ""},
		{"strict, the client is on the proxy, and sent one", true, 1, false, map[string][]string{"X-Forwarded-For": {"unknown, 192.0.2.1"}}, "192.0.2.1", "http", "wiki.example", true, ""},
		{"strict, header taken away", true, 1, false, nil, "203.0.113.9", "http", "wiki.example", true, ""},
		{"client, no header", true, 1, false, nil, "192.0.2.1", "http", "wiki.example", false, config.PeerClient},
		{"client, not strict", true, 0, false, nil, "192.0.2.1", "http", "wiki.example", false, config.PeerClient},
		{"client, header taken away", true, 1, false, nil, "203.0.113.9", "http", "wiki.example", true, config.PeerClient},
		{"client, unknown", true, 1, false, map[string][]string{"X-Forwarded-For": {"unknown"}}, "192.0.2.1", "http", "wiki.example", true, config.PeerClient},
		{"client, empty", true, 1, false, map[string][]string{"X-Forwarded-For": {""}}, "192.0.2.1", "http", "wiki.example", true, config.PeerClient},
		{"client, hidden", true, 1, false, map[string][]string{"X-Forwarded-For": {"_hidden"}}, "192.0.2.1", "http", "wiki.example", true, config.PeerClient},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShell(t, &Handler{TrustedPeer: test.peer}, allow())
			s.server.TrustedProxiesStrict = test.strict
			s.server.ClientIPHeaders = []string{"X-Forwarded-For"}
			prepared := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, test.trusted)
				caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, test.client)
				return s.ServeHTTP(w, r, s.next)
			})
			outer := newShell(t, &Handler{Mode: modeStrip}, validator.Decision{})
			outer.server, outer.next = s.server, prepared
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Host, r.RemoteAddr, r.TLS = "wiki.example", peer, nil
			if test.tls {
				r.TLS = new(tls.ConnectionState)
			}
			maps.Copy(r.Header, test.headers)
			if _, err := outer.serve(t, r); err != nil {
				t.Fatal(err)
			}
			got := s.core.asked[0]
			if got.Scheme != test.scheme || got.Host != test.host || got.SpoofableIP != test.spoofable || got.ClientIP != netip.MustParseAddr(test.client) {
				t.Errorf("got %s %s spoofable %v from %s", got.Scheme, got.Host, got.SpoofableIP, got.ClientIP)
			}
		})
	}
}

// Under the rules of MediaWiki anybody's word counts, but not two.
func TestForwardedProto(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  string
	}{{nil, ""}, {[]string{"https"}, "https"}, {[]string{" HTTPS, http"}, " HTTPS, http"}, {[]string{"https", "https"}, ""}} {
		s := newShell(t, &Handler{}, allow())
		r := get("/")
		r.Header["X-Forwarded-Proto"] = test.lines
		if got := validator.FromHTTP(nil, r).ForwardedProto; got != test.want {
			t.Errorf("%q: without Caddy: %q", test.lines, got)
		}
		if _, err := s.serve(t, r); err != nil {
			t.Fatal(err)
		}
		if got := s.core.asked[0]; got.ForwardedProto != test.want || got.Scheme != "http" {
			t.Errorf("%q: got %q, scheme %s", test.lines, got.ForwardedProto, got.Scheme)
		}
	}
}

// chunks is a body whose length nobody knows.
type chunks struct{ io.Reader }

func TestForm(t *testing.T) {
	const limit = 100
	for _, test := range []struct {
		name string
		size int
		sent int64 // Content-Length
		want error
	}{
		{"small", 10, 10, nil},
		{"chunked", 10, -1, nil},
		{"as large as may be", limit, limit, nil},
		{"as large as may be, chunked", limit, -1, nil},
		{"too large", limit + 50, limit + 50, validator.ErrBodyTooLarge},
		{"too large, chunked", limit + 50, -1, validator.ErrBodyTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := bytes.Repeat([]byte("\x00\xff%"), test.size)[:test.size]
			r := httptest.NewRequest(http.MethodPost, "/", chunks{bytes.NewReader(body)})
			r.ContentLength = test.sent
			s := newShell(t, &Handler{}, validator.Decision{})
			s.core.verify = func(q validator.Request) validator.Decision {
				form, err := q.Body(validator.BodyLimit{Size: limit})
				if !errors.Is(err, test.want) || err == nil && !bytes.Equal(form, body) {
					t.Errorf("form of %d bytes, error %v, want %v", len(form), err, test.want)
				}
				return allow()
			}
			var got []byte
			s.next = func(_ http.ResponseWriter, r *http.Request) (err error) { got, err = io.ReadAll(r.Body); return err }
			if _, err := s.serve(t, r); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, body) {
				t.Errorf("the next handler read %q", got)
			}
			if r.ContentLength != test.sent {
				t.Errorf("Content-Length is %d now", r.ContentLength)
			}
		})
	}
}

func TestNoBodyIsNoForm(t *testing.T) {
	s := newShell(t, &Handler{}, allow())
	if _, err := s.serve(t, get("/")); err != nil {
		t.Fatal(err)
	}
	if s.core.asked[0].Body != nil {
		t.Error("a request without a body has a form")
	}
}
