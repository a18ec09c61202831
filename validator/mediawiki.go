package validator

import "strings"

// mediaWikiError is how MediaWiki's Action API would have named a refusal.
type mediaWikiError struct {
	Code string // in the header MediaWiki-API-Error and the body
	Info string // in English
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

// mediaWikiDetail is what MediaWiki says of a refusal inside its general message. A reason that is not listed is
// one that MediaWiki does not have: it is told in our words.
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

// mediaWikiError returns what MediaWiki's Action API says of a refusal, for clients that read it: mwclient and
// pywikibot act on the code, and on words of the text. The text quotes the wiki, and nothing of the request.
func (d Decision) mediaWikiError(wiki string) mediaWikiError {
	switch d.Reason {
	case WrongWiki, ConsumerWrongWiki:
		return mediaWikiError{mwWrongWiki, "The authorization headers in your request are not valid for " + wiki}
	case UnknownUser:
		return mediaWikiError{mwInvalidUser, "The authorization headers in your request are for a user that does not exist here"}
	case UserLocked, UserBlocked:
		return mediaWikiError{mwBlockedUser, "The authorization headers in your request are for a user who is blocked"}
	case ConsumerNotUsable:
		return mediaWikiError{mwNotApproved, "The app that you are trying to connect seems to be set up incorrectly. Contact its author for help."}
	}
	detail, found := mediaWikiDetail[d.Reason]
	if !found {
		detail = strings.TrimSuffix(d.Reason.Detail(), ".")
	}
	return mediaWikiError{mwInvalid, "The authorization headers in your request are not valid: " + detail}
}
