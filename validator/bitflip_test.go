package validator

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

const (
	wireHost = "wiki.example.org:8080"
	wirePath = "/w/api.php?action=query&a=%c3%a9&b=1+2"
)

// rawRequest is a request as it goes over the wire.
func rawRequest(method, target, auth, contentType, body string) string {
	raw := method + " " + target + " HTTP/1.1\r\nHost: " + wireHost + "\r\n"
	if auth != "" {
		raw += "Authorization: " + auth + "\r\n"
	}
	if body != "" {
		raw += fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n", contentType, len(body))
	}
	return raw + "\r\n" + body
}

// inPlace gives the parameters of an Authorization line as a query or a form
// has them.
func inPlace(auth string) (params string) {
	authParams(auth[len("OAuth"):], func(name, value string) { params += "&" + name + "=" + value })
	return params
}

// TestEveryBit flips every bit of a request as it goes over the wire, one at a
// time: either what is proven (the base string, the body's hash, the token)
// stays the same, or the request is refused.
func TestEveryBit(t *testing.T) {
	const form, formUTF8 = "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8"
	hmacCreds := newScene().creds
	rsaCreds := sign.Credentials{ConsumerKey: consumerKey, Token: accessToken, RSAKey: appKey()}
	signed := func(c sign.Credentials, method, target, form string) string {
		return must(sign.Header(c, method, "http://"+wireHost+target, []byte(form), newScene().options))
	}
	sum := sha1.Sum([]byte(`{"a":1}`))
	hashed := wirePath + "&oauth_body_hash=" + sign.Escape(base64.StdEncoding.EncodeToString(sum[:]))
	for name, raw := range map[string]string{
		"GET":                     rawRequest("GET", wirePath, signed(hmacCreds, "GET", wirePath, ""), "", ""),
		"GET, RSA":                rawRequest("GET", wirePath, signed(rsaCreds, "GET", wirePath, ""), "", ""),
		"POST form":               rawRequest("POST", wirePath, signed(hmacCreds, "POST", wirePath, "t=A%20b&x+y&a=2"), formUTF8, "t=A%20b&x+y&a=2"),
		"POST form, RSA":          rawRequest("POST", wirePath, signed(rsaCreds, "POST", wirePath, "t=A%20b&x+y&a=2"), form, "t=A%20b&x+y&a=2"),
		"POST JSON":               rawRequest("POST", wirePath, signed(hmacCreds, "POST", wirePath, ""), "application/json", `{"a":1}`),
		"POST JSON with its hash": rawRequest("POST", hashed, signed(hmacCreds, "POST", hashed, ""), "application/json", `{"a":1}`),
		"PUT form":                rawRequest("PUT", wirePath, signed(hmacCreds, "PUT", wirePath, "a=1"), form, "a=1"),
		"DELETE":                  rawRequest("DELETE", wirePath, signed(hmacCreds, "DELETE", wirePath, ""), "", ""),
		"in the query":            rawRequest("GET", wirePath+inPlace(signed(hmacCreds, "GET", wirePath, "")), "", "", ""),
		"in the form": rawRequest("POST", wirePath, `OAuth realm="x"`, form,
			"a=1"+inPlace(signed(hmacCreds, "POST", wirePath, "a=1"))),
		"bearer": rawRequest("GET", wirePath, "Bearer "+must(sign.JWT(issuerKey(), newBearerScene().claims)), "", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, verdict := wireVerdict(t, []byte(raw))
			if verdict != Allow {
				t.Fatalf("the request itself: %v", verdict)
			}
			passed := 0
			for i := range len(raw) * 8 {
				flipped := []byte(raw)
				flipped[i/8] ^= 1 << (i % 8)
				after, verdict := wireVerdict(t, flipped)
				if verdict != Allow {
					continue
				}
				passed++
				if after != before {
					t.Errorf("bit %d of %q: passes, and proves\n%s\nnot\n%s", i, flipped, after, before)
				}
			}
			if passed == 0 {
				t.Error("no flipped bit passes: names of headers have two cases")
			}
			t.Logf("%d of %d flipped bits pass, with the same proof", passed, len(raw)*8)
		})
	}
}

// wireVerdict reads a raw request as a server does and verifies it, with fresh
// nonces. It returns what was proven.
func wireVerdict(t *testing.T, raw []byte) (proof string, verdict Verdict) {
	t.Helper()
	hr, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return "", Deny
	}
	s := newScene()
	if bytes.Contains(bytes.ToLower(raw), []byte("bearer")) {
		s = newBearerScene()
	}
	d := s.verifier().Verify(t.Context(), FromHTTP(nil, hr))
	if d.Verdict != Allow {
		return "", d.Verdict
	}
	r := FromHTTP(nil, hr)
	c, reason := Parse(s.policy, r)
	if reason == OK && c.form != formUnused {
		reason = addBody(&s.policy, &c, &r)
	}
	if reason != OK {
		t.Fatalf("passed, then %v", reason)
	}
	proof = c.Bearer + string(c.appendBaseString(nil, nil))
	if c.bodyHash != "" {
		body, _ := r.Body(BodyLimit{Size: DefaultMaxFormSize})
		proof += string(body)
	}
	return strings.TrimSpace(proof), Allow
}
