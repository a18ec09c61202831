package authserver

import (
	"fmt"
	"net/http"
	"strings"
)

// Refusal is why a request is refused: a row of the catalogue, and what its
// texts are to be filled with.
type Refusal struct {
	Reason Reason
	// Detail fills the hint or the text: a parameter, a scope, the name of an app.
	Detail string
	// UserID fills the hint of a client that a user may not use.
	UserID uint64
	// Err is the cause of an Unavailable, for the operator and nobody else.
	Err error
}

// refuse returns a refusal without details.
func refuse(r Reason) *Refusal { return &Refusal{Reason: r} }

// unavailable returns the refusal of a request that could not be decided.
func unavailable(err error) *Refusal { return &Refusal{Reason: ServiceUnavailable, Err: err} }

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

	InvalidParameter:         {"invalid_parameter", invalidRequest, 400, invalidRequestText, "Check the `%s` parameter"},
	SeveralClientCredentials: {"several_client_credentials", invalidRequest, 400, invalidRequestText, "Authenticate the client in one way only"},
	ClientAuthFailed:         {"client_authentication_failed", invalidClient, 401, invalidClientText, ""},
	CodeUnreadable:           {"code_unreadable", invalidRequest, 400, invalidRequestText, "Cannot decrypt the authorization code"},
	CodeExpired:              {"code_expired", invalidRequest, 400, invalidRequestText, "Authorization code has expired"},
	CodeUsed:                 {"code_used", invalidRequest, 400, invalidRequestText, "Authorization code has been revoked"},
	CodeOfOtherClient:        {"code_of_other_client", invalidRequest, 400, invalidRequestText, "Authorization code was not issued to this client"},
	WrongRedirectURI:         {"wrong_redirect_uri", invalidRequest, 400, invalidRequestText, "Invalid redirect URI"},
	MalformedVerifier:        {"malformed_code_verifier", invalidRequest, 400, invalidRequestText, "Code Verifier must follow the specifications of RFC-7636."},
	WrongCodeVerifier:        {"wrong_code_verifier", invalidGrant, 400, invalidGrantText, "Failed to verify `code_verifier`."},
	SuperfluousVerifier:      {"superfluous_code_verifier", invalidRequest, 400, invalidRequestText, "code_verifier received when no code_challenge is present"},
	RefreshUnreadable:        {"refresh_token_unreadable", invalidRequest, 401, invalidRefreshText, "Cannot decrypt the refresh token"},
	RefreshOfOtherClient:     {"refresh_token_of_other_client", invalidRequest, 401, invalidRefreshText, "Token is not linked to client"},
	RefreshExpired:           {"refresh_token_expired", invalidRequest, 401, invalidRefreshText, "Token has expired"},
	RefreshUsed:              {"refresh_token_used", invalidRequest, 401, invalidRefreshText, "Token has been revoked"},
	UnknownScope:             {"unknown_scope", invalidScope, 400, invalidScopeText, "Check the `%s` scope"},
	NoScopesLeft:             {"no_scopes", invalidScope, 400, invalidScopeText, "None of the scopes may be granted"},
	ClientNotUsable:          {"client_not_usable", accessDenied, 401, accessDeniedText, "Client %s is not usable by user with ID %d"},
	UserNotUsable:            {"user_not_usable", accessDenied, 401, accessDeniedText, "The user does not exist here, or may not log in"},
	ApprovalMissing:          {"approval_missing", invalidGrant, 400, invalidGrantText, "The user's approval is gone, or does not cover the scopes"},
	OwnerOnlyToken:           {"owner_only_token", invalidGrant, 400, invalidGrantText, "The client may be used by its owner only"},
	ReadOnly:                 {"read_only", tryLater, 503, readOnlyText, ""},
	ServiceUnavailable:       {"unavailable", tryLater, 503, unavailableText, ""},

	UserDenied: {"user_denied", accessDenied, 401, accessDeniedText, ""},

	TokenMissing:    {"token_missing", accessDenied, 401, accessDeniedText, `Missing "Authorization" header`},
	TokenMalformed:  {"token_malformed", accessDenied, 401, accessDeniedText, "The JWT string must have two dots"},
	TokenUnverified: {"token_unverified", accessDenied, 401, accessDeniedText, "Access token could not be verified"},
	TokenRevoked:    {"token_revoked", accessDenied, 401, accessDeniedText, "Access token has been revoked"},

	NotSignedIn:        {"not_signed_in", accessDenied, 401, "You are not signed in.", ""},
	VisitorUnknown:     {"visitor_unknown", accessDenied, 403, "Your account does not exist on this wiki.", ""},
	VisitorMismatch:    {"visitor_mismatch", accessDenied, 403, "Your session names another account than this wiki does.", ""},
	VisitorMayNotLogIn: {"visitor_may_not_log_in", accessDenied, 403, "Your account is locked or blocked.", ""},
	PageMethod:         {"method_not_allowed", invalidRequest, 405, invalidRequestText, ""},
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
	default:
		return h
	}
}

// oauth2 returns the code and the status of an OAuth 2 error. From MediaWiki 1.46
// on a bad refresh token is an invalid_grant.
func (s *Server) oauth2(r *Refusal) (code string, status int) {
	row := &catalogue[r.Reason]
	if row.text == invalidRefreshText && s.cfg.Policy.Release >= 46 {
		return invalidGrant, http.StatusBadRequest
	}
	return row.code, row.status
}

// escapeHTML escapes a text as PHP's htmlspecialchars does.
func escapeHTML(s string) string { return htmlEscaper.Replace(s) }

var htmlEscaper = strings.NewReplacer("&", "&amp;", `"`, "&quot;", "'", "&#039;", "<", "&lt;", ">", "&gt;")
