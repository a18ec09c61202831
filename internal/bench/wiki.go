package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"

	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/sqlite" // its driver
)

// users is how many users the requests are spread over: the memory of nonces
// has a share for each.
const users = 32

const target = "/w/api.php?action=query&meta=userinfo&uiprop=rights%7Cgroups&format=json"

// wiki is a database with one app, authorized by every user.
type wiki struct {
	database, siteKey, publicKeyFile string
	oauth1, oauth1RSA                []sign.Credentials
	bearers                          []string
}

func newWiki(dir string) (*wiki, error) {
	issuer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	w := &wiki{
		database: filepath.Join(dir, "wiki.sqlite"), siteKey: wikidb.RandomHex(32), publicKeyFile: filepath.Join(dir, "issuer.pem"),
	}
	if err := os.WriteFile(w.publicKeyFile, publicPEM(issuer), 0o600); err != nil {
		return nil, err
	}
	db, err := sql.Open(wikidb.SQLite, w.database)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	for _, statement := range wikidb.Schema(wikidb.SQLite, validator.Release147, "") {
		if _, err := db.Exec(statement); err != nil { //nolint:noctx // a file
			return nil, err
		}
	}
	rows, err := w.rows(issuer)
	if err != nil {
		return nil, err
	}
	return w, wikidb.DB{Conn: db, Release: validator.Release147}.Insert(context.Background(), rows...)
}

func (w *wiki) rows(issuer *rsa.PrivateKey) ([]wikidb.Row, error) {
	app := wikidb.NewConsumer(1, 1)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	app.RSAKey = string(publicPEM(key))
	client := wikidb.NewConsumer(2, 1)
	client.Version = 2
	rows := []wikidb.Row{app, client}
	for i := range uint64(users) {
		id := i + 1
		a, a2 := wikidb.NewAcceptance(id, app, id), wikidb.NewAcceptance(users+id, client, id)
		jti := wikidb.RandomHex(40)
		rows = append(rows, wikidb.User{ID: id, Name: fmt.Sprintf("User %d", id)}, wikidb.Group{UserID: id, Name: "sysop"}, a, a2,
			wikidb.Token{Identifier: jti, AcceptanceID: a2.ID})
		c := sign.Credentials{
			ConsumerKey: app.Key, ConsumerSecret: sign.Secret(w.siteKey, app.Secret),
			Token: a.Token, TokenSecret: sign.Secret(w.siteKey, a.Secret),
		}
		w.oauth1 = append(w.oauth1, c)
		c.RSAKey = key
		w.oauth1RSA = append(w.oauth1RSA, c)
		// As a real one: about 900 bytes, times with microseconds.
		now := float64(time.Now().Unix()) - 0.25
		bearer, err := sign.JWT(issuer, map[string]any{
			"aud": client.Key, "jti": jti, "iat": now, "nbf": now, "exp": now + 36_000, "sub": fmt.Sprintf("mw:local:enwiki:%d", id),
			"iss": "https://wiki.example.org", "scopes": []string{"basic", "editpage", "createeditmovepage", "highvolume"},
		})
		if err != nil {
			return nil, err
		}
		w.bearers = append(w.bearers, "Bearer "+bearer)
	}
	return rows, nil
}

// write writes n raw requests to the site, one a line.
func (w *wiki) write(file string, s *site, protocol string, n int) error {
	f, err := os.Create(file) //nolint:gosec // our own path
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	for i := range n {
		auth := w.bearers[i%users]
		if protocol != "bearer" {
			c := w.oauth1[i%users]
			if protocol == "oauth1-rsa" {
				c = w.oauth1RSA[i%users]
			}
			if auth, err = sign.Header(c, "GET", "http://"+s.host+target, nil, sign.Options{}); err != nil {
				return err
			}
		}
		_, _ = fmt.Fprintln(out, line(target, s.host, auth)) // Flush tells
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func publicPEM(key *rsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err) // of an RSA key: it cannot fail
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
