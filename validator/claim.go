package validator

import (
	"net/netip"
	"strings"
	"time"
)

// Claim is what a request says of itself: the credential, and what its proof
// covers. No part of it is proven.
type Claim struct {
	Protocol Protocol
	// InQuery reports whether the credential is in the URL.
	InQuery bool
	// Bearer is the token of OAuth 2 as sent.
	Bearer string
	// Token is what the bearer token says. The caller of Decide fills it in by
	// Tokens.Verify.
	Token Token

	clientIP    netip.Addr
	spoofableIP bool

	// OAuth 1: the protocol parameters, decoded, and where they were found.
	oauth   [numFields]string
	foundIn [numSources]uint8 // a bit per field
	form    formUse
	// bodyHash is the oauth_body_hash. It is empty if none was sent or if the
	// rules ignore it.
	bodyHash string
	// strangeToken means that no table can hold such a token, so that nothing
	// was looked up.
	strangeToken bool
	// early is the time by which a bearer token came before its validity.
	early time.Duration
	// OAuth 1: what the signature covers.
	method  string
	baseURL string
	params  []param
	// The rules of MediaWiki merge header, query and form. They need the first
	// two again when the form has been read.
	header, query string
}

// field is one of the protocol parameters of RFC 5849 section 3.1.
type field uint8

const (
	fieldConsumerKey field = iota
	fieldToken
	fieldSignatureMethod
	fieldTimestamp
	fieldNonce
	fieldVersion
	fieldSignature
	numFields
)

func fieldOf(name string) (field, bool) {
	switch name {
	case "oauth_consumer_key":
		return fieldConsumerKey, true
	case "oauth_token":
		return fieldToken, true
	case "oauth_signature_method":
		return fieldSignatureMethod, true
	case "oauth_timestamp":
		return fieldTimestamp, true
	case "oauth_nonce":
		return fieldNonce, true
	case "oauth_version":
		return fieldVersion, true
	case "oauth_signature":
		return fieldSignature, true
	}
	return 0, false
}

// paramSource is the part of the request that holds a parameter.
type paramSource uint8

const (
	fromHeader paramSource = iota
	fromQuery
	fromForm
	numSources
)

// formUse tells how the form in the body matters to the credential.
type formUse uint8

const (
	formUnused formUse = iota
	// formSigned means that the parameters of the form are signed.
	formSigned
	// formHoldsOAuth means that the form is signed and holds the credential
	// too.
	formHoldsOAuth
)

// Parse reads the credential of a request. It decides nothing: its reasons tell
// only what it cannot read. It does not read the body. If the signature covers
// a form, the parameters of the form are still to be added to the claim.
func Parse(p Policy, r Request) (Claim, Reason) {
	var c Claim
	reason := c.parse(&p, &r)
	return c, reason
}

func (c *Claim) parse(p *Policy, r *Request) Reason {
	c.clientIP, c.spoofableIP = r.ClientIP, r.SpoofableIP
	return p.reader().read(c, p, r)
}

// reader reads what clients write, by the standards or as MediaWiki does.
// Everything else is the same for both.
type reader interface {
	// read takes the credential in the header and the URL into the claim, which
	// is empty.
	read(c *Claim, p *Policy, r *Request) Reason
	// readForm takes the parameters of a signed form into a claim that read has
	// filled.
	readForm(c *Claim, form string) Reason
	// missing reports whether the value of a protocol parameter counts as not
	// sent.
	missing(value string) bool
	// version reports whether an oauth_version is 1.0.
	version(c *Claim) bool
	// timestamp reads an oauth_timestamp, in Unix seconds.
	timestamp(text string) (seconds float64, ok bool)
	// decodeRSA decodes the base64 of an RSA signature.
	decodeRSA(text string) ([]byte, bool)
}

func (p *Policy) reader() reader {
	if p.Rules == MediaWiki {
		return mediaWikiReader{}
	}
	return standardReader{}
}

// consumer returns the consumer key that the claim names.
func (c *Claim) consumer() string {
	if c.Protocol == OAuth2 {
		return c.Token.Audience
	}
	return c.oauth[fieldConsumerKey]
}

// isKey reports whether a text has the shape of all consumer keys and OAuth 1
// tokens. MediaWiki compares them byte by byte, so upper case makes another
// key.
func isKey(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// key returns the Key under which the facts of the claim are looked up.
func (c *Claim) key(p *Policy) Key {
	k := Key{Wiki: p.Wiki, Protocol: c.Protocol, Consumer: c.consumer(), Token: c.oauth[fieldToken]}
	if c.Protocol == OAuth2 {
		if !isKey(k.Consumer) {
			k.Consumer = "" // of no app, but the token's row is asked for first
		}
		k.Token = c.Token.ID
		k.Subject, _ = subjectID(p, c.Token.Subject)
	}
	return k
}
