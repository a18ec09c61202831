package validator

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
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
	oauth [numFields]string
	found [numPlaces]uint8 // a bit per field
	form  formUse
	// OAuth 1: what the signature covers.
	method  string
	baseURL string
	params  []param
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
func Parse(p Policy, r Request) (Claim, Reason) { return parse(&p, &r) }

func parse(p *Policy, r *Request) (Claim, Reason) {
	c := Claim{clientIP: r.ClientIP, spoofableIP: r.SpoofableIP}
	var rest string
	for _, line := range r.Authorization {
		if protocol, text := scheme(line); protocol != NoProtocol {
			c.Protocol, rest = protocol, text
		}
	}
	if c.Protocol != NoProtocol && len(r.Authorization) > 1 {
		return c, SeveralCredentials
	}
	path, query, targetOK := splitTarget(r.Target)
	if holdsSignature(query) {
		if len(r.Authorization) > 0 {
			return c, SeveralCredentials
		}
		c.Protocol = OAuth1
	}
	switch {
	case c.Protocol == NoProtocol:
		return c, OK
	case len(r.Authorization) > 0 && len(r.Authorization[0]) > maxHeader:
		return c, MalformedHeader
	case c.Protocol == OAuth2:
		var reason Reason
		c.Bearer, reason = bearerToken(rest)
		return c, reason
	case !targetOK:
		return c, MalformedTarget
	}
	return c, c.readOAuth1(p, r, rest, path, query)
}

func (c *Claim) readOAuth1(p *Policy, r *Request, rest, path, query string) Reason {
	c.method = strings.ToUpper(r.Method)
	base, ok := baseURL(p, r, path)
	if !ok {
		return MalformedTarget
	}
	c.baseURL = base
	c.params = make([]param, 0, 16)

	reason := OK
	malformed := authParams(rest, func(name, value string) {
		// The realm is no parameter of the signature (RFC 5849 section 3.4.1.3.1).
		if !strings.EqualFold(name, "realm") && !c.add(inHeader, param{name, value}) {
			reason = DuplicateParameter
		}
	})
	if malformed != OK {
		return malformed
	}
	if reason == OK {
		reason = c.addForm(inQuery, query, MalformedTarget)
	}
	if reason != OK {
		return reason
	}
	c.InQuery = c.found[inQuery] != 0
	isForm, ok := hasForm(r)
	if !ok {
		return MalformedHeader
	}
	if isForm {
		c.form = formSigned
		if c.found[inHeader]|c.found[inQuery] == 0 {
			c.form = formHoldsOAuth
			return OK
		}
	}
	return c.complete()
}

// addForm takes the parameters of a query or a form body into the claim.
func (c *Claim) addForm(at place, text string, malformed Reason) Reason {
	n := len(c.params)
	params, ok := appendForm(c.params, text)
	if !ok {
		return malformed
	}
	c.params = params[:n] // what is kept moves down within the same array, never past what is read
	for _, pair := range params[n:] {
		if !c.add(at, pair) {
			return DuplicateParameter
		}
	}
	return OK
}

// add takes one parameter into the claim. It is false for a protocol parameter that the place holds already.
func (c *Claim) add(at place, pair param) bool {
	if f, ok := fieldOf(pair.name); ok {
		bit := uint8(1) << f
		if c.found[at]&bit != 0 {
			return false
		}
		c.found[at] |= bit
		c.oauth[f] = decode(pair.value)
		if f == fieldSignature {
			return true // it cannot sign itself
		}
	}
	c.params = append(c.params, pair)
	return true
}

// complete says what the protocol parameters lack, once every place that may hold them was read.
func (c *Claim) complete() Reason {
	places := 0
	for _, found := range c.found {
		if found != 0 {
			places++
		}
	}
	if places > 1 { // "one and only one": RFC 5849 section 3.5
		return SplitParameters
	}
	for f, value := range c.oauth {
		if value == "" && field(f) != fieldVersion {
			return MissingParameter
		}
	}
	all := c.found[inHeader] | c.found[inQuery] | c.found[inForm]
	if all&(1<<fieldVersion) != 0 && c.oauth[fieldVersion] != "1.0" {
		return UnsupportedVersion
	}
	return OK
}

// timestamp reads oauth_timestamp: a positive number, in decimal digits alone (RFC 5849 section 3.3). One that
// no clock will ever show is as far away as can be.
func (c *Claim) timestamp() (seconds int64, ok bool) {
	text := c.oauth[fieldTimestamp]
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return seconds, seconds > 0
}

// consumer returns the consumer key that the claim names.
func (c *Claim) consumer() string {
	if c.Protocol == OAuth2 {
		return c.Token.Audience
	}
	return c.oauth[fieldConsumerKey]
}

// key returns what is to be looked up for the claim.
func (c *Claim) key(p *Policy) Key {
	k := Key{Wiki: p.Wiki, Protocol: c.Protocol, Consumer: c.consumer(), Token: c.oauth[fieldToken]}
	if c.Protocol == OAuth2 {
		k.Token = c.Token.ID
		k.Subject, _ = subjectID(p, c.Token.Subject)
	}
	return k
}

// holdsSignature says whether a query carries an OAuth 1 credential: it has oauth_signature, spelled in any way.
func holdsSignature(query string) bool {
	// A look for what every spelling has in it spares most requests the closer one.
	if !strings.Contains(query, "oauth") && !strings.Contains(query, "%") {
		return false
	}
	for query != "" {
		var piece string
		piece, query, _ = strings.Cut(query, "&")
		name, _, _ := strings.Cut(piece, "=")
		if len(name) >= len("oauth_signature") && recode(name, true) == "oauth_signature" {
			return true
		}
	}
	return false
}

// hasForm says whether the request's body is a form. ok is false when its Content-Type is said in two ways, of
// which the backend might read the other.
func hasForm(r *Request) (isForm, ok bool) {
	if len(r.ContentType) > 1 {
		return false, false
	}
	if len(r.ContentType) == 0 || r.Form == nil {
		return false, true
	}
	mediaType, _, _ := strings.Cut(r.ContentType[0], ";")
	return strings.EqualFold(strings.Trim(mediaType, " \t"), "application/x-www-form-urlencoded"), true
}
