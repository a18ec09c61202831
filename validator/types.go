// Package validator decides about HTTP requests that carry a credential of MediaWiki's OAuth extension: an OAuth 1.0a
// signature or an OAuth 2 bearer token. It knows neither Caddy nor SQL: what the tables say it asks of a [Store], and
// whether a nonce is fresh of a [Nonces]. Packages store and cache have one of each:
//
//	pool, err := store.Open(store.Config{Driver: "mysql", DSN: dsn}) // and import _ ".../store/mysql"
//	wiki := pool.Wiki(store.Wiki{ID: "enwiki", Release: validator.Release139})
//	policy := validator.Policy{Wiki: "enwiki", Release: validator.Release139, SiteKey: key, BlockDisablesLogin: true}
//	verifier := validator.New(policy, wiki, nonces.New(nonces.Config{Size: 64 << 20}), validator.NewJWT(keys, policy))
//	err = http.ListenAndServe(address, verifier.Middleware("my wiki", app))
//
// cache.Cache goes in front of the store and of the tokens.
package validator

import (
	"context"
	"crypto/rsa"
	"errors"
	"math"
	"net/netip"
	"time"
)

// Protocol is the protocol that a credential belongs to.
type Protocol uint8

// The protocols. The zero value means that a request carries no credential of ours.
const (
	NoProtocol Protocol = iota
	OAuth1
	OAuth2
)

// String returns the name that logs and metrics use.
func (p Protocol) String() string { return [...]string{"none", "oauth1", "oauth2"}[p] }

// Version returns the protocol's version as backends read it: "1.0a", "2.0" or "".
func (p Protocol) Version() string { return [...]string{"", "1.0a", "2.0"}[p] }

// Request is what the core needs to know of an HTTP request. It describes what the client sent,
// before any rewrite: Method and Target of the request line, and the authority it asked for.
type Request struct {
	Method        string
	Scheme        string   // "http" or "https", as the client used it
	Host          string   // host[:port], as the client used it
	Target        string   // request target byte for byte: origin-form, or absolute-form
	Authorization []string // every Authorization field line
	ContentType   []string // every Content-Type field line
	ClientIP      netip.Addr
	// ForwardedProto is the X-Forwarded-Proto header, whoever sent it. Only the rules of MediaWiki look at it, and
	// only for a base URL without a scheme: what it says must be signed all the same.
	ForwardedProto string
	// Handshake says that the request is for a page of the OAuth 1.0a handshake.
	// There a credential may stand in the query or the form alone, under every set
	// of rules.
	Handshake bool
	// SpoofableIP says that ClientIP was taken from a forwarding header in a way that a client can choose.
	SpoofableIP bool
	// Body reads the whole body within the limit, and puts it back for the next
	// reader. It is called only where a signature covers the body, and what it
	// returns is not changed. BodyReader makes one. Nil: no body.
	Body func(limit BodyLimit) ([]byte, error)
}

// Key names everything that one lookup depends on, beside the store itself.
type Key struct {
	Wiki     string   // id of the wiki that the request is for
	Protocol Protocol // OAuth1 or OAuth2
	Consumer string   // oauth_consumer_key, or the JWT's aud
	Token    string   // oauth_token, or the JWT's jti
	Subject  uint64   // OAuth 2, releases that resolve the JWT's sub: its central user id; else 0
	// Client is the address that the request came from, if it is known. Facts do
	// not depend on it, so it is not part of what a cache compares. A Store uses
	// it to take turns between clients while more lookups wait than it can serve.
	Client netip.Addr
	// Primary sends the lookup to the primary alone, because something that it
	// rests on was changed a moment ago. Facts do not depend on it either.
	Primary bool
}

// Store finds what the wiki's tables say. A row that is not there is a nil pointer, not an error: an error
// means that the store could not find out. What it returns is shared by many requests: nobody changes it.
type Store interface {
	Lookup(ctx context.Context, key Key) (Facts, error)
}

// Refresher is a Store that keeps answers. Refresh returns facts that are no
// older than a bound of the Refresher's own, and reports whether they are newer
// than known, which an earlier Lookup returned. It asks the tables at most once
// for each key in the time of that bound, so that a client which is refused
// again and again cannot load the database.
type Refresher interface {
	Store
	Refresh(ctx context.Context, key Key, known Facts) (facts Facts, newer bool, err error)
}

// Nonces remembers nonces. Use reports whether the nonce is fresh for the key's
// consumer and token (the wiki is not part of its scope), and remembers it until
// use.Until at least. Of any number of simultaneous calls with one nonce exactly
// one is told that it is fresh. ErrNonceExpired means that use.Until has passed.
// ErrNonceShare means that this user holds as many nonces as one user may. Any
// other error means that it could not find out.
type Nonces interface {
	Use(ctx context.Context, use NonceUse) (fresh bool, err error)
}

// NonceUse is the use of one nonce by a request that would pass.
type NonceUse struct {
	// Key holds the consumer and the token that the nonce belongs to.
	Key Key
	// UserID is the central id of the user whose share of the memory the nonce
	// counts against, with any number of apps and tokens.
	UserID uint64
	Nonce  string
	// Issued is the request's timestamp. A nonce of the future is kept longer
	// than others, and may count for more.
	Issued time.Time
	// Until is the end of the time in which the request's timestamp is accepted.
	Until time.Time
}

// Errors of Nonces.Use.
var (
	// ErrNonceShare means that the user holds their whole share of the memory.
	ErrNonceShare = errors.New("nonce share of this user is used up")
	// ErrNonceExpired means that the time until which the nonce is to be
	// remembered has passed, so that the memory can tell nothing of it.
	ErrNonceExpired = errors.New("nonce has expired")
)

// Tokens verifies the signature and the form of a bearer token. Whether it is in its validity period is asked
// of the Token, on every request.
type Tokens interface {
	Verify(raw string) (Token, Reason)
}

// Token is a JWT whose signature was verified.
type Token struct {
	ID        string   // jti
	Audience  string   // aud
	Subject   string   // sub, as text; empty when it is absent or no text or number
	Scopes    []string // scopes, only those that are strings
	NotBefore float64  // Unix seconds: the later of nbf and iat; -Inf when both are absent
	Expires   float64  // Unix seconds: exp; +Inf when absent
}

// Facts is what the tables say about one Key.
type Facts struct {
	Consumer   *Consumer    // the row of Key.Consumer
	Token      *AccessToken // OAuth 2: the row of Key.Token
	Acceptance *Acceptance  // OAuth 1: the row of Key.Token; OAuth 2: the row that Token names
	// Accepted is the consumer that Acceptance names: the same pointer as
	// Consumer when it is that one. OAuth 1 needs no other, so it is nil there:
	// a random consumer key must not cost what an app's restrictions take.
	Accepted *Consumer
	User     *User // the user that Acceptance names, as this wiki knows them
	Subject  *User // the user of Key.Subject, as this wiki knows them
}

// Positive reports whether the credential was found: the consumer, and an
// acceptance of that consumer, or a token of a client alone. Anything less is a
// negative answer that a row written a moment later can change. A signed bearer
// token names its consumer itself, so only OAuth 1 asks whether the two belong
// together.
func (f Facts) Positive() bool {
	switch {
	case f.Consumer == nil:
		return false
	case f.Token != nil:
		return f.Acceptance != nil || f.Token.AcceptanceID == 0
	}
	return f.Acceptance != nil && f.Acceptance.ConsumerID == f.Consumer.ID
}

// Stage is the state of a registered consumer (oarc_stage).
type Stage uint8

// The stages, with MediaWiki's numbers.
const (
	Proposed Stage = iota
	Approved
	Rejected
	Expired
	Disabled
	Placeholder // only reserves the id: the app is kept in configuration
)

// Consumer is a registered application (oauth_registered_consumer).
type Consumer struct {
	ID           uint64
	Key          string
	Name         string
	OwnerID      uint64 // central user id
	Wiki         string // wiki id, or "*"
	Version      uint8  // oarc_oauth_version: 1 or 2
	Stage        Stage
	OwnerOnly    bool
	Secret       string         // oarc_secret_key as stored; never what a client signs with
	RSAKey       *rsa.PublicKey // nil: none, or none that may be used
	Restrictions Restrictions
	// Broken says that MediaWiki could not load the row: oarc_grants is no list.
	Broken bool
}

// Acceptance is a user's authorization of a consumer (oauth_accepted_consumer).
type Acceptance struct {
	ID         uint64
	ConsumerID uint64
	UserID     uint64 // central user id
	Wiki       string // wiki id, or "*"
	Secret     string // oaac_access_secret as stored; never what a client signs with
	Grants     []string
	// Broken says that MediaWiki could not load the row: oaac_grants is no list.
	Broken bool
}

// AccessToken is the row that makes a JWT a bearer token (oauth2_access_tokens).
type AccessToken struct {
	AcceptanceID uint64 // 0: the client's own token, without a user
	Revoked      bool
}

// User is a user as one wiki knows them.
type User struct {
	CentralID uint64
	Name      string
	Local     bool // the wiki has a user of that name
	Attached  bool // and the central account is theirs; with local users the same as Local
	Groups    []Group
	Locked    bool   // the central account is locked
	Blocked   Expiry // until when the user is blocked from the whole site; 0: not blocked
	// PartlyBlocked is until when the user is blocked from a part of the site, in a
	// release to which such a block counts as any other (up to 1.41).
	PartlyBlocked Expiry
	Hidden        Expiry // until when the name is hidden; 0: not hidden
}

// Group is one membership in a group, as stored.
type Group struct {
	Name    string
	Expires Expiry
}

// Expiry is a time in Unix seconds at which something ends. Never means that it does not.
type Expiry int64

// Never is the Expiry of what does not end.
const Never Expiry = math.MaxInt64

// After says whether e is yet to come at now.
func (e Expiry) After(now time.Time) bool { return int64(e) > now.Unix() }
