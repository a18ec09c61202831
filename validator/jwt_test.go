package validator

import (
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// signedJWT signs header and payload as they are.
func signedJWT(t testing.TB, header, payload string) string {
	t.Helper()
	segments := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	digest := sha256.Sum256([]byte(segments))
	signature, err := rsa.SignPKCS1v15(nil, issuerKey(), crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return segments + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestJWT(t *testing.T) {
	const rs256 = `{"alg":"RS256","typ":"JWT"}`
	claims := func(more string) string { return `{"jti":"j","aud":"a"` + more + `}` }
	good := signedJWT(t, rs256, claims(""))
	lastDot := strings.LastIndexByte(good, '.')
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(&issuerKey().PublicKey))})
	hs256 := func() string {
		segments := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims("")))
		mac := hmac.New(sha256.New, publicPEM)
		mac.Write([]byte(segments))
		return segments + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	for _, tt := range []struct {
		name string
		raw  string
		want Reason
	}{
		{"good", good, OK},
		{"kid, typ, cty", signedJWT(t, `{"alg":"RS256","kid":"x","typ":"y","cty":"z","jku":"https://evil.example.org"}`, claims("")), OK},
		{"repeated claim, last one counts", signedJWT(t, rs256, `{"jti":1,"jti":"j","aud":"a"}`), OK},

		{"empty", "", MalformedToken},
		{"two parts", good[:lastDot], MalformedToken},
		{"four parts", good + ".x", MalformedToken},
		{"many parts", strings.Repeat(".", maxHeader), MalformedToken},
		{"too long", good + strings.Repeat("A", maxHeader), MalformedToken},
		{"padded signature", good + "==", MalformedToken},
		{"line break in the signature", good[:lastDot+5] + "\n" + good[lastDot+5:], MalformedToken},
		{"slack bits", good[:len(good)-1] + "B", MalformedToken},
		{"header that is a list", signedJWT(t, `["RS256"]`, claims("")), MalformedToken},
		{"header that is not JSON", signedJWT(t, `{"alg":"RS256"`, claims("")), MalformedToken},
		{"two headers", signedJWT(t, rs256+rs256, claims("")), MalformedToken},
		{"crit", signedJWT(t, `{"alg":"RS256","crit":["exp"]}`, claims("")), MalformedToken},
		{"b64", signedJWT(t, `{"alg":"RS256","b64":false}`, claims("")), MalformedToken},
		{"enc", signedJWT(t, `{"alg":"RS256","enc":"A128GCM"}`, claims("")), MalformedToken},
		{"none, signed", signedJWT(t, `{"alg":"none"}`, claims("")), UnsupportedAlgorithm},
		{"none, not signed", unsigned(signedJWT(t, `{"alg":"none"}`, claims(""))), UnsupportedAlgorithm},
		{"no alg", signedJWT(t, `{}`, claims("")), UnsupportedAlgorithm},
		{"alg in other letters", signedJWT(t, `{"alg":"rs256"}`, claims("")), UnsupportedAlgorithm},
		{"ALG", signedJWT(t, `{"ALG":"RS256"}`, claims("")), UnsupportedAlgorithm},
		{"alg a number", signedJWT(t, `{"alg":1}`, claims("")), UnsupportedAlgorithm},
		{"RS512", signedJWT(t, `{"alg":"RS512"}`, claims("")), UnsupportedAlgorithm},
		{"HS256 keyed with our public key", hs256(), UnsupportedAlgorithm},
		{"signature of another token", good[:lastDot] + signedJWT(t, rs256, claims(`,"x":1`))[strings.LastIndexByte(signedJWT(t, rs256, claims(`,"x":1`)), '.'):], BadTokenSignature},
		{"no signature", unsigned(good), BadTokenSignature},
		{"all zero", good[:lastDot+1] + strings.Repeat("A", 342), BadTokenSignature},
		{"another key", must(sign.JWT(newRSAKey(2048), map[string]any{"jti": "j", "aud": "a"})), BadTokenSignature},

		{"payload that is a text", signedJWT(t, rs256, `"x"`), MalformedToken},
		{"payload that is not JSON", signedJWT(t, rs256, `x`), MalformedToken},
		{"payload that is not UTF-8", signedJWT(t, rs256, claims(",\"x\":\"\xff\"")), MalformedToken},
		{"payload of 511 levels", signedJWT(t, rs256, claims(`,"x":`+strings.Repeat("[", 510)+strings.Repeat("]", 510))), OK},
		{"payload of 512 levels", signedJWT(t, rs256, claims(`,"x":`+strings.Repeat("[", 511)+strings.Repeat("]", 511))), MalformedToken},
		{"half a surrogate pair", signedJWT(t, rs256, claims(`,"x":"\ud800"`)), MalformedToken},
		{"surrogate pair in disorder", signedJWT(t, rs256, claims(`,"x":"\ude00\ud83d"`)), MalformedToken},
		{"surrogate pair that another escape parts", signedJWT(t, rs256, claims(`,"x":"\ud83d\n\ude00"`)), MalformedToken},
		{"surrogate pair", signedJWT(t, rs256, claims(`,"x":"\ud83d\uDE00 \\ud800"`)), OK},
		{"exp a text", signedJWT(t, rs256, claims(`,"exp":"9999999999"`)), MalformedToken},
		{"exp null", signedJWT(t, rs256, claims(`,"exp":null`)), MalformedToken},
		{"exp beyond every float", signedJWT(t, rs256, claims(`,"exp":1e999`)), MalformedToken},
		{"nbf a list", signedJWT(t, rs256, claims(`,"nbf":[1]`)), MalformedToken},
		{"iat true", signedJWT(t, rs256, claims(`,"iat":true`)), MalformedToken},
		{"no jti", signedJWT(t, rs256, `{"aud":"a"}`), MalformedToken},
		{"JTI", signedJWT(t, rs256, `{"JTI":"j","aud":"a"}`), MalformedToken},
		{"jti a number", signedJWT(t, rs256, `{"jti":0,"aud":"a"}`), MalformedToken},
		{"jti a list", signedJWT(t, rs256, `{"jti":["j"],"aud":"a"}`), MalformedToken},
		{"no aud", signedJWT(t, rs256, `{"jti":"j"}`), UnknownClient},
		{"two aud", signedJWT(t, rs256, `{"jti":"j","aud":["a","b"]}`), UnknownClient},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, got := NewJWT([]*rsa.PublicKey{&issuerKey().PublicKey}, Policy{Release: Release139}).Verify(tt.raw)
			if got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
			if want := (got == OK); (token.ID == "j") != want {
				t.Errorf("token %+v", token)
			}
		})
	}
}

// unsigned takes the signature off.
func unsigned(raw string) string { return raw[:strings.LastIndexByte(raw, '.')+1] }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestJWTClaims(t *testing.T) {
	raw := signedJWT(t, `{"alg":"RS256"}`, `{"jti":"j","aud":["a"],"sub":7,"iat":5.5,"nbf":4,"exp":6.25,"scopes":["basic",1,"x",null],"EXP":1}`)
	token, reason := NewJWT([]*rsa.PublicKey{&issuerKey().PublicKey}, Policy{Release: Release139}).Verify(raw)
	if reason != OK {
		t.Fatal(reason)
	}
	if token.ID != "j" || token.Audience != "a" || token.Subject != "7" || token.NotBefore != 5.5 || token.Expires != 6.25 ||
		!slices.Equal(token.Scopes, []string{"basic", "x"}) {
		t.Errorf("%+v", token)
	}
	token, _ = NewJWT([]*rsa.PublicKey{&issuerKey().PublicKey}, Policy{Release: Release139}).Verify(signedJWT(t, `{"alg":"RS256"}`, `{"jti":"j","aud":"a"}`))
	if !math.IsInf(token.NotBefore, -1) || !math.IsInf(token.Expires, 1) || token.Scopes != nil {
		t.Errorf("%+v", token)
	}
}

func TestJWTIdentity(t *testing.T) {
	a, b := &issuerKey().PublicKey, &newRSAKey(2048).PublicKey
	sets := map[string]*JWT{"none": NewJWT(nil, Policy{}), "a": NewJWT([]*rsa.PublicKey{a}, Policy{Release: Release139}), "b": NewJWT([]*rsa.PublicKey{b}, Policy{Release: Release139}), "a and b": NewJWT([]*rsa.PublicKey{a, b}, Policy{Release: Release139})}
	for name, set := range sets {
		for other := range sets {
			if (name == other) != (set.Identity() == sets[other].Identity()) {
				t.Errorf("key sets %s and %s have one identity", name, other)
			}
		}
	}
	if _, reason := sets["none"].Verify(must(sign.JWT(issuerKey(), map[string]any{"jti": "j", "aud": "a"}))); reason != BadTokenSignature {
		t.Errorf("without keys: %v", reason)
	}
}

func TestKeys(t *testing.T) {
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	spki := func(key *rsa.PrivateKey) []byte {
		return encode("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&key.PublicKey)))
	}
	ofBits := func(n uint, exponent ...int) []byte {
		modulus := new(big.Int).Lsh(big.NewInt(1), n-1)
		return encode("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: modulus.SetBit(modulus, 0, 1), E: append(exponent, 65537)[0]}))
	}
	wide := []byte(`-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ==
-----END PUBLIC KEY-----
`)
	for _, tt := range []struct {
		name             string
		text             []byte
		consumer, issuer bool
	}{
		{"2048 bits", spki(issuerKey()), true, true},
		{"PKCS #1", encode("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&issuerKey().PublicKey)), true, true},
		{"1024 bits", spki(appKey()), true, false},
		{"1023 bits", ofBits(1023), false, false},
		{"2047 bits", ofBits(2047), true, false},
		{"4096 bits", ofBits(4096), true, true},
		{"4097 bits", ofBits(4097), false, true},
		{"8192 bits", ofBits(8192), false, true},
		{"exponent 3", ofBits(2048, 3), true, true},
		{"exponent 65539", ofBits(2048, 65539), false, true},
		{"the largest exponent", ofBits(2048, 1<<31-1), false, true},
		{"8193 bits", ofBits(8193), false, false},
		{"cut off", wide, false, false},
		{"private key", encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(issuerKey())), false, false},
		{"no PEM", []byte("x"), false, false},
		{"nothing", nil, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseConsumerKey(tt.text) != nil; got != tt.consumer {
				t.Errorf("consumer key accepted: %v, want %v", got, tt.consumer)
			}
			keys, err := ParseIssuerKeys(tt.text)
			if (err == nil) != tt.issuer || (len(keys) == 1) != tt.issuer {
				t.Errorf("issuer keys: %d, %v; want accepted: %v", len(keys), err, tt.issuer)
			}
		})
	}
	keys, err := ParseIssuerKeys(slices.Concat(spki(issuerKey()), spki(newRSAKey(2048))))
	if err != nil || len(keys) != 2 {
		t.Errorf("two keys in one text: %d, %v", len(keys), err)
	}
}
