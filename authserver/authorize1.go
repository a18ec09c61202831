package authserver

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// authorize1 answers /authorize and /authenticate: GET shows the consent page,
// POST is the page's own form (RFC 5849 section 2.2).
func (s *Server) authorize1(ctx context.Context, r Request) Answer {
	if s.cfg.ReadOnly {
		return s.refusePage(r, refuse(ReadOnly), "", 0)
	}
	if refusal := variablesOf(r).checkVersion(); refusal != nil {
		return s.refusePage(r, refusal, "", 0)
	}
	p, refusal := s.pageParams(r)
	if refusal != nil {
		return s.refusePage(r, refusal, "", 0)
	}
	token := cmp.Or(p["requestToken"], p["oauth_token"])
	key := cmp.Or(p["consumerKey"], p["oauth_consumer_key"])
	fields := []Field{{"oauth_token", token}}
	if key != "" {
		fields = append(fields, Field{"oauth_consumer_key", key})
	}
	user, refusal := s.visitor(ctx, r)
	if refusal != nil {
		return s.refuseVisitor(r, refusal, fields)
	}
	t, consumer, refusal := s.toApprove(ctx, token, key, user)
	if refusal != nil {
		return s.refusePage(r, refusal, key, user.CentralID)
	}
	acceptance, refusal := s.approval(ctx, consumer, user.CentralID)
	if refusal != nil && refusal.Reason != ApprovalMissing {
		return s.refusePage(r, refusal, consumer.Key, user.CentralID)
	}
	dialog := consentRequest{
		endpoint: r.Endpoint, client: consumer, user: user, grants: consumer.Grants.Names, fields: fields,
		acceptance: acceptance, callback: callback1(t, consumer),
	}
	switch s.decision(r, p, &dialog) {
	case decisionAccept, decisionSkip:
		return s.approve1(ctx, r, &dialog, t)
	case decisionDeny:
		return s.cancelled(ctx, r, &dialog)
	default:
		return s.consentPage(ctx, r, &dialog)
	}
}

// toApprove finds the request token and its app, and refuses what cannot be
// approved before a page is shown.
func (s *Server) toApprove(ctx context.Context, token, key string, user *User) (t RequestToken, c *Consumer, refusal *Refusal) {
	t, err := s.state.RequestToken(ctx, token)
	switch {
	case errors.Is(err, ErrRequestTokenUsed):
		return t, nil, refuse(RequestTokenUsed)
	case errors.Is(err, ErrNoRequestToken) && key == "":
		return t, nil, refuse(UnknownApp) // nothing tells which app it is
	case errors.Is(err, ErrNoRequestToken), err == nil && key != "" && key != t.ConsumerKey:
		return t, nil, refuse(RequestTokenNotFound)
	case err != nil:
		return t, nil, unavailable(err)
	case t.Approval != nil:
		return t, nil, refuse(RequestTokenUsed)
	}
	c, err = s.tables.Consumer(ctx, t.ConsumerKey)
	switch {
	case err != nil:
		return t, nil, unavailable(err)
	case c == nil || c.Broken || c.Deleted:
		return t, nil, refuse(UnknownApp)
	case c.Version != 1 && s.cfg.Policy.Release >= 41:
		return t, nil, &Refusal{Reason: AppOfOtherVersion, App: c}
	case c.OwnerOnly:
		return t, nil, &Refusal{Reason: OwnerOnlyApp, App: c}
	case c.Version != 1, !s.usable(c, user.CentralID), !redirectable1(callback1(t, c)):
		return t, nil, &Refusal{Reason: AppNotUsable, App: c}
	}
	return t, c, nil
}

// callback1 is where the browser goes after the approval: to the callback of
// /initiate, or to the registered one.
func callback1(t RequestToken, c *Consumer) string {
	if t.Callback == outOfBand {
		return c.CallbackURL
	}
	return t.Callback
}

// redirectable1 reports whether a browser may be sent to a callback, or the
// verifier may be shown instead.
func redirectable1(callback string) bool { return callback == outOfBand || redirectable(callback) }

// approve1 writes the user's consent and sends the browser back with a verifier.
// The request token is claimed before anything is written, so that one approval
// never undoes another.
func (s *Server) approve1(ctx context.Context, r Request, c *consentRequest, t RequestToken) Answer {
	switch err := s.state.Claim(ctx, t.Key, c.user.CentralID); {
	case errors.Is(err, ErrNoRequestToken):
		return s.refusePage(r, refuse(RequestTokenNotFound), c.client.Key, c.user.CentralID)
	case errors.Is(err, ErrAlreadyApproved), errors.Is(err, ErrRequestTokenUsed):
		return s.refusePage(r, refuse(RequestTokenUsed), c.client.Key, c.user.CentralID)
	case err != nil:
		return s.refusePage(r, unavailable(err), c.client.Key, c.user.CentralID)
	}
	acceptance, err := s.accept(ctx, c, c.client.Grants)
	if err == nil {
		approval := RequestApproval{
			UserID: c.user.CentralID, Verifier: randomHex(16), AccessToken: acceptance.Token,
			Expires: ends(s.now(), s.cfg.Lifetimes.RequestToken),
		}
		if err = s.state.Approve(ctx, t.Key, approval); err == nil {
			return s.approved1(r, c, t, approval.Verifier)
		}
	}
	s.state.Release(context.WithoutCancel(ctx), t.Key, c.user.CentralID)
	return s.refusePage(r, unavailable(err), c.client.Key, c.user.CentralID)
}

// approved1 sends the browser back, or shows the verifier where the app has no
// callback.
func (s *Server) approved1(r Request, c *consentRequest, t RequestToken, verifier string) Answer {
	a := Answer{
		Status: http.StatusSeeOther, Headers: noStore(),
		Event: Event{Kind: Consented, Endpoint: r.Endpoint, ConsumerKey: c.client.Key, UserID: c.user.CentralID},
	}
	if c.callback == outOfBand {
		a.Status = http.StatusOK
		a.Page = &Page{Kind: VerifierPage, Visitor: c.user.Name, Verifier: verifier, App: &PageApp{Name: c.client.ShownName()}}
		return a
	}
	a.Location = location(addParams(c.callback, true, []Field{{"oauth_verifier", verifier}, {"oauth_token", t.Key}}))
	return a
}

// cancelled tells the user that the app was not allowed anything. The app is not
// told, and the request token stays good, as in MediaWiki.
func (s *Server) cancelled(ctx context.Context, r Request, c *consentRequest) Answer {
	app, err := s.pageApp(ctx, c.client)
	if err != nil {
		return s.refusePage(r, unavailable(err), c.client.Key, c.user.CentralID)
	}
	return Answer{
		Status: http.StatusOK, Headers: noStore(), Page: &Page{Kind: CancelledPage, Visitor: c.user.Name, App: app},
		Event: Event{Kind: Denied, Endpoint: r.Endpoint, ConsumerKey: c.client.Key, UserID: c.user.CentralID},
	}
}

// verified answers /verified: the verifier, for the user to copy.
func (s *Server) verified(r Request) Answer {
	if refusal := variablesOf(r).checkVersion(); refusal != nil {
		return s.refusePage(r, refusal, "", 0)
	}
	p, refusal := s.pageParams(r)
	if refusal != nil {
		return s.refusePage(r, refusal, "", 0)
	}
	verifier, token := p["oauth_verifier"], p["oauth_token"]
	if verifier == "" || token == "" {
		return s.refusePage(r, refuse(VerifierMissing), "", 0)
	}
	return Answer{
		Status: http.StatusOK, Headers: noStore(), Page: &Page{Kind: VerifierPage, Verifier: plainText(verifier)},
		Event: Event{Kind: Shown, Endpoint: r.Endpoint},
	}
}

// unknownPage answers a page of the handshake that does not exist: as a page,
// unless another format is asked for. An app that the query names is told.
func (s *Server) unknownPage(ctx context.Context, r Request) Answer {
	sent := variablesOf(r)
	key, _ := sent.get("oauth_consumer_key")
	return s.refuse1(r, sent.format(formatHTML), s.unknownAction(ctx, key), key, 0)
}

// unknownAction tells who is to be asked. Anybody may ask for it, so that its
// lookups have few places.
func (s *Server) unknownAction(ctx context.Context, key string) *Refusal {
	if key == "" {
		return refuse(UnknownAction)
	}
	asker := validator.AskerOf(ctx)
	asker.Unproven = true
	ctx = validator.WithAsker(ctx, asker)
	c, err := s.tables.Consumer(ctx, key)
	switch {
	case err != nil:
		return unavailable(err)
	case c == nil || c.Broken || c.Deleted:
		return refuse(UnknownAction)
	}
	app, err := s.pageApp(ctx, c)
	if err != nil {
		return unavailable(err)
	}
	contact := "contact"
	if app.Owner != "" && s.cfg.IndexURL != "" {
		contact = "[" + s.talkPage(app.Owner) + " contact]"
	}
	return &Refusal{Reason: UnknownActionOfApp, App: c, Detail: contact}
}
