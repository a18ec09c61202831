package authserver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"
)

// code is what an authorization code carries, sealed.
type code struct {
	Client string `json:"c"`
	// RedirectURI is nil if the authorization request had none.
	RedirectURI *string `json:"r,omitempty"`
	JTI         string  `json:"j"` // of the access token that it is exchanged for
	// Approval is the token of the acceptance that it is issued for. A user who
	// withdraws it and approves again makes another one.
	Approval  string    `json:"a"`
	Scopes    []string  `json:"s"`
	UserID    uint64    `json:"u"`
	Expires   time.Time `json:"e"`
	Challenge string    `json:"p,omitempty"`
	Plain     bool      `json:"m,omitempty"` // the challenge is the verifier itself
}

// refreshToken is what a refresh token carries, sealed.
type refreshToken struct {
	Client  string    `json:"c"`
	JTI     string    `json:"j"` // of the access token that it replaces
	Next    string    `json:"n"` // what the jti of the access token that comes next is made of
	Scopes  []string  `json:"s"`
	UserID  uint64    `json:"u"`
	Expires time.Time `json:"e"`
}

// familySize is the length of what the jti of all access tokens of one
// authorization have in common, in hexadecimal digits.
const familySize = 40

func newFamily() string { return randomHex(familySize / 2) }

// newJTI returns the id of an access token: 80 hexadecimal digits, as MediaWiki's.
func newJTI(family string) string { return family + randomHex(familySize/2) }

// family returns what the tokens of a jti's authorization have in common.
func family(jti string) string { return jti[:min(familySize, len(jti))] }

// exchangeCode answers grant_type=authorization_code (RFC 6749 section 4.1.3).
func (s *Server) exchangeCode(ctx context.Context, client *Consumer, x *tokenRequest) Answer {
	c := &x.code
	if refusal := s.readable(x); refusal != nil {
		return s.refuseToken(refusal, client.Key, c.UserID)
	}
	bound := checkCode(client, x)
	flight := x.flight
	flight.Lock()
	defer flight.Unlock()

	used, err := s.tables.Token(ctx, c.JTI)
	if err != nil {
		return s.refuseToken(unavailable(err), client.Key, c.UserID)
	}
	switch {
	case used != nil && bound != nil:
		return s.refuseToken(refuse(CodeUsed), client.Key, c.UserID) // MediaWiki looks at that first
	case used != nil:
		return s.replayed(ctx, client, c, flight.issued)
	case bound != nil:
		return s.refuseToken(bound, client.Key, c.UserID)
	}
	t, refusal := s.userToken(ctx, client, c.UserID, c.Scopes, c)
	if refusal != nil {
		return s.refuseToken(refusal, client.Key, c.UserID)
	}
	t.JTI, t.grantType = c.JTI, grantCode
	err = s.tables.IssueToken(ctx, t.row(), t.acceptance)
	switch {
	case errors.Is(err, ErrTokenExists):
		// It was not there when this request looked: another process has issued it
		// meanwhile, to a request that was at hand at the same time.
		return s.replayed(ctx, client, c, true)
	case err != nil:
		return s.refuseToken(issueRefusal(err), client.Key, c.UserID)
	}
	flight.issued = true
	return s.tokenAnswer(t, Issued)
}

// replayed refuses a code that was used, and revokes what it was exchanged for
// unless that was issued to a request which is still at hand.
func (s *Server) replayed(ctx context.Context, client *Consumer, c *code, simultaneous bool) Answer {
	if simultaneous {
		return s.refuseToken(refuse(CodeUsed), client.Key, c.UserID)
	}
	_, err := s.tables.RevokeFamily(ctx, family(c.JTI))
	s.mark(Change{ConsumerKey: client.Key}) // after an error too: it may be written
	if err != nil {
		return s.refuseToken(unavailable(err), client.Key, c.UserID)
	}
	a := s.refuseToken(refuse(CodeUsed), client.Key, c.UserID)
	a.Event.Kind = Revoked
	return a
}

// readable refuses what is no code of ours, or one that has expired.
func (s *Server) readable(x *tokenRequest) *Refusal {
	sealed, sent := x.form.get("code")
	switch {
	case !sent:
		return &Refusal{Reason: InvalidParameter, Detail: "code"}
	case x.flight == nil && s.sealer.open(sealRefresh, sealed, &refreshToken{}) == nil:
		return refuse(CodeMalformed)
	case x.flight == nil:
		return refuse(CodeUnreadable)
	case !s.now().Before(x.code.Expires):
		return refuse(CodeExpired)
	}
	return nil
}

// checkCode holds a code against the client, the redirect URI and the verifier, in
// MediaWiki's order.
func checkCode(client *Consumer, x *tokenRequest) *Refusal {
	c := &x.code
	uri, uriSent := x.form.get("redirect_uri")
	switch {
	case c.Client != client.Key:
		return refuse(CodeOfOtherClient)
	case c.RedirectURI != nil && !uriSent:
		return &Refusal{Reason: InvalidParameter, Detail: "redirect_uri"}
	case uriSent != (c.RedirectURI != nil) || uriSent && uri != *c.RedirectURI:
		return refuse(WrongRedirectURI)
	}
	verifier, verifierSent := x.form.get("code_verifier")
	switch {
	case c.Challenge == "" && verifierSent:
		return refuse(SuperfluousVerifier)
	case c.Challenge == "":
		return nil
	case !verifierSent:
		return &Refusal{Reason: InvalidParameter, Detail: "code_verifier"}
	case !isPKCE(verifier):
		return refuse(MalformedVerifier)
	case !sameSecret(challengeOf(verifier, c.Plain), c.Challenge):
		return refuse(WrongCodeVerifier)
	}
	return nil
}

// exchangeRefresh answers grant_type=refresh_token (RFC 6749 section 6).
func (s *Server) exchangeRefresh(ctx context.Context, client *Consumer, x *tokenRequest) Answer {
	r, refusal := s.readRefresh(client, x.form)
	if refusal != nil {
		return s.refuseToken(refusal, client.Key, r.UserID)
	}
	scopes, refusal := s.narrowed(r.Scopes, x.form)
	var t *issuedToken
	if refusal == nil {
		t, refusal = s.userToken(ctx, client, r.UserID, scopes, nil)
	}
	if refusal != nil {
		return s.refuseToken(s.usedFirst(ctx, &r, refusal), client.Key, r.UserID)
	}
	t.JTI, t.grantType = r.successor(t.scopes), grantRefresh
	err := s.tables.RefreshToken(ctx, r.JTI, t.row(), t.acceptance)
	s.mark(Change{ConsumerKey: client.Key, Token: r.JTI}) // after an error too: it may be written
	switch {
	case errors.Is(err, ErrTokenGone), errors.Is(err, ErrTokenExists):
		return s.refreshed(ctx, client, &r, t)
	case err != nil:
		return s.refuseToken(issueRefusal(err), client.Key, r.UserID)
	}
	return s.tokenAnswer(t, Refreshed)
}

// usedFirst returns the refusal of a refresh token that was used or withdrawn, where
// it was, instead of a later one: MediaWiki looks at that first.
func (s *Server) usedFirst(ctx context.Context, r *refreshToken, later *Refusal) *Refusal {
	if later.Reason == ServiceUnavailable {
		return later
	}
	switch old, err := s.tables.Token(ctx, r.JTI); {
	case err != nil:
		return unavailable(err)
	case old == nil || old.Revoked:
		return refuse(RefreshUsed)
	}
	return later
}

// refreshed answers a refresh token that was used before. Within the grace it
// stands for the token that it was exchanged for, and for no other.
func (s *Server) refreshed(ctx context.Context, client *Consumer, r *refreshToken, t *issuedToken) Answer {
	if s.cfg.Lifetimes.RefreshGrace > 0 {
		next, err := s.tables.Token(ctx, t.JTI)
		if err != nil {
			return s.refuseToken(unavailable(err), client.Key, r.UserID)
		}
		if next != nil && !next.Revoked {
			issued := t.issued.Add(next.Expires.Sub(t.expires)) // as long ago as its end is earlier than a new one's
			if age := s.now().Sub(issued); age >= 0 && age < s.cfg.Lifetimes.RefreshGrace {
				t.issued, t.expires = issued, next.Expires
				return s.tokenAnswer(t, Refreshed)
			}
		}
	}
	return s.refuseToken(refuse(RefreshUsed), client.Key, r.UserID)
}

// successor returns the jti of the access token that the refresh token is exchanged
// for, with these scopes: a repeat that asks for others finds no such token.
func (r *refreshToken) successor(scopes []string) string {
	mac := hmac.New(sha256.New, []byte(r.Next))
	mac.Write([]byte(strings.Join(scopes, " ")))
	return family(r.Next) + hex.EncodeToString(mac.Sum(nil)[:familySize/2])
}

func (s *Server) readRefresh(client *Consumer, form params) (r refreshToken, refusal *Refusal) {
	sealed, sent := form.get("refresh_token")
	if !sent {
		return r, &Refusal{Reason: InvalidParameter, Detail: "refresh_token"}
	}
	isRefresh := s.sealer.open(sealRefresh, sealed, &r) == nil
	if !isRefresh {
		var c code
		if s.sealer.open(sealCode, sealed, &c) != nil {
			return refreshToken{}, refuse(RefreshUnreadable)
		}
		r = refreshToken{Client: c.Client, UserID: c.UserID, Expires: c.Expires}
	}
	switch {
	case r.Client != client.Key:
		return r, refuse(RefreshOfOtherClient)
	case !s.now().Before(r.Expires):
		return r, refuse(RefreshExpired)
	case !isRefresh: // MediaWiki looks in vain for the refresh token that a code is not
		return r, refuse(RefreshUsed)
	}
	return r, nil
}

// exchangeCredentials answers grant_type=client_credentials (RFC 6749 section 4.4).
// An owner-only client acts for its owner, with all its grants.
func (s *Server) exchangeCredentials(ctx context.Context, client *Consumer, x *tokenRequest) Answer {
	scopes, refusal := s.requestedScopes(client, x.form["scope"], true)
	if refusal != nil && (refusal.Reason != NoScopesLeft || !client.OwnerOnly) {
		return s.refuseToken(refusal, client.Key, 0)
	}
	var t *issuedToken
	if client.OwnerOnly {
		t, refusal = s.userToken(ctx, client, client.OwnerID, client.Grants.Names, nil)
	} else {
		t, refusal = s.clientToken(client, scopes)
	}
	if refusal != nil {
		return s.refuseToken(refusal, client.Key, 0)
	}
	t.JTI, t.grantType = newJTI(newFamily()), grantCredentials
	t.withoutRefresh = true
	if err := s.tables.IssueToken(ctx, t.row(), t.acceptance); err != nil {
		return s.refuseToken(issueRefusal(err), client.Key, t.userID)
	}
	return s.tokenAnswer(t, Issued)
}

// issueRefusal is the refusal for an error of writing a token row.
func issueRefusal(err error) *Refusal {
	if errors.Is(err, ErrNoAcceptance) {
		return refuse(ApprovalMissing)
	}
	return unavailable(err)
}

// tokenRequest is a request to the token endpoint.
type tokenRequest struct {
	form params
	// code is what the request's code carries. flight is nil if it cannot be read.
	code   code
	flight *exchangeFlight
}

// accessToken answers the token endpoint. The body is a form, as RFC 6749 section
// 4.1.3 says: parameters of the query, multipart and JSON are not looked at.
func (s *Server) accessToken(ctx context.Context, r Request) Answer {
	if r.HTTP.Method != http.MethodPost {
		return methodNotAllowed(r.HTTP.Method, http.MethodPost)
	}
	form, refusal := s.readForm(r)
	if refusal != nil {
		return s.refuseToken(refusal, "", 0)
	}
	x := &tokenRequest{form: form}
	grantType := form["grant_type"]
	exchange, known := map[string]func(context.Context, *Consumer, *tokenRequest) Answer{
		grantCode:        s.exchangeCode,
		grantRefresh:     s.exchangeRefresh,
		grantCredentials: s.exchangeCredentials,
	}[grantType]
	if !known {
		return s.refuseToken(&Refusal{Reason: InvalidParameter, Detail: "grant_type"}, "", 0)
	}
	// Requests that are at hand with the same code at the same time are one client's
	// hurry, so they are noted before anything is waited for. A later one is a
	// replay, and ends the whole authorization.
	if grantType == grantCode && s.sealer.open(sealCode, form["code"], &x.code) == nil {
		x.flight = exchanges.enter(x.code.JTI)
		defer exchanges.leave(x.code.JTI, x.flight)
	}
	credentials, refusal := readClient(r.HTTP.Header, form)
	var client *Consumer
	if refusal == nil {
		client, refusal = s.authenticate(ctx, credentials, grantType, x)
	}
	if refusal != nil {
		a := s.refuseToken(refusal, credentials.id, 0)
		if refusal.Reason == ClientAuthFailed {
			a.challenge(r.HTTP.Header, s.cfg.Realm)
		}
		return a
	}
	if s.cfg.ReadOnly {
		return s.refuseToken(refuse(ReadOnly), client.Key, 0)
	}
	return exchange(ctx, client, x)
}
