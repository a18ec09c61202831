package pages

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/browser"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// memory are the tables of a wiki, as far as its pages need them.
type memory struct {
	mu       sync.Mutex
	apps     []*authserver.Consumer
	users    []*authserver.User
	accepted []authserver.Acceptance
}

var errNotHere = errors.New("not needed for pages")

func find[T any](m *memory, all []*T, is func(*T) bool) (*T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.IndexFunc(all, is); i >= 0 {
		one := *all[i]
		return &one, nil
	}
	return nil, nil
}

func (m *memory) Consumer(_ context.Context, key string) (*authserver.Consumer, error) {
	return find(m, m.apps, func(c *authserver.Consumer) bool { return c.Key == key })
}

func (m *memory) ConsumerByID(_ context.Context, id uint64) (*authserver.Consumer, error) {
	return find(m, m.apps, func(c *authserver.Consumer) bool { return c.ID == id })
}

func (m *memory) UserByID(_ context.Context, id uint64) (*authserver.User, error) {
	return find(m, m.users, func(u *authserver.User) bool { return u.CentralID == id })
}

func (m *memory) UserByName(_ context.Context, name string) (*authserver.User, error) {
	return find(m, m.users, func(u *authserver.User) bool { return u.Name == name })
}

func (m *memory) Acceptances(_ context.Context, userID, consumerID uint64) (out []authserver.Acceptance, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.accepted {
		if a.UserID == userID && a.ConsumerID == consumerID {
			out = append(out, a)
		}
	}
	return out, nil
}

func (m *memory) AcceptancesOf(ctx context.Context, userID uint64, _ int) (out []authserver.Accepted, err error) {
	m.mu.Lock()
	accepted := slices.Clone(m.accepted)
	m.mu.Unlock()
	for _, a := range accepted {
		if app, _ := m.ConsumerByID(ctx, a.ConsumerID); app != nil && a.UserID == userID {
			out = append(out, authserver.Accepted{Acceptance: a, Consumer: *app})
		}
	}
	return out, nil
}

func (m *memory) Accept(_ context.Context, a authserver.Approval) (authserver.Acceptance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row := authserver.Acceptance{
		ID: uint64(len(m.accepted) + 1), Wiki: a.Wiki, UserID: a.UserID, ConsumerID: a.ConsumerID,
		Token: a.Token, Secret: a.Secret, Grants: a.Grants, Accepted: a.Accepted, Version: a.Version,
	}
	m.accepted = append(m.accepted, row)
	return row, nil
}

func (m *memory) Withdraw(_ context.Context, userID, id uint64) (gone authserver.Withdrawn, found bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accepted = slices.DeleteFunc(m.accepted, func(a authserver.Acceptance) bool {
		if a.ID == id && a.UserID == userID {
			gone.Acceptance, found = a, true
			return true
		}
		return false
	})
	return gone, found, nil
}

func (m *memory) Token(context.Context, string) (*authserver.Token, error) { return nil, errNotHere }

func (m *memory) IssueToken(context.Context, authserver.Token, *authserver.Acceptance) error {
	return errNotHere
}

func (m *memory) RefreshToken(context.Context, string, authserver.Token, *authserver.Acceptance) error {
	return errNotHere
}

func (m *memory) RevokeFamily(context.Context, string) (int64, error) { return 0, errNotHere }

// given returns how many acceptances there are.
func (m *memory) given() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.accepted)
}

// cookies tells who is signed in by a cookie.
type cookies struct{}

func (cookies) Visitor(r *http.Request) (*authserver.Visitor, error) {
	c, err := r.Cookie("user")
	if err != nil || c.Value == "-" {
		return nil, nil //nolint:nilerr,nilnil // nobody is signed in
	}
	return &authserver.Visitor{Name: c.Value}, nil
}

// site is a wiki at https://wiki.test with the pages, and an app at
// https://app.test whose callback redirects once more, to https://done.test.
type site struct {
	*memory
	url      string
	callback string
	done     string
	state    authserver.State
	app1     *authserver.Consumer // OAuth 1.0a
	app2     *authserver.Consumer // OAuth 2
}

var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newSite(t *testing.T) *site { return siteOn(t, httptest.NewTLSServer) }

func siteOn(t *testing.T, listen func(http.Handler) *httptest.Server) *site {
	t.Helper()
	s := &site{memory: &memory{}}
	start := func(host string, h http.HandlerFunc) string {
		server := listen(h)
		t.Cleanup(server.Close)
		if strings.HasPrefix(server.URL, "http:") {
			host += ".localhost" // loopback, to the browser as well
		}
		return strings.Replace(server.URL, "127.0.0.1", host, 1)
	}
	s.done = start("done.test", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!DOCTYPE html><title>done</title><p>The app is connected."))
	})
	s.callback = start("app.test", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.done+"/?"+r.URL.RawQuery, http.StatusFound)
	}) + "/callback"
	s.apps = []*authserver.Consumer{s.newApp(1, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), s.newApp(2, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")}
	s.app1, s.app2 = s.apps[0], s.apps[1]
	for i, name := range []string{"Owner", "Alice", "Bob"} {
		s.users = append(s.users, &authserver.User{User: validator.User{CentralID: uint64(i + 1), Name: name, Local: true, Attached: true}})
	}
	var server *authserver.Server
	s.url = start("wiki.test", func(w http.ResponseWriter, r *http.Request) { serve(t, server, w, r) })
	key, err := signingKey()
	if err != nil {
		t.Fatal(err)
	}
	s.state = authserver.NewMemory(1<<20, time.Now)
	server, err = authserver.New(authserver.Config{
		Policy: validator.Policy{Wiki: "enwiki", Release: validator.Release139, SiteKey: "site key"},
		Issuer: s.url, OAuth1: true, OAuth2: true, PrivateKey: key, StateKeys: [][]byte{[]byte(strings.Repeat("k", 32))},
		Lifetimes: authserver.Lifetimes{RequestToken: 10 * time.Minute, Code: 10 * time.Minute, AccessToken: time.Hour, RefreshToken: time.Hour},
		Grants:    authserver.CoreGrants(validator.Release139),
	}, authserver.Parts{Tables: s.memory, State: s.state, Sessions: cookies{}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) newApp(version uint8, key string) *authserver.Consumer {
	return &authserver.Consumer{
		Consumer: validator.Consumer{
			ID: uint64(version), Key: key, Name: "Map Maker", OwnerID: 1, Wiki: "*", Version: version, Stage: validator.Approved,
		},
		CallbackURL: s.callback, Grants: authserver.Grants("basic", "editpage"), GrantTypes: []string{"authorization_code"}, Confidential: true,
	}
}

var endpoints = map[string]authserver.Endpoint{
	"/authorize": authserver.Authorize, "/authenticate": authserver.Authenticate, "/verified": authserver.Verified,
	"/oauth2/authorize": authserver.Authorize2, "/apps": authserver.Apps,
}

func serve(t *testing.T, server *authserver.Server, w http.ResponseWriter, r *http.Request) {
	endpoint, ok := endpoints[r.URL.Path]
	if !ok {
		endpoint = authserver.UnknownPage
	}
	a := server.Serve(r.Context(), authserver.Request{Endpoint: endpoint, HTTP: r, Sent: validator.FromHTTP(w, r)})
	maps.Copy(w.Header(), a.Headers)
	if a.Page == nil {
		w.Header().Set("Location", a.Location)
		w.WriteHeader(a.Status)
		return
	}
	body, _, err := Render(a.Page, Site{Wiki: "Example Wiki", Apps: "/apps"}, r)
	if err != nil {
		t.Error(err)
	}
	SetHeaders(w.Header())
	w.WriteHeader(a.Status)
	_, _ = w.Write(body)
}

// signIn opens a tab in which a user is signed in.
func (s *site) signIn(t *testing.T, user string, o browser.Options) *browser.Tab {
	t.Helper()
	tab := browser.NewTab(t, o)
	tab.SetCookie(t, s.url, "user", user)
	return tab
}

// consent1 returns the address of the consent page for a new request token of the
// registered callback.
func (s *site) consent1(t *testing.T) string {
	t.Helper()
	key := rand.Text()
	if err := s.state.Create(t.Context(), authserver.RequestToken{
		Key: key, Secret: "secret", ConsumerKey: s.app1.Key, OwnerID: s.app1.OwnerID, Callback: "oob", Expires: time.Now().Add(time.Minute),
	}); err != nil {
		t.Fatal(err)
	}
	return s.url + "/authorize?oauth_token=" + key + "&oauth_consumer_key=" + s.app1.Key
}

// consent2 returns the address of the consent page for an authorization code.
func (s *site) consent2() string {
	return s.url + "/oauth2/authorize?response_type=code&state=kept&client_id=" + s.app2.Key
}
