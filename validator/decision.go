package validator

import "time"

// Verdict is what is to become of a request. The zero value denies.
type Verdict uint8

// The verdicts.
const (
	Deny        Verdict = iota // refused, for Decision.Reason
	Allow                      // the credential is proven; Decision.Identity says whose it is
	Anonymous                  // no credential was sent; whether that may pass is the caller's to say
	Unavailable                // it could not be found out: neither a pass nor a refusal
)

// String returns the name that logs and metrics use.
func (v Verdict) String() string {
	return [...]string{"deny", "allow", "anonymous", "unavailable"}[v]
}

// Decision is what the core found out about a request.
type Decision struct {
	Verdict  Verdict
	Reason   Reason
	Protocol Protocol
	// InQuery says that the credential came in the URL, so that a shared cache must not keep the answer.
	InQuery bool
	// Consumer is the consumer key that the request named, proven or not, for the log of a refusal.
	Consumer string
	// Sent is the timestamp of TimestampExpired and the nonce of NonceUsed, as
	// the client sent them: any text.
	Sent string
	// SignedMethod and SignedURL are what a signature that does not match was
	// verified against, without a query, for the log of the refusal.
	SignedMethod, SignedURL string
	Identity                Identity
	// Early is by how much a bearer token came before the time from which on it is
	// valid, for TokenNotYetValid.
	Early time.Duration
	// Err is the cause of an Unavailable verdict, for the operator and nobody else.
	Err error
}

// Identity is who acts, proven. A client's own token (client credentials) has no user: UserID is 0.
type Identity struct {
	UserID       uint64 // central user id
	UserName     string
	Groups       []string // stored and unexpired; shared, not to be changed
	Grants       []string // shared, not to be changed
	ConsumerKey  string
	ConsumerName string
	Wiki         string
	OwnerOnly    bool
	// Pages are the only pages that may be changed; empty: all. Every page may be read. Shared, not to be modified.
	Pages []string
}
