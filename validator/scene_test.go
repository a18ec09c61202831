package validator

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// The world of these tests: one wiki, and a request of each kind that passes.
const (
	consumerKey    = "11111111111111111111111111111111"
	accessToken    = "22222222222222222222222222222222"
	clientKey      = "33333333333333333333333333333333"
	jti            = "4444444444444444444444444444444444444444444444444444444444444444444444444444"
	siteKey        = "unit-test-secret-key"
	consumerSecret = "0123456789abcdef0123456789abcdef"
	tokenSecret    = "fedcba9876543210fedcba9876543210"
	apiURL         = "https://wiki.example.org/w/api.php?action=query&format=json"
)

var (
	testNow   = time.Unix(1_700_000_000, 0)
	issuerKey = sync.OnceValue(func() *rsa.PrivateKey { return newRSAKey(2048) })
	appKey    = sync.OnceValue(func() *rsa.PrivateKey { return newRSAKey(1024) })
)

func newRSAKey(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// fakeStore answers every lookup with the same facts, and counts.
type fakeStore struct {
	facts   Facts
	err     error
	lookups int
	key     Key
}

func (s *fakeStore) Lookup(_ context.Context, key Key) (Facts, error) {
	s.lookups++
	s.key = key
	return s.facts, s.err
}

// fakeNonces remembers for ever.
type fakeNonces struct {
	mu    sync.Mutex
	seen  map[string]bool
	until time.Time
	err   error
}

func (n *fakeNonces) Use(_ context.Context, use NonceUse) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return false, n.err
	}
	n.until = use.Until
	id := use.Key.Consumer + " " + use.Key.Token + " " + use.Nonce
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	fresh := !n.seen[id]
	n.seen[id] = true
	return fresh, nil
}

// scene is a request on its way through a Verifier: a test changes one thing
// and sees what becomes of it.
type scene struct {
	policy  Policy
	now     time.Time
	facts   Facts
	store   *fakeStore
	nonces  *fakeNonces
	tokens  Tokens
	request Request
	creds   sign.Credentials
	url     string
	form    string
	options sign.Options
	// unsigned is set when the test gives the request its own credential.
	unsigned bool
	claims   map[string]any // of the bearer token; nil: an OAuth 1 scene
}

func newScene() *scene {
	consumer := &Consumer{
		ID: 1, Key: consumerKey, Name: "App", OwnerID: 7, Wiki: "*", Version: 1, Stage: Approved,
		Secret: consumerSecret, RSAKey: &appKey().PublicKey, Restrictions: anywhere(),
	}
	return &scene{
		policy: Policy{Wiki: "enwiki", Release: Release139, SiteKey: siteKey},
		now:    testNow,
		facts: Facts{
			Consumer:   consumer,
			Accepted:   consumer,
			Acceptance: &Acceptance{ID: 5, ConsumerID: 1, UserID: 9, Wiki: "*", Secret: tokenSecret, Grants: []string{"basic", "editpage"}},
			User:       &User{CentralID: 9, Name: "Alice", Local: true, Attached: true, Groups: []Group{{"sysop", Never}, {"bot", Expiry(testNow.Unix())}}},
		},
		store:  &fakeStore{},
		nonces: &fakeNonces{},
		tokens: NewJWT([]*rsa.PublicKey{&issuerKey().PublicKey}, Policy{Release: Release139}),
		request: Request{
			Method: http.MethodGet, ClientIP: netip.MustParseAddr("192.0.2.1"),
		},
		creds: sign.Credentials{
			ConsumerKey: consumerKey, Token: accessToken,
			ConsumerSecret: "e995833b7565374d6bed17414a49fb56811884fc", TokenSecret: "89c99f9aea2ab6da17b81439d98966f29f3403ed",
		},
		url:     apiURL,
		options: sign.Options{Nonce: "abc123", Timestamp: "1700000000"},
	}
}

func newBearerScene() *scene {
	s := newScene()
	s.facts.Consumer.Key, s.facts.Consumer.Version = clientKey, 2
	s.facts.Token = &AccessToken{AcceptanceID: 5}
	s.claims = map[string]any{
		"aud": clientKey, "jti": jti, "sub": "9", "scopes": []string{"basic", "editpage"},
		"iat": 1_699_999_000.25, "nbf": 1_699_999_000.25, "exp": 1_700_003_600.25,
	}
	return s
}

func anywhere() Restrictions {
	return ParseRestrictions([]byte(`{"IPAddresses":["0.0.0.0/0","::/0"]}`), Release139)
}

func (s *scene) verifier() *Verifier {
	s.store.facts = s.facts
	v := New(s.policy, s.store, s.nonces, s.tokens)
	v.now = func() time.Time { return s.now }
	return v
}

// ready signs the request, unless the test did, and returns it.
func (s *scene) ready(t testing.TB) Request {
	t.Helper()
	r := s.request
	scheme, rest, _ := strings.Cut(s.url, "://")
	host, _, _ := strings.Cut(rest, "/")
	if r.Scheme == "" {
		r.Scheme = scheme
	}
	if r.Host == "" {
		r.Host = host
	}
	if r.Target == "" {
		r.Target = cmp.Or(strings.TrimPrefix(rest, host), "/")
	}
	if s.form != "" && r.Body == nil {
		r.Body = func(BodyLimit) ([]byte, error) { return []byte(s.form), nil }
		if r.ContentType == nil {
			r.ContentType = []string{"application/x-www-form-urlencoded"}
		}
	}
	if s.unsigned {
		return r
	}
	var value string
	var err error
	if s.claims != nil {
		value, err = sign.JWT(issuerKey(), s.claims)
		value = "Bearer " + value
	} else {
		value, err = sign.Header(s.creds, r.Method, s.url, []byte(s.form), s.options)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Authorization = []string{value}
	return r
}

func (s *scene) run(t testing.TB) Decision {
	t.Helper()
	return s.verifier().Verify(t.Context(), s.ready(t))
}

// addBody takes the form of a request into its claim.
func addBody(p *Policy, c *Claim, r *Request) Reason {
	var form []byte
	if r.Body != nil {
		var err error
		if form, err = r.Body(BodyLimit{Size: DefaultMaxFormSize}); err != nil {
			return MalformedForm
		}
	}
	return p.reader().readForm(c, string(form))
}
