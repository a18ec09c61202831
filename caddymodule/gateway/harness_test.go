package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/sqlite"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// core is a verifier that says what a test wants, and keeps what it was asked.
type core struct {
	decision validator.Decision
	asked    []validator.Request
	verify   func(validator.Request) validator.Decision // instead of decision
}

func (c *core) Verify(_ context.Context, r validator.Request) validator.Decision {
	c.asked = append(c.asked, r)
	if c.verify != nil {
		return c.verify(r)
	}
	return c.decision
}

// allow is a decision with every field of an identity.
func allow() validator.Decision {
	return validator.Decision{
		Verdict:  validator.Allow,
		Protocol: validator.OAuth1,
		Consumer: "0123456789abcdef0123456789abcdef",
		Identity: validator.Identity{
			UserID: 42, UserName: "Zoë, 50%", Groups: []string{"sysop", "a,b"}, Grants: []string{"basic", "editpage"},
			ConsumerKey: "0123456789abcdef0123456789abcdef", ConsumerName: "My app", Wiki: "enwiki", OwnerOnly: true,
		},
	}
}

func deny(reason validator.Reason) validator.Decision {
	return validator.Decision{Reason: reason, Protocol: validator.OAuth1, Consumer: "0123456789abcdef0123456789abcdef"}
}

var anonymous = validator.Decision{Verdict: validator.Anonymous, Reason: validator.NoCredentials}

// complete adds the required settings that a test leaves out.
func complete(tb testing.TB, h *Handler) *Handler {
	tb.Helper()
	h.Wiki, h.MediaWiki, h.SecretKey = cmp.Or(h.Wiki, "enwiki"), cmp.Or(h.MediaWiki, "1.47"), cmp.Or(h.SecretKey, "none")
	if h.Store == nil {
		h.Store = &config.Store{Driver: "sqlite", DSN: filepath.Join(tb.TempDir(), "wiki.sqlite")}
	}
	return h
}

// settingsOf resolves a configuration.
func settingsOf(tb testing.TB, h *Handler) *settings {
	tb.Helper()
	s, err := complete(tb, h).resolve()
	if err != nil {
		tb.Fatal(err)
	}
	return &s
}

// shell is a handler over a core, as Caddy would run it.
type shell struct {
	*Handler
	core *core
	logs *bytes.Buffer // what the handler logged, as JSON lines
	next caddyhttp.HandlerFunc
	// what next was given, after it has read the body
	passed *http.Request
	server *caddyhttp.Server
	repl   *caddy.Replacer
}

func newShell(tb testing.TB, h *Handler, d validator.Decision) *shell {
	tb.Helper()
	var err error
	h.cfg, err = complete(tb, h).resolve()
	if err != nil {
		tb.Fatal(err)
	}
	s := &shell{Handler: h, core: &core{decision: d}, logs: new(bytes.Buffer), server: new(caddyhttp.Server)}
	wikis := map[string]pools.Wiki{}
	for _, w := range h.cfg.site.Served {
		wikis[w.Tables.ID] = pools.Wiki{Verifier: s.core}
	}
	h.lease.Store(pools.NewLease(wikis))
	h.log = outcome.NewLog(zap.New(zapcore.NewCore(
		zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(s.logs), zapcore.DebugLevel)))
	s.next = func(w http.ResponseWriter, r *http.Request) error {
		s.passed = r
		_, err := w.Write([]byte("passed"))
		return err
	}
	return s
}

// serve runs one request through the handler, prepared as Caddy's server does.
func (s *shell) serve(tb testing.TB, r *http.Request) (*http.Response, error) {
	tb.Helper()
	w := httptest.NewRecorder()
	s.passed = nil
	s.repl = caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r, s.repl, w, s.server)
	err := s.ServeHTTP(w, r, s.next)
	return w.Result(), err
}

func get(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

// problem is a problem document (RFC 9457).
type problem struct {
	Type, Title    string
	Status         int
	Detail, Reason string
}

// problemIn decodes a problem document.
func problemIn(tb testing.TB, response *http.Response) problem {
	tb.Helper()
	var p problem
	if err := json.NewDecoder(response.Body).Decode(&p); err != nil {
		tb.Fatalf("no problem document: %v", err)
	}
	return p
}

// status is that of a returned error, or of the answer.
func status(response *http.Response, err error) int {
	if returned := new(caddyhttp.HandlerError); errors.As(err, returned) {
		return returned.StatusCode
	}
	return response.StatusCode
}

// ownNames lists the headers that a backend could take for ours.
func ownNames(h http.Header) []string {
	var found []string
	for name := range h {
		flat := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, name)
		if strings.HasPrefix(strings.ToUpper(flat), "X_OAUTH_") {
			found = append(found, name)
		}
	}
	return found
}
