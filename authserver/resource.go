package authserver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// resource answers what a bearer token may see: the profile of its user, or the
// scopes of its app. The token is verified as the directive oauth verifies it.
func (s *Server) resource(ctx context.Context, r Request) Answer {
	if r.HTTP.Method != http.MethodGet && r.HTTP.Method != http.MethodHead {
		return methodNotAllowed(r.HTTP.Method, http.MethodHead, http.MethodGet)
	}
	d := s.verifier.Verify(ctx, r.Sent)
	switch {
	case d.Verdict == validator.Unavailable:
		return s.refuseResource(r, unavailable(d.Err), &d)
	case d.Protocol != validator.OAuth2 && len(r.HTTP.Header["Authorization"]) > 0:
		return s.refuseResource(r, malformedToken(r.HTTP.Header), &d) // whatever stands there is no bearer token
	case d.Protocol != validator.OAuth2:
		return s.refuseResource(r, refuse(TokenMissing), &d)
	case d.Verdict != validator.Allow && s.cfg.Policy.Release >= 44:
		return s.refuseSession(r, &d)
	case d.Verdict != validator.Allow:
		return s.refuseResource(r, resourceRefusal(d.Reason, r.HTTP.Header), &d)
	}
	claims, refusal := s.resourceClaims(ctx, r, &d)
	if refusal != nil {
		return s.refuseResource(r, refusal, &d)
	}
	body, err := encodeClaims(claims)
	if err != nil {
		return s.refuseResource(r, unavailable(err), &d)
	}
	return Answer{
		Status: http.StatusOK, ContentType: "application/json", Body: body, Headers: noStore(),
		Event: Event{Kind: Told, Endpoint: r.Endpoint, ConsumerKey: d.Identity.ConsumerKey, UserID: d.Identity.UserID},
	}
}

func (s *Server) resourceClaims(ctx context.Context, r Request, d *validator.Decision) ([]claim, *Refusal) {
	client, err := s.tables.Consumer(ctx, d.Identity.ConsumerKey)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case client == nil:
		return nil, refuse(TokenRevoked)
	case r.Endpoint == ResourceScopes:
		return []claim{{"scopes", client.Grants}}, nil
	}
	id, grants := d.Identity.UserID, Grants(d.Identity.Grants...)
	switch {
	case id == 0 && s.cfg.Policy.Release < 46:
		claims, err := s.anonymousProfile(ctx, r.Sent.ClientIP, grants)
		if err != nil {
			return nil, unavailable(err)
		}
		return claims, nil
	case id == 0:
		id = client.OwnerID // whom the token's sub names
	}
	user, err := s.tables.UserByID(ctx, id)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case user == nil:
		return nil, refuse(TokenRevoked)
	}
	claims, err := s.statement(ctx, user, grants, true)
	if err != nil {
		return nil, unavailable(err)
	}
	return claims, nil
}

// resourceRefusal puts a reason of the verification into the words of MediaWiki's
// library.
func resourceRefusal(r validator.Reason, h http.Header) *Refusal {
	switch r {
	case validator.MalformedToken, validator.MalformedHeader:
		return malformedToken(h)
	case validator.UnsupportedAlgorithm, validator.BadTokenSignature, validator.TokenExpired, validator.TokenNotYetValid:
		return refuse(TokenUnverified)
	default:
		return refuse(TokenRevoked)
	}
}

// refuseSession answers a bearer token that is not good as MediaWiki's REST API does
// from 1.44 on, before the resource itself looks at it.
func (s *Server) refuseSession(r Request, d *validator.Decision) Answer {
	key, message := d.RESTError(s.cfg.Policy.Wiki, s.now())
	a := restAnswer(http.StatusForbidden, key, message)
	a.Event = resourceRefusal(d.Reason, r.HTTP.Header).event(r.Endpoint, d.Consumer, d.Identity.UserID)
	return a
}

// malformedToken is the refusal of an Authorization header that is read as a token,
// whatever its scheme, with the words of MediaWiki's library.
func malformedToken(h http.Header) *Refusal {
	refusal := refuse(TokenMalformed)
	token := strings.TrimSpace(h.Get("Authorization"))
	parts := strings.Split(strings.TrimSpace(strings.TrimPrefix(token, "Bearer ")), ".")
	if len(parts) != 3 {
		return refusal
	}
	for i, part := range parts {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
		switch {
		case err != nil:
			refusal.Detail = "Error while decoding from Base64Url, invalid base64 characters detected"
			return refusal
		case i < 2 && !json.Valid(raw):
			refusal.Detail = "Error while decoding from JSON"
			return refusal
		}
	}
	return refusal
}

func (s *Server) refuseResource(r Request, refusal *Refusal, d *validator.Decision) Answer {
	a := s.refuseToken(refusal, d.Consumer, d.Identity.UserID)
	a.Event.Endpoint = r.Endpoint
	return a
}

// badResource is MediaWiki's answer for a resource that does not exist.
type badResource struct {
	Error       string            `json:"error"`
	Name        string            `json:"name"`
	Value       string            `json:"value"`
	FailureCode string            `json:"failureCode"`
	FailureData []string          `json:"failureData"`
	Messages    map[string]string `json:"messageTranslations"`
	HTTPCode    int               `json:"httpCode"`
	HTTPReason  string            `json:"httpReason"`
}

// UnknownResource answers a resource that does not exist, as MediaWiki's router
// does.
func UnknownResource(name string) Answer {
	a := jsonAnswer(http.StatusBadRequest, badResource{
		"parameter-validation-failed", "type", name, "badvalue",
		[]string{},
		map[string]string{"en": `Unrecognized value for parameter "type": ` + name + "."},
		http.StatusBadRequest, http.StatusText(http.StatusBadRequest),
	})
	a.Event.Reason = "unknown_resource"
	return a
}
