package authserver

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// claim is a claim of a JWT with its value. The order of claims is MediaWiki's.
type claim struct {
	name  string
	value any
}

// rawJSON is a value that is JSON already.
type rawJSON string

// MarshalJSON returns the value itself.
func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// encodeClaims writes claims as a JSON object in their order.
func encodeClaims(claims []claim) ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, c := range claims {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := encodeJSON(c.name)
		if err != nil {
			return nil, err
		}
		value, err := encodeJSON(c.value)
		if err != nil {
			return nil, err
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// encodeJSON writes JSON without the escapes that Go adds for HTML.
func encodeJSON(value any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), nil
}

// signRS256 returns a JWT that is signed with an RSA key (RFC 7518 section 3.3).
func signRS256(key *rsa.PrivateKey, claims []claim) (string, error) {
	text, err := unsigned(`{"typ":"JWT","alg":"RS256"}`, claims)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// signHS256 returns a JWT that is authenticated with a secret (RFC 7518 section 3.2).
func signHS256(secret string, claims []claim) (string, error) {
	text, err := unsigned(`{"typ":"JWT","alg":"HS256"}`, claims)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}

func unsigned(header string, claims []claim) (string, error) {
	body, err := encodeClaims(claims)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(body), nil
}

// microseconds writes a time as the JSON number with microseconds that MediaWiki's
// library writes. It never is a whole number, because that library would change
// its type.
func microseconds(t time.Time) rawJSON {
	micro := max(t.Nanosecond()/1000, 1)
	fraction := strconv.Itoa(1_000_000 + micro)[1:]
	return rawJSON(strconv.FormatInt(t.Unix(), 10) + "." + strings.TrimRight(fraction, "0"))
}

// randomHex returns n random bytes in hexadecimal.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
