package validator

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what MediaWiki derives secrets with
	"encoding/hex"
	"strconv"
	"time"
)

// This file has what an authorization server needs of the rules that a Verifier
// decides by, so that nothing is written twice.

// EffectiveSecret returns the secret that a client is given for a stored one: the
// hex of its HMAC-SHA1 under the site key, or without a site key the stored
// secret itself.
func (p *Policy) EffectiveSecret(stored string) string {
	if p.SiteKey == "" {
		return stored
	}
	mac := hmac.New(sha1.New, []byte(p.SiteKey))
	mac.Write([]byte(stored))
	return hex.EncodeToString(mac.Sum(nil))
}

// IssuedSubject returns the sub of an ordinary access token for a user: the
// central id, from MediaWiki 1.46 on with the scope of the ids in front.
func (p *Policy) IssuedSubject(userID uint64) string {
	id := strconv.FormatUint(userID, 10)
	if p.Release < 46 {
		return id
	}
	return "mw:" + p.userScope() + ":" + id
}

// CentralIDs reports whether the user ids in the OAuth tables are not the wiki's
// own.
func (p *Policy) CentralIDs() bool { return p.SharedUserIDs || p.Users == CentralAuth }

// Finds reports whether a central id leads to the user here: they must have that id
// and be a user of this wiki. From 1.47 on only the name must be theirs here. Up to
// 1.42 a hidden name is not found by a central id.
func (p *Policy) Finds(u *User, now time.Time) bool {
	hides := p.CentralIDs() && p.Release < 43
	return u.Attached && (u.Local || p.Release >= 47) && (!hides || !u.Hidden.After(now))
}

// RESTError returns the key and the text of the error that rest.php answers a
// refused credential with, from MediaWiki 1.44 on.
func (d *Decision) RESTError(wiki string, now time.Time) (key, message string) {
	e := d.mediaWikiError(wiki, now)
	return e.Code, e.Info
}

// LoginBlock returns the reason why a block keeps a user from logging in, or OK.
func (p *Policy) LoginBlock(u *User, now time.Time) Reason {
	switch {
	case !p.BlockDisablesLogin:
		return OK
	case u.Blocked.After(now):
		return UserBlocked
	case !p.OnlySitewideBlocks && u.PartlyBlocked.After(now):
		return UserPartiallyBlocked
	}
	return OK
}

// UsableBy reports whether a user may use the consumer. An approved consumer is
// for all users, an approved owner-only one and a proposed one for the owner.
// Any other may not be used. User 0 is the client itself.
func (c *Consumer) UsableBy(userID uint64) bool {
	owner := userID != 0 && userID == c.OwnerID
	switch c.Stage {
	case Approved:
		return !c.OwnerOnly || owner
	case Proposed:
		return owner
	default:
		return false
	}
}
