package sign

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// wikiApp is the app of the MediaWiki vectors: the effective secrets under the
// site key of the vectors.
var wikiApp = Credentials{
	ConsumerKey:    strings.Repeat("1", 32),
	ConsumerSecret: "e995833b7565374d6bed17414a49fb56811884fc",
	Token:          strings.Repeat("2", 32),
	TokenSecret:    "89c99f9aea2ab6da17b81439d98966f29f3403ed",
}

// rawApp is the same app on a wiki without a site key.
var rawApp = Credentials{
	ConsumerKey:    strings.Repeat("1", 32),
	ConsumerSecret: "0123456789abcdef0123456789abcdef",
	Token:          strings.Repeat("2", 32),
	TokenSecret:    "fedcba9876543210fedcba9876543210",
}

func TestSecret(t *testing.T) {
	if got := Secret("unit-test-secret-key", rawApp.ConsumerSecret); got != wikiApp.ConsumerSecret {
		t.Errorf("consumer secret = %q, want %q", got, wikiApp.ConsumerSecret)
	}
	if got := Secret("unit-test-secret-key", rawApp.TokenSecret); got != wikiApp.TokenSecret {
		t.Errorf("token secret = %q, want %q", got, wikiApp.TokenSecret)
	}
	if got := Secret("", rawApp.TokenSecret); got != rawApp.TokenSecret {
		t.Errorf("without a site key: %q, want %q", got, rawApp.TokenSecret)
	}
}

func TestHeaderOfMediaWikiVectors(t *testing.T) {
	const get = "https://wiki.example.org/w/api.php?action=query&meta=userinfo&format=json"
	tests := []struct {
		name string
		app  Credentials
		url  string
		want string
	}{
		{"site key", wikiApp, get, "ZL6qDoNGFocusRXt7hRiOnMl0XA%3D"},
		{"no site key", rawApp, strings.Replace(get, "&meta=userinfo&format=json", "", 1), "QlzX0DPtb18Ewo9%2Fv%2F7cH7Uv7yA%3D"},
		{"the base string URI is normalised", wikiApp, strings.Replace(get, "https://wiki.example.org", "HTTPS://Wiki.Example.org:443", 1) + "#top", "ZL6qDoNGFocusRXt7hRiOnMl0XA%3D"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Header(test.app, "get", test.url, nil, Options{Nonce: "abc123", Timestamp: "1700000000"})
			want := `OAuth oauth_consumer_key="11111111111111111111111111111111", oauth_token="22222222222222222222222222222222", ` +
				`oauth_signature_method="HMAC-SHA1", oauth_timestamp="1700000000", oauth_nonce="abc123", oauth_version="1.0", ` +
				`oauth_signature="` + test.want + `"`
			if err != nil || got != want {
				t.Errorf("Header = %q, %v\nwant %q", got, err, want)
			}
		})
	}
}

// TestRFC5849PhotosRequest is the authenticated request of section 1.2.
func TestRFC5849PhotosRequest(t *testing.T) {
	base, err := baseString("GET", "http://photos.example.net/photos?file=vacation.jpg&size=original", nil, []param{
		{"oauth_consumer_key", "dpf43f3p2l4k3l03"},
		{"oauth_token", "nnch734d00sl2jdk"},
		{"oauth_signature_method", "HMAC-SHA1"},
		{"oauth_timestamp", "137131202"},
		{"oauth_nonce", "chapoH"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := Credentials{ConsumerSecret: "kd94hf93k423kf44", TokenSecret: "pfkkdhi9sl3r4s00"}
	if got, err := c.signature(base); err != nil || Escape(got) != "MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D" {
		t.Errorf("signature = %q, %v", got, err)
	}
}

// TestRFC5849BaseString is the base string of section 3.4.1.1.
func TestRFC5849BaseString(t *testing.T) {
	const want = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q" +
		"%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_" +
		"key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_m" +
		"ethod%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk" +
		"9d7dh3k39sjv7"
	got, err := baseString("post", "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b", []byte("c2&a3=2+q"), []param{
		{"oauth_consumer_key", "9djdj82h48djs9d2"},
		{"oauth_token", "kkk9d7dh3k39sjv7"},
		{"oauth_signature_method", "HMAC-SHA1"},
		{"oauth_timestamp", "137131201"},
		{"oauth_nonce", "7d8f3e4a"},
	})
	if err != nil || got != want {
		t.Errorf("baseString = %q, %v\nwant %q", got, err, want)
	}
}

func TestEscape(t *testing.T) {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	for i := range 256 {
		text := string([]byte{byte(i)})
		want := fmt.Sprintf("%%%02X", i)
		if strings.Contains(unreserved, text) {
			want = text
		}
		if got := Escape(text); got != want {
			t.Errorf("Escape(%q) = %q, want %q", text, got, want)
		}
		if got, err := unescape(want); err != nil || got != text {
			t.Errorf("unescape(%q) = %q, %v", want, got, err)
		}
	}
}

func TestSplitURL(t *testing.T) {
	tests := []struct{ url, uri, query, err string }{
		{"http://example.com", "http://example.com/", "", ""},
		{"http://example.com?a=/b", "http://example.com/", "a=/b", ""},
		{"https://example.com:8443/%7ea/../b", "https://example.com:8443/%7ea/../b", "", ""},
		{"http://example.com:443/", "http://example.com:443/", "", ""},
		{"https://example.com:/", "https://example.com/", "", ""},
		{"http://[::1]:80/a", "http://[::1]/a", "", ""},
		{"http://example.com/a#b?c", "http://example.com/a", "", ""},
		{"http://example.com/a?b?c#d", "http://example.com/a", "b?c", ""},
		{"ftp://example.com/", "", "", "want http:// or https://"},
		{"example.com/", "", "", "want http:// or https://"},
		{"http:///a", "", "", "no host"},
		{"http://user@example.com/", "", "", "user information"},
		{"http://example.com/a b", "", "", "must be percent-encoded"},
		{"http://example.com/ä", "", "", "must be percent-encoded"},
	}
	for _, test := range tests {
		uri, query, err := splitURL(test.url)
		if uri != test.uri || query != test.query || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("splitURL(%q) = %q, %q, %v", test.url, uri, query, err)
		}
	}
}

func TestHeaderRefuses(t *testing.T) {
	tests := []struct {
		name, url, form, realm, err string
		app                         Credentials
	}{
		{name: "no key", url: "http://example.com/", err: "no consumer key"},
		{name: "cut off", app: rawApp, url: "http://example.com/?a=%4", err: "incomplete percent-encoding"},
		{name: "no hex", app: rawApp, url: "http://example.com/", form: "a=%4g", err: `malformed percent-encoding "%4g"`},
		{name: "no hex in a name", app: rawApp, url: "http://example.com/", form: "%G4=a", err: `malformed percent-encoding "%G4"`},
		{name: "line break", app: rawApp, url: "http://example.com/", realm: "a\r\nb", err: "not printable ASCII"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Header(test.app, "GET", test.url, []byte(test.form), Options{Realm: test.realm})
			if got != "" || err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("Header = %q, %v; want error %q", got, err, test.err)
			}
		})
	}
}

func TestHeaderIsFresh(t *testing.T) {
	a, err := Header(rawApp, "GET", "http://example.com/", nil, Options{Realm: `a"\b`})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(a, `OAuth realm="a\"\\b", oauth_consumer_key="`) {
		t.Errorf("Header = %q: realm missing", a)
	}
	b, err := Header(rawApp, "GET", "http://example.com/", nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if nonce(t, a) == nonce(t, b) {
		t.Errorf("both nonces are %q", nonce(t, a))
	}
}

func TestHeaderWithoutToken(t *testing.T) {
	app := rawApp
	app.Token = ""
	got, err := Header(app, "GET", "http://example.com/", nil, Options{})
	if err != nil || strings.Contains(got, "oauth_token") || !strings.Contains(got, `oauth_consumer_key="1111`) {
		t.Errorf("Header = %q, %v", got, err)
	}
}

func nonce(t *testing.T, header string) string {
	t.Helper()
	_, rest, found := strings.Cut(header, `oauth_nonce="`)
	value, _, closed := strings.Cut(rest, `"`)
	if !found || !closed || value == "" {
		t.Fatalf("no nonce in %q", header)
	}
	return value
}

func TestRSASHA1(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	app := rawApp
	app.RSAKey = key
	header, err := Header(app, "GET", "http://example.com/?a=1", nil, Options{Nonce: "n", Timestamp: "1"})
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(header, `oauth_signature="`)
	text, err := unescape(strings.TrimSuffix(rest, `"`))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	base := "GET&http%3A%2F%2Fexample.com%2F&a%3D1%26oauth_consumer_key%3D" + app.ConsumerKey +
		"%26oauth_nonce%3Dn%26oauth_signature_method%3DRSA-SHA1%26oauth_timestamp%3D1%26oauth_token%3D" + app.Token +
		"%26oauth_version%3D1.0"
	digest := sha1.Sum([]byte(base))
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA1, digest[:], raw); err != nil {
		t.Errorf("signature of %q: %v", base, err)
	}
}

func TestJWT(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	token, err := JWT(key, map[string]any{"jti": "a", "exp": 1.5})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("JWT = %q", token)
	}
	for i, want := range []map[string]any{{"alg": "RS256", "typ": "JWT"}, {"jti": "a", "exp": 1.5}} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]any{}
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Errorf("part %d = %v, want %v", i, got, want)
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("part %d: %s = %v, want %v", i, name, got[name], value)
			}
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
	if _, err := JWT(key, map[string]any{"a": func() {}}); err == nil {
		t.Error("JWT of a function: no error")
	}
}
