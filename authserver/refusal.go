package authserver

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Refusal is why a request is refused: a row of the catalogue, and what its
// texts are to be filled with.
type Refusal struct {
	Reason Reason
	// Detail fills the hint or the text: a parameter, a scope, the name of an app.
	Detail string
	// UserID fills the hint of a client that a user may not use.
	UserID uint64
	// App fills the text of a refusal of OAuth 1.0a.
	App *Consumer
	// Protocol is the reason within a ProtocolError, and Now the server's time.
	Protocol validator.Reason
	Now      time.Time
	// Err is the cause of an Unavailable, for the operator and nobody else.
	Err error
}

// is reports whether there is a refusal, and for this reason.
func (r *Refusal) is(reason Reason) bool { return r != nil && r.Reason == reason }

// refuse returns a refusal without details.
func refuse(r Reason) *Refusal { return &Refusal{Reason: r} }

// unavailable returns the refusal of a request that could not be decided.
func unavailable(err error) *Refusal {
	if errors.Is(err, validator.ErrCrowded) {
		return refuse(TooManyUnproven)
	}
	return &Refusal{Reason: ServiceUnavailable, Err: err}
}

// Reason is why a request is refused. The zero value is none.
type Reason uint8

// The reasons. Their names are stable.
const (
	NoReason Reason = iota

	// OAuth 2, the token endpoint (RFC 6749 section 5.2).
	InvalidParameter
	SeveralClientCredentials
	ClientAuthFailed
	CodeUnreadable
	CodeMalformed
	CodeExpired
	CodeUsed
	CodeOfOtherClient
	WrongRedirectURI
	MalformedVerifier
	WrongCodeVerifier
	SuperfluousVerifier
	RefreshUnreadable
	RefreshOfOtherClient
	RefreshExpired
	RefreshUsed
	UnknownScope
	NoScopesLeft
	ClientNotUsable
	UserNotUsable
	ApprovalMissing
	OwnerOnlyToken
	ReadOnly
	ServiceUnavailable
	TooManyUnproven

	// OAuth 2, the authorization endpoint (RFC 6749 section 4.1.2.1).
	UserDenied

	// OAuth 2, the resources.
	TokenMissing
	TokenMalformed
	TokenUnverified
	TokenRevoked

	// Our own pages.
	NotSignedIn
	VisitorUnknown
	VisitorMismatch
	VisitorMayNotLogIn
	PageMethod

	// OAuth 1.0a.
	ProtocolError
	WrongAddress
	TooManyRequests
	CallbackNotOOB
	CallbackNotPrefix
	BadRequestToken
	BadVerifier
	AccessTokenNotFound
	IdentifyNotApproved
	IdentifyBlockedUser
	IdentifyUnknownUser
	IdentifyWrongWiki
	UnsupportedVersion
	VerifierMissing
	UnknownAction
	UnknownActionOfApp
	RequestTokenNotFound
	AppNotUsable
	UnknownApp
	RequestTokenUsed
	OwnerOnlyApp
	AppWithoutKey
	AppOfOtherVersion

	numReasons
)

// row is what the outside sees of a reason.
type row struct {
	name string
	// code is the error of RFC 6749 section 5.2.
	code   string
	status int
	text   string
	// hint may hold one verb for Refusal.Detail.
	hint string
	// key is MediaWiki's message key, and e its code E001 to E012. In the text of
	// such a message, $app and $key stand for the app, and $detail for the detail.
	key string
	e   eCode
}

// Texts of the library that MediaWiki's extension uses.
const (
	invalidRequestText = "The request is missing a required parameter, includes an invalid parameter value, " +
		"includes a parameter more than once, or is otherwise malformed."
	invalidGrantText = "The provided authorization grant (e.g., authorization code, resource owner credentials) or refresh token " +
		"is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client."
	invalidClientText  = "Client authentication failed"
	invalidRefreshText = "The refresh token is invalid."
	invalidScopeText   = "The requested scope is invalid, unknown, or malformed"
	accessDeniedText   = "The resource owner or authorization server denied the request."
	unavailableText    = "The authorization server is temporarily unable to handle the request. Try again later."
	wentWrongText      = "Sorry, something went wrong connecting this application."
	contactText        = "Contact the application author for help."
	readOnlyText       = "The OAuth database is temporarily locked. Please try again in a few minutes."
)

const (
	invalidRequest = "invalid_request"
	invalidClient  = "invalid_client"
	invalidGrant   = "invalid_grant"
	invalidScope   = "invalid_scope"
	accessDenied   = "access_denied"
	tryLater       = "temporarily_unavailable"
)

var catalogue = [numReasons]row{
	NoReason: {name: "none"},

	InvalidParameter:         of2("invalid_parameter", invalidRequest, 400, invalidRequestText, "Check the `%s` parameter"),
	SeveralClientCredentials: of2("several_client_credentials", invalidRequest, 400, invalidRequestText, "Authenticate the client in one way only"),
	ClientAuthFailed:         of2("client_authentication_failed", invalidClient, 401, invalidClientText, ""),
	CodeUnreadable:           of2("code_unreadable", invalidRequest, 400, invalidRequestText, "Cannot decrypt the authorization code"),
	CodeMalformed:            of2("code_malformed", invalidRequest, 400, invalidRequestText, "Authorization code malformed"),
	CodeExpired:              of2("code_expired", invalidRequest, 400, invalidRequestText, "Authorization code has expired"),
	CodeUsed:                 of2("code_used", invalidRequest, 400, invalidRequestText, "Authorization code has been revoked"),
	CodeOfOtherClient:        of2("code_of_other_client", invalidRequest, 400, invalidRequestText, "Authorization code was not issued to this client"),
	WrongRedirectURI:         of2("wrong_redirect_uri", invalidRequest, 400, invalidRequestText, "Invalid redirect URI"),
	MalformedVerifier:        of2("malformed_code_verifier", invalidRequest, 400, invalidRequestText, "Code Verifier must follow the specifications of RFC-7636."),
	WrongCodeVerifier:        of2("wrong_code_verifier", invalidGrant, 400, invalidGrantText, "Failed to verify `code_verifier`."),
	SuperfluousVerifier:      of2("superfluous_code_verifier", invalidRequest, 400, invalidRequestText, "code_verifier received when no code_challenge is present"),
	RefreshUnreadable:        of2("refresh_token_unreadable", invalidRequest, 401, invalidRefreshText, "Cannot decrypt the refresh token"),
	RefreshOfOtherClient:     of2("refresh_token_of_other_client", invalidRequest, 401, invalidRefreshText, "Token is not linked to client"),
	RefreshExpired:           of2("refresh_token_expired", invalidRequest, 401, invalidRefreshText, "Token has expired"),
	RefreshUsed:              of2("refresh_token_used", invalidRequest, 401, invalidRefreshText, "Token has been revoked"),
	UnknownScope:             of2("unknown_scope", invalidScope, 400, invalidScopeText, "Check the `%s` scope"),
	NoScopesLeft:             of2("no_scopes", invalidScope, 400, invalidScopeText, "None of the scopes may be granted"),
	ClientNotUsable:          of2("client_not_usable", accessDenied, 401, accessDeniedText, "Client %s is not usable by user with ID %d"),
	UserNotUsable:            of2("user_not_usable", accessDenied, 401, accessDeniedText, "The user does not exist here, or may not log in"),
	ApprovalMissing:          of2("approval_missing", invalidGrant, 400, invalidGrantText, "The user's approval is gone, or does not cover the scopes"),
	OwnerOnlyToken:           of2("owner_only_token", invalidGrant, 400, invalidGrantText, "The client may be used by its owner only"),
	ReadOnly: {
		name: "read_only", code: tryLater, status: 503, text: readOnlyText, key: "mwoauth-db-readonly",
	},
	ServiceUnavailable: of2("unavailable", tryLater, 503, unavailableText, ""),
	TooManyUnproven: {
		name: "too_many_unproven", code: tryLater, status: 429, text: "Too many requests by clients that have proven nothing yet. Try again later.",
		key: "mwoauth-oauth-exception",
	},

	UserDenied: of2("user_denied", accessDenied, 401, accessDeniedText, ""),

	TokenMissing:    of2("token_missing", accessDenied, 401, accessDeniedText, `Missing "Authorization" header`),
	TokenMalformed:  of2("token_malformed", accessDenied, 401, accessDeniedText, "The JWT string must have two dots"),
	TokenUnverified: of2("token_unverified", accessDenied, 401, accessDeniedText, "Access token could not be verified"),
	TokenRevoked:    of2("token_revoked", accessDenied, 401, accessDeniedText, "Access token has been revoked"),

	NotSignedIn: of2("not_signed_in", accessDenied, 401, "You are not signed in.", ""),
	VisitorUnknown: {
		name: "visitor_unknown", code: accessDenied, status: 403, text: "Your account does not exist on this wiki.",
		key: "mwoauthserver-invalid-user", e: eCode{"No central account", "E008"},
	},
	VisitorMismatch: of2("visitor_mismatch", accessDenied, 403, "Your session names another account than this wiki does.", ""),
	VisitorMayNotLogIn: {
		name: "visitor_may_not_log_in", code: accessDenied, status: 403, text: "Your account is locked or blocked.",
		key: "mwoauthserver-insufficient-rights", e: eCode{"Insufficient rights", "E007"},
	},
	PageMethod: of2("method_not_allowed", invalidRequest, 405, invalidRequestText, ""),

	ProtocolError:   of1("protocol_error", "mwoauth-oauth-exception", "An error occurred in the OAuth protocol.", eCode{}),
	WrongAddress:    of1("address_not_allowed", "mwoauthdatastore-bad-source-ip", "The request came from an invalid IP address.", eCode{}),
	TooManyRequests: of1("nonce_share_used_up", "mwoauth-oauth-exception", "Too many requests by this app.", eCode{}),
	CallbackNotOOB: of1("callback_not_oob", "mwoauth-callback-not-oob",
		`oauth_callback must be set, and must be set to "oob" (case-sensitive)`, eCode{}),
	CallbackNotPrefix: of1("callback_not_prefix", "mwoauth-callback-not-oob-or-prefix",
		`oauth_callback must be set, and must be set to "oob" (case-sensitive), or the configured callback must be a prefix of the supplied callback.`, eCode{}),
	BadRequestToken: of1("request_token_not_approved", "mwoauthdatastore-bad-token", "No token was found matching your request.", eCode{}),
	BadVerifier:     of1("wrong_verifier", "mwoauthdatastore-bad-verifier", "The verification code provided was not valid.", eCode{}),
	AccessTokenNotFound: of1("access_token_not_found", "mwoauthdatastore-access-token-not-found",
		"No approved grant was found for that authorization token.", eCode{}),
	IdentifyNotApproved: of1("app_not_approved", "mwoauth-invalid-authorization-not-approved",
		`The app that you are trying to connect seems to be set up incorrectly. Contact the author of "$app" for help.`, eCode{}),
	IdentifyBlockedUser: of1("user_blocked", "mwoauth-invalid-authorization-blocked-user",
		"The authorization headers in your request are for a user who is blocked", eCode{}),
	IdentifyUnknownUser: of1("user_unknown", "mwoauth-invalid-authorization-invalid-user",
		"The authorization headers in your request are for a user that does not exist here", eCode{}),
	IdentifyWrongWiki: of1("wrong_wiki", "mwoauth-invalid-authorization-wrong-wiki",
		"The authorization headers in your request are not valid for $detail", eCode{}),
	UnsupportedVersion: of1("unsupported_version", "mwoauth-oauth-unsupported-version",
		"This endpoint is not allowed for OAuth version $detail", eCode{}),

	VerifierMissing: of1("verifier_missing", "mwoauth-bad-request-missing-params", wentWrongText+" "+contactText,
		eCode{"Missing parameters", "E001"}),
	UnknownAction: of1("unknown_action", "mwoauth-bad-request-invalid-action",
		"Sorry, something went wrong, you'll need to contact the application author for help with this.", eCode{"Unknown URL", "E002"}),
	UnknownActionOfApp: of1("unknown_action_of_app", "mwoauth-bad-request-invalid-action-contact",
		"Sorry, something went wrong. You'll need to $detail the application author for help with this.", eCode{"Unknown URL", "E003"}),
	RequestTokenNotFound: of1("request_token_not_found", "mwoauthdatastore-request-token-not-found",
		wentWrongText+"\nGo back and try to connect your account again, or contact the application author.", eCode{"OAuth token not found", "E004"}),
	AppNotUsable: of1("app_not_usable", "mwoauthserver-bad-consumer",
		`"$app" is not approved as a Connected App. `+contactText, eCode{"Connected OAuth app not approved", "E005"}),
	UnknownApp: of1("unknown_app", "mwoauthserver-bad-consumer-key", wentWrongText, eCode{"Unknown OAuth key", "E006"}),
	RequestTokenUsed: of1("request_token_used", "mwoauthdatastore-request-token-already-used",
		"This request has already been completed and cannot be resubmitted.\nGo back to the application and try to connect your account again, "+
			"or contact the application author.", eCode{"OAuth token already used", "E009"}),
	OwnerOnlyApp: of1("owner_only_app", "mwoauthserver-consumer-owner-only",
		`"$app" is an owner-only Connected App. To fetch the access token, see [[Special:OAuthConsumerRegistration/update/$key]].`,
		eCode{"Consumer is owner-only", "E010"}),
	AppWithoutKey:     of1("app_without_key", "mwoauthserver-consumer-no-secret", wentWrongText, eCode{"Consumer has no secret key", "E011"}),
	AppOfOtherVersion: of1("app_of_other_version", "mwoauthserver-bad-consumer-version", `"$app" does not use this version of OAuth. `+contactText, eCode{"Wrong OAuth version", "E012"}),
}

// of2 is a row of OAuth 2 or of our own pages.
func of2(name, code string, status int, text, hint string) row {
	return row{name: name, code: code, status: status, text: text, hint: hint}
}

// of1 is a row of OAuth 1.0a. Its status is that of a page for a person: machines
// get 200, as from MediaWiki.
func of1(name, key, text string, e eCode) row {
	return row{name: name, code: invalidRequest, status: http.StatusBadRequest, text: text, key: key, e: e}
}

// String returns the reason's stable name.
func (r Reason) String() string { return catalogue[r].name }

// Reasons lists every reason in the catalogue.
func Reasons() []Reason {
	all := make([]Reason, numReasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// hint returns the hint of an OAuth 2 error. What a client sent is escaped as the
// library escapes it.
func (r *Refusal) hint() string {
	h := catalogue[r.Reason].hint
	switch r.Reason {
	case InvalidParameter, UnknownScope:
		return fmt.Sprintf(h, escapeHTML(r.Detail))
	case ClientNotUsable:
		return fmt.Sprintf(h, r.Detail, r.UserID)
	case TokenMalformed:
		return cmp.Or(r.Detail, h)
	default:
		return h
	}
}

// oauth2 returns the code, the status and the text of an OAuth 2 error. From
// MediaWiki 1.46 on a bad refresh token, and a code that has expired or was used,
// is an invalid_grant.
func (s *Server) oauth2(r *Refusal) (code string, status int, text string) {
	row := &catalogue[r.Reason]
	switch modern := s.cfg.Policy.Release >= 46; {
	case modern && row.text == invalidRefreshText:
		return invalidGrant, http.StatusBadRequest, row.text
	case modern && (r.Reason == CodeExpired || r.Reason == CodeUsed):
		return invalidGrant, http.StatusBadRequest, invalidGrantText
	}
	return row.code, row.status, row.text
}

// escapeHTML escapes a text as PHP's htmlspecialchars does.
func escapeHTML(s string) string { return htmlEscaper.Replace(s) }

var htmlEscaper = strings.NewReplacer("&", "&amp;", `"`, "&quot;", "'", "&#039;", "<", "&lt;", ">", "&gt;")

// Code returns MediaWiki's code of the refusal, E001 to E012, or "".
func (r *Refusal) Code() string { return catalogue[r.Reason].e.code }
