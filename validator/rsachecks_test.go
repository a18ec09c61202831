package validator

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// TestRSAChecks has requests of one consumer pile up.
func TestRSAChecks(t *testing.T) {
	if maxChecks > 2 {
		t.Errorf("%d checks of one consumer at a time, want at most 2", maxChecks)
	}
	synctest.Test(t, func(t *testing.T) {
		r := rsaChecks{consumers: make(map[string]*consumerChecks)}
		for range maxChecks {
			if reason := r.enter(t.Context(), "a"); reason != OK {
				t.Fatal(reason)
			}
		}
		entered := make(chan Reason, maxWaiting)
		ctx, leave := context.WithCancel(t.Context())
		go func() { entered <- r.enter(ctx, "a") }()
		for range maxWaiting - 1 {
			go func() { entered <- r.enter(t.Context(), "a") }()
		}
		synctest.Wait()
		if len(entered) > 0 {
			t.Fatalf("%d more than %d checks of one consumer run", len(entered), maxChecks)
		}
		if reason := r.enter(t.Context(), "a"); reason != ConsumerBusy {
			t.Errorf("when %d wait: %v", maxWaiting, reason)
		}
		if reason := r.enter(t.Context(), "b"); reason != OK {
			t.Errorf("another consumer: %v", reason)
		}
		r.leave("b")
		leave()
		synctest.Wait()
		if reason := <-entered; reason != ClientClosedRequest {
			t.Errorf("a client that leaves: %v", reason)
		}
		for range maxWaiting - 1 {
			r.leave("a")
			if reason := <-entered; reason != OK {
				t.Fatal(reason)
			}
			synctest.Wait()
			if len(entered) > 0 {
				t.Fatalf("more than %d checks of one consumer run", maxChecks)
			}
		}
		for range maxChecks {
			r.leave("a")
		}
		if len(r.consumers) > 0 {
			t.Errorf("%d consumers are remembered", len(r.consumers))
		}
	})
}

// TestRSAChecksAreCounted holds the places of one consumer: its signatures of
// the other method are checked all the same, and so are those of others.
func TestRSAChecksAreCounted(t *testing.T) {
	s := newScene()
	s.creds = sign.Credentials{ConsumerKey: consumerKey, Token: accessToken, RSAKey: appKey()}
	for range maxChecks {
		if reason := checks.enter(t.Context(), consumerKey); reason != OK {
			t.Fatal(reason)
		}
	}
	ctx, leave := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer leave()
	if d := s.verifier().Verify(ctx, s.ready(t)); d.Reason != ClientClosedRequest {
		t.Errorf("a third check: %v", d.Reason)
	}
	if d := newScene().run(t); d.Verdict != Allow {
		t.Errorf("HMAC-SHA1 meanwhile: %v", d.Reason)
	}
	for range maxChecks {
		checks.leave(consumerKey)
	}
	if d := s.run(t); d.Verdict != Allow {
		t.Errorf("then: %v", d.Reason)
	}
	if len(checks.consumers) > 0 {
		t.Errorf("%d consumers are remembered", len(checks.consumers))
	}
}

// TestCostOfConsumerKeys measures what the most expensive key that an app may
// have costs, in checks with one of 2048 bits: the work grows with the square
// of the bits, and the bits of the exponent.
func TestCostOfConsumerKeys(t *testing.T) {
	work := func(bits, exponent int) float64 {
		multiplications := 0
		for e := exponent; e > 1; e >>= 1 {
			multiplications += 1 + e&1 // a square, and a product for each bit that is set
		}
		return float64(bits) * float64(bits) * float64(multiplications)
	}
	for _, exponent := range []int{consumerKeyBounds.maxExponent, 65535} { // 65535 has the most bits that are set
		if ratio := work(consumerKeyBounds.maxBits, exponent) / work(2048, 65537); ratio > 8 {
			t.Errorf("a key of an app with the exponent %d may cost %.0f checks", exponent, ratio)
		}
	}
}
