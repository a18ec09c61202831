package harness

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// WikiID is the id of every wiki here, unless a test says otherwise.
const WikiID = "enwiki"

// Wiki is a wiki in a database of its own, with users, apps and tokens, and a
// database user who may do what docs/database.md grants and nothing else.
type Wiki struct {
	storetest.Wiki
	SiteKey   string
	Password  string // of the database user
	DSN       string // of that user
	IssuerKey *rsa.PrivateKey

	StoreLines []string // of the block of store, for a test to add to

	Alice, Bob wikidb.User // Alice is a sysop, and was a bot

	HMAC       App // of OAuth 1, accepted by Alice
	BobsHMAC   App // the same app, accepted by Bob
	RSA        App // of OAuth 1, with an RSA key, accepted by Alice
	OwnerOnly  App // of OAuth 1, Alice's own
	OAuth2     App // of OAuth 2, accepted by Alice
	Machine    App // of OAuth 2, acting for itself
	Restricted App // of OAuth 1, from 192.0.2.0/24 alone, accepted by Alice
}

// App is an app with what its developer holds.
type App struct {
	Consumer    wikidb.Consumer
	Acceptance  wikidb.Acceptance
	Credentials sign.Credentials // of OAuth 1
	JTI         string           // of OAuth 2
	Claims      map[string]any   // of OAuth 2: those of a token that holds for an hour
}

// Keys are made once: it takes long.
var (
	issuerKey = sync.OnceValue(func() *rsa.PrivateKey { return NewKey(2048) })
	appKey    = sync.OnceValue(func() *rsa.PrivateKey { return NewKey(2048) })
)

// NewKey makes an RSA key.
func NewKey(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// PublicPEM is the public half of a key.
func PublicPEM(key *rsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// NewWiki makes a wiki of the release in MariaDB.
func NewWiki(tb testing.TB, release validator.Release) *Wiki {
	tb.Helper()
	w := newWiki(tb, storetest.Backend{Driver: wikidb.MySQL, Release: release})
	w.Password = "db p@ss:w/rd?" + wikidb.RandomHex(16)
	s := mariadb.Start(tb)
	user := "gateway_" + w.Database
	s.CreateUser(tb, user, w.Password, w.Grants(tb)...)
	w.DSN = s.DSN(user, w.Password, w.Database)
	return w
}

// NewPostgresWiki makes a wiki of the release in PostgreSQL.
func NewPostgresWiki(tb testing.TB, release validator.Release) *Wiki {
	tb.Helper()
	return newWiki(tb, storetest.Backend{Driver: wikidb.Postgres, Release: release})
}

func newWiki(tb testing.TB, b storetest.Backend) *Wiki {
	tb.Helper()
	w := &Wiki{
		Wiki:      b.Open(tb),
		SiteKey:   "site-key-" + wikidb.RandomHex(16),
		Password:  storetest.Password,
		IssuerKey: issuerKey(),
		Alice:     wikidb.User{ID: 7, Name: "Alice"},
		Bob:       wikidb.User{ID: 8, Name: "Bob"},
	}
	w.DSN = w.Config.DSN

	expired := time.Now().Add(-time.Hour).UTC().Format("20060102150405")
	w.Insert(
		tb, w.Alice, w.Bob,
		wikidb.Group{UserID: w.Alice.ID, Name: "sysop"}, wikidb.Group{UserID: w.Alice.ID, Name: "bot", Expiry: expired},
	)
	w.HMAC = w.NewApp(tb, w.Alice, func(c *wikidb.Consumer) { c.Name = "hmac app" })
	w.BobsHMAC = w.Accept(tb, w.HMAC.Consumer, w.Bob)
	w.RSA = w.NewApp(tb, w.Alice, func(c *wikidb.Consumer) {
		c.Name, c.RSAKey = "rsa app", PublicPEM(&appKey().PublicKey)
	})
	w.RSA.Credentials.RSAKey = appKey()
	w.OwnerOnly = w.NewApp(tb, w.Alice, func(c *wikidb.Consumer) {
		c.Name, c.OwnerOnly, c.OwnerID = "owner-only app", true, w.Alice.ID
	})
	w.OAuth2 = w.NewApp(tb, w.Alice, func(c *wikidb.Consumer) { c.Name, c.Version = "oauth2 app", 2 })
	w.Machine = w.NewApp(tb, wikidb.User{}, func(c *wikidb.Consumer) { c.Name, c.Version = "machine app", 2 })
	w.Restricted = w.NewApp(tb, w.Alice, func(c *wikidb.Consumer) {
		c.Name, c.Restrictions = "restricted app", `{"IPAddresses":["192.0.2.0/24"]}`
	})
	return w
}

// Numbers of rows, counted over all wikis: they need only be unique in each.
var numbers struct {
	sync.Mutex
	last uint64
}

func nextID() uint64 {
	numbers.Lock()
	defer numbers.Unlock()
	numbers.last++
	return numbers.last
}

// NewApp registers an app, as the test changes it, and has the user accept it.
// A user 0 accepts nothing: a client of OAuth 2 acts for itself then.
func (w *Wiki) NewApp(tb testing.TB, user wikidb.User, change func(*wikidb.Consumer)) App {
	tb.Helper()
	c := wikidb.NewConsumer(nextID(), 99)
	change(&c)
	w.Insert(tb, c)
	if user.ID == 0 {
		app := App{Consumer: c, JTI: wikidb.RandomHex(40)}
		w.Insert(tb, wikidb.Token{Identifier: app.JTI})
		app.Claims = claims(c, app.JTI, 0)
		return app
	}
	return w.Accept(tb, c, user)
}

// Accept lets a user accept an app; one of OAuth 2 gets a token too.
func (w *Wiki) Accept(tb testing.TB, c wikidb.Consumer, user wikidb.User) App {
	tb.Helper()
	app := App{Consumer: c, Acceptance: wikidb.NewAcceptance(nextID(), c, user.ID)}
	w.Insert(tb, app.Acceptance)
	if c.Version == 2 {
		app.JTI = wikidb.RandomHex(40)
		w.Insert(tb, wikidb.Token{Identifier: app.JTI, AcceptanceID: app.Acceptance.ID})
		app.Claims = claims(c, app.JTI, user.ID)
		return app
	}
	app.Credentials = sign.Credentials{
		ConsumerKey: c.Key, ConsumerSecret: sign.Secret(w.SiteKey, c.Secret),
		Token: app.Acceptance.Token, TokenSecret: sign.Secret(w.SiteKey, app.Acceptance.Secret),
	}
	return app
}

func claims(c wikidb.Consumer, jti string, user uint64) map[string]any {
	now := time.Now()
	sub := ""
	if user != 0 {
		sub = strconv.FormatUint(user, 10)
	}
	return map[string]any{
		"aud": c.Key, "jti": jti, "sub": sub, "scopes": []string{"basic", "editpage"},
		"iat": now.Add(-time.Minute).Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// Token signs a JWT of an app, with claims changed; a nil value takes one away.
func (w *Wiki) Token(tb testing.TB, app App, changed map[string]any) string {
	tb.Helper()
	claims := maps.Clone(app.Claims)
	for name, value := range changed {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	raw, err := sign.JWT(w.IssuerKey, claims)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// Bearer is the Authorization value of an app's token.
func (w *Wiki) Bearer(tb testing.TB, app App) string {
	tb.Helper()
	return "Bearer " + w.Token(tb, app, nil)
}

// Through has the gateway reach the database by way of a proxy, which it starts.
func (w *Wiki) Through(tb testing.TB) *Proxy {
	tb.Helper()
	addr := mariadb.Start(tb).TCPAddr()
	p := NewProxy(tb, addr)
	w.DSN = strings.Replace(w.DSN, addr, p.Addr, 1)
	return p
}

// Settings are the lines of a directive for this wiki, with the given ones in
// place of those of the same name, or in addition to them. Secrets stand in
// files, as in the manual.
func (w *Wiki) Settings(tb testing.TB, changed ...string) string {
	tb.Helper()
	dir := tb.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	store := fmt.Sprintf("store %s {file.%s} {\n%s\n}", w.Driver, file("dsn", w.DSN), strings.Join(w.StoreLines, "\n"))
	lines := []string{
		store,
		"wiki " + WikiID,
		"mediawiki " + w.Release.String(),
		"secret_key {file." + file("key", w.SiteKey) + "}",
		"public_key " + file("issuer.pem", PublicPEM(&w.IssuerKey.PublicKey)),
	}
	name := func(line string) string { first, _, _ := strings.Cut(line, " "); return first }
	for _, change := range changed {
		lines = slices.DeleteFunc(lines, func(line string) bool {
			return name(line) == name(change) && !slices.Contains(changed, line)
		})
		lines = append(lines, change)
	}
	return strings.Join(lines, "\n") + "\n"
}
