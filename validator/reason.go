package validator

import "net/http"

// Reason is why a request was refused. The zero value, OK, is the reason of a
// request that passes.
type Reason uint8

// The reasons. The catalogue has their stable names and everything else that is
// visible outside.
const (
	OK Reason = iota

	// The credential cannot be read.
	SeveralCredentials
	MalformedHeader
	MalformedTarget
	MalformedForm
	DuplicateParameter
	SplitParameters
	MissingConsumerKey
	MissingToken
	MissingTimestamp
	MissingNonce
	MissingSignatureMethod
	MissingSignature
	UnsupportedVersion
	UnsupportedMethod
	MalformedTimestamp
	FormTooLarge
	BodyTooLarge
	BodyTimeout
	ClientClosedRequest
	MethodNotAllowed

	// The credential proves nothing.
	NoCredentials
	UnknownConsumer
	UnknownToken
	TimestampExpired
	BadSignature
	BadBodyHash
	NonceUsed
	MalformedToken
	UnsupportedAlgorithm
	BadTokenSignature
	TokenExpired
	TokenNotYetValid
	TokenRevoked
	UnknownClient
	UnknownSubject
	NoAcceptance
	NoScopes
	BrokenRow

	// The credential is good, but does not allow this.
	AddressNotAllowed
	AddressUntrusted
	WrongWiki
	UnknownUser
	UserLocked
	UserBlocked
	UserPartiallyBlocked
	ConsumerNotUsable
	ConsumerWrongWiki
	MissingGrant
	MissingGroup
	OtherConsumer
	IdentityTooLarge
	UnknownWiki
	PreflightRefused

	// It could not be decided, or not now.
	NonceShareUsedUp
	ConsumerBusy
	BodiesBusy
	StoreUnavailable
	NoncesUnavailable

	numReasons
)

// StatusClientClosedRequest is the status of a request that its client gave up.
// No client sees it: it is for logs, where other servers write the same number.
const StatusClientClosedRequest = 499

// entry is everything of a Reason that is visible outside.
type entry struct {
	name   string // in logs, metrics and problem documents: never changed once released
	status int
	bearer string // RFC 6750 error code for the Bearer challenge; empty: none
	detail string // one sentence, in English, that never quotes the request
}

const (
	invalidRequest    = "invalid_request"
	invalidToken      = "invalid_token"
	insufficientScope = "insufficient_scope"
)

var catalogue = [numReasons]entry{
	OK: {"ok", http.StatusOK, "", ""},

	SeveralCredentials:     {"several_credentials", http.StatusBadRequest, invalidRequest, "The request carries more than one credential."},
	MalformedHeader:        {"malformed_header", http.StatusBadRequest, invalidRequest, "The Authorization header cannot be read."},
	MalformedTarget:        {"malformed_target", http.StatusBadRequest, invalidRequest, "The request target cannot be read."},
	MalformedForm:          {"malformed_form", http.StatusBadRequest, invalidRequest, "The body cannot be read as what it is declared to be."},
	DuplicateParameter:     {"duplicate_parameter", http.StatusBadRequest, invalidRequest, "A protocol parameter is given more than once."},
	SplitParameters:        {"split_parameters", http.StatusBadRequest, invalidRequest, "The protocol parameters stand in more than one place of the request."},
	MissingConsumerKey:     {"missing_consumer_key", http.StatusBadRequest, invalidRequest, "The oauth_consumer_key is missing."},
	MissingToken:           {"missing_token", http.StatusBadRequest, invalidRequest, "The oauth_token is missing."},
	MissingTimestamp:       {"missing_timestamp", http.StatusBadRequest, invalidRequest, "The oauth_timestamp is missing."},
	MissingNonce:           {"missing_nonce", http.StatusBadRequest, invalidRequest, "The oauth_nonce is missing."},
	MissingSignatureMethod: {"missing_signature_method", http.StatusBadRequest, invalidRequest, "The oauth_signature_method is missing."},
	MissingSignature:       {"missing_signature", http.StatusBadRequest, invalidRequest, "The oauth_signature is missing."},
	UnsupportedVersion:     {"unsupported_version", http.StatusBadRequest, invalidRequest, "The oauth_version is not 1.0."},
	UnsupportedMethod:      {"unsupported_signature_method", http.StatusBadRequest, invalidRequest, "The signature method is neither HMAC-SHA1 nor RSA-SHA1."},
	MalformedTimestamp:     {"malformed_timestamp", http.StatusBadRequest, invalidRequest, "The timestamp is not a number of seconds."},
	FormTooLarge:           {"form_too_large", http.StatusRequestEntityTooLarge, invalidRequest, "The signed form body is too large."},
	BodyTooLarge:           {"body_too_large", http.StatusRequestEntityTooLarge, "", "The body that oauth_body_hash binds is too large."},
	BodyTimeout:            {"body_timeout", http.StatusRequestTimeout, "", "The signed body was not sent in time."},
	ClientClosedRequest:    {"client_closed_request", StatusClientClosedRequest, "", "The client closed the request before it was decided."},
	MethodNotAllowed:       {"method_not_allowed", http.StatusMethodNotAllowed, invalidRequest, "CONNECT is not allowed here."},

	NoCredentials:        {"no_credentials", http.StatusUnauthorized, "", "The request carries no OAuth credential."},
	UnknownConsumer:      {"unknown_consumer", http.StatusUnauthorized, invalidToken, "No such consumer is registered."},
	UnknownToken:         {"unknown_token", http.StatusUnauthorized, invalidToken, "No approved grant was found for this access token."},
	TimestampExpired:     {"timestamp_expired", http.StatusUnauthorized, invalidToken, "The timestamp is too far from the present time."},
	BadSignature:         {"bad_signature", http.StatusUnauthorized, invalidToken, "The signature does not match the request."},
	BadBodyHash:          {"bad_body_hash", http.StatusUnauthorized, invalidToken, "The oauth_body_hash does not match the body."},
	NonceUsed:            {"nonce_used", http.StatusUnauthorized, invalidToken, "Nonce already used."},
	MalformedToken:       {"malformed_token", http.StatusUnauthorized, invalidToken, "The bearer token cannot be read."},
	UnsupportedAlgorithm: {"unsupported_algorithm", http.StatusUnauthorized, invalidToken, "The bearer token is not signed with RS256."},
	BadTokenSignature:    {"bad_token_signature", http.StatusUnauthorized, invalidToken, "The bearer token was not signed by this wiki."},
	TokenExpired:         {"token_expired", http.StatusUnauthorized, invalidToken, "The bearer token has expired."},
	TokenNotYetValid:     {"token_not_yet_valid", http.StatusUnauthorized, invalidToken, "The bearer token is not valid yet."},
	TokenRevoked:         {"token_revoked", http.StatusUnauthorized, invalidToken, "The bearer token is revoked or unknown."},
	UnknownClient:        {"unknown_client", http.StatusUnauthorized, invalidToken, "The client of the bearer token is not registered."},
	UnknownSubject:       {"unknown_subject", http.StatusUnauthorized, invalidToken, "The user that the bearer token names does not exist on this wiki."},
	NoAcceptance:         {"no_acceptance", http.StatusUnauthorized, invalidToken, "The user did not approve the client of this bearer token."},
	NoScopes:             {"no_scopes", http.StatusUnauthorized, invalidToken, "The bearer token has no known scope."},
	BrokenRow:            {"broken_row", http.StatusUnauthorized, invalidToken, "The registration of the consumer, or its grant, cannot be read."},

	AddressNotAllowed:    {"address_not_allowed", http.StatusForbidden, "", "The consumer may not be used from this address."},
	AddressUntrusted:     {"address_untrusted", http.StatusForbidden, "", "The consumer is restricted by address, and the client's is not certain: without trusted_proxies_strict, or where a proxy tells none."},
	WrongWiki:            {"wrong_wiki", http.StatusForbidden, "", "The grant is not valid for this wiki."},
	UnknownUser:          {"unknown_user", http.StatusForbidden, "", "The user does not exist on this wiki."},
	UserLocked:           {"user_locked", http.StatusForbidden, "", "The user is locked."},
	UserPartiallyBlocked: {"user_partially_blocked", http.StatusForbidden, "", "The user is blocked from a part of the wiki."},
	UserBlocked:          {"user_blocked", http.StatusForbidden, "", "The user is blocked."},
	ConsumerNotUsable:    {"consumer_not_usable", http.StatusForbidden, "", "The consumer is not approved for this user."},
	ConsumerWrongWiki:    {"consumer_wrong_wiki", http.StatusForbidden, "", "The consumer is not registered for this wiki."},
	MissingGrant:         {"missing_grant", http.StatusForbidden, insufficientScope, "A required grant is missing."},
	MissingGroup:         {"missing_group", http.StatusForbidden, "", "The user is in none of the required groups."},
	OtherConsumer:        {"other_consumer", http.StatusForbidden, "", "The consumer is not one of those allowed here."},
	IdentityTooLarge:     {"identity_too_large", http.StatusForbidden, "", "The identity does not fit into request headers."},
	// Not 421, because the wiki may be named by another part than the
	// authority, and clients send a request again on a 421.
	UnknownWiki:      {"unknown_wiki", http.StatusForbidden, "", "The request is for a wiki that is not served here."},
	PreflightRefused: {"preflight_refused", http.StatusForbidden, "", "The origin, method or headers of this CORS preflight are not allowed here."},

	NonceShareUsedUp:  {"nonce_share_used_up", http.StatusTooManyRequests, "", "Too many signed requests by this user within the last minutes."},
	ConsumerBusy:      {"consumer_busy", http.StatusTooManyRequests, "", "Too many RSA signatures of this consumer are being checked."},
	BodiesBusy:        {"bodies_busy", http.StatusServiceUnavailable, "", "Too many signed bodies are being received. Try again later."},
	StoreUnavailable:  {"store_unavailable", http.StatusServiceUnavailable, "", "The credential could not be checked. Try again later."},
	NoncesUnavailable: {"nonces_unavailable", http.StatusServiceUnavailable, "", "The nonce could not be checked. Try again later."},
}

// String returns the reason's stable name.
func (r Reason) String() string { return catalogue[r].name }

// Status returns the HTTP status of a refusal for this reason.
func (r Reason) Status() int { return catalogue[r].status }

// BearerError returns the error code of RFC 6750 section 3.1, or "" if a
// challenge carries none.
func (r Reason) BearerError() string { return catalogue[r].bearer }

// Detail returns one English sentence for the developer of the client. It
// quotes no part of the request.
func (r Reason) Detail() string { return catalogue[r].detail }

// Reasons lists every reason in the catalogue.
func Reasons() []Reason {
	all := make([]Reason, numReasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}
