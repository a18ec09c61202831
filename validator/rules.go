package validator

import (
	"math"
	"slices"
	"time"
)

// ruleInput is what a rule may look at: the policy, the time, the claim, and
// the facts from the database. The rules that find the consumer, the user, the
// grants and the wiki fill them in for later rules.
type ruleInput struct {
	policy *Policy
	now    time.Time
	claim  *Claim
	facts  *Facts

	// consumer is the app that the request acts for.
	consumer *Consumer
	// user is nil if the client acts for itself.
	user   *User
	grants []string
	// wiki is the wiki of the acceptance.
	wiki string
	// refusedByFacts reports whether the rule that failed looks at facts.
	refusedByFacts bool
}

// rule is one condition that a request must satisfy.
type rule struct {
	// check returns OK if the condition holds.
	check func(in *ruleInput) Reason
	// beforeLookup reports whether the rule needs no facts.
	beforeLookup bool
}

// The rules in MediaWiki's order: first those of the proof, which differ by
// protocol, then those that both protocols share.
var (
	proofRules = [...][]rule{
		NoProtocol: {{func(*ruleInput) Reason { return NoCredentials }, true}},
		OAuth1: {
			{supportedVersion, true},
			{requireParameter(fieldConsumerKey, MissingConsumerKey), true},
			{knownConsumer, false},
			{requireParameter(fieldToken, MissingToken), true},
			{knownAcceptance, false},
			{requireParameter(fieldTimestamp, MissingTimestamp), true},
			{timely, true},
			{requireParameter(fieldNonce, MissingNonce), true},
			{requireParameter(fieldSignatureMethod, MissingSignatureMethod), true},
			{supportedMethod, true},
			{requireParameter(fieldSignature, MissingSignature), true},
			{signedAsClaimed, false},
		},
		OAuth2: {
			{inPeriod, true}, {notRevoked, false}, {knownSubject, false}, {knownClient, false}, {hasScopes, true}, {accepted, false},
		},
	}
	commonRules = []rule{
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

// Decide reports whether the claim is proven and may pass, given the facts. It
// does no I/O and reads no clock. It takes the policy as it is, because New
// fills in the defaults. It does not use up the nonce, because only a request
// that would pass does so.
func Decide(p Policy, now time.Time, c Claim, f Facts) Decision {
	p.siteMACs = newMACs(p.SiteKey)
	in := ruleInput{policy: &p, now: now, claim: &c, facts: &f}
	return in.decide()
}

func (in *ruleInput) decide() Decision {
	for _, rules := range [...][]rule{proofRules[in.claim.Protocol], commonRules} {
		for _, rule := range rules {
			if reason := rule.check(in); reason != OK {
				in.refusedByFacts = !rule.beforeLookup
				return in.claim.refuse(reason)
			}
		}
	}
	d := in.claim.decision(Allow, OK)
	d.Identity = in.identity()
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

func (in *ruleInput) identity() Identity {
	id := Identity{
		Grants:       in.grants,
		ConsumerKey:  in.consumer.Key,
		ConsumerName: in.consumer.Name,
		Wiki:         in.policy.Wiki,
		OwnerOnly:    in.consumer.OwnerOnly,
		Pages:        in.consumer.Restrictions.Pages,
	}
	if in.user != nil {
		id.UserID, id.UserName, id.Groups = in.user.CentralID, in.user.Name, in.groups()
	}
	return id
}

// groups returns the user's groups that have not expired.
func (in *ruleInput) groups() []string {
	groups := make([]string, 0, len(in.user.Groups))
	for _, g := range in.user.Groups {
		if g.Expires.After(in.now) {
			groups = append(groups, g.Name)
		}
	}
	return groups
}

// requireParameter returns the check of a protocol parameter that must be sent.
func requireParameter(f field, otherwise Reason) func(in *ruleInput) Reason {
	return func(in *ruleInput) Reason {
		if in.policy.reader().missing(in.claim.oauth[f]) {
			return otherwise
		}
		return OK
	}
}

func supportedVersion(in *ruleInput) Reason {
	if !in.policy.reader().version(in.claim) {
		return UnsupportedVersion
	}
	return OK
}

func knownConsumer(in *ruleInput) Reason {
	in.consumer = in.facts.Consumer
	switch {
	case in.consumer == nil && in.claim.strangeToken:
		return OK // it was not looked up, because its token is unknown in any case
	case in.consumer == nil:
		return UnknownConsumer
	case in.consumer.Broken || in.consumer.Restrictions.Broken:
		return BrokenRow
	}
	return OK
}

func knownAcceptance(in *ruleInput) Reason {
	a := in.facts.Acceptance
	switch {
	case a == nil:
		return UnknownToken
	case a.ConsumerID != in.consumer.ID: // else one app's token would work with another app's key (T103023)
		return UnknownToken
	case a.Broken:
		return BrokenRow
	}
	in.user, in.grants, in.wiki = in.facts.User, a.Grants, a.Wiki
	return OK
}

// timely checks that the timestamp is in the window, which includes both ends,
// in whole seconds of this clock.
func timely(in *ruleInput) Reason {
	seconds, ok := in.policy.reader().timestamp(in.claim.oauth[fieldTimestamp])
	if !ok {
		return MalformedTimestamp
	}
	if math.Abs(float64(in.now.Unix())-seconds) > float64(in.policy.TimestampWindow/time.Second) {
		return TimestampExpired
	}
	return OK
}

// supportedMethod checks for one of the two methods that MediaWiki knows.
func supportedMethod(in *ruleInput) Reason {
	if m := in.claim.oauth[fieldSignatureMethod]; m != hmacSHA1 && m != rsaSHA1 {
		return UnsupportedMethod
	}
	return OK
}

func signedAsClaimed(in *ruleInput) Reason {
	if !in.claim.signed(in.policy, in.consumer, in.facts.Acceptance) {
		return BadSignature
	}
	return OK
}

// inPeriod checks exp, nbf and iat. MediaWiki has no leeway for the last two.
func inPeriod(in *ruleInput) Reason {
	now := float64(in.now.UnixMicro()) / 1e6
	switch {
	case now >= in.claim.Token.Expires:
		return TokenExpired
	case now < in.claim.Token.NotBefore-in.policy.ClockSkew.Seconds():
		in.claim.early = time.Duration(min((in.claim.Token.NotBefore-now)*1e9, 1<<62))
		return TokenNotYetValid
	}
	return OK
}

// notRevoked checks the row of the token. Only the row makes a JWT a bearer
// token, because other tokens are signed with the same key.
func notRevoked(in *ruleInput) Reason {
	if t := in.facts.Token; t == nil || t.Revoked {
		return TokenRevoked
	}
	return OK
}

func knownClient(in *ruleInput) Reason {
	client := in.facts.Consumer
	switch {
	case client == nil || client.Version != 2:
		return UnknownClient
	case client.Broken || client.Restrictions.Broken:
		return BrokenRow
	}
	return OK
}

// hasScopes checks for one known grant. MediaWiki drops scopes that are not
// grants of the wiki. The gateway cannot know which grants extensions add, but
// every app has "basic" or is for authentication only. Releases up to 1.45
// crash on an empty list.
func hasScopes(in *ruleInput) Reason {
	in.grants = in.claim.Token.Scopes
	if in.policy.Release < 46 && !slices.ContainsFunc(in.grants, func(s string) bool { return coreGrants[s] }) {
		return NoScopes
	}
	return OK
}

// accepted finds the user and the consumer of a bearer token. They are those of
// the acceptance, whatever the sub and the aud of the token say.
func accepted(in *ruleInput) Reason {
	a := in.facts.Acceptance
	switch {
	case in.facts.Token.AcceptanceID == 0:
		return clientItself(in)
	case a == nil:
		return NoAcceptance
	case a.Broken || in.facts.Accepted == nil || in.facts.Accepted.Broken || in.facts.Accepted.Restrictions.Broken:
		return BrokenRow
	}
	in.consumer, in.user, in.wiki = in.facts.Accepted, in.facts.User, a.Wiki
	return OK
}

// clientItself lets a client act for itself (client credentials). The request
// is anonymous, and an owner-only client may not do this. Up to 1.45 such a
// token names no user. From 1.46 on it names the owner, who does not act.
func clientItself(in *ruleInput) Reason {
	in.consumer, in.wiki = in.facts.Consumer, in.facts.Consumer.Wiki
	if in.consumer.OwnerOnly || in.policy.Release < 46 && namesUser(in.policy, in.claim.Token.Subject) {
		return NoAcceptance
	}
	return OK
}

// addressAllowed checks the IP restrictions of the consumer, for bearer tokens
// as for signed requests. MediaWiki itself checks them for signed requests
// alone.
func addressAllowed(in *ruleInput) Reason {
	switch r := in.consumer.Restrictions; {
	case r.Everywhere(), in.policy.Rules == MediaWiki && in.claim.Protocol == OAuth2:
		return OK
	case in.claim.spoofableIP:
		return AddressUntrusted
	case !r.allows(in.claim.clientIP):
		return AddressNotAllowed
	}
	return OK
}

func acceptanceCoversWiki(in *ruleInput) Reason { return covers(in, in.wiki, WrongWiki) }
func consumerCoversWiki(in *ruleInput) Reason   { return covers(in, in.consumer.Wiki, ConsumerWrongWiki) }

func covers(in *ruleInput, wiki string, otherwise Reason) Reason {
	if wiki == "*" || wiki == in.policy.Wiki {
		return OK
	}
	return otherwise
}

// userExists checks the user of the acceptance: they must have the central id
// and be a user of this wiki. From 1.47 on only the name must be theirs here. A
// wiki up to 1.45 with user ids of its own does not check whether the id
// exists, so that the request has no user then. Up to 1.42 a hidden name is not
// found by a central id.
func userExists(in *ruleInput) Reason {
	a, u := in.facts.Acceptance, in.user
	switch {
	case a == nil: // the client itself
		return OK
	case a.UserID == 0:
		return UnknownUser
	case u == nil && !in.policy.CentralIDs() && in.policy.Release < 46:
		return OK
	case u == nil || !in.policy.Finds(u, in.now):
		return UnknownUser
	}
	return OK
}

func notLocked(in *ruleInput) Reason {
	if in.user != nil && in.user.Locked {
		return UserLocked
	}
	return OK
}

func notBlocked(in *ruleInput) Reason {
	if in.user == nil {
		return OK
	}
	return in.policy.LoginBlock(in.user, in.now)
}

// consumerUsable checks whether the user, or the client itself, may use the
// consumer.
func consumerUsable(in *ruleInput) Reason {
	var userID uint64
	if in.user != nil {
		userID = in.user.CentralID
	}
	if in.consumer.UsableBy(userID) {
		return OK
	}
	return ConsumerNotUsable
}
