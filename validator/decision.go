package validator

import "time"

// Verdict is the outcome for a request. The zero value denies.
type Verdict uint8

// The verdicts.
const (
	// Deny means that the request is refused for Decision.Reason.
	Deny Verdict = iota
	// Allow means that the credential is proven. Decision.Identity tells whose
	// it is.
	Allow
	// Anonymous means that no credential was sent. Whether that may pass is the
	// caller's decision.
	Anonymous
	// Unavailable means that it could not be found out. It is neither a pass
	// nor a refusal.
	Unavailable
)

// String returns the name that logs and metrics use.
func (v Verdict) String() string {
	return [...]string{"deny", "allow", "anonymous", "unavailable"}[v]
}

// Decision is the result for one request.
type Decision struct {
	Verdict  Verdict
	Reason   Reason
	Protocol Protocol
	// InQuery reports whether the credential came in the URL, so that a shared
	// cache must not keep the answer.
	InQuery bool
	// Consumer is the consumer key that the request named, proven or not, for
	// the log of a refusal.
	Consumer string
	// Sent is the timestamp of TimestampExpired and the nonce of NonceUsed, as
	// the client sent them. It can be any text.
	Sent string
	// SignedMethod and SignedURL are what a signature that does not match was
	// verified against, without a query, for the log of the refusal.
	SignedMethod, SignedURL string
	Identity                Identity
	// Early is by how much a bearer token came before the time from which on it is
	// valid, for TokenNotYetValid.
	Early time.Duration
	// Err is the cause of an Unavailable verdict. It is for the operator alone.
	Err error
}

// Identity is the proven user and app. A client's own token (client
// credentials) has no user: UserID is 0.
type Identity struct {
	// UserID is the central user id.
	UserID   uint64
	UserName string
	// Groups are the stored groups that have not expired. The slice is shared
	// and must not be changed.
	Groups []string
	// Grants is shared and must not be changed.
	Grants       []string
	ConsumerKey  string
	ConsumerName string
	Wiki         string
	OwnerOnly    bool
	// Pages are the only pages that may be changed; empty means all. Every page
	// may be read. The slice is shared and must not be changed.
	Pages []string
}
