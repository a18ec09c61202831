package authserver

import (
	"context"
	"net/http"
)

// authorization is a request for an OAuth 2 authorization code (RFC 6749 section
// 4.1.1), as far as it was read.
type authorization struct {
	clientID    string
	redirectURI *string // nil: not sent
	scope       string
	state       *string // nil: not sent
	challenge   *string // nil: not sent
	method      string

	client *Consumer
	scopes []string
}

// fields are the parameters of the request, to be sent again by our own page.
func (a *authorization) fields() []Field {
	out := []Field{{"response_type", "code"}, {"client_id", a.clientID}}
	if a.redirectURI != nil {
		out = append(out, Field{"redirect_uri", *a.redirectURI})
	}
	if a.scope != "" {
		out = append(out, Field{"scope", a.scope})
	}
	if a.state != nil {
		out = append(out, Field{"state", *a.state})
	}
	if a.challenge != nil {
		out = append(out, Field{"code_challenge", *a.challenge})
	}
	if a.method != "" {
		out = append(out, Field{"code_challenge_method", a.method})
	}
	return out
}

// authorize2 answers the authorization endpoint: GET shows the consent page, POST
// is the page's own form.
func (s *Server) authorize2(ctx context.Context, r Request) Answer {
	p, refusal := s.pageParams(r)
	if refusal != nil {
		return s.refusePage(r, refusal, "", 0)
	}
	a, refusal := readAuthorization(p)
	if refusal != nil {
		return s.refusePage(r, refusal, p["client_id"], 0)
	}
	user, refusal := s.visitor(ctx, r)
	if refusal != nil {
		return s.refuseVisitor(r, refusal, a.fields())
	}
	if refusal := s.checkAuthorization(ctx, a, user); refusal != nil {
		if refusal.Reason == UnknownScope || refusal.Reason == NoScopesLeft {
			return s.redirectRefusal(a, refusal, user)
		}
		return s.refusePage(r, refusal, a.clientID, user.CentralID)
	}
	acceptance, refusal := s.approval(ctx, a.client, user.CentralID)
	if refusal != nil && refusal.Reason != ApprovalMissing {
		return s.refusePage(r, refusal, a.clientID, user.CentralID)
	}
	dialog := consentRequest{
		endpoint: Authorize2, client: a.client, user: user, grants: a.scopes, fields: a.fields(), acceptance: acceptance,
		callback: a.callback(),
	}
	switch s.decision(r, p, &dialog) {
	case decisionAccept:
		return s.grantCode(ctx, r, a, &dialog)
	case decisionDeny:
		return s.redirectRefusal(a, refuse(UserDenied), user)
	case decisionSkip:
		return s.redirectCode(a, user, acceptance)
	default:
		return s.consentPage(ctx, r, &dialog)
	}
}

// The methods of code challenges (RFC 7636 section 4.3). None is plain.
const (
	methodPlain = "plain"
	methodS256  = "S256"
)

// readAuthorization reads the parameters of an authorization request.
func readAuthorization(p params) (*authorization, *Refusal) {
	a := &authorization{clientID: p["client_id"], scope: p["scope"]}
	switch {
	case p["response_type"] != "code":
		return nil, &Refusal{Reason: InvalidParameter, Detail: "response_type"}
	case a.clientID == "":
		return nil, &Refusal{Reason: InvalidParameter, Detail: "client_id"}
	}
	if uri, sent := p.get("redirect_uri"); sent {
		a.redirectURI = &uri
	}
	if state, sent := p.get("state"); sent {
		a.state = &state
	}
	if challenge, sent := p.get("code_challenge"); sent {
		a.challenge = &challenge
	}
	method, sent := p.get("code_challenge_method")
	if sent && method != methodPlain && method != methodS256 {
		return nil, &Refusal{Reason: InvalidParameter, Detail: "code_challenge_method"}
	}
	a.method = method
	return a, nil
}

// checkAuthorization finds the client and holds the request against it, in
// MediaWiki's order.
func (s *Server) checkAuthorization(ctx context.Context, a *authorization, user *User) *Refusal {
	client, err := s.tables.Consumer(ctx, a.clientID)
	switch {
	case err != nil:
		return unavailable(err)
	case client == nil || client.Version != 2 || client.Broken:
		return refuse(ClientAuthFailed)
	}
	a.client = client
	uri := client.CallbackURL
	if a.redirectURI != nil {
		uri = *a.redirectURI
	}
	if !s.redirectAllowed(client, uri) {
		return refuse(ClientAuthFailed)
	}
	var refusal *Refusal
	usable := !client.OwnerOnly && s.usable(client, user.CentralID)
	a.scopes, refusal = s.requestedScopes(client, a.scope, false)
	needed := s.cfg.RequirePKCE == PKCEAll || s.cfg.RequirePKCE == PKCEPublic && !client.Confidential
	switch {
	case refusal != nil && usable: // otherwise anybody could register an address for links of the wiki to lead to
		return refusal
	case refusal == nil && (a.challenge == nil && needed || a.challenge != nil && !isPKCE(*a.challenge)):
		return &Refusal{Reason: InvalidParameter, Detail: "code_challenge"}
	case !usable:
		return &Refusal{Reason: ClientNotUsable, Detail: client.Key, UserID: user.CentralID}
	}
	return nil
}

// callback is where the browser goes afterwards.
func (a *authorization) callback() string {
	if a.redirectURI != nil {
		return *a.redirectURI
	}
	return a.client.CallbackURL
}

// grantCode writes the user's consent and sends the browser back with a code.
func (s *Server) grantCode(ctx context.Context, r Request, a *authorization, c *consentRequest) Answer {
	if s.cfg.ReadOnly {
		return s.refusePage(r, refuse(ReadOnly), a.clientID, c.user.CentralID)
	}
	acceptance, err := s.accept(ctx, c, Grants(a.scopes...))
	if err != nil {
		return s.refusePage(r, unavailable(err), a.clientID, c.user.CentralID)
	}
	answer := s.redirectCode(a, c.user, &acceptance)
	if answer.Event.Kind == Issued {
		answer.Event.Kind = Consented
	}
	return answer
}

// redirectCode sends the browser back with a code. Nothing is kept: the code
// carries what it stands for.
func (s *Server) redirectCode(a *authorization, user *User, acceptance *Acceptance) Answer {
	c := code{
		Client: a.clientID, RedirectURI: a.redirectURI, JTI: newJTI(newFamily()), Approval: acceptance.Token, Scopes: distinct(a.scopes),
		UserID: user.CentralID, Expires: ends(s.now(), s.cfg.Lifetimes.Code),
	}
	if a.challenge != nil {
		c.Challenge, c.Plain = *a.challenge, a.method != methodS256
	}
	sealed, err := s.sealer.seal(sealCode, c)
	if err != nil {
		refusal := unavailable(err)
		return Answer{
			Status: http.StatusServiceUnavailable, Page: &Page{Kind: ErrorPage, Refusal: refusal}, Headers: noStore(),
			Event: refusal.event(Authorize2, a.clientID, user.CentralID),
		}
	}
	return s.redirectBack(a, []Field{{"code", sealed}}, Event{Kind: Issued, ConsumerKey: a.clientID, UserID: user.CentralID})
}

// redirectRefusal tells the app of a refusal (RFC 6749 section 4.1.2.1).
func (s *Server) redirectRefusal(a *authorization, r *Refusal, user *User) Answer {
	e := s.oauth2Error(r)
	fields := []Field{{"error", e.Error}, {"error_description", e.Description}}
	if e.Hint != "" {
		fields = append(fields, Field{"hint", e.Hint})
	}
	if e.Message != "" {
		fields = append(fields, Field{"message", e.Message})
	}
	event := r.event(Authorize2, a.clientID, user.CentralID)
	if r.Reason == UserDenied {
		event.Kind = Denied
	}
	return s.redirectBack(a, fields, event)
}

// redirectBack sends the browser to the app, with state and iss behind the fields.
func (s *Server) redirectBack(a *authorization, fields []Field, event Event) Answer {
	if a.state != nil {
		fields = append(fields, Field{"state", *a.state})
	}
	if s.cfg.ResponseIssuer {
		fields = append(fields, Field{"iss", s.cfg.Issuer})
	}
	event.Endpoint = Authorize2
	return Answer{
		Status: http.StatusSeeOther, Location: location(addParams(a.callback(), false, fields)), Headers: noStore(), Event: event,
	}
}
