// Package storetest is what every store must pass, and every cache around one:
// Run looks up keys in wikis of all kinds, with a user who has exactly the
// rights that docs/database.md names. Its caller's TestMain calls process.Main.
package storetest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Wrap puts something around a store, such as a cache. The identity is the
// store's.
type Wrap func(next validator.Store, identity string) validator.Store

// Run runs the suite on every backend, with what wrap puts around its store;
// nil: nothing.
func Run(t *testing.T, wrap Wrap) {
	for _, b := range Backends {
		t.Run(b.Name, func(t *testing.T) {
			w := b.Open(t)
			opened := w.Store(t)
			s := validator.Store(opened)
			if wrap != nil {
				s = wrap(s, opened.Identity())
			}
			rows, cases := suite(t, b)
			w.Insert(t, rows...)
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					for range 2 { // asked again, the answer is the same
						check(t, s, c)
					}
				})
			}
		})
	}
}

type testCase struct {
	name string
	key  validator.Key
	want validator.Facts
}

func check(t *testing.T, s validator.Store, c testCase) {
	t.Helper()
	c.key.Wiki = "enwiki"
	got, err := s.Lookup(t.Context(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	gv, wv := reflect.ValueOf(got), reflect.ValueOf(c.want)
	for i := range gv.NumField() {
		g, w := gv.Field(i), wv.Field(i)
		if !reflect.DeepEqual(g.Interface(), w.Interface()) {
			t.Errorf("%s\n got %s\nwant %s", gv.Type().Field(i).Name, short(g), short(w))
		}
	}
	if same := got.Accepted == got.Consumer; got.Consumer != nil && got.Accepted != nil && same != (got.Consumer.ID == got.Accepted.ID) {
		t.Errorf("Accepted and Consumer are the same pointer: %v, ids %d and %d", same, got.Accepted.ID, got.Consumer.ID)
	}
}

func short(v reflect.Value) string {
	if v.IsNil() {
		return "nil"
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' {
			return '.'
		}
		return r
	}, strings.TrimSpace(sprint(v.Elem().Interface())))
	return text[:min(len(text), 600)]
}

// builder collects rows and what lookups must find of them.
type builder struct {
	kind    Backend
	release validator.Release
	central bool // users are CentralAuth's
	rows    []wikidb.Row
	cases   []testCase
	next    uint64
	users   map[uint64]*validator.User
}

func (b *builder) id() uint64 {
	b.next++
	return b.next
}

func (b *builder) consumer(version int, change func(*wikidb.Consumer)) wikidb.Consumer {
	c := wikidb.NewConsumer(b.id(), 1)
	c.Version = version
	if change != nil {
		change(&c)
	}
	b.rows = append(b.rows, c)
	return c
}

func (b *builder) acceptance(c wikidb.Consumer, user uint64, change func(*wikidb.Acceptance)) wikidb.Acceptance {
	a := wikidb.NewAcceptance(b.id(), c, user)
	if change != nil {
		change(&a)
	}
	b.rows = append(b.rows, a)
	return a
}

func (b *builder) token(acceptance uint64, revoked int) wikidb.Token {
	t := wikidb.Token{Identifier: wikidb.RandomHex(40), AcceptanceID: acceptance, Revoked: revoked}
	b.rows = append(b.rows, t)
	return t
}

// user adds a user of the wiki with rows of their own. With CentralAuth, the
// central id is another user's here, who is all that they are not.
func (b *builder) user(name string, rows ...wikidb.Row) *validator.User {
	if !b.central {
		id := b.id()
		b.account(id, name, rows...)
		return b.known(id, name)
	}
	u := b.globalUser(wikidb.GlobalUser{Name: name})
	local := b.id()
	b.account(local, name, rows...)
	b.rows = append(b.rows, wikidb.Attachment{Wiki: "enwiki", Name: name, LocalID: local, GlobalID: u.CentralID})
	u.Local, u.Attached = true, true
	return u
}

func (b *builder) known(id uint64, name string) *validator.User {
	u := &validator.User{CentralID: id, Name: name, Local: true, Attached: true}
	b.users[id] = u
	return u
}

// globalUser adds an account of CentralAuth's, without any of the wiki's.
func (b *builder) globalUser(row wikidb.GlobalUser) *validator.User {
	row.ID = b.id()
	b.rows = append(b.rows, row)
	b.account(row.ID, fmt.Sprintf("Other %d", row.ID), wikidb.Group{Name: "other"}, wikidb.Block{Expiry: wikidb.Infinity, Hidden: true})
	u := b.known(row.ID, row.Name)
	u.Local, u.Attached = false, false
	return u
}

// account adds a user to the wiki's own tables.
func (b *builder) account(id uint64, name string, rows ...wikidb.Row) {
	b.rows = append(b.rows, wikidb.User{ID: id, Name: name})
	for _, row := range rows {
		switch row := row.(type) {
		case wikidb.Group:
			row.UserID = id
			b.rows = append(b.rows, row)
		case wikidb.Block:
			row.UserID, row.Name = id, name
			b.rows = append(b.rows, row)
		}
	}
}

func (b *builder) expect(name string, key validator.Key, want validator.Facts) {
	b.cases = append(b.cases, testCase{name, key, want})
}

// facts of a consumer's row, read for the protocol.
func (b *builder) consumerFacts(c wikidb.Consumer, p validator.Protocol) *validator.Consumer {
	_, ok := validator.ParseGrants([]byte(c.Grants))
	want := &validator.Consumer{
		ID: c.ID, Key: c.Key, Name: c.Name, OwnerID: c.OwnerID, Wiki: c.Wiki, Version: uint8(c.Version), //nolint:gosec // 1 or 2
		Stage: c.Stage, OwnerOnly: c.OwnerOnly, Broken: !ok,
		Restrictions: validator.ParseRestrictions([]byte(c.Restrictions), b.release),
	}
	if p == validator.OAuth1 {
		want.Secret = c.Secret
		want.RSAKey = validator.ParseConsumerKey([]byte(c.RSAKey))
	}
	return want
}

func (b *builder) acceptanceFacts(a wikidb.Acceptance, p validator.Protocol) *validator.Acceptance {
	want := &validator.Acceptance{
		ID: a.ID, ConsumerID: a.ConsumerID, UserID: a.UserID, Wiki: a.Wiki, Grants: []string{"basic", "editpage"},
	}
	if p == validator.OAuth1 {
		want.Secret = a.Secret
	}
	return want
}

// oauth1 is what a lookup finds when nothing is missing.
func (b *builder) oauth1(c wikidb.Consumer, a wikidb.Acceptance) (validator.Key, validator.Facts) {
	facts := validator.Facts{Consumer: b.consumerFacts(c, validator.OAuth1), Acceptance: b.acceptanceFacts(a, validator.OAuth1)}
	facts.Accepted, facts.User = facts.Consumer, b.users[a.UserID]
	return validator.Key{Protocol: validator.OAuth1, Consumer: c.Key, Token: a.Token}, facts
}

func (b *builder) oauth2(c wikidb.Consumer, a wikidb.Acceptance, t wikidb.Token) (validator.Key, validator.Facts) {
	facts := validator.Facts{
		Consumer: b.consumerFacts(c, validator.OAuth2), Acceptance: b.acceptanceFacts(a, validator.OAuth2),
		Token: &validator.AccessToken{AcceptanceID: t.AcceptanceID, Revoked: t.Revoked != 0},
	}
	facts.Accepted, facts.User = facts.Consumer, b.users[a.UserID]
	return validator.Key{Protocol: validator.OAuth2, Consumer: c.Key, Token: t.Identifier}, facts
}

// bigKey is an RSA key in PEM in a text of nearly 64 KiB, as the column may hold.
func bigKey(tb testing.TB) string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		tb.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return text + strings.Repeat("x", 65500-len(text))
}

func bigRestrictions() string {
	var list []string
	for i := range 4000 {
		list = append(list, `"10.`+strconv.Itoa(i/250)+"."+strconv.Itoa(i%250)+`.0"`)
	}
	return `{"IPAddresses":[` + strings.Join(list, ",") + `]}`
}
