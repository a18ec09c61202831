package e2e_test

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // RS512
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwt makes a JWT with any header; sign makes its signature.
func jwt(t *testing.T, header string, claims map[string]any, sign func(signed []byte) []byte) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed := base64url([]byte(header)) + "." + base64url(payload)
	return signed + "." + base64url(sign([]byte(signed)))
}

func rsaSigner(t *testing.T, key *rsa.PrivateKey, hash crypto.Hash) func([]byte) []byte {
	return func(signed []byte) []byte {
		h := hash.New()
		h.Write(signed)
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, hash, h.Sum(nil))
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
}

func hmacSigner(key []byte) func([]byte) []byte {
	return func(signed []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(signed)
		return mac.Sum(nil)
	}
}

func TestAlgorithmConfusion(t *testing.T) {
	g := harness.New(t, harness.Options{})
	w := g.Wiki
	claims := w.OAuth2.Claims
	rs256 := rsaSigner(t, w.IssuerKey, crypto.SHA256)
	attacker := harness.NewKey(2048)
	jwk := fmt.Sprintf(`{"alg":"RS256","jwk":{"kty":"RSA","n":"%s","e":"AQAB"}}`, base64url(attacker.N.Bytes()))
	publicPEM := []byte(harness.PublicPEM(&w.IssuerKey.PublicKey))
	for _, tt := range []struct {
		name, header string
		sign         func([]byte) []byte
		want         string
	}{
		{"RS256", `{"alg":"RS256"}`, rs256, "ok"},
		{"kid, jku and x5u that are only said", `{"alg":"RS256","kid":"../../dev/null","jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/"}`, rs256, "ok"},
		{"none", `{"alg":"none"}`, func([]byte) []byte { return nil }, "unsupported_algorithm"},
		{"None", `{"alg":"None"}`, func([]byte) []byte { return nil }, "unsupported_algorithm"},
		{"none, with a signature", `{"alg":"none"}`, rs256, "unsupported_algorithm"},
		{"no alg", `{"typ":"JWT"}`, rs256, "unsupported_algorithm"},
		{"HS256 keyed with the public key's PEM", `{"alg":"HS256"}`, hmacSigner(publicPEM), "unsupported_algorithm"},
		{"HS256 keyed with the trimmed PEM", `{"alg":"HS256"}`, hmacSigner(bytes.TrimSpace(publicPEM)), "unsupported_algorithm"},
		{"HS256 with nothing for a key", `{"alg":"HS256"}`, hmacSigner(nil), "unsupported_algorithm"},
		{"RS512", `{"alg":"RS512"}`, rsaSigner(t, w.IssuerKey, crypto.SHA512), "unsupported_algorithm"},
		{"RS256 that is signed as RS512", `{"alg":"RS256"}`, rsaSigner(t, w.IssuerKey, crypto.SHA512), "bad_token_signature"},
		{"two alg", `{"alg":"RS256","alg":"none"}`, func([]byte) []byte { return nil }, "unsupported_algorithm"},
		{"a key of its own", jwk, rsaSigner(t, attacker, crypto.SHA256), "bad_token_signature"},
		{"kid that names the public key, HMAC", `{"alg":"RS256","kid":"HS256"}`, hmacSigner(publicPEM), "bad_token_signature"},
		{"b64 false", `{"alg":"RS256","b64":false}`, rs256, "malformed_token"},
		{"b64 false, crit", `{"alg":"RS256","b64":false,"crit":["b64"]}`, rs256, "malformed_token"},
		{"unknown crit", `{"alg":"RS256","crit":["exp"]}`, rs256, "malformed_token"},
		{"zip and enc", `{"alg":"RS256","enc":"A128GCM","zip":"DEF"}`, rs256, "malformed_token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.Get(t, "/", "Bearer "+jwt(t, tt.header, claims, tt.sign)).Want(t, tt.want)
		})
	}
}

func TestJWTParserDoS(t *testing.T) {
	g := harness.New(t, harness.Options{})
	good := g.Wiki.Token(t, g.Wiki.OAuth2, nil)
	first, _, _ := strings.Cut(good, ".")
	deep := `{"a":` + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + `}`
	for _, tt := range []struct{ name, token, want string }{
		{"dots", strings.Repeat(".", 12<<10), "malformed_token"},
		{"dots behind a token", good + strings.Repeat(".", 12<<10), "malformed_token"},
		{"as long as may be", good + strings.Repeat("A", 10<<10), "bad_token_signature"},
		{"longer", good + strings.Repeat("A", 17<<10), "malformed_header"},
		{"payload of endless depth", first + "." + base64url([]byte(deep)) + "." + base64url(make([]byte, 256)), "bad_token_signature"},
		{"header of endless depth", base64url([]byte(deep)) + ".e30." + base64url(make([]byte, 256)), "malformed_token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := mariadbCounters(t)
			a := g.Get(t, "/", "Bearer "+tt.token)
			a.Want(t, tt.want)
			if asked := mariadbCounters(t).Sub(before).Selects; asked != 0 {
				t.Errorf("%d queries for it", asked)
			}
		})
	}
	g.Get(t, "/", "Bearer "+good).Want(t, "ok")
}

// TestWrongKindOfToken sends JWTs that MediaWiki does sign with the same key,
// or for the same app, and that are not access tokens.
func TestWrongKindOfToken(t *testing.T) {
	g := harness.New(t, harness.Options{})
	w := g.Wiki
	for _, tt := range []struct{ name, token, want string }{
		{"session token, with a jti of its own", w.Token(t, w.OAuth2, map[string]any{"jti": wikidb.RandomHex(40)}), "token_revoked"},
		{"session token without a jti", w.Token(t, w.OAuth2, map[string]any{"jti": nil}), "malformed_token"},
		{"its jti is an access token of OAuth 1", w.Token(t, w.OAuth2, map[string]any{"jti": w.HMAC.Acceptance.Token}), "token_revoked"},
		{"its jti is empty", w.Token(t, w.OAuth2, map[string]any{"jti": ""}), "malformed_token"},
		{"client of OAuth 1", w.Token(t, w.OAuth2, map[string]any{"aud": w.HMAC.Consumer.Key}), "unknown_client"},
		{"no client", w.Token(t, w.OAuth2, map[string]any{"aud": wikidb.RandomHex(16)}), "unknown_client"},
		{"identify statement, HS256 with the consumer's secret", jwt(t, `{"typ":"JWT","alg":"HS256"}`, map[string]any{
			"iss": g.URL(""), "sub": "7", "aud": w.HMAC.Consumer.Key, "exp": time.Now().Unix() + 100, "iat": time.Now().Unix(),
			"username": "Alice", "jti": w.OAuth2.JTI,
		}, hmacSigner([]byte(w.HMAC.Credentials.ConsumerSecret))), "unsupported_algorithm"},
		{"access token", w.Token(t, w.OAuth2, nil), "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.Get(t, "/", "Bearer "+tt.token).Want(t, tt.want)
		})
	}
	revoked := w.Accept(t, w.OAuth2.Consumer, w.Bob)
	w.Exec(t, "UPDATE oauth2_access_tokens SET oaat_revoked = 2 WHERE oaat_identifier = '"+revoked.JTI+"'")
	g.Get(t, "/", w.Bearer(t, revoked)).Want(t, "token_revoked")
}

func TestCachedPastExpiry(t *testing.T) {
	g := harness.New(t, harness.Options{})
	w := g.Wiki
	now := time.Now().Unix()
	send := func(exp any) *harness.Answer {
		return g.Get(t, "/", "Bearer "+w.Token(t, w.OAuth2, map[string]any{"exp": exp}))
	}
	for _, tt := range []struct {
		name string
		exp  any
		want string
	}{
		{"in 1000 years", now + 1000*31556952, "ok"},
		{"in 1000 years, as a fraction", json.Number(fmt.Sprint(now+1000*31556952) + ".25"), "ok"},
		{"the last second that an int64 has", json.Number("9223372036854775807"), "ok"},
		{"beyond every integer", json.Number("1e308"), "ok"},
		{"beyond every float", json.Number("1e309"), "malformed_token"},
		{"never", nil, "ok"},
		{"zero", 0, "token_expired"},
		{"negative", -1, "token_expired"},
		{"far back", json.Number("-1e308"), "token_expired"},
		{"now", now, "token_expired"},
		{"a text", "9999999999", "malformed_token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 3 { // from the cache too
				send(tt.exp).Want(t, tt.want)
			}
		})
	}
	for name, life := range map[string]time.Duration{"in 1.5 s": 1500 * time.Millisecond, "in 0.4 s": 400 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			end := time.Now().Add(life)
			token := "Bearer " + w.Token(t, w.OAuth2, map[string]any{"exp": float64(end.UnixMicro()) / 1e6})
			passed := 0
			for {
				began := time.Now()
				a := g.Get(t, "/", token)
				if a.Status == http.StatusOK {
					passed++
					if began.After(end) {
						t.Fatalf("passes %v after its end", began.Sub(end))
					}
					continue
				}
				a.Want(t, "token_expired")
				if time.Now().Before(end) {
					t.Error("expires before its end")
				}
				break
			}
			if life > time.Second && passed < 2 {
				t.Errorf("passed %d times: it was never cached", passed)
			}
		})
	}
}

func TestKeysOfAppOwners(t *testing.T) {
	w := harness.NewWiki(t, release139)
	withKey := func(pem string) harness.App {
		app := w.NewApp(t, w.Alice, func(c *wikidb.Consumer) { c.Name, c.RSAKey = "app of "+wikidb.RandomHex(4), pem })
		return app
	}
	strong, small := harness.NewKey(1024), smallKey(t, 512)
	large, err := rsa.GenerateMultiPrimeKey(rand.Reader, 12, 8256) //nolint:staticcheck // of two primes it would take minutes
	if err != nil {
		t.Fatal(err)
	}
	good, weak := withKey(harness.PublicPEM(&strong.PublicKey)), withKey(harness.PublicPEM(&small.PublicKey))
	good.Credentials.RSAKey = strong
	huge := withKey(harness.PublicPEM(&large.PublicKey))
	nonsense := withKey("-----BEGIN PUBLIC KEY-----\n" + strings.Repeat("A", 60000))
	g := harness.New(t, harness.Options{Wiki: w})

	g.Signed(t, good, "/").Want(t, "ok")
	weak.Credentials.RSAKey = small
	g.Signed(t, weak, "/").Want(t, "bad_signature")
	for app, key := range map[*harness.App]*rsa.PrivateKey{&huge: large, &nonsense: strong} {
		app.Credentials.RSAKey = key
		g.Signed(t, *app, "/").Want(t, "bad_signature")
		app.Credentials.RSAKey = nil // its secret is as good as ever
		g.Signed(t, *app, "/").Want(t, "ok")
	}

	// Of the issuer's keys the operator is told at once.
	err = g.Load(t, "public_key `"+harness.PublicPEM(&strong.PublicKey)+"`")
	if err == nil || !strings.Contains(err.Error(), "RSA key of 1024 bits") {
		t.Errorf("issuer's key of 1024 bits: %v", err)
	}
	g.Signed(t, good, "/").Want(t, "ok")
}

// smallKey makes a key of fewer bits than Go would.
func smallKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
