package validator

import (
	"math"
	"slices"
	"time"
)

// hearing is a request before the rules: what it claims, what is known, and who speaks through it.
type hearing struct {
	p   *Policy
	now time.Time
	c   *Claim
	f   *Facts

	consumer *Consumer // that the request acts for
	user     *User     // nil: nobody, the client acts for itself
	grants   []string
	wiki     string // of the acceptance
	onFacts  bool   // the objection rests on facts
}

// rule is one thing that a request must satisfy.
type rule struct {
	objection func(h *hearing) Reason // OK: none
	free      bool                    // needs no facts
}

// The rules in MediaWiki's order: first the proof, which differs by protocol, then what holds for both.
var (
	proofs = [...][]rule{
		NoProtocol: {{func(*hearing) Reason { return NoCredentials }, true}},
		OAuth1: {
			{supportedVersion, true},
			{has(fieldConsumerKey, MissingConsumerKey), true},
			{knownConsumer, false},
			{has(fieldToken, MissingToken), true},
			{knownAcceptance, false},
			{has(fieldTimestamp, MissingTimestamp), true},
			{timely, true},
			{has(fieldNonce, MissingNonce), true},
			{has(fieldSignatureMethod, MissingSignatureMethod), true},
			{supportedMethod, true},
			{has(fieldSignature, MissingSignature), true},
			{signedAsClaimed, false},
		},
		OAuth2: {
			{inPeriod, true}, {notRevoked, false}, {knownSubject, false}, {knownClient, false}, {hasScopes, true}, {accepted, false},
		},
	}
	common = []rule{
		{addressAllowed, false},
		{acceptanceCoversWiki, false},
		{userExists, false},
		{notLocked, false},
		{notBlocked, false},
		{consumerUsable, false},
		{consumerCoversWiki, false},
		{meetsRequirements, false},
	}
)

// Decide says whether the claim is proven and may pass, given the facts. It does no I/O and asks no clock, and takes
// the policy as it is: New fills in its defaults, not Decide. A nonce is not its business: one is used up only by a
// request that would pass.
func Decide(p Policy, now time.Time, c Claim, f Facts) Decision {
	p.siteMACs = newMACs(p.SiteKey)
	h := hearing{p: &p, now: now, c: &c, f: &f}
	return h.decide()
}

func (h *hearing) decide() Decision {
	for _, rules := range [...][]rule{proofs[h.c.Protocol], common} {
		for _, rule := range rules {
			if reason := rule.objection(h); reason != OK {
				h.onFacts = !rule.free
				return h.c.refuse(reason)
			}
		}
	}
	d := h.c.decision(Allow, OK)
	d.Identity = h.identity()
	return d
}

func (c *Claim) decision(verdict Verdict, reason Reason) Decision {
	d := Decision{Verdict: verdict, Reason: reason, Protocol: c.Protocol, InQuery: c.InQuery, Consumer: c.consumer()}
	switch reason {
	case TimestampExpired:
		d.Sent = c.oauth[fieldTimestamp]
	case NonceUsed:
		d.Sent = c.oauth[fieldNonce]
	case BadSignature:
		d.SignedMethod, d.SignedURL = c.method, c.baseURL
	}
	return d
}

func (c *Claim) deny(reason Reason) Decision { return c.decision(Deny, reason) }

func (h *hearing) identity() Identity {
	id := Identity{
		Grants:       h.grants,
		ConsumerKey:  h.consumer.Key,
		ConsumerName: h.consumer.Name,
		Wiki:         h.p.Wiki,
		OwnerOnly:    h.consumer.OwnerOnly,
		Pages:        h.consumer.Restrictions.Pages,
	}
	if h.user != nil {
		id.UserID, id.UserName, id.Groups = h.user.CentralID, h.user.Name, h.groups()
	}
	return id
}

// groups returns the user's groups that have not expired.
func (h *hearing) groups() []string {
	groups := make([]string, 0, len(h.user.Groups))
	for _, g := range h.user.Groups {
		if g.Expires.After(h.now) {
			groups = append(groups, g.Name)
		}
	}
	return groups
}

// has asks for a protocol parameter.
func has(f field, otherwise Reason) func(h *hearing) Reason {
	return func(h *hearing) Reason {
		if h.p.reader().missing(h.c.oauth[f]) {
			return otherwise
		}
		return OK
	}
}

func supportedVersion(h *hearing) Reason {
	if !h.p.reader().version(h.c) {
		return UnsupportedVersion
	}
	return OK
}

func knownConsumer(h *hearing) Reason {
	h.consumer = h.f.Consumer
	switch {
	case h.consumer == nil && h.c.strangeToken:
		return OK // it was not looked up, because its token is unknown in any case
	case h.consumer == nil:
		return UnknownConsumer
	case h.consumer.Broken || h.consumer.Restrictions.Broken:
		return BrokenRow
	}
	return OK
}

func knownAcceptance(h *hearing) Reason {
	a := h.f.Acceptance
	switch {
	case a == nil:
		return UnknownToken
	case a.ConsumerID != h.consumer.ID: // else one app's token would work with another app's key (T103023)
		return UnknownToken
	case a.Broken:
		return BrokenRow
	}
	h.user, h.grants, h.wiki = h.f.User, a.Grants, a.Wiki
	return OK
}

// timely asks whether the timestamp is in the window, both ends included, of whole seconds of our clock.
func timely(h *hearing) Reason {
	seconds, ok := h.p.reader().timestamp(h.c.oauth[fieldTimestamp])
	if !ok {
		return MalformedTimestamp
	}
	if math.Abs(float64(h.now.Unix())-seconds) > float64(h.p.TimestampWindow/time.Second) {
		return TimestampExpired
	}
	return OK
}

// supportedMethod asks for one of the two methods that MediaWiki knows.
func supportedMethod(h *hearing) Reason {
	if m := h.c.oauth[fieldSignatureMethod]; m != hmacSHA1 && m != rsaSHA1 {
		return UnsupportedMethod
	}
	return OK
}

func signedAsClaimed(h *hearing) Reason {
	if !h.c.signed(h.p, h.consumer, h.f.Acceptance) {
		return BadSignature
	}
	return OK
}

// inPeriod asks for exp, nbf and iat. MediaWiki has no leeway for the last two.
func inPeriod(h *hearing) Reason {
	now := float64(h.now.UnixMicro()) / 1e6
	switch {
	case now >= h.c.Token.Expires:
		return TokenExpired
	case now < h.c.Token.NotBefore-h.p.ClockSkew.Seconds():
		h.c.early = time.Duration(min((h.c.Token.NotBefore-now)*1e9, 1<<62))
		return TokenNotYetValid
	}
	return OK
}

// notRevoked asks for the token's row. It is the row that makes a JWT a bearer token: others are signed with
// the same key.
func notRevoked(h *hearing) Reason {
	if t := h.f.Token; t == nil || t.Revoked {
		return TokenRevoked
	}
	return OK
}

func knownClient(h *hearing) Reason {
	client := h.f.Consumer
	switch {
	case client == nil || client.Version != 2:
		return UnknownClient
	case client.Broken || client.Restrictions.Broken:
		return BrokenRow
	}
	return OK
}

// hasScopes asks for one known grant. MediaWiki drops the scopes that are no grants of the wiki; which grants
// extensions add, the gateway cannot know, but every app has "basic" or is for authentication only. Releases
// up to 1.45 die of an empty list.
func hasScopes(h *hearing) Reason {
	h.grants = h.c.Token.Scopes
	if h.p.Release < 46 && !slices.ContainsFunc(h.grants, func(s string) bool { return coreGrants[s] }) {
		return NoScopes
	}
	return OK
}

// accepted finds for whom a bearer token speaks. User and consumer are those of the acceptance, whatever the
// token's sub and aud say.
func accepted(h *hearing) Reason {
	a := h.f.Acceptance
	switch {
	case h.f.Token.AcceptanceID == 0:
		return clientItself(h)
	case a == nil:
		return NoAcceptance
	case a.Broken || h.f.Accepted == nil || h.f.Accepted.Broken || h.f.Accepted.Restrictions.Broken:
		return BrokenRow
	}
	h.consumer, h.user, h.wiki = h.f.Accepted, h.f.User, a.Wiki
	return OK
}

// clientItself lets a client act for itself (client credentials): anonymous, and never for an owner-only
// client. Up to 1.45 its token names no user; from 1.46 on it names the owner, who does not act.
func clientItself(h *hearing) Reason {
	h.consumer, h.wiki = h.f.Consumer, h.f.Consumer.Wiki
	if h.consumer.OwnerOnly || h.p.Release < 46 && namesUser(h.p, h.c.Token.Subject) {
		return NoAcceptance
	}
	return OK
}

// addressAllowed holds a consumer to its IP restrictions, for bearer tokens as for signed requests. MediaWiki itself
// does so for signed ones alone.
func addressAllowed(h *hearing) Reason {
	switch r := h.consumer.Restrictions; {
	case r.Everywhere(), h.p.Rules == MediaWiki && h.c.Protocol == OAuth2:
		return OK
	case h.c.spoofableIP:
		return AddressUntrusted
	case !r.allows(h.c.clientIP):
		return AddressNotAllowed
	}
	return OK
}

func acceptanceCoversWiki(h *hearing) Reason { return covers(h, h.wiki, WrongWiki) }
func consumerCoversWiki(h *hearing) Reason   { return covers(h, h.consumer.Wiki, ConsumerWrongWiki) }

func covers(h *hearing, wiki string, otherwise Reason) Reason {
	if wiki == "*" || wiki == h.p.Wiki {
		return OK
	}
	return otherwise
}

// userExists asks for the acceptance's user: known by the central id, and a user of this wiki. From 1.47 on the name
// need only be theirs here. With user ids of its own, a wiki up to 1.45 does not ask whether the id exists: the
// request is nobody's then. Up to 1.42 a name that is hidden is not found by a central id.
func userExists(h *hearing) Reason {
	a, u, release := h.f.Acceptance, h.user, h.p.Release
	centralIDs := h.p.centralIDs()
	switch {
	case a == nil: // the client itself
		return OK
	case a.UserID == 0:
		return UnknownUser
	case u == nil && !centralIDs && release < 46:
		return OK
	case u == nil || !u.Attached || !u.Local && release < 47:
		return UnknownUser
	case centralIDs && release < 43 && u.Hidden.After(h.now):
		return UnknownUser
	}
	return OK
}

func notLocked(h *hearing) Reason {
	if h.user != nil && h.user.Locked {
		return UserLocked
	}
	return OK
}

func notBlocked(h *hearing) Reason {
	switch {
	case !h.p.BlockDisablesLogin || h.user == nil:
		return OK
	case h.user.Blocked.After(h.now):
		return UserBlocked
	case !h.p.OnlySitewideBlocks && h.user.PartlyBlocked.After(h.now):
		return UserPartiallyBlocked
	}
	return OK
}

// consumerUsable asks whether the user, or the client itself, may use the consumer.
func consumerUsable(h *hearing) Reason {
	var userID uint64
	if h.user != nil {
		userID = h.user.CentralID
	}
	if h.consumer.UsableBy(userID) {
		return OK
	}
	return ConsumerNotUsable
}
