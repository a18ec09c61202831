package grants

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// DefaultMaxOpenConns is how many connections the account that writes needs at
// most: consents and tokens are few beside requests.
const DefaultMaxOpenConns = 8

// Open makes the pool of the account that writes. It has no replicas, because
// what decides about a token must not be older than the last commit.
func Open(cfg store.Config) (*store.Pool, error) {
	if len(cfg.Replicas) > 0 {
		return nil, errors.New("the account that writes uses the primary alone: remove its replicas")
	}
	if cfg.MaxOpenConns <= 0 {
		cfg.MaxOpenConns = DefaultMaxOpenConns
	}
	cfg.Writes = true
	return store.Open(cfg)
}

// Tables are the tables of one wiki.
type Tables struct {
	view    *store.Store
	release validator.Release
}

var _ authserver.Tables = (*Tables)(nil)

// New makes the view of one wiki through a pool of Open. It costs little.
func New(pool *store.Pool, wiki store.Wiki) *Tables {
	return &Tables{pool.Wiki(wiki), wiki.Release}
}

// rights are what the account needs of the tables that it writes. docs/database.md
// has the same list.
var rights = store.Rights{
	"oauth_registered_consumer": "SELECT (oarc_id, oarc_consumer_key, oarc_name, oarc_user_id, oarc_wiki, oarc_oauth_version, oarc_stage, " +
		"oarc_owner_only, oarc_grants, oarc_restrictions, oarc_secret_key, oarc_rsa_key, oarc_version, oarc_callback_url, " +
		"oarc_callback_is_prefix, oarc_description, oarc_deleted, oarc_oauth2_allowed_grants, oarc_oauth2_is_confidential)",
	"oauth_accepted_consumer": "SELECT (oaac_id, oaac_wiki, oaac_user_id, oaac_consumer_id, oaac_access_token, oaac_access_secret, " +
		"oaac_grants, oaac_accepted, oaac_oauth_version), INSERT (oaac_wiki, oaac_user_id, oaac_consumer_id, oaac_access_token, " +
		"oaac_access_secret, oaac_grants, oaac_accepted, oaac_oauth_version), UPDATE (oaac_wiki, oaac_grants, oaac_oauth_version), DELETE",
	"oauth2_access_tokens": "SELECT (oaat_identifier, oaat_expires, oaat_acceptance_id, oaat_revoked), INSERT (oaat_identifier, " +
		"oaat_expires, oaat_acceptance_id, oaat_revoked), UPDATE (oaat_revoked), DELETE",
}

func (t *Tables) transact(ctx context.Context, do func(tx *store.Tx) error) error {
	return t.view.Transact(ctx, rights, do)
}

func (t *Tables) read(ctx context.Context, do func(tx *store.Tx) error) error {
	return t.view.Read(ctx, rights, do)
}

// UserByID returns the user with the central id, as this wiki knows them.
func (t *Tables) UserByID(ctx context.Context, id uint64) (*authserver.User, error) {
	return user(t.view.User(ctx, id))
}

// UserByName returns the user with the name, as this wiki knows them.
func (t *Tables) UserByName(ctx context.Context, name string) (*authserver.User, error) {
	return user(t.view.UserByName(ctx, name))
}

func user(u *validator.User, p store.Profile, err error) (*authserver.User, error) {
	if u == nil || err != nil {
		return nil, err
	}
	return &authserver.User{User: *u, Profile: authserver.Profile(p)}, nil
}

// Sizes of columns. A server that is not strict would cut what is longer, so
// longer values are refused here.
const (
	maxKey  = 32
	maxWiki = 255
	maxJTI  = 255
	maxBlob = 1<<16 - 1
)

// maxID is the largest id that the columns hold.
const maxID = 1<<32 - 1

// fits returns an error if a value is longer than its column. It does not quote
// the value, which may be secret.
func fits(column, value string, size int) error {
	if len(value) > size {
		return fmt.Errorf("%s: %d bytes are more than the column holds (%d)", column, len(value), size)
	}
	return nil
}

// timeFormat is how MediaWiki's tables keep a time, in UTC.
const timeFormat = "20060102150405"

func storedTime(t time.Time) (string, error) {
	t = t.UTC()
	if y := t.Year(); y < 1 || y > 9999 {
		return "", fmt.Errorf("a time in the year %d has no room in its column", y)
	}
	return t.Format(timeFormat), nil
}

// endOfTime stands for the expiry of what does not expire.
var endOfTime = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// readTime reads a time of a column. What cannot be read is long ago.
func readTime(raw []byte) time.Time {
	e, ok := validator.ParseExpiry(raw)
	switch {
	case !ok:
		return time.Time{}
	case e == validator.Never:
		return endOfTime
	}
	return time.Unix(int64(e), 0).UTC()
}
