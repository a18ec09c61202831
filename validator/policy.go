package validator

import (
	"sync"
	"time"
)

// Policy is everything that a decision depends on beside the request and the facts. It does not change once
// it is in use.
type Policy struct {
	Wiki    string  // id of the wiki that requests are for; required
	Release Release // required
	Rules   Rules
	Users   UserSource
	// SharedUserIDs says that user ids are central ones: the OAuth tables are not in the wiki's own database, or the
	// wiki's $wgMWOAuthCentralWiki names itself.
	SharedUserIDs bool
	// SiteKey is $wgOAuthSecretKey, or $wgSecretKey. Empty: secrets are used as they are stored.
	SiteKey string
	// BaseScheme and BaseHost are what clients sign ($wgServer), lower-case and without a default port;
	// empty: what the request says. A BaseHost alone is a $wgServer without a scheme.
	BaseScheme, BaseHost string
	// BasePath comes before the path of every request in what clients sign: a
	// proxy in front took it away. Empty, or with a slash at its beginning alone.
	BasePath           string
	BlockDisablesLogin bool
	// OnlySitewideBlocks makes BlockDisablesLogin overlook blocks of a part of the
	// site, in every release.
	OnlySitewideBlocks bool
	TimestampWindow    time.Duration // how far a timestamp may be from the present, either way
	MaxFormSize        int64         // bytes
	MaxBodySize        int64         // bytes, of a body that oauth_body_hash binds
	// ClockSkew is how far the nbf and iat of a bearer token may be ahead of our
	// clock, because the host that wrote them has another one. Zero: not at all,
	// as in MediaWiki. It does not prolong exp.
	ClockSkew time.Duration
	Require   []Requirement

	siteMACs *sync.Pool // of HMACs under SiteKey
}

// Rules is how a credential is read and signed. Who may do what is MediaWiki's to say under both.
type Rules uint8

// The rules.
const (
	Standard  Rules = iota // RFC 5849, 6750 and 9110
	MediaWiki              // as MediaWiki does, byte for byte, and its objections in its order
)

// UserSource is where user ids come from.
type UserSource uint8

// The sources.
const (
	LocalUsers  UserSource = iota // the wiki's own user table
	CentralAuth                   // CentralAuth's global accounts
)

// Defaults of a Policy.
const (
	DefaultTimestampWindow = 5 * time.Minute
	DefaultMaxFormSize     = 8 << 20 // bytes
	DefaultMaxBodySize     = 32 << 20
	// DefaultClockSkew is what to set under the rules Standard.
	DefaultClockSkew = time.Second
)
