package validator

import (
	"cmp"
	"context"
	"math"
	"time"
)

// SignedRequest is a request of the OAuth 1.0a handshake, which has a request
// token or none. An authorization server reads and checks it with the parts that a
// Verifier is made of.
type SignedRequest struct {
	policy Policy
	claim  Claim
}

// ReadSigned reads the OAuth 1.0a credential of a request, its form included.
// Reasons say what cannot be read, and NoCredentials that there is none.
func ReadSigned(ctx context.Context, p Policy, r Request) (*SignedRequest, Reason) {
	p.TimestampWindow = cmp.Or(p.TimestampWindow, DefaultTimestampWindow)
	p.siteMACs = newMACs(p.SiteKey)
	e := &evaluation{request: r}
	defer func() {
		if e.copies.budget != nil {
			e.copies.end()
		}
		if e.parsing {
			<-largeForms
		}
	}()
	if reason := e.claim.parse(&p, &e.request); reason != OK {
		return nil, reason
	}
	if e.claim.Protocol != OAuth1 {
		return nil, NoCredentials
	}
	if e.claim.form != formUnused {
		reason := e.receive(BodyLimit{Size: maxUnprovenForm}, FormTooLarge)
		if reason == OK {
			reason = e.readForm(ctx, &p)
		}
		if reason != OK {
			return nil, reason
		}
	}
	return &SignedRequest{policy: p, claim: e.claim}, OK
}

// ConsumerKey returns the oauth_consumer_key, or "".
func (s *SignedRequest) ConsumerKey() string { return s.text(fieldConsumerKey) }

// Token returns the oauth_token, or "".
func (s *SignedRequest) Token() string { return s.text(fieldToken) }

// Nonce returns the oauth_nonce, or "".
func (s *SignedRequest) Nonce() string { return s.text(fieldNonce) }

// Timestamp returns the oauth_timestamp as sent, or "".
func (s *SignedRequest) Timestamp() string { return s.text(fieldTimestamp) }

// Method returns the oauth_signature_method as sent, or "".
func (s *SignedRequest) Method() string { return s.text(fieldSignatureMethod) }

// Version returns the oauth_version as sent, or "".
func (s *SignedRequest) Version() string { return s.text(fieldVersion) }

// RSA reports whether the request says that it is signed with RSA.
func (s *SignedRequest) RSA() bool { return s.Method() == rsaSHA1 }

func (s *SignedRequest) text(f field) string {
	if value := s.claim.oauth[f]; !s.policy.reader().missing(value) {
		return value
	}
	return ""
}

// Param returns the last value of a signed parameter, such as oauth_callback.
func (s *SignedRequest) Param(name string) (value string, sent bool) {
	for _, pair := range s.claim.params {
		if decode(pair.name) == name {
			value, sent = decode(pair.value), true
		}
	}
	return value, sent
}

// CheckVersion asks for a supported oauth_version.
func (s *SignedRequest) CheckVersion() Reason {
	if !s.policy.reader().version(&s.claim) {
		return UnsupportedVersion
	}
	return OK
}

// CheckAddress holds the request to the addresses that the consumer may be used
// from.
func (s *SignedRequest) CheckAddress(c *Consumer) Reason {
	switch r := c.Restrictions; {
	case r.Broken:
		return BrokenRow
	case r.Everywhere():
		return OK
	case s.claim.spoofableIP:
		return AddressUntrusted
	case !r.allows(s.claim.clientIP):
		return AddressNotAllowed
	}
	return OK
}

// CheckTime asks for a timestamp that is near now.
func (s *SignedRequest) CheckTime(now time.Time) Reason {
	if s.Timestamp() == "" {
		return MissingTimestamp
	}
	return timely(&ruleInput{policy: &s.policy, claim: &s.claim, now: now})
}

// CheckSignature asks for a nonce, and for the signature that the consumer's key
// and the secret of a request token make. The secret of no token is "".
func (s *SignedRequest) CheckSignature(ctx context.Context, c *Consumer, tokenSecret string) Reason {
	switch {
	case s.Nonce() == "":
		return MissingNonce
	case s.Method() == "":
		return MissingSignatureMethod
	}
	if reason := supportedMethod(&ruleInput{policy: &s.policy, claim: &s.claim}); reason != OK {
		return reason
	}
	if s.text(fieldSignature) == "" {
		return MissingSignature
	}
	if s.RSA() {
		if reason := checks.enter(ctx, c.Key); reason != OK {
			return reason
		}
		defer checks.leave(c.Key)
	}
	if !s.claim.signedWith(&s.policy, c, tokenSecret, false) {
		return BadSignature
	}
	return OK
}

// NonceUse returns the use of the request's nonce, for the consumer and the
// request token, if there is one. Whose share it takes is the caller's to say.
func (s *SignedRequest) NonceUse() NonceUse {
	seconds, _ := s.policy.reader().timestamp(s.Timestamp())
	issued := time.Unix(int64(math.Ceil(seconds)), 0)
	return NonceUse{
		Key: s.claim.key(&s.policy), Nonce: s.Nonce(), Issued: issued, Until: issued.Add(time.Second + s.policy.TimestampWindow),
	}
}
