package authserver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// The grant types of OAuth 2.
const (
	grantCode        = "authorization_code"
	grantRefresh     = "refresh_token"
	grantCredentials = "client_credentials"
)

// clientCredentials are what a client says of itself at the token endpoint.
type clientCredentials struct {
	id, secret string
	hasSecret  bool
}

// readClient takes the client's credentials from the form or from HTTP Basic (RFC
// 6749 section 2.3.1). A client_id in the form next to Basic must be the same one.
func readClient(h http.Header, form params) (clientCredentials, *Refusal) {
	var c clientCredentials
	formID, idSent := form.get("client_id")
	formSecret, formHas := form.get("client_secret")
	basicID, basicSecret, basic := parseBasic(h["Authorization"])
	switch {
	case basic && formHas, len(h["Authorization"]) > 1:
		return c, refuse(SeveralClientCredentials)
	case basic && idSent && formID != basicID:
		return c, refuse(ClientAuthFailed)
	case basic:
		return clientCredentials{basicID, basicSecret, true}, nil
	case !idSent:
		return c, &Refusal{Reason: InvalidParameter, Detail: "client_id"}
	default:
		return clientCredentials{formID, formSecret, formHas}, nil
	}
}

// parseBasic reads HTTP Basic as MediaWiki's library does: the scheme has this
// spelling, and id and secret are not percent-encoded.
func parseBasic(lines []string) (id, secret string, ok bool) {
	if len(lines) != 1 {
		return "", "", false
	}
	encoded, found := strings.CutPrefix(lines[0], "Basic ")
	if !found {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	id, secret, ok = strings.Cut(string(raw), ":")
	return id, secret, ok
}

// authenticate finds the client and holds it to its secret, its grant types and a
// redirect_uri that it sent. A client that is unknown costs as much as one with a
// wrong secret, and is told the same.
func (s *Server) authenticate(ctx context.Context, c clientCredentials, grantType string, x *tokenRequest) (*Consumer, *Refusal) {
	client, err := s.claimedApp(ctx, c.id, s.vouched(grantType, c.id, x))
	if err != nil {
		return nil, unavailable(err)
	}
	if client != nil && (client.Version != 2 || client.Broken) {
		client = nil
	}
	stored := ""
	if client != nil {
		stored = client.Secret
	}
	// An empty stored secret authenticates nobody, whatever is derived from it.
	right := sameSecret(c.secret, s.cfg.Policy.EffectiveSecret(stored)) && stored != ""
	if client == nil {
		return nil, refuse(ClientAuthFailed)
	}
	if c.hasSecret {
		s.noteProof(ctx, client.Key, right)
	}
	switch modern := s.cfg.Policy.Release >= 46; {
	case client.Confidential && modern && !c.hasSecret:
		return nil, &Refusal{Reason: InvalidParameter, Detail: "client_secret"}
	case client.Confidential && !right, c.hasSecret && !right && c.secret != "":
		return nil, refuse(ClientAuthFailed)
	case grantType == grantCredentials && !client.Confidential:
		return nil, refuse(ClientAuthFailed)
	case client.Confidential || grantType == grantRefresh && !modern:
		if !slices.Contains(client.GrantTypes, grantType) {
			return nil, refuse(ClientAuthFailed)
		}
	}
	// Where a public client exchanges a code, what it sent with the code decides.
	uri, sent := x.form.get("redirect_uri")
	if sent && (client.Confidential || grantType == grantRefresh) && !s.redirectAllowed(client, uri) {
		return nil, refuse(ClientAuthFailed)
	}
	return client, nil
}

// vouched reports whether a client shows what the app was issued, so that a user
// has seen it: a code or a refresh token that is good.
func (s *Server) vouched(grantType, client string, x *tokenRequest) bool {
	switch grantType {
	case grantCode:
		return x.flight != nil && x.code.Client == client && s.now().Before(x.code.Expires)
	case grantRefresh:
		var r refreshToken
		return s.sealer.open(sealRefresh, x.form["refresh_token"], &r) == nil && r.Client == client && s.now().Before(r.Expires)
	}
	return false
}

// sameSecret compares two secrets in constant time, also if their lengths differ.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
