package authserver

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// fakeTables are tables in memory.
type fakeTables struct {
	mu          sync.Mutex
	consumers   []*Consumer
	users       []*User
	acceptances []Acceptance
	tokens      map[string]Token
	err         error
	nextID      uint64
	// arrive is called when an app is looked up by its key, if it is set.
	arrive func()
	// askers are the clients that apps were looked up for by their keys.
	askers []validator.Asker
	// acceptError makes Accept fail alone.
	acceptError error
}

func (f *fakeTables) Consumer(ctx context.Context, key string) (*Consumer, error) {
	f.mu.Lock()
	f.askers = append(f.askers, validator.AskerOf(ctx))
	f.mu.Unlock()
	if f.arrive != nil {
		f.arrive()
	}
	return f.consumer(func(c *Consumer) bool { return c.Key == key })
}

func (f *fakeTables) ConsumerByID(_ context.Context, id uint64) (*Consumer, error) {
	return f.consumer(func(c *Consumer) bool { return c.ID == id })
}

func (f *fakeTables) consumer(is func(*Consumer) bool) (*Consumer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.IndexFunc(f.consumers, is); i >= 0 && f.err == nil {
		c := *f.consumers[i]
		return &c, nil
	}
	return nil, f.err
}

func (f *fakeTables) UserByID(_ context.Context, id uint64) (*User, error) {
	return f.user(func(u *User) bool { return u.CentralID == id })
}

func (f *fakeTables) UserByName(_ context.Context, name string) (*User, error) {
	return f.user(func(u *User) bool { return u.Name == name })
}

func (f *fakeTables) user(is func(*User) bool) (*User, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.IndexFunc(f.users, is); i >= 0 && f.err == nil {
		u := *f.users[i]
		return &u, nil
	}
	return nil, f.err
}

func (f *fakeTables) Acceptances(_ context.Context, userID, consumerID uint64) ([]Acceptance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Acceptance
	for _, a := range f.acceptances {
		if a.UserID == userID && a.ConsumerID == consumerID {
			out = append(out, a)
		}
	}
	return out, f.err
}

func (f *fakeTables) AcceptancesOf(_ context.Context, userID uint64, _ int) ([]Accepted, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Accepted
	for _, a := range f.acceptances {
		if a.UserID == userID {
			i := slices.IndexFunc(f.consumers, func(c *Consumer) bool { return c.ID == a.ConsumerID })
			out = append(out, Accepted{a, *f.consumers[i]})
		}
	}
	return out, f.err
}

func (f *fakeTables) Accept(_ context.Context, a Approval) (Acceptance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := cmp.Or(f.acceptError, f.err); err != nil {
		return Acceptance{}, err
	}
	for i := range f.acceptances {
		if have := &f.acceptances[i]; have.UserID == a.UserID && have.ConsumerID == a.ConsumerID && (have.Wiki == a.Wiki || have.Wiki == a.ThisWiki) {
			have.Grants, have.Wiki = a.Grants, a.Wiki
			return *have, nil
		}
	}
	f.nextID++
	row := Acceptance{
		ID: 1000 + f.nextID, Wiki: a.Wiki, UserID: a.UserID, ConsumerID: a.ConsumerID, Token: a.Token, Secret: a.Secret,
		Grants: a.Grants, Accepted: a.Accepted, Version: a.Version,
	}
	f.acceptances = append(f.acceptances, row)
	return row, nil
}

func (f *fakeTables) Withdraw(_ context.Context, userID, acceptanceID uint64) (gone Withdrawn, found bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, a := range f.acceptances {
		if a.ID == acceptanceID && a.UserID == userID && f.err == nil {
			f.acceptances = slices.Delete(f.acceptances, i, i+1)
			for jti, t := range f.tokens {
				if t.AcceptanceID == acceptanceID {
					gone.JTIs = append(gone.JTIs, jti)
					delete(f.tokens, jti)
				}
			}
			gone.Acceptance = a
			return gone, true, nil
		}
	}
	return gone, false, f.err
}

func (f *fakeTables) Token(_ context.Context, jti string) (*Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, ok := f.tokens[jti]; ok && f.err == nil {
		return &t, nil
	}
	return nil, f.err
}

func (f *fakeTables) IssueToken(_ context.Context, t Token, a *Acceptance) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.issue(t, a)
}

func (f *fakeTables) issue(t Token, a *Acceptance) error {
	if f.err != nil {
		return f.err
	}
	if a != nil {
		i := slices.IndexFunc(f.acceptances, func(have Acceptance) bool { return have.ID == a.ID })
		if i < 0 || !f.acceptances[i].Grants.Covers(a.Grants.Names) {
			return ErrNoAcceptance
		}
	}
	if _, taken := f.tokens[t.JTI]; taken {
		return ErrTokenExists
	}
	if f.tokens == nil {
		f.tokens = map[string]Token{}
	}
	t.Expires = t.Expires.Truncate(time.Second) // as the tables keep it
	f.tokens[t.JTI] = t
	return nil
}

func (f *fakeTables) RefreshToken(_ context.Context, old string, next Token, a *Acceptance) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	have, ok := f.tokens[old]
	if !ok || have.Revoked {
		return ErrTokenGone
	}
	if err := f.issue(next, a); err != nil {
		return err
	}
	have.Revoked = true
	f.tokens[old] = have
	return nil
}

func (f *fakeTables) RevokeFamily(_ context.Context, prefix string) (n int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for jti, t := range f.tokens {
		if strings.HasPrefix(jti, prefix) && !t.Revoked && f.err == nil {
			t.Revoked = true
			f.tokens[jti] = t
			n++
		}
	}
	return n, f.err
}

// fakeSessions says who is at the browser by a header of the test.
type fakeSessions struct{ err error }

func (f *fakeSessions) Visitor(r *http.Request) (*Visitor, error) {
	name := r.Header.Get("X-Test-User")
	if name == "" || f.err != nil {
		return nil, f.err
	}
	return &Visitor{Name: name}, nil
}

// scene is a server with an app of each kind and two users.
type scene struct {
	*Server
	tables   *fakeTables
	sessions *fakeSessions
	clock    time.Time
}

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

const (
	confidential = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	public       = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	ownerOnly    = "cccccccccccccccccccccccccccccccc"
	verifier43   = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge43  = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	siteURL      = "https://wiki.example.org"
)

func newScene(t testing.TB, change ...func(*Config)) *scene {
	t.Helper()
	app := func(id uint64, key string) *Consumer {
		return &Consumer{
			Consumer: validator.Consumer{
				ID: id, Key: key, Name: "App " + key[:1], OwnerID: 1, Wiki: "*", Version: 2, Stage: validator.Approved, Secret: "stored-" + key[:4],
			},
			CallbackURL: "https://app.example/cb", Grants: Grants("basic", "editpage", "createeditmovepage"),
			GrantTypes: []string{grantCode, grantRefresh, grantCredentials}, Confidential: key != public,
		}
	}
	s := &scene{
		tables:   &fakeTables{consumers: []*Consumer{app(1, confidential), app(2, public), app(3, ownerOnly)}},
		sessions: &fakeSessions{},
		clock:    time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC),
	}
	s.tables.consumers[2].OwnerOnly = true
	for _, u := range []validator.User{{CentralID: 1, Name: "Owner"}, {CentralID: 3, Name: "Alice"}, {CentralID: 4, Name: "Bob"}} {
		u.Local, u.Attached = true, true
		s.tables.users = append(s.tables.users, &User{User: u})
	}
	cfg := Config{
		Policy: validator.Policy{Wiki: "enwiki", Release: validator.Release139, SiteKey: "site key"},
		Issuer: siteURL, OAuth1: true, OAuth2: true, PrivateKey: testKey(), StateKeys: [][]byte{[]byte(strings.Repeat("k", 32))},
		Lifetimes: Lifetimes{RequestToken: 10 * time.Minute, Code: 10 * time.Minute, AccessToken: time.Hour, RefreshToken: 24 * time.Hour},
		Grants:    CoreGrants(validator.Release139),
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	s.Server, err = New(cfg, Parts{
		Tables: s.tables, State: NewMemory(1<<20, func() time.Time { return s.clock }), Sessions: s.sessions,
		Now: func() time.Time { return s.clock },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *scene) secret(key string) string { return s.cfg.Policy.EffectiveSecret("stored-" + key[:4]) }

// send sends a request to an endpoint. A form makes it a POST.
func (s *scene) send(t testing.TB, e Endpoint, user, query string, form url.Values, header http.Header) Answer {
	t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	r := httptest.NewRequestWithContext(t.Context(), method, siteURL+"/x?"+query, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	maps.Copy(r.Header, header)
	if user != "" {
		r.Header.Set("X-Test-User", user)
	}
	return s.Serve(t.Context(), Request{Endpoint: e, HTTP: r, Sent: validator.FromHTTP(httptest.NewRecorder(), r)})
}

// consent plays the browser of Alice: it asks for a code and presses a button of the page.
func (s *scene) consent(t testing.TB, query, button string) url.Values {
	t.Helper()
	a := s.send(t, Authorize2, "Alice", query, nil, nil)
	if a.Page == nil || a.Page.Kind != ConsentPage {
		t.Fatalf("no consent page: %+v", a)
	}
	form := url.Values{button: {"x"}}
	for _, f := range a.Page.Consent.Fields {
		form.Set(f.Name, f.Value)
	}
	a = s.send(t, Authorize2, "Alice", "", form, nil)
	if a.Location == "" {
		t.Fatalf("no redirect: %+v %v", a, a.Page)
	}
	u, err := url.Parse(a.Location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// token sends a form to the token endpoint and returns the answer's JSON.
func (s *scene) token(t testing.TB, pairs ...string) (Answer, map[string]any) {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	a := s.send(t, AccessToken, "", "", form, nil)
	var out map[string]any
	if err := json.Unmarshal(a.Body, &out); err != nil {
		t.Fatalf("%q: %v", a.Body, err)
	}
	return a, out
}
