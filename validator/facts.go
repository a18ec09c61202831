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

// Request is what the validator needs to know of an HTTP request. It describes
// what the client sent, before any rewrite: the method and the target of the
// request line, and the host that the client asked for.
type Request struct {
	Method string
	// Scheme is "http" or "https", as the client used it.
	Scheme string
	// Host is host[:port], as the client used it.
	Host string
	// Target is the request target byte for byte: origin-form or absolute-form.
	Target string
	// Authorization holds every Authorization field line.
	Authorization []string
	// ContentType holds every Content-Type field line.
	ContentType []string
	ClientIP    netip.Addr
	// ForwardedProto is the X-Forwarded-Proto header, whoever sent it. Only the
	// rules of MediaWiki use it, and only for a base URL without a scheme. The
	// signature must cover the scheme that it names.
	ForwardedProto string
	// Handshake reports whether the request is for a page of the OAuth 1.0a
	// handshake. There a credential may stand in the query or the form alone,
	// under every set of rules.
	Handshake bool
	// SpoofableIP reports whether ClientIP was taken from a forwarding header
	// in a way that lets a client choose it.
	SpoofableIP bool
	// Body reads the whole body within the limit, and puts it back for the next
	// reader. It is called only if a signature covers the body. The caller does
	// not change what it returns. BodyReader makes one. Nil means that there is
	// no body.
	Body func(limit BodyLimit) ([]byte, error)
}

// Key names everything that one lookup depends on, apart from the store itself.
type Key struct {
	// Wiki is the id of the wiki that the request is for.
	Wiki string
	// Protocol is OAuth1 or OAuth2.
	Protocol Protocol
	// Consumer is the oauth_consumer_key, or the aud of a JWT.
	Consumer string
	// Token is the oauth_token, or the jti of a JWT.
	Token string
	// Subject is the central user id in the sub of a JWT. It is 0 for OAuth 1
	// and for releases that do not resolve the sub.
	Subject uint64
	// Client is the address that the request came from, if it is known. Facts
	// do not depend on it, so a cache does not compare it. A Store uses it to
	// take turns between clients if more lookups wait than it can serve.
	Client netip.Addr
	// Primary sends the lookup to the primary alone, because something that it
	// rests on was changed a moment ago. Facts do not depend on it either.
	Primary bool
}

// Store finds what the tables of the wiki hold. A row that does not exist is a
// nil pointer and not an error: an error means that the store could not find
// out. Many requests share the result, so it must not be changed.
type Store interface {
	Lookup(ctx context.Context, key Key) (Facts, error)
}

// Refresher is a Store that keeps answers. Refresh returns facts that are no
// older than a bound of the Refresher's own. It reports whether they are newer
// than known, which an earlier Lookup returned. For each key it asks the tables
// at most once in the time of that bound, so that a client which is refused
// again and again cannot load the database.
type Refresher interface {
	Store
	Refresh(ctx context.Context, key Key, known Facts) (facts Facts, newer bool, err error)
}

// Nonces remembers nonces. Use reports whether the nonce is fresh for the
// consumer and the token of the key; the wiki is not part of its scope. It
// remembers the nonce until use.Until at least. Of any number of simultaneous
// calls with one nonce exactly one reports that it is fresh.
//
// ErrNonceExpired means that use.Until has passed. ErrNonceShare means that
// this user holds as many nonces as one user may. Any other error means that
// Use could not find out.
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

// Tokens verifies the signature and the form of a bearer token. It does not
// check the validity period, because that is done for every request with the
// times in the Token.
type Tokens interface {
	Verify(raw string) (Token, Reason)
}

// Token is a JWT whose signature was verified.
type Token struct {
	// ID is the jti.
	ID string
	// Audience is the aud.
	Audience string
	// Subject is the sub as text. It is empty if the sub is absent or empty to
	// PHP.
	Subject string
	// Scopes holds those scopes that are strings.
	Scopes []string
	// NotBefore is the later of nbf and iat, in Unix seconds; -Inf if both are
	// absent.
	NotBefore float64
	// Expires is exp, in Unix seconds; +Inf if it is absent.
	Expires float64
}

// Facts is what the tables hold for one Key.
type Facts struct {
	// Consumer is the row of Key.Consumer.
	Consumer *Consumer
	// Token is the row of Key.Token. Only OAuth 2 has it.
	Token *AccessToken
	// Acceptance is the row of Key.Token for OAuth 1, and the row that Token
	// names for OAuth 2.
	Acceptance *Acceptance
	// Accepted is the consumer that Acceptance names. It is the same pointer as
	// Consumer if both are the same app. For OAuth 1 it is nil if they differ,
	// because a request with a random consumer key must not cost the reading of
	// another app's restrictions.
	Accepted *Consumer
	// User is the user that Acceptance names, as this wiki knows them.
	User *User
	// Subject is the user of Key.Subject, as this wiki knows them.
	Subject *User
}

// Positive reports whether the credential was found: the consumer, and an
// acceptance of that consumer, or a token of a client alone. Anything less is a
// negative answer, which a row that is written a moment later can change. OAuth
// 1 alone compares the consumers, because a signed bearer token names its
// consumer itself.
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

// The stages, with the numbers of MediaWiki.
const (
	Proposed Stage = iota
	Approved
	Rejected
	Expired
	Disabled
	// Placeholder only reserves the id of an app that is kept in configuration.
	Placeholder
)

// Consumer is a registered application (oauth_registered_consumer).
type Consumer struct {
	ID   uint64
	Key  string
	Name string
	// OwnerID is the central user id of the owner.
	OwnerID uint64
	// Wiki is a wiki id, or "*" for all wikis.
	Wiki string
	// Version is oarc_oauth_version: 1 or 2.
	Version   uint8
	Stage     Stage
	OwnerOnly bool
	// Secret is oarc_secret_key as stored. Clients never sign with it.
	Secret string
	// RSAKey is nil if the consumer has no key, or none that may be used.
	RSAKey       *rsa.PublicKey
	Restrictions Restrictions
	// Broken reports whether MediaWiki cannot load the row, because oarc_grants
	// is not a list.
	Broken bool
}

// Acceptance is a user's authorization of a consumer (oauth_accepted_consumer).
type Acceptance struct {
	ID         uint64
	ConsumerID uint64
	// UserID is the central id of the user.
	UserID uint64
	// Wiki is a wiki id, or "*" for all wikis.
	Wiki string
	// Secret is oaac_access_secret as stored. Clients never sign with it.
	Secret string
	Grants []string
	// Broken reports whether MediaWiki cannot load the row, because oaac_grants
	// is not a list.
	Broken bool
}

// AccessToken is the row that makes a JWT a bearer token (oauth2_access_tokens).
type AccessToken struct {
	// AcceptanceID is 0 for a token of the client itself, without a user.
	AcceptanceID uint64
	Revoked      bool
}

// User is a user as one wiki knows them.
type User struct {
	CentralID uint64
	Name      string
	// Local reports whether the wiki has a user of that name.
	Local bool
	// Attached reports whether the central account is that of the local user.
	// With local users it is the same as Local.
	Attached bool
	Groups   []Group
	// Locked reports whether the central account is locked.
	Locked bool
	// Blocked is the time until which the user is blocked from the whole site; 0 if
	// they are not.
	Blocked Expiry
	// PartlyBlocked is the time until which the user is blocked from a part of
	// the site, in a release to which such a block counts as any other (up to
	// 1.41).
	PartlyBlocked Expiry
	// Hidden is the time until which the name is hidden; 0 if it is not.
	Hidden Expiry
}

// Group is one membership in a group, as stored.
type Group struct {
	Name    string
	Expires Expiry
}

// Expiry is a time in Unix seconds at which something ends. Never means that it
// does not end.
type Expiry int64

// Never is the Expiry of something that does not end.
const Never Expiry = math.MaxInt64

// After reports whether e is yet to come at now.
func (e Expiry) After(now time.Time) bool { return int64(e) > now.Unix() }
