package validator

import (
	"sync"
	"time"
)

// Policy is everything that a decision depends on, apart from the request and
// the facts. It does not change once it is in use.
type Policy struct {
	// Wiki is the id of the wiki that requests are for. It is required.
	Wiki string
	// Release is required.
	Release Release
	Rules   Rules
	Users   UserSource
	// SharedUserIDs reports whether user ids are central ones, because the
	// OAuth tables are not in the wiki's own database, or because
	// $wgMWOAuthCentralWiki of the wiki names itself.
	SharedUserIDs bool
	// SiteKey is $wgOAuthSecretKey, or $wgSecretKey. If it is empty, secrets
	// are used as they are stored.
	SiteKey string
	// BaseScheme and BaseHost are what clients sign ($wgServer), in lower case
	// and without a default port. If they are empty, the request's are used. A
	// BaseHost alone is a $wgServer without a scheme.
	BaseScheme, BaseHost string
	// BasePath comes before the path of every request in what clients sign: a
	// proxy in front took it away. Empty, or with a slash at its beginning alone.
	BasePath           string
	BlockDisablesLogin bool
	// OnlySitewideBlocks makes BlockDisablesLogin overlook blocks of a part of the
	// site, in every release.
	OnlySitewideBlocks bool
	// TimestampWindow is how far a timestamp may be from the present, in either
	// direction.
	TimestampWindow time.Duration
	// MaxFormSize bounds a signed form, in bytes.
	MaxFormSize int64
	// MaxBodySize bounds a body that oauth_body_hash binds, in bytes.
	MaxBodySize int64
	// ClockSkew is how far the nbf and iat of a bearer token may be ahead of our
	// clock, because the host that wrote them has another one. Zero: not at all,
	// as in MediaWiki. It does not prolong exp.
	ClockSkew time.Duration
	Require   []Requirement

	siteMACs *sync.Pool // of HMACs under SiteKey
}

// Rules tells how a credential is read and signed. Under both rules MediaWiki's
// rules decide who may do what.
type Rules uint8

// The rules.
const (
	// Standard follows RFC 5849, 6750 and 9110.
	Standard Rules = iota
	// MediaWiki reads as MediaWiki does, byte for byte, and checks in its
	// order.
	MediaWiki
)

// UserSource is where user ids come from.
type UserSource uint8

// The sources.
const (
	// LocalUsers are those of the wiki's own user table.
	LocalUsers UserSource = iota
	// CentralAuth has global accounts.
	CentralAuth
)

// Defaults of a Policy.
const (
	DefaultTimestampWindow = 5 * time.Minute
	DefaultMaxFormSize     = 8 << 20 // bytes
	DefaultMaxBodySize     = 32 << 20
	// DefaultClockSkew is what to set under the rules Standard.
	DefaultClockSkew = time.Second
)
