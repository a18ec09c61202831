package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"

	_ "github.com/caddy-mwoauth/caddy-mwoauth"
)

// newHandler provisions the directive over the wiki's database, as Caddy does.
func newHandler(b *testing.B, w *wiki) caddyhttp.MiddlewareHandler {
	b.Helper()
	info, err := caddy.GetModule("http.handlers.oauth")
	if err != nil {
		b.Fatal(err)
	}
	// Twice the default memory of nonces: room for -count 10.
	config, err := json.Marshal(map[string]any{
		"store": map[string]any{"driver": "sqlite", "dsn": w.database}, "wiki": "enwiki", "mediawiki": "1.47",
		"secret_key": w.siteKey, "public_key": []string{w.publicKeyFile}, "nonces": map[string]any{"size": 128 << 20},
	})
	if err != nil {
		b.Fatal(err)
	}
	module := info.New()
	if err := json.Unmarshal(config, module); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	b.Cleanup(cancel)
	if err := module.(caddy.Provisioner).Provision(ctx); err != nil {
		b.Fatal(err)
	}
	if err := module.(caddy.Validator).Validate(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = module.(caddy.CleanerUpper).Cleanup() })
	return module.(caddyhttp.MiddlewareHandler)
}

const benchURL = "http://wiki.example.org" + target

func prepared(auth string, w http.ResponseWriter, server *caddyhttp.Server) *http.Request {
	r := httptest.NewRequest(http.MethodGet, benchURL, http.NoBody)
	r.RequestURI = target
	r.Header["Authorization"] = []string{auth}
	r.Header["User-Agent"] = []string{"bench"}
	r.Header["Accept"] = []string{"*/*"}
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, server)
}

// BenchmarkWarm is a request through the handler, in process, once its token is
// known: what it costs is "handler" less "Caddy's own preparation". Beside it,
// in the same run, stands the least that anybody must do: a SHA-256 of the same
// token, and a bare HMAC-SHA1 of the same base string.
func BenchmarkWarm(b *testing.B) {
	w, err := newWiki(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	h := newHandler(b, w)
	passed := false
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		passed = len(r.Header["X-Oauth-User-Id"]) == 1
		return nil
	})
	signed := func(b *testing.B, user int) string {
		b.Helper()
		value, err := sign.Header(w.oauth1[user], http.MethodGet, benchURL, nil, sign.Options{})
		if err != nil {
			b.Fatal(err)
		}
		return value
	}
	server := &caddyhttp.Server{}
	for _, bench := range []struct {
		name string
		auth func(b *testing.B, user int) string
		bare func(value string) func()
	}{
		{"bearer", func(_ *testing.B, user int) string { return w.bearers[user] }, func(value string) func() {
			token := []byte(strings.TrimPrefix(value, "Bearer "))
			return func() { sha256.Sum256(token) }
		}},
		{"oauth1", signed, func(value string) func() {
			// Its length is what matters: the header's parameters, encoded
			// twice, and the target.
			base := []byte("GET&" + sign.Escape(benchURL) + "&" + sign.Escape(sign.Escape(value)))
			key := []byte(w.oauth1[0].ConsumerSecret + "&" + w.oauth1[0].TokenSecret)
			return func() {
				mac := hmac.New(sha1.New, key)
				mac.Write(base)
				mac.Sum(nil)
			}
		}},
	} {
		var values []string
		sign := func(b *testing.B) {
			b.Helper()
			for len(values) < b.N { // a signed request passes once
				values = append(values, bench.auth(b, len(values)%users))
			}
		}
		run := func(name string, f func(b *testing.B)) {
			b.Run(fmt.Sprint(bench.name, "/", name), func(b *testing.B) {
				b.ReportAllocs()
				f(b)
			})
		}
		run("handler", func(b *testing.B) {
			values = values[:0]
			sign(b)
			b.ResetTimer()
			for i := range b.N {
				recorder := &blank{header: http.Header{}}
				passed = false
				if err := h.ServeHTTP(recorder, prepared(values[i], recorder, server), next); err != nil || !passed {
					b.Fatalf("%v, passed: %v, status %d", err, passed, recorder.status)
				}
			}
		})
		value := bench.auth(b, 0)
		run("Caddy's own preparation", func(b *testing.B) {
			for range b.N {
				recorder := &blank{header: http.Header{}}
				_ = next.ServeHTTP(recorder, prepared(value, recorder, server))
			}
		})
		bare := bench.bare(value)
		run("bare", func(b *testing.B) {
			for b.Loop() {
				bare()
			}
		})
	}
}

type blank struct {
	header http.Header
	status int
}

func (w *blank) Header() http.Header         { return w.header }
func (w *blank) Write(p []byte) (int, error) { return len(p), nil }
func (w *blank) WriteHeader(status int)      { w.status = status }
