package validator

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // HMAC-SHA1 and RSA-SHA1 are what OAuth 1.0a and MediaWiki have
	"encoding/base64"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
	"sync"
)

// The signature methods.
const (
	hmacSHA1 = "HMAC-SHA1"
	rsaSHA1  = "RSA-SHA1"
)

// scratch holds the buffers of one signature check.
type scratch struct {
	base, key, secret []byte
	sum               [sha1.Size]byte
	text              [28]byte // of a sum, in base64
}

var scratches = sync.Pool{New: func() any {
	return &scratch{base: make([]byte, 0, 2048), key: make([]byte, 0, 128), secret: make([]byte, 0, 64)}
}}

// signed reports whether the claim's signature is the one that the secrets, or the
// consumer's RSA key, make of it.
func (c *Claim) signed(p *Policy, consumer *Consumer, acceptance *Acceptance) bool {
	return c.signedWith(p, consumer, acceptance.Secret, true)
}

// signedWith is signed for a token secret that is derived from a stored one, or
// used as it is: that of a request token.
func (c *Claim) signedWith(p *Policy, consumer *Consumer, tokenSecret string, derived bool) bool {
	s := scratches.Get().(*scratch)
	defer func() {
		clear(s.key[:cap(s.key)])
		clear(s.secret[:cap(s.secret)])
		scratches.Put(s)
	}()
	if c.oauth[fieldSignatureMethod] == rsaSHA1 {
		raw, ok := p.reader().decodeRSA(c.oauth[fieldSignature])
		if !ok || consumer.RSAKey == nil {
			return false
		}
		digest := sha1.New() //nolint:gosec // RSA-SHA1 it is
		s.base = c.appendBaseString(s.base[:0], digest)
		digest.Write(s.base)
		return rsa.VerifyPKCS1v15(consumer.RSAKey, crypto.SHA1, digest.Sum(s.sum[:0]), raw) == nil
	}
	// With no site key the stored secret itself is the key, and an empty one
	// would be known to everybody.
	if p.SiteKey == "" && (consumer.Secret == "" || derived && tokenSecret == "") {
		return false
	}
	s.key = s.appendEffectiveSecret(s.key[:0], p, consumer.Secret)
	s.key = append(s.key, '&')
	if derived {
		s.key = s.appendEffectiveSecret(s.key, p, tokenSecret)
	} else {
		s.key = appendEncodedString(s.key, tokenSecret)
	}
	mac := hmac.New(sha1.New, s.key)
	s.base = c.appendBaseString(s.base[:0], mac)
	mac.Write(s.base)
	base64.StdEncoding.Encode(s.text[:], mac.Sum(s.sum[:0]))
	return hmac.Equal(s.text[:], []byte(c.oauth[fieldSignature]))
}

// appendEffectiveSecret appends, percent-encoded, the secret that a client was
// given for a stored one: the hex of its HMAC-SHA1 under the site key, or
// without a site key the stored secret itself. It is computed for every
// request, because a cache of effective secrets would be a cache of passwords.
func (s *scratch) appendEffectiveSecret(key []byte, p *Policy, stored string) []byte {
	if p.SiteKey == "" {
		return appendEncodedString(key, stored)
	}
	mac := p.siteMACs.Get().(hash.Hash)
	defer p.siteMACs.Put(mac)
	mac.Reset()
	s.secret = append(s.secret[:0], stored...)
	mac.Write(s.secret)
	return hex.AppendEncode(key, mac.Sum(s.sum[:0]))
}

// newMACs returns a pool of HMAC-SHA1 under the site key, because its key
// schedule is the same for every request.
func newMACs(siteKey string) *sync.Pool {
	return &sync.Pool{New: func() any { return hmac.New(sha1.New, []byte(siteKey)) }}
}

// hashes reports whether the text is the base64 of the SHA-1 of the body (OAuth
// Request Body Hash 1.0).
func hashes(text string, body []byte) bool {
	sum := sha1.Sum(body) //nolint:gosec // what the extension of OAuth 1.0 has
	return hmac.Equal([]byte(text), base64.StdEncoding.AppendEncode(nil, sum[:]))
}

// maxPiece bounds the part of a base string that is held at one time, in bytes.
// The base string of a large form is several times larger than the form.
const maxPiece = 4 << 10

// appendBaseString appends the signature base string of RFC 5849 section 3.4.1.
// If there is a hash, text longer than maxPiece is written to it, and only the
// rest is returned.
func (c *Claim) appendBaseString(out []byte, to hash.Hash) []byte {
	slices.SortFunc(c.params, func(a, b param) int {
		if order := strings.Compare(a.name, b.name); order != 0 {
			return order
		}
		return strings.Compare(a.value, b.value)
	})
	out = appendEncodedString(out, c.method)
	out = append(out, '&')
	out = appendEncodedString(out, c.baseURL)
	out = append(out, '&')
	for i, pair := range c.params {
		if i > 0 {
			out = append(out, "%26"...)
		}
		out = appendPieces(out, pair.name, to)
		out = append(out, "%3D"...)
		out = appendPieces(out, pair.value, to)
	}
	return out
}

// appendPieces does what appendTwice does, and writes to the hash when the text
// gets long.
func appendPieces(out []byte, encoded string, to hash.Hash) []byte {
	for to != nil && len(out)+len(encoded) > maxPiece {
		n := min(len(encoded), maxPiece)
		out = appendTwice(out, encoded[:n])
		to.Write(out)
		out, encoded = out[:0], encoded[n:]
	}
	return appendTwice(out, encoded)
}

// appendTwice percent-encodes a text that is percent-encoded already. Only the
// "%" in it is not unreserved.
func appendTwice(out []byte, encoded string) []byte {
	for {
		i := strings.IndexByte(encoded, '%')
		if i < 0 {
			return append(out, encoded...)
		}
		out = append(out, encoded[:i]...)
		out = append(out, "%25"...)
		encoded = encoded[i+1:]
	}
}
