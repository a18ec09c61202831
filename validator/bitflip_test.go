package validator

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// TestEveryBit flips every bit of a request as it goes over the wire, one at a time: either what is signed
// stays the same, or the request is refused.
func TestEveryBit(t *testing.T) {
	s := newScene()
	s.url = "http://wiki.example.org:8080/w/api.php?action=query&a=%c3%a9&b=1+2"
	rsaCreds := sign.Credentials{ConsumerKey: consumerKey, Token: accessToken, RSAKey: appKey()}
	for _, shape := range []struct {
		name         string
		method, form string
		contentType  string
		creds        sign.Credentials
	}{
		{"GET", "GET", "", "", s.creds},
		{"GET, RSA", "GET", "", "", rsaCreds},
		{"POST form", "POST", "title=A%20b&text=x+y&a=2", "application/x-www-form-urlencoded; charset=utf-8", s.creds},
		{"POST form, RSA", "POST", "title=A%20b&text=x+y&a=2", "application/x-www-form-urlencoded", rsaCreds},
		{"POST JSON", "POST", `{"a":1}`, "application/json", s.creds},
		{"PUT form", "PUT", "a=1", "application/x-www-form-urlencoded", s.creds},
		{"DELETE", "DELETE", "", "", s.creds},
	} {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			signed := []byte(shape.form)
			if strings.HasSuffix(shape.contentType, "json") {
				signed = nil
			}
			auth, err := sign.Header(shape.creds, shape.method, s.url, signed, s.options)
			if err != nil {
				t.Fatal(err)
			}
			raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: wiki.example.org:8080\r\nAuthorization: %s\r\n", shape.method, s.url[len("http://wiki.example.org:8080"):], auth)
			if shape.form != "" {
				raw += fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n", shape.contentType, len(shape.form))
			}
			raw += "\r\n" + shape.form
			base, verdict := wireVerdict(t, []byte(raw))
			if verdict != Allow {
				t.Fatalf("the request itself: %v", verdict)
			}
			passed := 0
			for i := range len(raw) * 8 {
				flipped := []byte(raw)
				flipped[i/8] ^= 1 << (i % 8)
				if got, verdict := wireVerdict(t, flipped); verdict == Allow {
					passed++
					if got != base {
						t.Errorf("bit %d of %q: passes with base string\n%s\nnot\n%s", i, flipped, got, base)
					}
				}
			}
			if passed == 0 {
				t.Error("no flipped bit passes: the header's letters have two cases")
			}
			t.Logf("%d of %d flipped bits pass, with the base string unchanged", passed, len(raw)*8)
		})
	}
}

// wireVerdict reads a raw request as a server does and verifies it, with fresh nonces.
func wireVerdict(t *testing.T, raw []byte) (base string, verdict Verdict) {
	t.Helper()
	hr, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return "", Deny
	}
	r := FromHTTP(hr)
	s := newScene()
	d := s.verifier().Verify(t.Context(), r)
	if d.Verdict != Allow {
		return "", d.Verdict
	}
	r = FromHTTP(hr)
	c, reason := Parse(s.policy, r)
	if reason == OK && c.form != formUnused {
		reason = c.readForm(&s.policy, &r, DefaultMaxFormSize)
	}
	if reason != OK {
		t.Fatalf("passed, then %v", reason)
	}
	return string(c.appendBaseString(nil)), Allow
}
