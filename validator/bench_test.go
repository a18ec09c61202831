package validator

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"testing"
)

// BenchmarkOAuth1 is a signed GET whose facts are at hand, against a bare
// HMAC-SHA1 of the same base string.
func BenchmarkOAuth1(b *testing.B) {
	s := newScene()
	r := s.ready(b)
	v := s.verifier()
	c, _ := Parse(s.policy, r)
	base := c.appendBaseString(nil, nil)
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			clear(s.nonces.seen)
			if d := v.Verify(b.Context(), r); d.Verdict != Allow {
				b.Fatal(d.Reason)
			}
		}
	})
	b.Run("verify by MediaWiki's rules", func(b *testing.B) {
		b.ReportAllocs()
		s := mediaWiki(newScene())
		r, v := s.ready(b), s.verifier()
		for b.Loop() {
			clear(s.nonces.seen)
			if d := v.Verify(b.Context(), r); d.Verdict != Allow {
				b.Fatal(d.Reason)
			}
		}
	})
	b.Run("bare HMAC-SHA1", func(b *testing.B) {
		b.ReportAllocs()
		key := []byte(s.creds.ConsumerSecret + "&" + s.creds.TokenSecret)
		for b.Loop() {
			mac := hmac.New(sha1.New, key)
			mac.Write(base)
			mac.Sum(nil)
		}
	})
}

// known is a Tokens whose answer is at hand, as a cache's is.
type known struct{ token Token }

func (k known) Verify(string) (Token, Reason) { return k.token, OK }

// BenchmarkBearer is a bearer request whose token and facts are at hand,
// against a SHA-256 of the same token.
func BenchmarkBearer(b *testing.B) {
	s := newBearerScene()
	r := s.ready(b)
	raw := r.Authorization[0][len("Bearer "):]
	token, _ := s.tokens.Verify(raw)
	cold := s.verifier()
	s.tokens = known{token}
	warm := s.verifier()
	for name, v := range map[string]*Verifier{"verify": warm, "verify, token not known": cold} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := v.Verify(b.Context(), r); d.Verdict != Allow {
					b.Fatal(d.Reason)
				}
			}
		})
	}
	b.Run("bare SHA-256", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sha256.Sum256([]byte(raw))
		}
	})
}
