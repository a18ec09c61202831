package authserver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// issuedToken is an access token that is about to be issued.
type issuedToken struct {
	client     *Consumer
	acceptance *Acceptance // nil: the client itself
	userID     uint64      // 0: the client itself
	subject    string
	scopes     []string
	JTI        string
	grantType  string

	issued, expires time.Time
	withoutRefresh  bool
}

// row is the token's row of oauth2_access_tokens. The grants of its acceptance must
// still cover the scopes when it is written.
func (t *issuedToken) row() Token {
	row := Token{JTI: t.JTI, Expires: t.expires}
	if t.acceptance != nil {
		row.AcceptanceID = t.acceptance.ID
	}
	return row
}

// userToken prepares an access token for a user: from client, scopes and user to
// the approval. For a code, the approval is the one that it was issued for, and
// scopes that it lacks now are left out, and from MediaWiki 1.47 on for a refresh
// too; otherwise they make it no approval.
func (s *Server) userToken(ctx context.Context, client *Consumer, userID uint64, scopes []string, of *code) (*issuedToken, *Refusal) {
	if client.OwnerOnly {
		if userID != client.OwnerID {
			return nil, refuse(OwnerOnlyToken)
		}
		scopes = client.Grants.Names
	}
	acceptance, refusal := s.approval(ctx, client, userID)
	switch {
	case refusal != nil:
		return nil, refusal
	case of != nil && of.Approval != acceptance.Token:
		return nil, refuse(ApprovalMissing)
	}
	scopes = intersect(scopes, client.Grants)
	if of != nil || s.cfg.Policy.Release >= 47 && !client.OwnerOnly {
		scopes = intersect(scopes, acceptance.Grants)
	}
	switch {
	case len(scopes) == 0:
		return nil, refuse(NoScopesLeft)
	case !acceptance.Grants.Covers(scopes):
		return nil, refuse(ApprovalMissing)
	case !s.usable(client, userID):
		return nil, &Refusal{Reason: ClientNotUsable, Detail: client.Key, UserID: userID}
	}
	if refusal := s.userMayLogIn(ctx, userID); refusal != nil {
		return nil, refusal
	}
	t := s.newToken(client, scopes)
	t.userID, t.acceptance = userID, &Acceptance{
		ID: acceptance.ID, UserID: userID, ConsumerID: client.ID, Version: acceptance.Version, Grants: Grants(scopes...),
	}
	t.subject = s.cfg.Policy.IssuedSubject(userID)
	if client.OwnerOnly {
		t.subject = strconv.FormatUint(userID, 10) // in any release
	}
	return t, nil
}

// clientToken prepares an access token for a client that acts for itself. From
// MediaWiki 1.46 on its sub is the owner, who does not act.
func (s *Server) clientToken(client *Consumer, scopes []string) (*issuedToken, *Refusal) {
	if !s.usable(client, 0) {
		return nil, &Refusal{Reason: ClientNotUsable, Detail: client.Key}
	}
	if len(scopes) == 0 {
		return nil, refuse(NoScopesLeft)
	}
	t := s.newToken(client, scopes)
	if s.cfg.Policy.Release >= 46 {
		t.subject = s.cfg.Policy.IssuedSubject(client.OwnerID)
	}
	return t, nil
}

func (s *Server) newToken(client *Consumer, scopes []string) *issuedToken {
	now := s.now()
	return &issuedToken{
		client: client, scopes: distinct(scopes), issued: now, expires: ends(now, s.cfg.Lifetimes.AccessToken),
	}
}

// approval finds the acceptance of a user for an app: that of this wiki, or of the
// app's wiki, comes first, then the one for all wikis. It has the app's version.
func (s *Server) approval(ctx context.Context, client *Consumer, userID uint64) (*Acceptance, *Refusal) {
	if userID == 0 {
		return nil, refuse(ApprovalMissing)
	}
	all, err := s.tables.Acceptances(ctx, userID, client.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	for _, wiki := range []string{s.cfg.Policy.Wiki, "*"} {
		i := slices.IndexFunc(all, func(a Acceptance) bool { return a.Wiki == wiki && a.Version == client.Version })
		if i >= 0 {
			return &all[i], nil
		}
	}
	return nil, refuse(ApprovalMissing)
}

// userMayLogIn refuses a user who is unknown, not attached, locked or blocked.
func (s *Server) userMayLogIn(ctx context.Context, userID uint64) *Refusal {
	u, err := s.tables.UserByID(ctx, userID)
	if err != nil {
		return unavailable(err)
	}
	if !s.mayLogIn(u) {
		return refuse(UserNotUsable)
	}
	return nil
}

func (s *Server) mayLogIn(u *User) bool {
	p := &s.cfg.Policy
	return u != nil && p.Finds(&u.User, s.now()) && !u.Locked && p.LoginBlock(&u.User, s.now()) == validator.OK
}

// usable reports whether a user may use an app here. User 0 is the app itself.
func (s *Server) usable(c *Consumer, userID uint64) bool {
	return !c.Deleted && (c.Wiki == "*" || c.Wiki == s.cfg.Policy.Wiki) && c.UsableBy(userID)
}

// tokenResponse is the answer of RFC 6749 section 5.1, in MediaWiki's order.
type tokenResponse struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// tokenAnswer signs the token and answers with it. Its row is committed already.
func (s *Server) tokenAnswer(t *issuedToken, kind EventKind) Answer {
	out := tokenResponse{TokenType: "Bearer", ExpiresIn: t.expires.Unix() - s.now().Unix()}
	var err error
	if out.AccessToken, err = signRS256(s.cfg.PrivateKey, t.claims(s.cfg.Issuer, s.cfg.Policy.Release)); err != nil {
		return s.refuseToken(unavailable(err), t.client.Key, t.userID)
	}
	if !t.withoutRefresh {
		out.RefreshToken, err = s.sealer.seal(sealRefresh, refreshToken{
			Client: t.client.Key, JTI: t.JTI, Next: newJTI(family(t.JTI)), Scopes: t.scopes, UserID: t.userID,
			Expires: ends(t.issued, s.cfg.Lifetimes.RefreshToken),
		})
		if err != nil {
			return s.refuseToken(unavailable(err), t.client.Key, t.userID)
		}
	}
	a := jsonAnswer(200, out)
	a.ContentType = "application/json; charset=UTF-8"
	a.Event = Event{Kind: kind, Endpoint: AccessToken, ConsumerKey: t.client.Key, UserID: t.userID}
	return a
}

// claims are the claims of an access token, in MediaWiki's order and types.
func (t *issuedToken) claims(issuer string, release validator.Release) []claim {
	issued := microseconds(t.issued)
	out := []claim{
		{"aud", t.client.Key},
		{"jti", t.JTI},
		{"iat", issued},
		{"nbf", issued},
		{"exp", microseconds(t.expires)},
		{"sub", t.subject},
	}
	if release >= 36 {
		out = append(out, claim{"iss", issuer})
	}
	if release >= 47 && !t.client.OwnerOnly {
		out = append(out, claim{"grant_type", t.grantType})
	}
	return append(out, claim{"scopes", t.scopes})
}

// ends returns the end of a life time.
func ends(from time.Time, life time.Duration) time.Time {
	if life == Infinite {
		return from.AddDate(1000, 0, 0)
	}
	return from.Add(life)
}

// requestedScopes reads the scope of a request: what the client asks for of what
// it is registered for, in its own order. None, or an empty one, is all; so is the
// name of the default where the request's kind of grant takes it.
func (s *Server) requestedScopes(client *Consumer, scope string, takesDefault bool) ([]string, *Refusal) {
	asked := splitScopes(scope)
	if refusal := s.knownScopes(asked); refusal != nil {
		return nil, refusal
	}
	if len(asked) == 0 || takesDefault && slices.Contains(asked, defaultScope) {
		return client.Grants.Names, nil
	}
	scopes := intersect(asked, client.Grants)
	if len(scopes) == 0 {
		return nil, refuse(NoScopesLeft)
	}
	return scopes, nil
}

// splitScopes reads a scope as MediaWiki's library does: names with blanks between
// them, and white space around all.
func splitScopes(scope string) []string {
	return slices.DeleteFunc(strings.Split(strings.Trim(scope, " \t\n\r\x00\v"), " "), func(name string) bool { return name == "" })
}

func (s *Server) knownScopes(asked []string) *Refusal {
	for _, scope := range asked {
		if _, known := s.cfg.Grants[scope]; !known && scope != defaultScope {
			return &Refusal{Reason: UnknownScope, Detail: scope}
		}
	}
	return nil
}

// defaultScope is the name of MediaWiki's marker for all grants of an app. A client
// that asks for itself gets them by this name; a user grants nothing by it.
const defaultScope = "#default"

// narrowed reads the scope of a refresh: at most what the token has.
func (s *Server) narrowed(has []string, form params) ([]string, *Refusal) {
	asked := splitScopes(form["scope"])
	if len(asked) == 0 {
		return has, nil
	}
	if refusal := s.knownScopes(asked); refusal != nil {
		return nil, refusal
	}
	for _, scope := range asked {
		if !slices.Contains(has, scope) {
			return nil, &Refusal{Reason: UnknownScope, Detail: scope}
		}
	}
	return asked, nil
}

// intersect returns the names that the list holds, in their order.
func intersect(names []string, list GrantList) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !list.Has(name) })
}

// distinct returns the names in their order, each once.
func distinct(names []string) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// isPKCE reports whether a text is a code verifier or challenge: 43 to 128 of the
// unreserved characters (RFC 7636 section 4.1).
func isPKCE(s string) bool {
	return len(s) >= 43 && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune("-._~", r)
	})
}

// challengeOf returns the code challenge of a verifier (RFC 7636 section 4.6).
func challengeOf(verifier string, plain bool) string {
	if plain {
		return verifier
	}
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}
