package validator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/php"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// minSeeds is how many seeds each target has at least, of the recorded requests
// and the vectors.
const minSeeds = 100

// addSeeds gives a target of one text its seeds, and counts them.
func addSeeds(f *testing.F, seeds ...[]string) {
	f.Helper()
	all := slices.Concat(seeds...)
	if len(all) < minSeeds {
		f.Fatalf("%d seeds, want %d", len(all), minSeeds)
	}
	for _, seed := range all {
		f.Add(seed)
	}
}

func vectorHeaders() (headers []string) {
	for _, v := range vectors {
		headers = append(headers, v.authorization)
	}
	return headers
}

// FuzzAuthorization: whatever the header says, it is refused or read in one
// way: what was read, written again in its canonical form, reads the same. And
// without the secrets nothing passes.
func FuzzAuthorization(f *testing.F) {
	addSeeds(f, parity.AuthorizationValues(f), vectorHeaders())
	f.Fuzz(func(t *testing.T, value string) {
		s := newScene()
		s.unsigned, s.request.Authorization = true, []string{value}
		s.facts.Consumer.Secret, s.facts.Acceptance.Secret = "unknown to clients", "unknown too"
		if d := s.run(t); d.Verdict == Allow {
			t.Fatalf("allowed: %q", value)
		}
		c, reason := Parse(s.policy, s.ready(t))
		if reason != OK || c.Protocol != OAuth1 {
			return
		}
		again := "OAuth "
		for _, p := range c.params {
			if p.name != "action" && p.name != "format" { // of the URL
				again += p.name + `="` + p.value + `",`
			}
		}
		again += `oauth_signature="` + recodeText(c.oauth[fieldSignature]) + `"`
		s.request.Authorization = []string{again}
		c2, reason := Parse(s.policy, s.ready(t))
		if reason != OK || c2.oauth != c.oauth || string(c2.appendBaseString(nil, nil)) != string(c.appendBaseString(nil, nil)) {
			t.Fatalf("%q reads otherwise than %q (%v)", again, value, reason)
		}
	})
}

// FuzzForm: parameters come out in the encoding that is signed, and written
// again they read the same.
func FuzzForm(f *testing.F) {
	addSeeds(f, parity.Forms(f))
	f.Fuzz(func(t *testing.T, text string) {
		params, ok := appendForm(nil, text)
		if !ok {
			if strings.Count(text, "&") < maxParameters {
				t.Fatalf("refused: %q", text)
			}
			return
		}
		again := ""
		for _, p := range params {
			for _, encoded := range []string{p.name, p.value} {
				if recode(encoded, true) != encoded || sign.Escape(decode(encoded)) != encoded {
					t.Fatalf("%q is not in the encoding that is signed", encoded)
				}
			}
			again += p.name + "=" + p.value + "&"
		}
		if params2, _ := appendForm(nil, again); !slices.Equal(params, params2) {
			t.Fatalf("%q reads otherwise than %q", again, text)
		}
	})
}

// FuzzBaseString: what a foreign client signs, we verify; and with one more
// parameter we do not.
func FuzzBaseString(f *testing.F) {
	seeds := 0
	for i, target := range parity.Forms(f) {
		method := []string{"GET", "POST", "PUT", "get", "FOO"}[i%5]
		f.Add(method, "/w/api.php?"+target, "")
		f.Add(method, "/w/"+target, target)
		seeds += 2
	}
	if seeds < minSeeds {
		f.Fatalf("%d seeds, want %d", seeds, minSeeds)
	}
	f.Fuzz(func(t *testing.T, method, target, form string) {
		s := newScene()
		s.request.Method, s.url, s.form = method, "http://wiki.example.org"+target, form
		if !strings.HasPrefix(target, "/") || strings.Contains(target, "#") || sign.Escape(method) != method || method == "" {
			return
		}
		auth, err := sign.Header(s.creds, method, s.url, []byte(form), s.options)
		if err != nil {
			return // it refuses escapes that are none; we read them as PHP does
		}
		s.unsigned, s.request.Authorization = true, []string{auth}
		d := s.run(t)
		switch {
		case d.Verdict == Allow:
		case slices.Contains([]Reason{SplitParameters, DuplicateParameter, SeveralCredentials}, d.Reason) && strings.Contains(strings.ToLower(decodeAll(target+form)), "oauth_"):
			return
		case strings.Count(target+form, "&") > maxParameters/2:
			return
		default:
			t.Fatalf("%s %q %q: %v", method, target, form, d.Reason)
		}
		s.nonces = &fakeNonces{}
		s.request.Target = target + "&x"
		if !strings.Contains(target, "?") {
			s.request.Target = target + "?x"
		}
		if d := s.run(t); d.Verdict == Allow {
			t.Fatalf("%s %q passes with the signature of %q", method, s.request.Target, target)
		}
	})
}

func decodeAll(s string) string { return decode(recode(s, true)) }

// FuzzJWT: what passes is signed by our key in the one spelling that it has,
// and its times are numbers.
func FuzzJWT(f *testing.F) {
	addSeeds(f, parity.JWTs(f), parity.AuthorizationValues(f))
	f.Add(signedJWT(f, `{"alg":"RS256"}`, `{"jti":"j","aud":"a"}`))
	key := &issuerKey().PublicKey
	f.Fuzz(func(t *testing.T, raw string) {
		token, reason := NewJWT([]*rsa.PublicKey{key}, Policy{Release: Release139}).Verify(raw)
		if reason != OK {
			if token.ID != "" || token.Audience != "" {
				t.Fatalf("refused with %v, and yet %+v", reason, token)
			}
			return
		}
		dot := strings.LastIndexByte(raw, '.')
		signature, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
		digest := sha256.Sum256([]byte(raw[:dot]))
		if err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) != nil {
			t.Fatalf("not signed: %q", raw)
		}
		if base64.RawURLEncoding.EncodeToString(signature) != raw[dot+1:] {
			t.Fatalf("a second spelling of one signature: %q", raw)
		}
	})
}

// FuzzClaims: any payload under our signature is refused or gives a token that
// names one row and one client, with times that can be compared.
func FuzzClaims(f *testing.F) {
	addSeeds(f, parity.Restrictions(f)) // with the headers and claims of the recorded tokens
	f.Fuzz(func(t *testing.T, payload string) {
		v, err := php.DecodeJSON([]byte(payload))
		claims, ok := v.(php.Object)
		if err != nil || !ok {
			return
		}
		token, reason := NewJWT(nil, Policy{}).readClaims(claims)
		if reason != OK {
			return
		}
		if token.ID == "" || token.Audience == "" || math.IsNaN(token.Expires) || math.IsNaN(token.NotBefore) {
			t.Fatalf("%q: %+v", payload, token)
		}
		p := Policy{Wiki: "enwiki", Release: Release147}
		if id, ok := subjectID(&p, token.Subject); ok && id != 0 && !strings.ContainsAny(token.Subject, "123456789") {
			t.Fatalf("sub %q names user %d", token.Subject, id)
		}
	})
}

// FuzzRestrictions: what 1.39 accepts means the same to 1.47; and an address
// that is allowed is inside a network that the text spells out.
func FuzzRestrictions(f *testing.F) {
	addSeeds(f, parity.Restrictions(f))
	probes := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::5")}
	f.Fuzz(func(t *testing.T, text string) {
		strict, lenient := ParseRestrictions([]byte(text), Release139), ParseRestrictions([]byte(text), Release147)
		for _, ip := range probes {
			if !strict.Broken && strict.allows(ip) != lenient.allows(ip) || strict.Broken && strict.allows(ip) {
				t.Fatalf("%q: the releases differ about %v", text, ip)
			}
			if lenient.allows(ip) && !strings.Contains(text, `IPAddresses`) && !strings.Contains(text, `\`) {
				t.Fatalf("%q allows %v", text, ip)
			}
		}
		if lenient.Broken && !strict.Broken {
			t.Fatalf("%q: only 1.39 takes it", text)
		}
	})
}
