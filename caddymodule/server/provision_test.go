package server

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/postgres"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/sqlite"
)

// settled is a configuration without a mistake, changed by the test.
func settled(t *testing.T, change func(*Handler)) *Handler {
	t.Helper()
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	public, err := x509.MarshalPKIXPublicKey(&testKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{
		Store: &config.Store{Driver: "mysql", DSN: "oauth@tcp(127.0.0.1:1)/enwiki"}, Writer: &Writer{DSN: "writer@tcp(127.0.0.1:1)/enwiki"},
		Wiki: "enwiki", MediaWiki: "1.39", SecretKey: "a site key", BaseURL: "https://wiki.example",
		PublicKey: []string{file("public.pem", "PUBLIC KEY", public)}, Session: &Session{Kind: "caddy", Name: "{http.auth.user.id}"},
		PrivateKey: file("private.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(testKey())),
	}
	change(h)
	return h
}

const apiURL = "https://wiki.example/w/api.php"

func wikiSession(address string) *Session { return &Session{Kind: sessionMediaWiki, URL: address} }

// onFile makes the configuration one of a wiki in SQLite, whose file is not there.
func onFile(h *Handler) {
	h.Store = &config.Store{Driver: "sqlite", DSN: "/nowhere/wiki.sqlite"}
	h.Writer = &Writer{DSN: h.Store.DSN}
}

// onPostgres makes the configuration one of a wiki in PostgreSQL.
func onPostgres(h *Handler) {
	h.Store = &config.Store{Driver: "postgres", DSN: "postgres://oauth:x@127.0.0.1:1/wiki"}
	h.Writer = &Writer{DSN: "postgres://writer:x@127.0.0.1:1/wiki"}
}

// farm makes the configuration one of two wikis whose sessions are MediaWiki's.
func farm(h *Handler) {
	h.Wiki, h.BaseURL, h.Session = "{http.request.host}", "", wikiSession("https://127.0.0.1/w/api.php")
	h.Wikis = map[string]config.Wiki{"dewiki": {BaseURL: "https://de.example"}, "enwiki": {BaseURL: "https://en.example"}}
}

// oneHost is a farm whose wikis have one host.
func oneHost(h *Handler) {
	farm(h)
	h.Wikis["dewiki"] = config.Wiki{BaseURL: "https://EN.example"}
}

// Each mistake that is found behind the text of a directive is named, and none
// quotes a secret.
func TestMistakes(t *testing.T) {
	for want, change := range map[string]func(*Handler){
		"public half is not among public_key":                                    func(h *Handler) { h.PublicKey = nil },
		"private_key: not one private key in PEM":                                func(h *Handler) { h.PrivateKey = "-----BEGIN hunter2" },
		"private_key: the file cannot be read":                                   func(h *Handler) { h.PrivateKey = "/hunter2" },
		"protocols 2.0: private_key is missing":                                  func(h *Handler) { h.PrivateKey, h.Protocols = "", []string{protocol1, protocol2} },
		"private_key has no effect":                                              func(h *Handler) { h.Protocols = []string{protocol1} },
		"state_key is missing":                                                   func(h *Handler) { h.SecretKey = "none" },
		"state_key: too short":                                                   func(h *Handler) { h.StateKey = []string{"hunter2"} },
		"issuer is missing":                                                      func(h *Handler) { h.BaseURL = "" },
		"base_url: it cannot be the issuer":                                      func(h *Handler) { h.BaseURL = "http://wiki.example" },
		"issuer: use https":                                                      func(h *Handler) { h.Issuer = "http://wiki.example" },
		"issuer: remove the / at its end":                                        func(h *Handler) { h.Issuer = "https://wiki.example/" },
		"issuer: not a URL":                                                      func(h *Handler) { h.Issuer = "https://wiki.example?hunter2" },
		"writer: it is the account of the store":                                 func(h *Handler) { h.Writer.DSN = h.Store.DSN },
		"which needs no rights to write: use one of its own":                     func(h *Handler) { h.Writer.DSN = "oauth:hunter2@tcp(127.0.0.1:1)/enwiki?tls=true" },
		"writer: it names database \"dewiki\", the store \"enwiki\"":             func(h *Handler) { h.Writer.DSN = "writer:hunter2@tcp(127.0.0.1:1)/dewiki" },
		"it is the account of the store":                                         func(h *Handler) { onPostgres(h); h.Writer.DSN = h.Store.DSN + "?application_name=hunter2" },
		"writer: it names database \"wiki.other\", the store \"wiki.mediawiki\"": func(h *Handler) { onPostgres(h); h.Writer.DSN += "?search_path=other" },
		"writer: it names database \"other.mediawiki\"":                          func(h *Handler) { onPostgres(h); h.Writer.DSN = "postgres://writer:x@127.0.0.1:1/other" },
		"writer: a file has no accounts":                                         func(h *Handler) { onFile(h); h.Writer.DSN = "/hunter2.sqlite" },
		"writer: dsn: want the path of the database file":                        func(h *Handler) { onFile(h); h.Store.DSN += "?hunter2"; h.Writer.DSN = h.Store.DSN },
		"writer: dsn: option sslmode":                                            func(h *Handler) { onPostgres(h); h.Writer.DSN += "?sslmode=prefer" },
		"writer: DSN missing":                                                    func(h *Handler) { h.Writer.DSN = "" },
		"writer: ":                                                               func(h *Handler) { h.Writer.DSN = "hunter2:hunter2" },
		"oauth_server needs session":                                             func(h *Handler) { h.Session = nil },
		"oauth_server needs writer":                                              func(h *Handler) { h.Writer = nil },
		"session mediawiki: URL missing":                                         func(h *Handler) { h.Session = &Session{Kind: "mediawiki"} },
		"session mediawiki: not safe on the way":                                 func(h *Handler) { h.Session = wikiSession("http://wiki.example/hunter2") },
		"session mediawiki: not the address of an API":                           func(h *Handler) { h.Session = wikiSession("https://a:hunter2@wiki.example/") },
		"session mediawiki takes no name and no id":                              func(h *Handler) { h.Session.Kind, h.Session.URL = "mediawiki", apiURL },
		"session mediawiki: ca has no effect over http":                          func(h *Handler) { h.Session = wikiSession("http://[::1]/"); h.Session.CA = "/hunter2" },
		"session mediawiki: ca: the file cannot be read":                         func(h *Handler) { h.Session = wikiSession(apiURL); h.Session.CA = "/hunter2" },
		"session mediawiki: ca: no certificate in PEM":                           func(h *Handler) { h.Session = wikiSession(apiURL); h.Session.CA = "-----BEGIN hunter2" },
		"session mediawiki: timeout: 1m0s is not within":                         func(h *Handler) { h.Session = wikiSession(apiURL); h.Session.Timeout = caddy.Duration(time.Minute) },
		"session mediawiki: timeout: -1s is not within":                          func(h *Handler) { h.Session = wikiSession(apiURL); h.Session.Timeout = caddy.Duration(-time.Second) },
		"host: the value given is not a host":                                    func(h *Handler) { h.Session = wikiSession(apiURL); h.Session.Host = "a/b" },
		"session mediawiki: placeholder {env.NO_SUCH}":                           func(h *Handler) { h.Session = wikiSession("{env.NO_SUCH}") },
		"session mediawiki: host: in a farm":                                     func(h *Handler) { farm(h); h.Session.Host = "wiki.example" },
		"session caddy takes no URL":                                             func(h *Handler) { h.Session.URL = apiURL },
		"session: unknown value":                                                 func(h *Handler) { h.Session.Kind = "other" },
		"session caddy: name: not a placeholder":                                 func(h *Handler) { h.Session.Name = "Alice" },
		"session caddy: id: {env.…} is the same for every":                       func(h *Handler) { h.Session.ID = "{env.ID}" },
		"state redis is not built yet":                                           func(h *Handler) { h.State = &State{Backend: "redis"} },
		"state size: 5 is less than":                                             func(h *Handler) { h.State = &State{Size: 5} },
		"wiki_api: URL missing":                                                  func(h *Handler) { h.WikiAPI = &WikiAPI{} },
		"wiki_api: not safe on the way":                                          func(h *Handler) { h.WikiAPI = &WikiAPI{URL: "http://wiki.example/hunter2"} },
		"login: not an address":                                                  func(h *Handler) { h.Login = "javascript:hunter2" },
		"login: placeholder {env.NO_SUCH}":                                       func(h *Handler) { h.Login = "/{env.NO_SUCH}?{return}" },
		"code: 2h0m0s is not within 1s and 1h":                                   func(h *Handler) { h.Lifetimes = &Lifetimes{Code: caddy.Duration(2 * time.Hour)} },
		"refresh_token: \"never\" is not a life time":                            func(h *Handler) { h.Lifetimes = &Lifetimes{RefreshToken: "never"} },
		"endpoints plain: script_path has no effect":                             func(h *Handler) { h.Endpoints = &Endpoints{Kinds: []string{"plain"}, ScriptPath: "/w"} },
		"endpoints: unknown value \"other\"":                                     func(h *Handler) { h.Endpoints = &Endpoints{Kinds: []string{"other"}} },
		"grant one is given more than once":                                      func(h *Handler) { h.Grants = []Grant{{Name: "one"}, {Name: "one"}} },
		"grant: the value given is not a name":                                   func(h *Handler) { h.Grants = []Grant{{Name: "a b"}} },
		"authorization_response_iss: unknown value \"perhaps\"":                  func(h *Handler) { h.AuthorizationResponseISS = "perhaps" },
		"session mediawiki: wikis dewiki and enwiki have one host":               func(h *Handler) { oneHost(h) },
		"wiki_api: wikis dewiki and enwiki have one host":                        func(h *Handler) { oneHost(h); h.WikiAPI = &WikiAPI{URL: apiURL} },
		"wiki_api: host: in a farm":                                              func(h *Handler) { farm(h); h.WikiAPI = &WikiAPI{URL: apiURL, Host: "wiki.example"} },
		"require_pkce has no effect without protocols 2.0":                       func(h *Handler) { h.PrivateKey, h.RequirePKCE = "", "all" },
		"lifetimes: code has no effect without protocols 2.0":                    func(h *Handler) { h.PrivateKey, h.Lifetimes = "", &Lifetimes{Code: caddy.Duration(time.Minute)} },
		"secure_token_transfer has no effect without protocols 1.0a":             func(h *Handler) { h.Protocols, h.SecureTokenTransfer = []string{protocol2}, on },
		"state has no effect without protocols 1.0a":                             func(h *Handler) { h.Protocols, h.State = []string{protocol2}, &State{} },
	} {
		_, err := settled(t, change).resolve()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("want %q: %v", want, err)
		}
	}
	if _, err := settled(t, func(*Handler) {}).resolve(); err != nil {
		t.Errorf("without a mistake: %v", err)
	}
}

// What is left out has the default of the release, and what is given counts.
func TestDefaults(t *testing.T) {
	for _, tt := range []struct {
		release  string
		refresh  time.Duration
		loopback bool
	}{{"1.35", time.Minute, false}, {"1.41", time.Minute, false}, {"1.42", 30 * 24 * time.Hour, false}, {"1.45", 30 * 24 * time.Hour, false}, {"1.46", 30 * 24 * time.Hour, true}} {
		s, err := settled(t, func(h *Handler) { h.MediaWiki = tt.release }).resolve()
		if err != nil {
			t.Fatal(err)
		}
		c := s.issuing["enwiki"]
		if c.Lifetimes.RefreshToken != tt.refresh || c.LoopbackPort != tt.loopback || c.Lifetimes.AccessToken != time.Hour || c.Lifetimes.Code != 10*time.Minute {
			t.Errorf("%s: %+v, loopback %v", tt.release, c.Lifetimes, c.LoopbackPort)
		}
		if !c.OAuth1 || !c.OAuth2 || c.Issuer != "https://wiki.example" || !c.SecureTokenTransfer || !c.ResponseIssuer || c.ReadOnly || c.RequirePKCE != authserver.PKCEPublic {
			t.Errorf("%s: %+v", tt.release, c)
		}
		if !s.paths.plain || s.paths.wiki == nil || !s.paths.wikiFirst {
			t.Errorf("paths %+v", s.paths)
		}
	}
	s, err := settled(t, func(h *Handler) { h.PrivateKey = "" }).resolve()
	if err != nil || s.issuing["enwiki"].OAuth2 {
		t.Errorf("without a private key: %v, %+v", err, s.issuing["enwiki"])
	}
	s, err = settled(t, func(h *Handler) {
		h.Lifetimes = &Lifetimes{AccessToken: infinity, RefreshToken: "30d"}
		h.Grants = []Grant{{Name: "editpage", Describe: "Change"}, {Name: "own", Rights: []string{"x"}, Hidden: true}}
	}).resolve()
	if err != nil {
		t.Fatal(err)
	}
	c := s.issuing["enwiki"]
	if c.Lifetimes.AccessToken != authserver.Infinite || c.Lifetimes.RefreshToken != 30*24*time.Hour {
		t.Errorf("%+v", c)
	}
	if g := c.Grants["editpage"]; g.Describe != "Change" || len(g.Rights) == 0 || !c.Grants["own"].Hidden {
		t.Errorf("grants %+v", c.Grants)
	}
}

// TestWriterPools has a pool of its own for the account that writes, on every kind
// of database: the path of a file is the same for both.
func TestWriterPools(t *testing.T) {
	for name, change := range map[string]func(*Handler){"mysql": func(*Handler) {}, "sqlite": onFile, "postgres": onPostgres} {
		t.Run(name, func(t *testing.T) {
			h := settled(t, change)
			ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
			defer cancel()
			if err := h.Provision(ctx); err != nil || h.Validate() != nil {
				t.Fatalf("%v, %v", err, h.Validate())
			}
			if n := pools.InUse()[0]; n != 2 {
				t.Errorf("%d pools, want that of the store and that of the writer", n)
			}
			if err := h.Cleanup(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(time.Minute); pools.InUse()[0] > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("pools are left")
				}
			}
		})
	}
}

// From 1.47 on MediaWiki has no setting that lets public clients go without a
// challenge.
func TestPKCEByRelease(t *testing.T) {
	for release, want := range map[string]string{"1.46": "", "1.47": "require_pkce off: MediaWiki 1.47 always asks"} {
		_, err := settled(t, func(h *Handler) { h.MediaWiki, h.RequirePKCE = release, off }).resolve()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", release, err, want)
		}
	}
}

// Provision and Cleanup leave nothing behind.
func TestProvision(t *testing.T) {
	count := func() (n int) {
		states.Range(func(any, any) bool { n++; return true })
		return n
	}
	h := settled(t, func(*Handler) {})
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	if err := h.Provision(ctx); err != nil || h.Validate() != nil || count() != 1 {
		t.Fatalf("%v, %v, %d states", err, h.Validate(), count())
	}
	if err := h.Cleanup(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if count() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d states are left", count())
}
