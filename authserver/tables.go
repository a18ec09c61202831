package authserver

import (
	"context"
	"errors"
	"time"
)

// Errors of Tables. Every other error means that the tables could not be asked
// or written. Nothing was changed then, unless the connection was lost while the
// transaction was committed: that is an error too, and nobody knows its outcome.
var (
	// ErrTokenExists means that the token row was written before: a code was
	// exchanged, or a refresh token was used.
	ErrTokenExists = errors.New("access token exists already")
	// ErrTokenGone means that the row of the access token that a refresh token
	// belongs to is revoked or was deleted.
	ErrTokenGone = errors.New("access token is revoked or gone")
	// ErrNoAcceptance means that the acceptance which a token row is for is gone,
	// or covers less than the token's scopes.
	ErrNoAcceptance = errors.New("acceptance is gone or too narrow")
)

// Tables reads and writes the tables of one wiki with the writing account. All
// reads go to the primary. Each method that writes is one transaction. A row that
// does not exist is a nil pointer or an empty list, not an error.
type Tables interface {
	// Consumer returns the app with the key.
	Consumer(ctx context.Context, key string) (*Consumer, error)
	// ConsumerByID returns the app with the id (oarc_id).
	ConsumerByID(ctx context.Context, id uint64) (*Consumer, error)
	// UserByID returns the user with the central id, as this wiki knows them.
	UserByID(ctx context.Context, id uint64) (*User, error)
	// UserByName returns the user with the name, as this wiki knows them.
	UserByName(ctx context.Context, name string) (*User, error)
	// Acceptances returns the acceptances of a user for an app, on every wiki.
	Acceptances(ctx context.Context, userID, consumerID uint64) ([]Acceptance, error)
	// AcceptancesOf returns all acceptances of a user with their apps, newest
	// first, at most limit. Of an app that is in no table the id alone is set.
	AcceptancesOf(ctx context.Context, userID uint64, limit int) ([]Accepted, error)

	// Accept writes that a user allows an app to do something. It creates the row
	// of the wiki, or replaces the grants of the row that is there: token, secret
	// and date stay. Of two simultaneous calls for one user and app one creates
	// the row, and both succeed. It returns the row as it is afterwards.
	Accept(ctx context.Context, a Approval) (Acceptance, error)
	// Withdraw deletes an acceptance of the user and its token rows, and returns
	// what it deleted. found is false when the user has no such acceptance. With an
	// error, gone is what may be deleted, because nobody knows.
	Withdraw(ctx context.Context, userID, acceptanceID uint64) (gone Withdrawn, found bool, err error)

	// Token returns the row of an access token.
	Token(ctx context.Context, jti string) (*Token, error)
	// IssueToken writes the row of a new access token. If acceptance is not nil,
	// the row that it names must still exist, be of its user and app, and cover its
	// grants, otherwise ErrNoAcceptance. ErrTokenExists: the jti is taken.
	IssueToken(ctx context.Context, t Token, acceptance *Acceptance) error
	// RefreshToken revokes the row of old, which must be there and not be revoked
	// yet (otherwise ErrTokenGone), and writes the row of next like IssueToken, in
	// one transaction.
	RefreshToken(ctx context.Context, old string, next Token, acceptance *Acceptance) error
	// RevokeFamily revokes every access token whose jti begins with the prefix, at
	// least 16 hexadecimal digits, and returns how many were not revoked before.
	RevokeFamily(ctx context.Context, prefix string) (int64, error)
}

// Accepted is an acceptance with its app.
type Accepted struct {
	Acceptance
	Consumer Consumer
}

// Approval is a user's consent. Token, Secret and Accepted are used if a row is
// created.
type Approval struct {
	UserID, ConsumerID uint64
	Wiki               string // of the app: a wiki id, or "*"
	ThisWiki           string // id of the wiki that was asked
	Version            uint8
	Grants             GrantList
	Token, Secret      string
	Accepted           time.Time
}

// Withdrawn is what a withdrawal deleted.
type Withdrawn struct {
	Acceptance Acceptance
	// JTIs are the access tokens whose rows were deleted.
	JTIs []string
}
