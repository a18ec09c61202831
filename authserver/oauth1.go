package authserver

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// signedRequest is a request of the handshake that an app has signed.
type signedRequest struct {
	*validator.SignedRequest
	format   string
	consumer *Consumer
}

// readSigned reads a request of the handshake, up to the proof that the app has
// signed it. token is the request token that it must name; at /initiate there is
// none.
func (s *Server) readSigned(ctx context.Context, r Request) (*signedRequest, *Refusal) {
	sent := variablesOf(r)
	q := &signedRequest{format: sent.format(formatRaw)}
	if refusal := sent.checkVersion(); refusal != nil {
		return q, refusal
	}
	r.Sent.Handshake = true
	signed, reason := validator.ReadSigned(ctx, s.cfg.Policy, r.Sent)
	if reason != validator.OK {
		return q, protocolRefusal(reason, "")
	}
	q.SignedRequest = signed
	if reason := signed.CheckVersion(); reason != validator.OK {
		return q, protocolRefusal(reason, signed.Version())
	}
	key := signed.ConsumerKey()
	if key == "" {
		return q, protocolRefusal(validator.MissingConsumerKey, "")
	}
	consumer, err := s.claimedApp(ctx, key, r.Endpoint == TokenExchange && s.holdsRequestToken(ctx, key, signed.Token()))
	switch {
	case err != nil:
		return q, unavailable(err)
	case consumer == nil || consumer.Broken:
		return q, protocolRefusal(validator.UnknownConsumer, "")
	}
	q.consumer = consumer
	switch {
	case consumer.OwnerOnly:
		return q, &Refusal{Reason: OwnerOnlyApp, App: consumer}
	case consumer.Secret == "" && !consumer.HasRSAKey:
		return q, refuse(AppWithoutKey)
	}
	if reason := signed.CheckAddress(&consumer.Consumer); reason != validator.OK {
		return q, refuse(WrongAddress)
	}
	return q, nil
}

// holdsRequestToken reports whether a client that says it is the app knows a
// request token of the app.
func (s *Server) holdsRequestToken(ctx context.Context, key, token string) bool {
	t, err := s.state.RequestToken(ctx, token)
	return err == nil && t.ConsumerKey == key
}

// prove checks timestamp and signature, and uses the nonce up.
func (s *Server) prove(ctx context.Context, q *signedRequest, tokenSecret string) *Refusal {
	now := s.now()
	if reason := q.CheckTime(now); reason != validator.OK {
		refusal := protocolRefusal(reason, q.Timestamp())
		refusal.Now = now
		return refusal
	}
	reason := q.CheckSignature(ctx, &q.consumer.Consumer, tokenSecret)
	s.noteProof(ctx, q.consumer.Key, reason == validator.OK)
	if reason != validator.OK {
		return protocolRefusal(reason, q.Method())
	}
	use := q.NonceUse()
	use.UserID = q.consumer.OwnerID // an app is held to its owner's share before a user has a part in it
	fresh, err := s.nonces.Use(ctx, use)
	switch {
	case errors.Is(err, validator.ErrNonceExpired):
		refusal := protocolRefusal(validator.TimestampExpired, q.Timestamp())
		refusal.Now = now
		return refusal
	case errors.Is(err, validator.ErrNonceShare):
		return refuse(TooManyRequests)
	case err != nil:
		return unavailable(err)
	case !fresh:
		return protocolRefusal(validator.NonceUsed, use.Nonce)
	}
	return nil
}

// initiate answers /initiate: a request token (RFC 5849 section 2.1).
func (s *Server) initiate(ctx context.Context, r Request) Answer {
	if s.cfg.ReadOnly {
		return s.refuse1(r, variablesOf(r).format(formatRaw), refuse(ReadOnly), "", 0)
	}
	q, refusal := s.readSigned(ctx, r)
	if refusal == nil {
		refusal = s.prove(ctx, q, "")
	}
	if refusal != nil {
		return s.refuse1(r, q.format, refusal, q.key(), 0)
	}
	callback, _ := q.Param("oauth_callback")
	if !s.callbackAllowed(q.consumer, callback) {
		refusal := refuse(CallbackNotOOB)
		if q.consumer.CallbackIsPrefix {
			refusal.Reason = CallbackNotPrefix
		}
		return s.refuse1(r, q.format, refusal, q.key(), 0)
	}
	t := RequestToken{
		Key: randomHex(16), Secret: randomHex(16), ConsumerKey: q.consumer.Key, OwnerID: q.consumer.OwnerID,
		Client:   validator.Network(r.Sent.ClientIP),
		Callback: callback, Expires: ends(s.now(), s.cfg.Lifetimes.RequestToken),
	}
	if err := s.state.Create(ctx, t); err != nil {
		return s.refuse1(r, q.format, unavailable(err), q.key(), 0)
	}
	return s.tokens1(q.format, t.Key, t.Secret, true, Event{Kind: Issued, Endpoint: r.Endpoint, ConsumerKey: q.key()})
}

// exchange1 answers /token: the access token of the user who approved (RFC 5849
// section 2.3).
func (s *Server) exchange1(ctx context.Context, r Request) Answer {
	if s.cfg.ReadOnly {
		return s.refuse1(r, variablesOf(r).format(formatRaw), refuse(ReadOnly), "", 0)
	}
	q, refusal := s.readSigned(ctx, r)
	if to := s.secureTransfer(r); to != "" && !q.rsa() && !refusal.is(UnsupportedVersion) {
		return Answer{Status: http.StatusFound, Location: to, Headers: noStore(), Event: Event{Kind: Shown, Endpoint: r.Endpoint}}
	}
	if refusal != nil {
		return s.refuse1(r, q.format, refusal, q.key(), 0)
	}
	t, refusal := s.requestToken(ctx, q.Token(), q.consumer)
	if refusal == nil {
		refusal = s.prove(ctx, q, t.Secret)
	}
	if refusal != nil {
		return s.refuse1(r, q.format, refusal, q.key(), 0)
	}
	acceptance, refusal := s.redeem(ctx, q, t)
	if refusal != nil {
		return s.refuse1(r, q.format, refusal, q.key(), 0)
	}
	secret := s.cfg.Policy.EffectiveSecret(acceptance.Secret)
	if q.RSA() {
		secret = unusedSecret
	}
	return s.tokens1(q.format, acceptance.Token, secret, false, Event{
		Kind: Issued, Endpoint: r.Endpoint, ConsumerKey: q.key(), UserID: acceptance.UserID,
	})
}

// unusedSecret is what an app that signs with RSA gets for a secret.
const unusedSecret = "__unused__"

// requestToken finds a request token of the app. One of another app is not found.
func (s *Server) requestToken(ctx context.Context, key string, consumer *Consumer) (RequestToken, *Refusal) {
	t, err := s.state.RequestToken(ctx, key)
	switch {
	case errors.Is(err, ErrNoRequestToken):
		return t, refuse(RequestTokenNotFound)
	case (err == nil || errors.Is(err, ErrRequestTokenUsed)) && t.ConsumerKey != consumer.Key:
		return t, refuse(RequestTokenNotFound)
	case errors.Is(err, ErrRequestTokenUsed):
		return t, refuse(RequestTokenUsed)
	case err != nil:
		return t, unavailable(err)
	case strings.TrimSpace(t.Secret) == "":
		return t, refuse(BadRequestToken)
	}
	return t, nil
}

// redeem exchanges a request token for the acceptance of the user who approved.
// What can refuse is looked at first, so that a refusal uses nothing up.
func (s *Server) redeem(ctx context.Context, q *signedRequest, t RequestToken) (*Acceptance, *Refusal) {
	if t.Approval == nil {
		return nil, refuse(BadRequestToken)
	}
	verifier, _ := q.Param("oauth_verifier")
	if sameSecret(verifier, t.Approval.Verifier) {
		acceptance, refusal := s.approvedAcceptance(ctx, q.consumer, t.Approval)
		if refusal != nil {
			return nil, refusal
		}
		if _, err := s.state.Exchange(ctx, t.Key, verifier); err != nil {
			return nil, exchangeRefusal(err)
		}
		return acceptance, nil
	}
	_, err := s.state.Exchange(ctx, t.Key, verifier) // counts the failure
	return nil, exchangeRefusal(err)
}

// approvedAcceptance finds the acceptance that a request token stands for, and
// holds app and user to what has changed since.
func (s *Server) approvedAcceptance(ctx context.Context, c *Consumer, a *RequestApproval) (*Acceptance, *Refusal) {
	all, err := s.tables.Acceptances(ctx, a.UserID, c.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	for i := range all {
		if all[i].Token == a.AccessToken {
			if !s.usable(c, a.UserID) {
				return nil, &Refusal{Reason: AppNotUsable, App: c}
			}
			if refusal := s.userMayLogIn(ctx, a.UserID); refusal != nil {
				return nil, refusal
			}
			return &all[i], nil
		}
	}
	return nil, refuse(AccessTokenNotFound)
}

func exchangeRefusal(err error) *Refusal {
	switch {
	case err == nil, errors.Is(err, ErrNotApproved):
		return refuse(BadRequestToken)
	case errors.Is(err, ErrWrongVerifier):
		return refuse(BadVerifier)
	case errors.Is(err, ErrRequestTokenUsed):
		return refuse(RequestTokenUsed)
	case errors.Is(err, ErrNoRequestToken):
		return refuse(RequestTokenNotFound)
	default:
		return unavailable(err)
	}
}

// secureTransfer returns where a request over http is sent, so that the secret
// does not travel in clear ($wgMWOAuthSecureTokenTransfer): to the same URL with
// https. MediaWiki does so only if its server's URL has no scheme, and not for a
// request that is signed with RSA, which gets no secret.
func (s *Server) secureTransfer(r Request) string {
	p := &s.cfg.Policy
	if !s.cfg.SecureTokenTransfer || p.BaseHost == "" || p.BaseScheme != "" || r.Sent.Scheme == "https" ||
		r.Sent.ForwardedProto == "https" {
		return ""
	}
	if !strings.HasPrefix(r.Sent.Target, "/") {
		return ""
	}
	return location("https://" + p.BaseHost + r.Sent.Target)
}

// key is the consumer key that the request names.
func (q *signedRequest) key() string {
	if q.SignedRequest == nil {
		return ""
	}
	return q.ConsumerKey()
}

// rsa reports whether the request says that it is signed with RSA.
func (q *signedRequest) rsa() bool { return q.SignedRequest != nil && q.RSA() }

// protocolRefusal is the refusal for a reason of the OAuth 1.0a protocol.
func protocolRefusal(r validator.Reason, detail string) *Refusal {
	return &Refusal{Reason: ProtocolError, Protocol: r, Detail: detail}
}

// identify answers /identify: a statement about the user, for the app.
func (s *Server) identify(ctx context.Context, r Request) Answer {
	sent := variablesOf(r)
	if refusal := sent.checkVersion(); refusal != nil {
		return s.refuse1(r, sent.format(formatRaw), refusal, "", 0)
	}
	r.Sent.Handshake = true
	signed, reason := validator.ReadSigned(ctx, s.cfg.Policy, r.Sent)
	if reason != validator.OK {
		return s.refuse1(r, formatJSON, protocolRefusal(reason, ""), "", 0)
	}
	d := s.verifier.Verify(ctx, r.Sent)
	if d.Verdict == validator.Unavailable {
		return s.refuse1(r, formatJSON, unavailable(d.Err), d.Consumer, 0)
	}
	var consumer *Consumer
	if d.Verdict == validator.Allow || d.Reason == validator.ConsumerNotUsable { // which is told the app's name
		var err error
		if consumer, err = s.claimedApp(ctx, signed.ConsumerKey(), d.Verdict == validator.Allow); err != nil {
			return s.refuse1(r, formatJSON, unavailable(err), d.Consumer, 0)
		}
	}
	if d.Verdict != validator.Allow || consumer == nil {
		refusal := identifyRefusal(d.Reason, s.cfg.Policy.Wiki, signed, consumer)
		refusal.Now = s.now()
		return s.refuse1(r, formatJSON, refusal, d.Consumer, 0)
	}
	return s.identity(ctx, r, &d, consumer, signed.Nonce())
}

// identity answers with the statement, which the app's secret authenticates.
func (s *Server) identity(ctx context.Context, r Request, d *validator.Decision, c *Consumer, nonce string) Answer {
	user, err := s.tables.UserByID(ctx, d.Identity.UserID)
	if err != nil {
		return s.refuse1(r, formatJSON, unavailable(err), c.Key, d.Identity.UserID)
	}
	switch {
	case user == nil, s.cfg.Policy.Release >= 47 && user.Hidden.After(s.now()): // it looks for names that are public
		return s.refuse1(r, formatJSON, refuse(IdentifyUnknownUser), c.Key, d.Identity.UserID)
	case c.Secret == "": // anybody could authenticate a statement with what is derived from it
		return s.refuse1(r, formatJSON, refuse(AppWithoutKey), c.Key, user.CentralID)
	}
	grants, refusal := s.acceptedGrants(ctx, user, c, d.Identity.Grants)
	if refusal != nil {
		return s.refuse1(r, formatJSON, refusal, c.Key, user.CentralID)
	}
	about, err := s.statement(ctx, user, grants, false)
	if err != nil {
		return s.refuse1(r, formatJSON, unavailable(err), c.Key, user.CentralID)
	}
	now := s.now().Unix()
	claims := append([]claim{{"iss", s.cfg.Issuer}, {"aud", c.Key}, {"exp", now + identifyLife}, {"iat", now}}, about...)
	token, err := signHS256(s.cfg.Policy.EffectiveSecret(c.Secret), append(claims, claim{"nonce", nonce}))
	if err != nil {
		return s.refuse1(r, formatJSON, unavailable(err), c.Key, user.CentralID)
	}
	return Answer{
		Status: http.StatusOK, ContentType: "application/json", Body: []byte(token), Headers: noCache1(),
		Event: Event{Kind: Told, Endpoint: r.Endpoint, ConsumerKey: c.Key, UserID: user.CentralID},
	}
}

// identifyLife is how long a statement of /identify is good, in seconds.
const identifyLife = 100

// acceptedGrants returns the grants of the acceptance as they are stored, with the
// gaps of its array.
func (s *Server) acceptedGrants(ctx context.Context, user *User, c *Consumer, grants []string) (GrantList, *Refusal) {
	all, err := s.tables.Acceptances(ctx, user.CentralID, c.ID)
	if err != nil {
		return GrantList{}, unavailable(err)
	}
	verified := Grants(grants...)
	for _, a := range all {
		if a.Grants.Equal(verified) {
			return a.Grants, nil
		}
	}
	return verified, nil
}

// identifyRefusal puts a reason of the verification into MediaWiki's words.
func identifyRefusal(r validator.Reason, wiki string, signed *validator.SignedRequest, c *Consumer) *Refusal {
	switch r {
	case validator.UnknownToken, validator.MissingToken:
		return refuse(AccessTokenNotFound)
	case validator.ConsumerNotUsable:
		return &Refusal{Reason: IdentifyNotApproved, App: c}
	case validator.UserBlocked, validator.UserPartiallyBlocked, validator.UserLocked:
		return refuse(IdentifyBlockedUser)
	case validator.UnknownUser:
		return refuse(IdentifyUnknownUser)
	case validator.WrongWiki, validator.ConsumerWrongWiki:
		return &Refusal{Reason: IdentifyWrongWiki, Detail: wiki}
	case validator.AddressNotAllowed, validator.AddressUntrusted:
		return refuse(WrongAddress)
	case validator.NonceUsed:
		return protocolRefusal(r, signed.Nonce())
	case validator.TimestampExpired:
		return protocolRefusal(r, signed.Timestamp())
	case validator.UnsupportedMethod:
		return protocolRefusal(r, signed.Method())
	case validator.UnsupportedVersion:
		return protocolRefusal(r, signed.Version())
	default:
		return protocolRefusal(r, "")
	}
}
