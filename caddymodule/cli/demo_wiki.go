package cli

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	demoWikiID   = "demowiki"
	demoRelease  = validator.Release147
	demoLifetime = time.Hour // of bearer tokens

	demoAlice, demoBob = 1, 2 // user ids

	demoDatabase = "wiki.sqlite"
)

// demoWiki is a wiki with fresh secrets, in a directory that nobody else can enter.
type demoWiki struct {
	dir     string
	base    string // scheme, host and port
	siteKey string
	issuer  *rsa.PrivateKey // signs bearer tokens
	made    time.Time
	rows    []wikidb.Row
	apps    []demoApp
	issuing demoIssuing
}

// demoApp is a section of the credentials file: values by credentialNames.
type demoApp struct {
	name   string
	values map[string]string
}

// newDemoWiki makes the database, keys and credentials file of a wiki at an
// address. Alice owns all apps.
func newDemoWiki(ctx context.Context, dir, address string, now time.Time) (*demoWiki, error) {
	if !slices.Contains(sql.Drivers(), wikidb.SQLite) {
		return nil, errors.New("this Caddy has no SQLite: build it with --with github.com/caddy-mwoauth/caddy-mwoauth/store/sqlite")
	}
	issuer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	client, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	w := &demoWiki{dir: dir, base: "http://" + address, siteKey: wikidb.RandomHex(32), issuer: issuer, made: now, rows: []wikidb.Row{
		wikidb.User{ID: demoAlice, Name: "Alice"},
		wikidb.Group{UserID: demoAlice, Name: "sysop"},
		wikidb.User{ID: demoBob, Name: "Bob"},
		wikidb.Group{UserID: demoBob, Name: "editor"},
	}}

	ordinary := wikidb.NewConsumer(1, demoAlice)
	ordinary.Name = "Ordinary app"
	ownerOnly := wikidb.NewConsumer(2, demoAlice)
	ownerOnly.Name, ownerOnly.OwnerOnly = "Owner-only app", true
	withKey := wikidb.NewConsumer(3, demoAlice)
	withKey.Name, withKey.RSAKey = "RSA app", publicPEM(client)
	oauth2 := wikidb.NewConsumer(4, demoAlice)
	oauth2.Name, oauth2.Version = "OAuth 2 app", 2

	w.addOAuth1("ordinary", ordinary, demoBob)
	w.addOAuth1("owner-only", ownerOnly, demoAlice)
	w.addOAuth1("rsa", withKey, demoBob)
	if err := w.addOAuth2("oauth2", oauth2, demoBob); err != nil {
		return nil, err
	}
	if err := w.addIssuing(5); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"site_key":     w.siteKey,
		"oauth2.pem":   publicPEM(issuer),
		demoPrivateKey: privatePEM(issuer),
		demoKeyFile:    privatePEM(client),
		"credentials":  w.credentialsFile(),
		demoDatabase:   "", // so that the driver does not choose its mode
	} {
		if err := w.writeFile(name, text); err != nil {
			return nil, err
		}
	}
	return w, w.fill(ctx)
}

// writeFile writes a file that its owner alone can read.
func (w *demoWiki) writeFile(name, text string) error {
	return os.WriteFile(w.path(name), []byte(text), 0o600)
}

const (
	demoKeyFile    = "rsa_app.pem"
	demoPrivateKey = "oauth2_private.pem"
)

// addOAuth1 adds an app that the user has approved.
func (w *demoWiki) addOAuth1(name string, c wikidb.Consumer, user uint64) {
	a := wikidb.NewAcceptance(c.ID, c, user)
	w.rows = append(w.rows, c, a)
	values := map[string]string{"consumer_key": c.Key, "access_token": a.Token}
	if c.RSAKey != "" {
		values["rsa_key_file"] = demoKeyFile
	} else {
		values["consumer_secret"] = sign.Secret(w.siteKey, c.Secret)
		values["access_secret"] = sign.Secret(w.siteKey, a.Secret)
	}
	w.apps = append(w.apps, demoApp{name, values})
}

// addOAuth2 adds an app that the user has approved, with a bearer token that
// holds and one that is revoked.
func (w *demoWiki) addOAuth2(name string, c wikidb.Consumer, user uint64) error {
	w.rows = append(w.rows, c, wikidb.NewAcceptance(c.ID, c, user))
	for revoked, section := range []string{name, name + "-revoked"} {
		jti := wikidb.RandomHex(40)
		bearer, err := sign.JWT(w.issuer, map[string]any{
			"aud": c.Key, "jti": jti, "iat": w.made.Unix(), "nbf": w.made.Unix(), "exp": w.made.Add(demoLifetime).Unix(),
			"sub":    fmt.Sprintf("mw:local:%s:%d", demoWikiID, user),
			"scopes": []string{"basic", "editpage"},
		})
		if err != nil {
			return err
		}
		w.rows = append(w.rows, wikidb.Token{Identifier: jti, AcceptanceID: c.ID, Revoked: revoked})
		w.apps = append(w.apps, demoApp{section, map[string]string{"bearer_token": bearer}})
	}
	return nil
}

func (w *demoWiki) path(name string) string { return filepath.Join(w.dir, name) }

func (w *demoWiki) fill(ctx context.Context) (err error) {
	conn, err := sql.Open(wikidb.SQLite, w.path(demoDatabase))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for _, statement := range wikidb.Schema(wikidb.SQLite, demoRelease, "") {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return wikidb.DB{Conn: conn, Release: demoRelease}.Insert(ctx, w.rows...)
}

func (w *demoWiki) credentialsFile() string {
	var text strings.Builder
	text.WriteString("# For caddy oauth sign. These secrets end with the demonstration.\n")
	for _, app := range w.apps {
		text.WriteString("\n[" + app.name + "]\n")
		for _, name := range credentialNames {
			if value := app.values[name]; value != "" {
				text.WriteString(name + " = " + value + "\n")
			}
		}
	}
	return text.String()
}

func privatePEM(key *rsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func publicPEM(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err) // it was generated a moment ago
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
