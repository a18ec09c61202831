package authserver

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Errors of State. Every other error means that the state could not be asked.
var (
	// ErrStateFull means that the app or its user has as many request tokens as
	// one may, or that the memory is full.
	ErrStateFull = errors.New("no room for another request token")
	// ErrNoRequestToken means that the request token is unknown or has expired.
	ErrNoRequestToken = errors.New("request token not found")
	// ErrRequestTokenUsed means that the request token was exchanged.
	ErrRequestTokenUsed = errors.New("request token already used")
	// ErrNotApproved means that no user has approved the request token.
	ErrNotApproved = errors.New("request token is not approved")
	// ErrAlreadyApproved means that a user has approved the request token, or is
	// about to.
	ErrAlreadyApproved = errors.New("request token is already approved")
	// ErrWrongVerifier means that the verifier does not match. After ten of them
	// the request token is used up.
	ErrWrongVerifier = errors.New("wrong verifier")
)

// State keeps request tokens of OAuth 1.0a for ten minutes. Every method is
// atomic for its token. Nothing else needs to be kept: codes and refresh tokens
// carry what they stand for.
type State interface {
	// Create keeps a new request token.
	Create(ctx context.Context, t RequestToken) error
	// RequestToken returns a token that has not expired. With one that was
	// exchanged comes ErrRequestTokenUsed.
	RequestToken(ctx context.Context, key string) (RequestToken, error)
	// Claim reserves a token for the approval of one user, for a short time, so
	// that nobody else can approve it. Release ends the reservation.
	Claim(ctx context.Context, key string, userID uint64) error
	Release(ctx context.Context, key string, userID uint64)
	// Approve gives the token that was claimed by the user its verifier and the
	// access token that it is to be exchanged for. Its life begins anew.
	Approve(ctx context.Context, key string, a RequestApproval) error
	// Exchange uses the token up if the verifier matches, in constant time. Of
	// any number of simultaneous calls exactly one succeeds.
	Exchange(ctx context.Context, key, verifier string) (RequestApproval, error)
}

// RequestToken is an OAuth 1.0a request token (RFC 5849 section 2.1).
type RequestToken struct {
	Key, Secret string
	ConsumerKey string
	// OwnerID is the owner of the app, whose share of the memory the token takes.
	OwnerID uint64
	// Client is the network of the client that asked for it.
	Client   netip.Addr
	Callback string // as sent at /initiate
	Expires  time.Time
	// Approval is set once a user has approved.
	Approval *RequestApproval
}

// RequestApproval is a user's approval of a request token.
type RequestApproval struct {
	UserID   uint64
	Verifier string
	// AccessToken is the token of the acceptance (oaac_access_token).
	AccessToken string
	Expires     time.Time
}
