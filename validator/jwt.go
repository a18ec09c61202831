package validator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/php"
)

// JWT verifies the bearer tokens that a wiki issues. It implements Tokens.
type JWT struct {
	keys     []*rsa.PublicKey
	rules    Rules
	release  Release
	identity string
}

// NewJWT returns a verifier that accepts the signature of any one of the keys,
// and reads tokens by the rules of the policy. Without keys it refuses all
// tokens.
func NewJWT(keys []*rsa.PublicKey, p Policy) *JWT {
	h := sha256.New()
	h.Write([]byte{byte(p.Rules), byte(p.Release)})
	for _, key := range keys {
		sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(key))
		h.Write(sum[:])
	}
	return &JWT{keys: keys, rules: p.Rules, release: p.Release, identity: string(h.Sum(nil))}
}

// Identity names the key set and the rules: verifiers with equal identities
// agree on every token.
func (j *JWT) Identity() string { return j.identity }

// Verify checks the form and the signature of a compact JWS with RS256 (RFC
// 7515, RFC 7519). It does not compare the times in it with the clock.
func (j *JWT) Verify(raw string) (Token, Reason) {
	// The dots are counted before the text is split, because a token of dots
	// would make a slice of them (CVE-2025-30204).
	if len(raw) > maxHeader || strings.Count(raw, ".") != 2 {
		return Token{}, MalformedToken
	}
	dot := strings.LastIndexByte(raw, '.')
	signed, signature := raw[:dot], raw[dot+1:]
	header, payload, _ := strings.Cut(signed, ".")

	if reason := j.checkHeader(header); reason != OK {
		return Token{}, reason
	}
	sig, ok := decodeSegment(signature)
	if !ok {
		return Token{}, MalformedToken
	}
	digest := sha256.Sum256([]byte(signed))
	if !j.signed(digest[:], sig) {
		return Token{}, BadTokenSignature
	}
	claims, ok := decodeObject(payload)
	if !ok {
		return Token{}, MalformedToken
	}
	return j.readClaims(claims)
}

func (j *JWT) signed(digest, signature []byte) bool {
	for _, key := range j.keys {
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, signature) == nil {
			return true
		}
	}
	return false
}

// checkHeader checks that the header names the algorithm that is used for
// verification. The token does not choose it. A key that the header carries or
// points to (jwk, jku, x5u, kid) is ignored.
func (j *JWT) checkHeader(segment string) Reason {
	header, ok := decodeObject(segment)
	if !ok {
		return MalformedToken
	}
	if header["alg"] != "RS256" {
		return UnsupportedAlgorithm
	}
	// An encrypted token cannot be read. By the standards the same holds for a
	// token whose header has an extension that must be understood (RFC 7515
	// section 4.1.11), and for one whose payload is not base64url (RFC 7797).
	refused := []string{"enc", "crit", "b64"}
	if j.rules == MediaWiki {
		refused = refused[:1]
	}
	for _, name := range refused {
		if _, found := header[name]; found {
			return MalformedToken
		}
	}
	return OK
}

func (j *JWT) readClaims(claims php.Object) (Token, Reason) {
	t := Token{NotBefore: math.Inf(-1), Expires: math.Inf(1)}
	for _, name := range []string{"nbf", "iat", "exp"} {
		value, found := claims[name]
		if !found {
			continue
		}
		seconds, ok := j.readTime(value)
		switch {
		case !ok:
			return Token{}, MalformedToken
		case name == "exp":
			t.Expires = seconds
		default:
			t.NotBefore = max(t.NotBefore, seconds)
		}
	}
	var ok bool
	if t.ID, ok = claims["jti"].(string); !ok || t.ID == "" {
		return Token{}, MalformedToken
	}
	if t.Audience, ok = j.audience(claims["aud"]); !ok {
		return Token{}, UnknownClient
	}
	t.Subject = readSubject(claims["sub"])
	t.Scopes = scopes(claims["scopes"])
	return t, OK
}

// readTime reads a NumericDate (RFC 7519 section 2). It must be a number within
// the range of floats. MediaWiki accepts numeric texts too, but no time that
// PHP's clock cannot show.
func (j *JWT) readTime(value any) (seconds float64, ok bool) {
	if text, isText := value.(string); isText && j.rules == MediaWiki {
		seconds, ok = php.Number(text)
	} else {
		number, _ := value.(json.Number)
		var err error
		seconds, err = strconv.ParseFloat(string(number), 64)
		ok = err == nil
	}
	return seconds, ok && (j.rules != MediaWiki || math.MinInt64 <= seconds && seconds < math.MaxInt64)
}

// audience reads aud: one text, alone or in a list of one. MediaWiki 1.46 and
// later use the first of several.
func (j *JWT) audience(value any) (string, bool) {
	if list, ok := value.([]any); ok && (len(list) == 1 || len(list) > 1 && j.rules == MediaWiki && j.release >= 46) {
		value = list[0]
	}
	s, ok := value.(string)
	return s, ok && s != ""
}

// scopes reads the texts of a list, or of an object's values.
func scopes(value any) []string {
	var names []string
	switch value := value.(type) {
	case []any:
		names = appendTexts(names, value...)
	case php.Object:
		names = appendTexts(names, value.Values()...)
	}
	return names
}

func appendTexts(names []string, items ...any) []string {
	for _, item := range items {
		if s, ok := item.(string); ok {
			names = append(names, s)
		}
	}
	return names
}

func decodeObject(segment string) (php.Object, bool) {
	raw, ok := decodeSegment(segment)
	if !ok {
		return nil, false
	}
	v, err := php.DecodeJSON(raw)
	o, isObject := v.(php.Object)
	return o, err == nil && isObject
}

// decodeSegment decodes base64url without padding. It refuses slack bits and
// line breaks, because they would give one token many spellings.
func decodeSegment(segment string) ([]byte, bool) {
	if strings.ContainsAny(segment, "\r\n") {
		return nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	return raw, err == nil
}
