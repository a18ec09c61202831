package validator

import (
	"net/netip"
	"strings"
	"time"
)

// Claim is what a request says of itself: the credential, and what its proof covers. Nothing of it is proven.
type Claim struct {
	Protocol Protocol
	InQuery  bool   // the credential is in the URL
	Bearer   string // OAuth 2: the token as sent
	Token    Token  // OAuth 2: what it says; the caller of Decide fills it by Tokens.Verify

	clientIP    netip.Addr
	spoofableIP bool

	// OAuth 1: the protocol parameters, decoded, and where they stand.
	oauth    [numFields]string
	found    [numPlaces]uint8 // a bit per field
	form     formUse
	bodyHash string // oauth_body_hash; empty: not sent, or not looked at
	// strangeToken means that no table holds such a token: nothing was looked up.
	strangeToken bool
	early        time.Duration // by which a bearer token came before its time
	// OAuth 1: what the signature covers.
	method  string
	baseURL string
	params  []param
	// The rules of MediaWiki merge header, query and form: they need the first two again with the third.
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

// place is where a parameter stands in the request.
type place uint8

const (
	inHeader place = iota
	inQuery
	inForm
	numPlaces
)

// formUse says what the form body is to the credential.
type formUse uint8

const (
	formUnused     formUse = iota
	formSigned             // its parameters are signed
	formHoldsOAuth         // it is signed, and holds the credential too
)

// Parse reads the credential of a request. It decides nothing: its reasons say only what it cannot read. It
// does not read the body; where the signature covers a form, the form is still to be added to the claim.
func Parse(p Policy, r Request) (Claim, Reason) {
	var c Claim
	reason := c.parse(&p, &r)
	return c, reason
}

func (c *Claim) parse(p *Policy, r *Request) Reason {
	c.clientIP, c.spoofableIP = r.ClientIP, r.SpoofableIP
	return p.reader().read(c, p, r)
}

// reader reads what clients write: by the standards, or as MediaWiki does. All else is the same for both.
type reader interface {
	// read takes the credential in header and URL into the claim, which is empty.
	read(c *Claim, p *Policy, r *Request) Reason
	// readForm takes the parameters of a signed form into a claim that read has filled.
	readForm(c *Claim, form string) Reason
	// missing says whether the value of a protocol parameter counts as none.
	missing(value string) bool
	// version says whether an oauth_version is 1.0.
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
	return standard{}
}

// consumer returns the consumer key that the claim names.
func (c *Claim) consumer() string {
	if c.Protocol == OAuth2 {
		return c.Token.Audience
	}
	return c.oauth[fieldConsumerKey]
}

// isKey reports whether a text is what all consumer keys and OAuth 1 tokens are.
// MediaWiki compares them byte by byte, so one in capitals is another one.
func isKey(s string) bool { return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == "" }

// key returns what is to be looked up for the claim.
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
