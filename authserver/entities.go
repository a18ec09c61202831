package authserver

import (
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Consumer is a registered app with everything that issuing needs
// (oauth_registered_consumer, or an entry of $wgOAuthStaticApps).
type Consumer struct {
	validator.Consumer

	// CallbackURL is the registered callback (oarc_callback_url).
	CallbackURL string
	// CallbackIsPrefix reports whether an OAuth 1.0a callback may be longer than
	// the registered one (oarc_callback_is_prefix).
	CallbackIsPrefix bool
	// Description and AppVersion are the owner's own words for the consent page.
	Description string
	AppVersion  string
	// Grants are what the app asks for (oarc_grants).
	Grants GrantList
	// Deleted reports whether the app is suppressed (oarc_deleted).
	Deleted bool
	// HasRSAKey reports whether the row has an RSA key, usable or not.
	HasRSAKey bool
	// GrantTypes are the OAuth 2 grant types that the app may use
	// (oarc_oauth2_allowed_grants).
	GrantTypes []string
	// Confidential reports whether an OAuth 2 client can keep a secret
	// (oarc_oauth2_is_confidential).
	Confidential bool
}

// Acceptance is what a user allowed an app to do (oauth_accepted_consumer).
type Acceptance struct {
	ID         uint64
	Wiki       string // a wiki id, or "*"
	UserID     uint64 // central user id
	ConsumerID uint64
	// Token and Secret are the OAuth 1.0a access token. Secret is as stored: what
	// a client gets is derived from it and the site key.
	Token, Secret string
	Grants        GrantList
	Accepted      time.Time
	Version       uint8 // OAuth version: 1 or 2
}

// Token is a row of oauth2_access_tokens.
type Token struct {
	JTI string
	// Expires is the end of the year 9999 for a row that does not expire, and zero
	// for one whose expiry cannot be read.
	Expires      time.Time
	AcceptanceID uint64 // 0: the client's own token
	Revoked      bool
}

// User is a user of the wiki that was asked.
type User struct {
	validator.User
	Profile Profile
}

// Profile is what /identify and the profile resource tell of a user besides the
// name. Fields that the writing account may not read are absent.
type Profile struct {
	EditCount int64
	// Registered is user_registration as stored, 14 digits, or empty.
	Registered     string
	EmailConfirmed bool
	Email          string
	RealName       string
	// HasPrivate reports whether e-mail and real name could be read.
	HasPrivate bool
}
