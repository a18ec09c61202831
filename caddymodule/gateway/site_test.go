package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/golden"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// site is a Caddy in this process, in front of a backend that tells what it was
// sent, over a wiki in a file.
type site struct {
	address, dir string
	timeout      string // of queries; default 2s
	wiki         string // the setting; default testwiki
	before       string // directives of a route before oauth
	credentials  sign.Credentials
	issuer       *rsa.PrivateKey
	jti, client  string
	backend      *httptest.Server
	seen         atomic.Pointer[http.Request]
	// one request for /wait says that it is in, and waits
	entered, leave chan struct{}
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), entered: make(chan struct{}), leave: make(chan struct{})}
	s.makeWiki(t)
	address, err := loopback.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	s.address = address
	s.backend = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.seen.Store(r)
		if r.URL.Path == "/wait" {
			close(s.entered)
			<-s.leave
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.backend.Close)
	return s
}

func (s *site) makeWiki(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "wiki.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, statement := range wikidb.Schema(wikidb.SQLite, validator.Release147, "") {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	app := wikidb.NewConsumer(1, 7)
	grant := wikidb.NewAcceptance(1, app, 7)
	bearer := wikidb.NewConsumer(2, 7)
	bearer.Version = 2
	bearerGrant := wikidb.NewAcceptance(2, bearer, 7)
	bearerGrant.Version = 2
	s.jti, s.client = wikidb.RandomHex(40), bearer.Key
	err = wikidb.DB{Conn: db, Release: validator.Release147}.Insert(t.Context(),
		wikidb.User{ID: 7, Name: "Özdemir"}, wikidb.Group{UserID: 7, Name: "sysop"}, app, grant, bearer, bearerGrant,
		wikidb.Token{Identifier: s.jti, AcceptanceID: 2})
	if err != nil {
		t.Fatal(err)
	}
	const siteKey = "site key"
	s.credentials = sign.Credentials{
		ConsumerKey: app.Key, ConsumerSecret: sign.Secret(siteKey, app.Secret), Token: grant.Token, TokenSecret: sign.Secret(siteKey, grant.Secret),
	}
	if s.issuer, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&s.issuer.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"key":     []byte(siteKey + "\n"),
		"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// load runs Caddy with the site: lines are more lines of the directive, routes
// come after it.
func (s *site) load(t *testing.T, lines, routes string) {
	t.Helper()
	open, end := "", ""
	if s.before != "" {
		open, end = "route {\n"+s.before, "}"
	}
	config, text := golden.Adapt(fmt.Sprintf(`
{
	admin off
	persist_config off
	metrics
	servers {
		protocols h1 h2 h2c
		expected_underscore_headers X_OAuth_User_Id X_OAuth_User_Name
		expected_dot_headers X.OAuth.User.Id
	}
	log {
		output file %[1]s/log
		format json
	}
}
http://%[2]s {
	log
	%[8]s
	oauth {
		store sqlite %[1]s/wiki.sqlite {
			query_timeout %[6]s
		}
		wiki %[7]s
		mediawiki 1.47
		secret_key {file.%[1]s/key}
		public_key %[1]s/key.pem
		%[3]s
	}
	%[4]s
	metrics /metrics
	reverse_proxy %[5]s
	%[9]s
}
`, s.dir, s.address, lines, routes, s.backend.Listener.Addr(), cmp.Or(s.timeout, "2s"), cmp.Or(s.wiki, "testwiki"), open, end))
	if config == nil {
		t.Fatal(text)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the listeners of the configuration before close in the background
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// signed is a request with a fresh signature.
func (s *site) signed(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.address+path, body)
	if err != nil {
		t.Fatal(err)
	}
	header, err := sign.Header(s.credentials, method, r.URL.String(), nil, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", header)
	return r
}

func (s *site) bearer(t *testing.T) string {
	t.Helper()
	now := time.Now().Unix()
	token, err := sign.JWT(s.issuer, map[string]any{
		"aud": s.client, "jti": s.jti, "sub": "7", "iat": now, "nbf": now, "exp": now + 3600, "scopes": []string{"basic", "editpage"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + token
}

// client takes a new connection for each request: a reload closes idle ones,
// perhaps just when one is used again.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}
