package authserver

import (
	"net/http"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Endpoint is one of the paths that a Server answers. The zero value is none.
type Endpoint uint8

// The endpoints.
const (
	NoEndpoint      Endpoint = iota
	Initiate                 // OAuth 1.0a: a request token
	Authorize                // OAuth 1.0a: the consent page
	Authenticate             // OAuth 1.0a: the consent page, which is skipped where nothing new is asked
	Verified                 // OAuth 1.0a: shows the verifier
	TokenExchange            // OAuth 1.0a: an access token
	Identify                 // OAuth 1.0a: who the user is
	Authorize2               // OAuth 2: the consent page
	AccessToken              // OAuth 2: the token endpoint
	ResourceProfile          // OAuth 2: who the user is
	ResourceScopes           // OAuth 2: what the app may ask for
	Apps                     // what each app may do, and withdrawal
	UnknownPage              // OAuth 1.0a: a page that does not exist
	UnknownType              // OAuth 2: a resource that does not exist
	UnknownRoute             // OAuth 2: a path that does not exist
	numEndpoints
)

var endpointNames = [numEndpoints]string{
	"none", "initiate", "authorize", "authenticate", "verified", "token", "identify", "oauth2_authorize", "access_token",
	"profile", "scopes", "apps", "unknown_page", "unknown_type", "unknown_route",
}

// String returns the endpoint's stable name, for the log and the metrics.
func (e Endpoint) String() string { return endpointNames[e] }

// Request is a request for an endpoint.
type Request struct {
	Endpoint Endpoint
	// HTTP is the request with method and target as the client sent them. Its body
	// is not read yet.
	HTTP *http.Request
	// Sent describes what the client sent, for signatures.
	Sent validator.Request
	// Name is what is told to be missing: the type of an UnknownType, or the path in
	// the REST API.
	Name string
}

// Answer is what a Server answers. Exactly one of Body, Location and Page is set,
// but for an empty body.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
	// Location is where the browser is sent.
	Location string
	// Page is to be rendered for a person, with Status.
	Page *Page
	// Login is set if the user must sign in first. The Page says so where the
	// caller knows no place to sign in.
	Login *Login
	// Headers are further header fields, such as WWW-Authenticate.
	Headers http.Header
	// Event is what the log and the metrics say of the request.
	Event Event
}

// Login names the page of ours that a user comes back to after signing in.
type Login struct {
	Endpoint Endpoint
	Fields   []Field // of its query
}

// Event is what happened, for the log and the metrics. It holds no token.
type Event struct {
	Kind        EventKind
	Endpoint    Endpoint
	ConsumerKey string
	UserID      uint64
	// Reason is the stable name of a refusal, or empty.
	Reason string
	// Err is the cause of an answer 503, for the operator and nobody else.
	Err error
}

// EventKind is what kind of thing happened.
type EventKind uint8

// The kinds. The zero value is a refusal.
const (
	Refused     EventKind = iota
	Shown                 // a page was shown
	Consented             // a user allowed an app something
	Denied                // a user did not
	Issued                // a token was made
	Refreshed             // a token was replaced
	Revoked               // a family of tokens was revoked
	Withdrew              // a user took back what an app may do
	Told                  // a statement about a user, or a resource
	Unavailable           // it could not be found out: 503
	numEventKinds
)

var eventNames = [numEventKinds]string{
	"refused", "shown", "consented", "denied", "issued", "refreshed", "revoked", "withdrew", "told", "unavailable",
}

// String returns the kind's stable name, for the log and the metrics.
func (k EventKind) String() string { return eventNames[k] }
