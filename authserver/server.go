package authserver

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Config is everything that issuing depends on besides the tables and the state.
// It does not change once it is in use.
type Config struct {
	// Policy is that of the verification on the same site: wiki, release, rules,
	// site key, base URL, window of timestamps, limit of forms.
	Policy validator.Policy
	// IndexURL is the wiki's index.php, for links to its pages. Empty: there are none.
	IndexURL string
	// Issuer is the iss of tokens and statements, without a slash at its end.
	Issuer string
	// OAuth1 and OAuth2 are the protocols that are served.
	OAuth1, OAuth2 bool
	// PrivateKey signs access tokens ($wgOAuth2PrivateKey). Nil: no OAuth 2.
	PrivateKey *rsa.PrivateKey
	// StateKeys seal codes and refresh tokens, and authenticate forms. The first
	// seals; all of them open. Each has 32 bytes.
	StateKeys [][]byte
	Lifetimes Lifetimes
	// RequirePKCE says which clients must send a code challenge.
	RequirePKCE PKCE
	// LoopbackPort allows any port in a redirect URI of http on 127.0.0.1 or
	// [::1] (RFC 8252 section 7.3).
	LoopbackPort bool
	// SecureTokenTransfer redirects /token to https
	// ($wgMWOAuthSecureTokenTransfer).
	SecureTokenTransfer bool
	// ResponseIssuer adds iss to authorization responses (RFC 9207).
	ResponseIssuer bool
	// ReadOnly refuses whatever writes ($wgMWOAuthReadOnly).
	ReadOnly bool
	// Realm is that of challenges. Default: MediaWiki's, "OAuth".
	Realm string
	// Grants are the grants that the wiki knows, by name.
	Grants map[string]Grant
}

// Lifetimes are how long what is issued may be used. Infinite stands for a
// thousand years.
type Lifetimes struct {
	RequestToken, Code, AccessToken, RefreshToken time.Duration
	// RefreshGrace is how long a used refresh token still answers with the token
	// that it was exchanged for.
	RefreshGrace time.Duration
}

// Infinite is the life time of a token that does not expire: it stands for the
// thousand years that MediaWiki writes for "infinity", more than a Duration holds.
const Infinite time.Duration = -1

// PKCE says which OAuth 2 clients must send a code challenge (RFC 7636).
type PKCE uint8

// The choices of PKCE. The zero value is MediaWiki's default.
const (
	PKCEPublic PKCE = iota
	PKCEAll
	PKCEOff
)

// Grant is a grant that the wiki knows ($wgGrantPermissions).
type Grant struct {
	// Describe is the operator's own text for the consent page, if not empty.
	Describe string
	// Rights are what the grant allows.
	Rights []string
	// Hidden grants are not shown on the consent page.
	Hidden bool
}

// Visitor is who is signed in at the browser.
type Visitor struct {
	Name string
	// ID is the central id that the session claims; 0 where it claims none.
	ID uint64
}

// Sessions tells who is at the browser.
type Sessions interface {
	// Visitor returns nil if nobody is signed in. An error means that it could
	// not be found out.
	Visitor(r *http.Request) (*Visitor, error)
}

// PublicUsers asks the wiki for what its tables do not hold.
type PublicUsers interface {
	// PublicUser returns the data of a user, or of whoever is not signed in for
	// the empty name.
	PublicUser(ctx context.Context, name string) (PublicUser, error)
}

// PublicUser is public data of a user, as the wiki's list=users tells it.
type PublicUser struct {
	Groups    []string // implicit ones included, in the wiki's order
	Rights    []string
	EditCount int64
}

// Verifier decides about a request that carries a credential. It is the one of
// the directive oauth on the same site.
type Verifier interface {
	Verify(ctx context.Context, r validator.Request) validator.Decision
}

// Marks hears what was changed in the tables, before the answer leaves.
type Marks interface {
	Changed(changes ...Change)
}

// Change is one thing that was changed: an acceptance with its access token, or
// an access token of OAuth 2.
type Change struct {
	ConsumerKey string
	// Token is an oauth_token or a jti.
	Token string
}

// Server issues credentials for one wiki. It may be used by many goroutines.
type Server struct {
	cfg      Config
	tables   Tables
	state    State
	nonces   validator.Nonces
	verifier Verifier
	sessions Sessions
	public   PublicUsers // nil: claims hold what the tables say
	marks    Marks       // nil: there is no cache to tell
	now      func() time.Time
	sealer   *sealer
	csrf     [][]byte // the keys of forms: one for each state key
	// crossOrigin refuses forms that other sites send.
	crossOrigin *http.CrossOriginProtection
}

// Parts are what a Server works with.
type Parts struct {
	Tables   Tables
	State    State
	Nonces   validator.Nonces
	Verifier Verifier
	Sessions Sessions
	Public   PublicUsers // optional
	Marks    Marks       // optional
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// New returns a Server. An error names the setting that is missing or wrong.
func New(cfg Config, p Parts) (*Server, error) {
	if p.Now == nil {
		p.Now = time.Now
	}
	cfg.Realm = cmp.Or(cfg.Realm, "OAuth")
	sealer, err := newSealer(cfg.StateKeys, cfg.Issuer+" "+cfg.Policy.Wiki)
	if err != nil {
		return nil, err
	}
	if cfg.OAuth2 && cfg.PrivateKey == nil {
		return nil, errors.New("OAuth 2 needs a private key")
	}
	csrf := make([][]byte, len(cfg.StateKeys))
	for i, key := range cfg.StateKeys {
		if csrf[i], err = hkdf.Key(sha256.New, key, nil, "caddy-mwoauth forms", sealKeySize); err != nil {
			return nil, err
		}
	}
	crossOrigin := http.NewCrossOriginProtection()
	if err := crossOrigin.AddTrustedOrigin(origin(cfg.Issuer)); err != nil {
		return nil, fmt.Errorf("issuer %q is not a URL: %w", cfg.Issuer, err)
	}
	return &Server{
		cfg: cfg, tables: p.Tables, state: p.State, nonces: p.Nonces, verifier: p.Verifier, sessions: p.Sessions,
		public: p.Public, marks: p.Marks, now: p.Now, sealer: sealer, csrf: csrf,
		crossOrigin: crossOrigin,
	}, nil
}

// origin returns the origin of a URL: scheme, host and port.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) // as browsers write it
}

// Serve answers a request.
func (s *Server) Serve(ctx context.Context, r Request) Answer {
	a := s.answer(validator.WithAsker(ctx, validator.Asker{Client: r.Sent.ClientIP}), r)
	a.Event.Endpoint = r.Endpoint
	return a
}

func (s *Server) answer(ctx context.Context, r Request) Answer {
	switch {
	case r.Endpoint.ofOAuth2() && !s.cfg.OAuth2:
		return NotFound(r.Name)
	case r.Endpoint.ofOAuth1() && !s.cfg.OAuth1:
		r.Endpoint = UnknownPage
	}
	switch r.Endpoint {
	case Initiate:
		return s.initiate(ctx, r)
	case Authorize, Authenticate:
		return s.authorize1(ctx, r)
	case TokenExchange:
		return s.exchange1(ctx, r)
	case Identify:
		return s.identify(ctx, r)
	case Verified:
		return s.verified(r)
	case UnknownPage:
		return s.unknownPage(ctx, r)
	case Authorize2:
		return s.authorize2(ctx, r)
	case AccessToken:
		return s.accessToken(ctx, r)
	case ResourceProfile, ResourceScopes:
		return s.resource(ctx, r)
	case UnknownType:
		return UnknownResource(r.Name)
	case Apps:
		return s.apps(ctx, r)
	default:
		return NotFound(r.Name)
	}
}

// ofOAuth1 and ofOAuth2 report whether the endpoint is one of the protocol. The
// page of apps is of both.
func (e Endpoint) ofOAuth1() bool { return e >= Initiate && e <= Identify || e == UnknownPage }

func (e Endpoint) ofOAuth2() bool { return e >= Authorize2 && e <= ResourceScopes || e >= UnknownType }
