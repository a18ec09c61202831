package e2e_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/dghubble/oauth1"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

// awkward are requests whose signing clients have got wrong in one way or another.
var awkward = []struct{ method, target, body, contentType string }{
	{"GET", "/w/api.php?action=query&meta=userinfo&format=json", "", ""},
	{"GET", "/", "", ""},
	{"GET", "/w/index.php?title=Talk%3AA%26B&a=1&a=0&a=&b", "", ""},
	{"GET", "/w/api.php?text=%20%2B%25%7E%2A%27%28%29&empty=&z=%2F", "", ""},
	{"GET", "/wiki/%C3%89t%C3%A9?q=%E2%98%83%F0%9F%98%80", "", ""},
	{"GET", "/w/api.php?b5=%3D%253D&a3=a&c%40=&a2=r%20b", "", ""},
	{"POST", "/w/api.php", "action=edit&title=Sandbox&text=a%20b%0D%0Ac&token=%2B%5C", formType},
	{"POST", "/w/api.php?format=json&a=query", "a=body&a=again&text=%C3%A9%E2%98%83+x%2By&=", formType},
	{"POST", "/w/api.php", "c2&a3=2+q", formType},
	{"PUT", "/rest.php/v1/page/%C3%89?x=1", `{"source": "é", "a": "b=c&d"}`, "application/json"},
	{"POST", "/upload?x=1", "--x\r\ncontent\r\n--x--", "multipart/form-data; boundary=x"},
	{"DELETE", "/rest.php/v1/x", "", ""},
}

// python is one that has oauthlib: Debian's, when the one on the PATH has not.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), name, "-c", "import oauthlib, jwt, cryptography").Run() == nil {
			return name
		}
	}
	t.Fatal("no python3 has oauthlib: apt-get install --no-install-recommends python3-oauthlib")
	return ""
}

type oauthlibCase struct {
	Method        string `json:"method"`
	URL           string `json:"url"`
	Body          string `json:"body"`
	ContentType   string `json:"content_type"`
	ConsumerKey   string `json:"consumer_key"`
	Secret        string `json:"consumer_secret"`
	Token         string `json:"token"`
	TokenSecret   string `json:"token_secret"`
	RSAKey        string `json:"rsa_key"`
	SignatureType string `json:"signature_type"`
	Realm         string `json:"realm"`
}

func privatePEM(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	if key == nil {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

// TestSignedByOAuthlib sends what python3-oauthlib signs, which most Python
// clients of MediaWiki are made of.
func TestSignedByOAuthlib(t *testing.T) {
	g := harness.New(t, harness.Options{})
	var cases []oauthlibCase
	for _, app := range []harness.App{g.Wiki.HMAC, g.Wiki.RSA} {
		for _, r := range awkward {
			for _, place := range []string{"AUTH_HEADER", "QUERY"} {
				c := oauthlibCase{
					Method: r.method, URL: g.URL(r.target), Body: r.body, ContentType: r.contentType, SignatureType: place,
					ConsumerKey: app.Credentials.ConsumerKey, Secret: app.Credentials.ConsumerSecret,
					Token: app.Credentials.Token, TokenSecret: app.Credentials.TokenSecret, RSAKey: privatePEM(t, app.Credentials.RSAKey),
				}
				if place == "AUTH_HEADER" && r.method == "GET" {
					c.Realm = "Wiki of É"
				}
				cases = append(cases, c)
			}
		}
	}
	input, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python(t), "testdata/oauthlib_sign.py")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var signed []struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	if err := json.Unmarshal(output, &signed); err != nil || len(signed) != len(cases) {
		t.Fatalf("%d answers to %d cases: %v", len(signed), len(cases), err)
	}
	for i, s := range signed {
		c := cases[i]
		t.Run(c.SignatureType+" "+c.Method+" "+strings.TrimPrefix(c.URL, g.URL("")), func(t *testing.T) {
			send := func(url, body string) *harness.Answer {
				r := g.Request(t, c.Method, url, body)
				for name, value := range s.Headers {
					r.Header.Set(name, value)
				}
				return g.Do(t, r)
			}
			// The same with one thing more does not pass: what was signed is
			// all of it.
			if a := send(s.URL+map[bool]string{true: "&", false: "?"}[strings.Contains(s.URL, "?")]+"x=y", s.Body); a.Reason != "bad_signature" {
				t.Errorf("with a parameter more: %d %s", a.Status, a.Reason)
			}
			a := send(s.URL, s.Body)
			a.Want(t, "ok")
			if a.Seen != nil && (a.Identity("User-Id") != "7" || string(a.Seen.Body) != s.Body) {
				t.Errorf("user %q, body %q", a.Identity("User-Id"), a.Seen.Body)
			}
			send(s.URL, s.Body).Want(t, "nonce_used")
		})
	}
}

// TestSignedByDghubble sends what a Go client signs that shares no code with
// this module.
func TestSignedByDghubble(t *testing.T) {
	g := harness.New(t, harness.Options{})
	for _, app := range []harness.App{g.Wiki.HMAC, g.Wiki.RSA} {
		config := oauth1.NewConfig(app.Credentials.ConsumerKey, app.Credentials.ConsumerSecret)
		if app.Credentials.RSAKey != nil {
			config.Signer = &oauth1.RSASigner{PrivateKey: app.Credentials.RSAKey}
		}
		client := config.Client(t.Context(), oauth1.NewToken(app.Credentials.Token, app.Credentials.TokenSecret))
		for _, r := range awkward {
			if repeats(r.target) || repeats("?"+r.body) && r.contentType == formType {
				continue // it signs one value of a name, and so breaks RFC 5849 section 3.4.1.3.2
			}
			t.Run(app.Consumer.Name+" "+r.method+" "+r.target, func(t *testing.T) {
				request, err := http.NewRequestWithContext(t.Context(), r.method, g.URL(r.target), strings.NewReader(r.body))
				if err != nil {
					t.Fatal(err)
				}
				if r.contentType != "" {
					request.Header.Set("Content-Type", r.contentType)
				}
				response, err := client.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				a, err := harness.ReadAnswer(response)
				if err != nil {
					t.Fatal(err)
				}
				a.Want(t, "ok")
				if a.Seen != nil && (a.Identity("User-Id") != "7" || string(a.Seen.Body) != r.body) {
					t.Errorf("user %q, body %q", a.Identity("User-Id"), a.Seen.Body)
				}
			})
		}
	}
	// The tokens are what makes it pass.
	stranger := oauth1.NewConfig(g.Wiki.HMAC.Credentials.ConsumerKey, "x").Client(t.Context(), oauth1.NewToken(g.Wiki.HMAC.Credentials.Token, "x"))
	response, err := stranger.Get(g.URL("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if body, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(body), `"bad_signature"`) {
		t.Errorf("with other secrets: %s %s, %v", response.Status, body, err)
	}
}

// repeats reports whether a query has a name twice.
func repeats(target string) bool {
	_, query, _ := strings.Cut(target, "?")
	values, err := url.ParseQuery(query)
	for _, v := range values {
		if len(v) > 1 {
			return true
		}
	}
	return err != nil
}
