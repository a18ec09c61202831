// Package sign signs requests as a client does: OAuth 1.0a with HMAC-SHA1 or
// RSA-SHA1 (RFC 5849), and JWTs with RS256 (RFC 7519). It shares no code with
// the validator, so that each can find the other's mistakes.
package sign

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RFC 5849 knows no other digest.
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Credentials are what an app signs an OAuth 1.0a request with. The secrets are
// those that MediaWiki handed out, not those in its tables.
type Credentials struct {
	ConsumerKey, ConsumerSecret string
	Token, TokenSecret          string // empty Token: none is sent, as in the first step of the handshake
	// RSAKey signs with RSA-SHA1 if it is not nil. The secrets are not used then.
	RSAKey *rsa.PrivateKey
}

// Options are what the signature of a request depends on, apart from the
// request and the credentials. The zero value makes a fresh nonce and timestamp.
type Options struct {
	Nonce string
	// Timestamp is a time in Unix seconds.
	Timestamp string
	// Realm is not sent if it is empty.
	Realm string
	// Callback and Verifier are those of the handshake. They are not sent if they
	// are empty.
	Callback, Verifier string
}

// Header returns the value of the Authorization header that signs the request.
// Form is the request's body if, and only if, its type is
// application/x-www-form-urlencoded.
func Header(c Credentials, method, rawURL string, form []byte, o Options) (string, error) {
	if c.ConsumerKey == "" {
		return "", errors.New("no consumer key")
	}
	if o.Nonce == "" {
		o.Nonce = rand.Text()
	}
	if o.Timestamp == "" {
		o.Timestamp = strconv.FormatInt(time.Now().Unix(), 10)
	}
	signatureMethod := "HMAC-SHA1"
	if c.RSAKey != nil {
		signatureMethod = "RSA-SHA1"
	}
	protocol := []param{
		{"oauth_consumer_key", c.ConsumerKey},
		{"oauth_token", c.Token},
		{"oauth_signature_method", signatureMethod},
		{"oauth_timestamp", o.Timestamp},
		{"oauth_nonce", o.Nonce},
		{"oauth_version", "1.0"},
	}
	if c.Token == "" {
		protocol = slices.Delete(protocol, 1, 2)
	}
	for _, p := range []param{{"oauth_callback", o.Callback}, {"oauth_verifier", o.Verifier}} {
		if p.value != "" {
			protocol = append(protocol, p)
		}
	}
	base, err := baseString(method, rawURL, form, protocol)
	if err != nil {
		return "", err
	}
	signature, err := c.signature(base)
	if err != nil {
		return "", err
	}

	var header strings.Builder
	header.WriteString("OAuth ")
	if o.Realm != "" {
		if strings.ContainsFunc(o.Realm, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			return "", fmt.Errorf("realm %q is not printable ASCII", o.Realm)
		}
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(o.Realm)
		header.WriteString(`realm="` + quoted + `", `)
	}
	for _, p := range protocol {
		header.WriteString(p.name + `="` + Escape(p.value) + `", `)
	}
	header.WriteString(`oauth_signature="` + Escape(signature) + `"`)
	return header.String(), nil
}

// signature signs a base string (RFC 5849 section 3.4).
func (c Credentials) signature(base string) (string, error) {
	if c.RSAKey == nil {
		mac := hmac.New(sha1.New, []byte(Escape(c.ConsumerSecret)+"&"+Escape(c.TokenSecret)))
		mac.Write([]byte(base))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
	}
	digest := sha1.Sum([]byte(base)) //nolint:gosec // RSA-SHA1 is what the protocol has.
	raw, err := rsa.SignPKCS1v15(nil, c.RSAKey, crypto.SHA1, digest[:])
	if err != nil {
		return "", fmt.Errorf("signing with the RSA key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

// Secret returns the secret that MediaWiki hands out for one in its tables:
// HMAC-SHA1 under the site key, in hexadecimal. Without a site key it is the
// stored one.
func Secret(siteKey, stored string) string {
	if siteKey == "" {
		return stored
	}
	mac := hmac.New(sha1.New, []byte(siteKey))
	mac.Write([]byte(stored))
	return hex.EncodeToString(mac.Sum(nil))
}

// JWT returns the claims as a compact JWS, signed with RS256.
func JWT(key *rsa.PrivateKey, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"RS256"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("signing with the RSA key: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
