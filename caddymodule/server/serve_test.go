package server

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pages"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// fakeTables know one app and two users, and fail for every other question.
type fakeTables struct {
	authserver.Tables
	app    authserver.Consumer
	err    error
	writes int
}

// testKey is the private key of the tests.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, minPrivateKey)
	if err != nil {
		panic(err)
	}
	return key
})

const appKey = "0123456789abcdef0123456789abcdef"

func (f *fakeTables) Consumer(_ context.Context, key string) (*authserver.Consumer, error) {
	if key != f.app.Key || f.err != nil {
		return nil, f.err
	}
	app := f.app
	return &app, nil
}

func (f *fakeTables) UserByName(_ context.Context, name string) (*authserver.User, error) {
	id, known := map[string]uint64{"Alice": 7, "Bob": 8}[name]
	if !known || f.err != nil {
		return nil, f.err
	}
	return &authserver.User{User: validator.User{CentralID: id, Name: name, Local: true, Attached: true}}, nil
}

func (f *fakeTables) UserByID(context.Context, uint64) (*authserver.User, error) {
	return f.UserByName(context.Background(), "Alice")
}

func (f *fakeTables) Acceptances(context.Context, uint64, uint64) ([]authserver.Acceptance, error) {
	return nil, f.err
}

func (f *fakeTables) Accept(_ context.Context, a authserver.Approval) (authserver.Acceptance, error) {
	f.writes++
	return authserver.Acceptance{ID: 1, Wiki: a.Wiki, UserID: a.UserID, ConsumerID: a.ConsumerID, Token: a.Token, Grants: a.Grants}, f.err
}

// shell is a handler over fake tables.
type shell struct {
	*Handler
	tables *fakeTables
	logged *observer.ObservedLogs
	next   int // requests that were passed on
}

func newShell(t testing.TB, login string) *shell {
	t.Helper()
	core, logged := observer.New(zap.DebugLevel)
	s := &shell{Handler: new(Handler), logged: logged, tables: &fakeTables{app: authserver.Consumer{
		Consumer: validator.Consumer{
			ID: 1, Key: appKey, Name: `<script>alert(1)</script>`, OwnerID: 7, Wiki: "*", Version: 2, Stage: validator.Approved, Secret: "x",
		},
		CallbackURL: "https://app.example/cb", Grants: authserver.Grants("basic", "editpage"), Confidential: true,
		GrantTypes: []string{"authorization_code"},
	}}}
	cfg := authserver.Config{
		Policy: validator.Policy{Wiki: "enwiki", Release: validator.Release139, SiteKey: "key"},
		Issuer: "https://wiki.example", OAuth1: true, StateKeys: [][]byte{[]byte(strings.Repeat("k", 32))},
		Lifetimes: authserver.Lifetimes{RequestToken: time.Minute, Code: time.Minute, AccessToken: time.Hour, RefreshToken: time.Hour},
		Grants:    authserver.CoreGrants(validator.Release139),
	}
	cfg.OAuth2, cfg.PrivateKey = true, testKey()
	server, err := authserver.New(cfg, authserver.Parts{
		Tables: s.tables, State: authserver.NewMemory(1<<20, nil), Sessions: caddySessions{"{http.auth.user.id}", ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.site.Policy.Wiki = "enwiki"
	s.cfg.paths = testPaths(t, true, true)
	s.cfg.responders = map[string]*responder{"enwiki": {site: pages.Site{Wiki: "wiki.example"}, paths: s.cfg.paths, login: login}}
	s.log = newEventLog(zap.New(core))
	s.lease.Store(&lease{Lease: pools.NewLease(nil), servers: map[string]*authserver.Server{"enwiki": server}})
	return s
}

// send sends a request as a user.
func (s *shell) send(t testing.TB, r *http.Request, user string) *httptest.ResponseRecorder {
	t.Helper()
	repl := caddy.NewReplacer()
	if user != "" {
		repl.Set("http.auth.user.id", user)
	}
	ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl)
	r = r.WithContext(context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{}))
	w := httptest.NewRecorder()
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { s.next++; return nil })
	if err := s.ServeHTTP(w, r, next); err != nil {
		t.Fatal(err)
	}
	return w
}

func (s *shell) get(t testing.TB, target, user string) *httptest.ResponseRecorder {
	t.Helper()
	return s.send(t, httptest.NewRequest(http.MethodGet, target, nil), user)
}

const authorizeTarget = "/oauth2/authorize?response_type=code&client_id=" + appKey + "&state=a%26b"

// A page has the headers that keep it from being framed, cached or scripted, and
// nothing in it is markup of an app's owner.
func TestConsentPage(t *testing.T) {
	s := newShell(t, "")
	w := s.get(t, authorizeTarget+"&uselang=de", "Alice")
	body := w.Body.String()
	if w.Code != http.StatusOK || strings.Contains(body, "<script") || !strings.Contains(body, "&lt;script&gt;") || !strings.Contains(body, `lang="de"`) {
		t.Fatalf("%d %s", w.Code, body)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"X-Content-Type-Options": "nosniff", "Content-Language": "de",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %q", policy)
	}
	if vary := strings.Join(w.Header()["Vary"], ", "); vary != "Authorization, Cookie, Accept-Language" {
		t.Errorf("Vary: %q", vary)
	}
}

// The answer to HEAD is that to GET without its body.
func TestHead(t *testing.T) {
	s := newShell(t, "")
	for _, target := range []string{"/oauth/verified?oauth_verifier=a&oauth_token=b", "/w/rest.php/oauth2/x", "/oauth2/resource/x", "/oauth/initiate"} {
		get, head := s.get(t, target, "Alice"), s.send(t, httptest.NewRequest(http.MethodHead, target, nil), "Alice")
		if get.Code != head.Code || head.Body.Len() > 0 || get.Header().Get("Content-Type") != head.Header().Get("Content-Type") ||
			get.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v, and %d %v %s", target, get.Code, get.Header(), head.Code, head.Header(), head.Body)
		}
	}
}

// A user who is not signed in is sent to sign in, and comes back to a page of ours
// alone, whatever the request holds.
func TestLogin(t *testing.T) {
	const login = "https://login.example/?rd={return}"
	s := newShell(t, login)
	evil := authorizeTarget + "&redirect_uri=https%3A%2F%2Fevil.example%2F%0d%0aA%3A&return=https://evil.example/&x=y"
	for _, target := range []string{authorizeTarget, evil, "/oauth/authorize?oauth_token=%0d%0a//evil.example", "/wiki/Special:OAuth/authenticate?oauth_token=x&returnto=//evil.example", "/oauth2/apps"} {
		w := s.get(t, target, "")
		u, err := url.Parse(w.Header().Get("Location"))
		if w.Code != http.StatusFound || err != nil || u.Host != "login.example" || strings.ContainsAny(w.Header().Get("Location"), "\r\n ") {
			t.Errorf("%s: %d %q, %v", target, w.Code, w.Header().Get("Location"), err)
			continue
		}
		back, err := url.Parse(u.Query().Get("rd"))
		if err != nil || len(u.Query()) != 1 || back.Scheme != "https" || back.Host != "wiki.example" || back.Query().Has("return") || back.Query().Has("returnto") {
			t.Errorf("%s: back to %q", target, u.Query().Get("rd"))
		}
		if got, want := where(s.cfg.paths, http.MethodGet, back.RequestURI(), "", ""), where(s.cfg.paths, http.MethodGet, target, "", ""); got != want {
			t.Errorf("%s: back to %s, not to %s", target, got, want)
		}
	}
	post := httptest.NewRequest(http.MethodPost, "/oauth/authorize", strings.NewReader("oauth_token=x"))
	post.Header.Set("Content-Type", formType)
	if w := s.send(t, post, ""); w.Code != http.StatusSeeOther || !strings.Contains(w.Header().Get("Location"), "oauth_token%3Dx") {
		t.Errorf("after a POST: %d %q", w.Code, w.Header().Get("Location"))
	}
	if w := newShell(t, "").get(t, authorizeTarget, ""); w.Code != http.StatusUnauthorized || w.Header().Get("Location") != "" || !strings.Contains(w.Body.String(), "<html") {
		t.Errorf("without a login: %d %v", w.Code, w.Header())
	}
}

// A bearer token or an OAuth header is never a session.
func TestCredentialsAreNoSession(t *testing.T) {
	s := newShell(t, "")
	for _, credential := range []string{"Bearer x", "bearer x", "OAuth oauth_token=x", "oauth x"} {
		r := httptest.NewRequest(http.MethodGet, authorizeTarget, nil)
		r.Header.Set("Authorization", credential)
		if w := s.send(t, r, "Alice"); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", credential, w.Code)
		}
	}
}

var hiddenField = regexp.MustCompile(`name="([^"]*)" value="([^"]*)"`)

// pressed is the POST of the form of Alice's consent page.
func (s *shell) pressed(t *testing.T) *http.Request {
	t.Helper()
	form := url.Values{"approve": {"1"}}
	for _, m := range hiddenField.FindAllStringSubmatch(s.get(t, authorizeTarget, "Alice").Body.String(), -1) {
		if m[1] != "approve" && m[1] != "cancel" {
			form.Set(m[1], strings.ReplaceAll(m[2], "&amp;", "&"))
		}
	}
	r := httptest.NewRequest(http.MethodPost, authorizeTarget, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// A consent is written for a form of ours that its own user sent from our own page,
// and for no other.
func TestForgedForms(t *testing.T) {
	for name, tt := range map[string]struct {
		user   string
		change func(r *http.Request)
	}{
		"another site":      {"Alice", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		"a sister site":     {"Alice", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }},
		"another origin":    {"Alice", func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") }},
		"an opaque origin":  {"Alice", func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") }},
		"another user":      {"Bob", func(*http.Request) {}},
		"not signed in":     {"", func(*http.Request) {}},
		"a form of no kind": {"Alice", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
	} {
		s := newShell(t, "")
		r := s.pressed(t)
		tt.change(r)
		if w := s.send(t, r, tt.user); w.Header().Get("Location") != "" || s.tables.writes > 0 || w.Code < 400 {
			t.Errorf("%s: %d %v, %d writes", name, w.Code, w.Header(), s.tables.writes)
		}
	}
	s := newShell(t, "")
	w := s.send(t, s.pressed(t), "Alice")
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusSeeOther || u.Host != "app.example" || u.Query().Get("state") != "a&b" || s.tables.writes != 1 {
		t.Errorf("our own form: %d %v, %d writes", w.Code, w.Header(), s.tables.writes)
	}
}

// Tables that cannot be asked are 503. The cause is in the log and in no answer.
func TestUnavailable(t *testing.T) {
	s := newShell(t, "")
	s.tables.err = errors.New("the cause")
	for _, target := range []string{authorizeTarget, "/oauth2/apps"} {
		w := s.get(t, target, "Alice")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "the cause") {
			t.Errorf("%s: %d %v %s", target, w.Code, w.Header(), w.Body)
		}
	}
	lines := s.logged.FilterLevelExact(zap.ErrorLevel).All()
	if len(lines) != 2 || lines[0].ContextMap()["error"] != "the cause" || lines[0].ContextMap()["reason"] != "unavailable" {
		t.Errorf("logged %v", lines)
	}
}

// A refusal is logged once, by its reason, with what a client sent cut to size.
func TestRefusalIsLogged(t *testing.T) {
	s := newShell(t, "")
	long := strings.Repeat("k", 1000)
	s.get(t, "/oauth2/authorize?response_type=code&client_id="+long, "Alice")
	lines := s.logged.FilterMessage("refused: client_authentication_failed").All()
	if len(lines) != 1 {
		t.Fatalf("logged %v", s.logged.All())
	}
	if key, _ := lines[0].ContextMap()["consumer_key"].(string); len(key) != 64 || lines[0].ContextMap()["wiki"] != "enwiki" {
		t.Errorf("logged %v", lines[0].ContextMap())
	}
}

// Each refusal of a user's request is a line. Those of strangers are sampled.
func TestRefusalsOfUsersAreEachLogged(t *testing.T) {
	s := newShell(t, "")
	const requests = 30
	for range requests {
		s.get(t, "/oauth2/authorize?response_type=code&client_id=x", "Alice")
		s.get(t, "/oauth2/access_token", "")
	}
	byUser := map[bool]int{}
	for _, line := range s.logged.All() {
		if strings.HasPrefix(line.Message, "refused: ") {
			id, _ := line.ContextMap()["user_id"].(uint64)
			byUser[id != 0]++
		}
	}
	if byUser[true] != requests || byUser[false] == 0 || byUser[false] >= requests {
		t.Errorf("%d lines for %d refusals of a user, and %d for as many of a stranger", byUser[true], requests, byUser[false])
	}
}

// The original request counts, whatever a handler before has made of it.
func TestPathsAsTheClientSentThem(t *testing.T) {
	s := newShell(t, "")
	r := httptest.NewRequest(http.MethodGet, "/oauth/verified?oauth_verifier=shown&oauth_token=x", nil)
	original := *r
	r = r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, original))
	r.URL, r.RequestURI = &url.URL{Path: "/index.php", RawQuery: "a=b"}, "/index.php?a=b"
	if w := s.send(t, r, ""); !strings.Contains(w.Body.String(), "shown") || s.next > 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.get(t, "/index.php?a=b", "")
	if s.next != 1 {
		t.Errorf("%d requests were passed on", s.next)
	}
}

// An endpoint of a protocol that is not served is told by its path.
func TestUnservedEndpointIsNamed(t *testing.T) {
	s := newShell(t, "")
	server, err := authserver.New(authserver.Config{OAuth1: true, Issuer: "https://wiki.example", StateKeys: [][]byte{make([]byte, 32)}}, authserver.Parts{})
	if err != nil {
		t.Fatal(err)
	}
	s.lease.Load().servers["enwiki"] = server
	w := s.get(t, "/oauth2/authorize?response_type=code&client_id=x", "Alice")
	if want := "The requested relative path (/oauth2/authorize) did not match"; w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), want) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
