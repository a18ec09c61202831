package validator

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// standardReader reads credentials by RFC 5849, 6750 and 9110.
type standardReader struct{}

func (s standardReader) read(c *Claim, p *Policy, r *Request) Reason {
	var rest string
	for _, line := range r.Authorization {
		if protocol, text := scheme(line); protocol != NoProtocol {
			c.Protocol, rest = protocol, text
		}
	}
	if c.Protocol != NoProtocol && len(r.Authorization) > 1 {
		return SeveralCredentials
	}
	path, query, targetOK := splitTarget(r.Target)
	if holdsSignature(query) {
		if len(r.Authorization) > 0 {
			return SeveralCredentials
		}
		c.Protocol = OAuth1
	}
	if c.Protocol == NoProtocol && r.Handshake {
		c.Protocol = OAuth1
	}
	switch {
	case c.Protocol == NoProtocol:
		return OK
	case len(r.Authorization) > 0 && len(r.Authorization[0]) > maxHeader:
		return MalformedHeader
	case !targetOK:
		return MalformedTarget
	case c.Protocol == OAuth2:
		var reason Reason
		c.Bearer, reason = bearerToken(rest)
		return reason
	}
	c.method = strings.ToUpper(r.Method)
	if c.baseURL = baseURL(p, r, path); c.baseURL == "" {
		return MalformedTarget
	}
	return s.readOAuth1(c, r, rest, query)
}

func (standardReader) readOAuth1(c *Claim, r *Request, header, query string) Reason {
	c.params = slices.Grow(c.params, 16)
	reason := OK
	malformed := authParams(header, func(name, value string) {
		// The realm is not signed (RFC 5849 section 3.4.1.3.1).
		if !strings.EqualFold(name, "realm") && !c.add(fromHeader, param{name, value}) {
			reason = DuplicateParameter
		}
	})
	if malformed != OK {
		return malformed
	}
	if reason == OK {
		reason = c.addForm(fromQuery, query, MalformedTarget)
	}
	if reason != OK {
		return reason
	}
	c.InQuery = c.foundIn[fromQuery] != 0
	isForm, ok := hasForm(r)
	if !ok {
		return MalformedHeader
	}
	if isForm {
		c.form = formSigned
		if c.foundIn[fromHeader]|c.foundIn[fromQuery] == 0 {
			c.form = formHoldsOAuth
		}
	}
	return c.checkOneSource()
}

func (standardReader) readForm(c *Claim, form string) Reason {
	if reason := c.addForm(fromForm, form, MalformedForm); reason != OK {
		return reason
	}
	return c.checkOneSource()
}

func (standardReader) missing(value string) bool { return value == "" }

// version follows RFC 5849 section 3.1: the parameter is absent, or it is 1.0.
func (standardReader) version(c *Claim) bool {
	all := c.foundIn[fromHeader] | c.foundIn[fromQuery] | c.foundIn[fromForm]
	return all&(1<<fieldVersion) == 0 || c.oauth[fieldVersion] == "1.0"
}

// timestamp reads a positive number in decimal digits alone (RFC 5849 section
// 3.3).
func (standardReader) timestamp(text string) (seconds float64, ok bool) {
	if strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	seconds, _ = strconv.ParseFloat(text, 64) // beyond every float it is infinite: as far away as can be
	return seconds, seconds > 0
}

// decodeRSA accepts one spelling of each signature. Another spelling is broken,
// or somebody tries what passes.
func (standardReader) decodeRSA(text string) ([]byte, bool) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	// The decoder passes over line breaks, which no client sends.
	return raw, err == nil && !strings.ContainsAny(text, "\r\n")
}

// addForm adds the parameters of a query or of a form to the claim.
func (c *Claim) addForm(from paramSource, text string, malformed Reason) Reason {
	n := len(c.params)
	params, ok := appendForm(c.params, text)
	if !ok {
		return malformed
	}
	c.params = params[:n] // what is kept moves down within the same array, never past what is read
	for _, pair := range params[n:] {
		if !c.add(from, pair) {
			return DuplicateParameter
		}
	}
	return OK
}

// add adds one parameter to the claim. It returns false for a protocol
// parameter that the same source has given already.
func (c *Claim) add(from paramSource, pair param) bool {
	if f, ok := fieldOf(pair.name); ok {
		bit := uint8(1) << f
		if c.foundIn[from]&bit != 0 {
			return false
		}
		c.foundIn[from] |= bit
		c.oauth[f] = decode(pair.value)
		if f == fieldSignature {
			return true // it cannot sign itself
		}
	}
	if pair.name == "oauth_body_hash" {
		c.bodyHash = decode(pair.value)
	}
	c.params = append(c.params, pair)
	return true
}

// checkOneSource checks that the protocol parameters are in "one and only one"
// place (RFC 5849 section 3.5).
func (c *Claim) checkOneSource() Reason {
	sources := 0
	for _, found := range c.foundIn {
		if found != 0 {
			sources++
		}
	}
	if sources > 1 {
		return SplitParameters
	}
	return OK
}

// holdsSignature reports whether a query carries an OAuth 1 credential, which
// means an oauth_signature in any spelling.
func holdsSignature(query string) bool {
	// Every spelling contains one of these, and most queries contain neither.
	if !strings.Contains(query, "oauth") && !strings.Contains(query, "%") {
		return false
	}
	for piece := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(piece, "=")
		if len(name) >= len("oauth_signature") && recode(name, true) == "oauth_signature" {
			return true
		}
	}
	return false
}

// hasForm reports whether the body of the request is a form. ok is false for a
// Content-Type that a backend might read in another way: one that is sent
// twice, or one such as "application/x-www-form-urlencoded, x", which only PHP
// takes for a form. Its body would not be signed, but the backend would read it
// as if it were.
func hasForm(r *Request) (isForm, ok bool) {
	if len(r.ContentType) > 1 {
		return false, false
	}
	if len(r.ContentType) == 0 || r.Body == nil {
		return false, true
	}
	mediaType, _, _ := strings.Cut(r.ContentType[0], ";")
	mediaType = strings.Trim(mediaType, " \t")
	if strings.EqualFold(mediaType, formType) {
		return true, true
	}
	if end := strings.IndexAny(mediaType, ", \t"); end >= 0 {
		mediaType = mediaType[:end]
	}
	return false, !strings.EqualFold(mediaType, formType)
}
