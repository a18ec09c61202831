package validator

import (
	"strconv"
	"strings"
	"time"
)

// mediaWikiError is how MediaWiki's Action API would have named a refusal.
type mediaWikiError struct {
	Code string // in the header MediaWiki-API-Error and the body
	Info string // in English
	// Param is the parameter of MediaWiki's message. Info has it already.
	Param string
}

const (
	mwInvalid     = "mwoauth-invalid-authorization"
	mwWrongWiki   = mwInvalid + "-wrong-wiki"
	mwInvalidUser = mwInvalid + "-invalid-user"
	mwBlockedUser = mwInvalid + "-blocked-user"
	mwNotApproved = mwInvalid + "-not-approved"

	mwInvalidToken   = "Invalid access token"
	mwInvalidClient  = "Client represented by given access token is invalid"
	mwNoGrant        = "No approved grant was found for that authorization token."
	mwNotApprovedFor = "Cannot create access token, user did not approve issuing this access token"
)

// mediaWikiDetail has MediaWiki's words for a refusal inside its general message.
// A reason that is not listed is one that MediaWiki does not have. Its words are
// those of the catalogue.
var mediaWikiDetail = map[Reason]string{
	MissingConsumerKey:     "Invalid consumer key",
	UnknownConsumer:        "Invalid consumer",
	MissingToken:           mwNoGrant,
	UnknownToken:           mwNoGrant,
	MissingTimestamp:       "Missing timestamp parameter. The parameter is required",
	TimestampExpired:       "Expired timestamp",
	MissingNonce:           "Missing nonce parameter. The parameter is required",
	NonceUsed:              "Nonce already used", // mwclient looks for these words, and tries again
	MissingSignatureMethod: "No signature method parameter. This parameter is required",
	UnsupportedMethod:      "Signature method not supported, try one of the following: HMAC-SHA1, RSA-SHA1",
	UnsupportedVersion:     "OAuth version not supported",
	MissingSignature:       "Invalid signature",
	BadSignature:           "Invalid signature",
	AddressNotAllowed:      "The request came from an invalid IP address.",
	AddressUntrusted:       "The request came from an invalid IP address.",
	MalformedToken:         mwInvalidToken,
	UnsupportedAlgorithm:   mwInvalidToken,
	BadTokenSignature:      mwInvalidToken,
	TokenExpired:           mwInvalidToken,
	TokenNotYetValid:       mwInvalidToken,
	TokenRevoked:           mwInvalidToken,
	UnknownClient:          mwInvalidClient,
	UnknownSubject:         "User represented by given access token is invalid",
	NoAcceptance:           mwNotApprovedFor,
}

// mediaWikiError returns the error of MediaWiki's Action API for a refusal, for
// clients that read it: mwclient and pywikibot act on the code, and on words of
// the text. The text quotes the wiki, and of the request a plain timestamp or
// nonce.
func (d Decision) mediaWikiError(wiki string, now time.Time) mediaWikiError {
	const prefix = "The authorization headers in your request are "
	switch d.Reason {
	case WrongWiki, ConsumerWrongWiki:
		return mediaWikiError{mwWrongWiki, prefix + "not valid for " + wiki, wiki}
	case UnknownUser:
		return mediaWikiError{mwInvalidUser, prefix + "for a user that does not exist here", ""}
	case UserLocked, UserBlocked, UserPartiallyBlocked:
		return mediaWikiError{mwBlockedUser, prefix + "for a user who is blocked", ""}
	case ConsumerNotUsable:
		return mediaWikiError{mwNotApproved, "The app that you are trying to connect seems to be set up incorrectly. Contact its author for help.", ""}
	}
	detail, found := mediaWikiDetail[d.Reason]
	if !found {
		detail = strings.TrimSuffix(d.Reason.Detail(), ".")
	}
	detail += d.quoted(now)
	return mediaWikiError{mwInvalid, prefix + "not valid: " + detail, detail}
}

// quoted returns the end of MediaWiki's text that quotes the request. A value
// that wikitext, HTML or a log might read otherwise is left out.
func (d Decision) quoted(now time.Time) string {
	if d.Sent == "" || !isPlain(d.Sent, quotable) || strings.Contains(d.Sent, "__") {
		return ""
	}
	switch d.Reason {
	case TimestampExpired:
		return ", yours " + d.Sent + ", ours " + strconv.FormatInt(now.Unix(), 10)
	case NonceUsed:
		return ": " + d.Sent
	}
	return ""
}

// quotable reports whether a character is one of base64, of its URL-safe kind,
// or unreserved in a URL. None of them is markup.
func quotable(c rune) bool {
	return isLetterOrDigit(c) || strings.ContainsRune("-._~+/=", c)
}
