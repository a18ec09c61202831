package validator

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// calls notes in which order a Verifier asks its clock, its store and its
// nonces, and reads the body.
type calls struct {
	Store
	Nonces
	made []string
}

func (c *calls) Lookup(ctx context.Context, key Key) (Facts, error) {
	c.made = append(c.made, "lookup")
	return c.Store.Lookup(ctx, key)
}

func (c *calls) Use(ctx context.Context, use NonceUse) (bool, error) {
	c.made = append(c.made, "nonce")
	return c.Nonces.Use(ctx, use)
}

// bodyKinds are the ways in which a signature covers a body.
var bodyKinds = map[string]func(s *scene){
	"form": func(s *scene) {
		s.request.Method, s.form = "POST", "a=1"
		s.request.ContentType = []string{"application/x-www-form-urlencoded"}
		s.request.Body = func(BodyLimit) ([]byte, error) { return []byte("a=1"), nil }
	},
	"hashed body": hashedBody,
}

// TestBodyBeforeClockAndNonce has the body of a request take its time. Whatever
// the client waits for, the timestamp is compared with the clock after it, and
// the nonce is used last.
func TestBodyBeforeClockAndNonce(t *testing.T) {
	for name, change := range bodyKinds {
		for _, rules := range []Rules{Standard, MediaWiki} {
			if rules == MediaWiki && name == "hashed body" {
				continue // MediaWiki does not look at it
			}
			for _, tt := range []struct {
				takes time.Duration
				want  Reason
			}{{0, OK}, {time.Second, OK}, {300 * time.Second, OK}, {301 * time.Second, TimestampExpired}} {
				s := newScene()
				s.policy.Rules = rules
				change(s)
				v := s.verifier()
				c := &calls{Store: s.store, Nonces: s.nonces}
				v.store, v.nonces = c, c
				v.now = func() time.Time {
					if c.made[len(c.made)-1] != "clock" {
						c.made = append(c.made, "clock")
					}
					return s.now
				}
				c.made = []string{"start"}
				read := s.request.Body
				s.request.Body = func(limit BodyLimit) ([]byte, error) {
					c.made = append(c.made, "body")
					s.now = s.now.Add(tt.takes)
					return read(limit)
				}
				if d := v.Verify(t.Context(), s.ready(t)); d.Reason != tt.want {
					t.Errorf("%s, rules %v, %v: %v, want %v", name, rules, tt.takes, d.Reason, tt.want)
				}
				want := []string{"start", "clock", "lookup", "clock", "body", "clock"}
				if tt.takes > maxBodyTime {
					want = append(want, "lookup", "clock") // the facts are as old as the body by then
				}
				if tt.want == OK {
					want = append(want, "nonce")
				}
				if !slices.Equal(c.made, want) {
					t.Errorf("%s, rules %v, %v: %v, want %v", name, rules, tt.takes, c.made, want)
				}
			}
		}
	}
}

// TestSlowBodyAndOldFacts withdraws a grant while the body of a request comes
// slowly.
func TestSlowBodyAndOldFacts(t *testing.T) {
	for name, change := range bodyKinds {
		s := newScene()
		change(s)
		v := s.verifier()
		read := s.request.Body
		s.request.Body = func(limit BodyLimit) ([]byte, error) {
			s.now = s.now.Add(2 * time.Second)
			s.store.facts.Acceptance = nil
			return read(limit)
		}
		if d := v.Verify(t.Context(), s.ready(t)); d.Reason != UnknownToken || len(s.nonces.seen) > 0 {
			t.Errorf("%s: %v, %d nonces used; want %v", name, d.Reason, len(s.nonces.seen), UnknownToken)
		}
	}
}

// TestClockAfterLookup has the lookup take as long as the window: the clock is
// read again after it.
func TestClockAfterLookup(t *testing.T) {
	s := newScene()
	v := s.verifier()
	v.store = storeFunc(func(Key) (Facts, error) {
		s.now = s.now.Add(301 * time.Second)
		return s.facts, nil
	})
	if d := v.Verify(t.Context(), s.ready(t)); d.Reason != TimestampExpired {
		t.Errorf("OAuth 1: %v, want %v", d.Reason, TimestampExpired)
	}
	s = newBearerScene()
	v = s.verifier()
	v.store = storeFunc(func(Key) (Facts, error) {
		s.now = s.now.Add(2 * time.Hour)
		return s.facts, nil
	})
	if d := v.Verify(t.Context(), s.ready(t)); d.Reason != TokenExpired {
		t.Errorf("OAuth 2: %v, want %v", d.Reason, TokenExpired)
	}
}

type storeFunc func(Key) (Facts, error)

func (f storeFunc) Lookup(_ context.Context, key Key) (Facts, error) { return f(key) }

// TestBodyHashBeforeNonce shows that a body which is not the signed one does
// not burn the nonce of the one that is.
func TestBodyHashBeforeNonce(t *testing.T) {
	s := newScene()
	hashedBody(s)
	s.request.Body = func(BodyLimit) ([]byte, error) { return []byte(`{"a":3}`), nil }
	v := s.verifier()
	if d := v.Verify(t.Context(), s.ready(t)); d.Reason != BadBodyHash || len(s.nonces.seen) > 0 {
		t.Errorf("another body: %v, %d nonces used; want %v and none", d.Reason, len(s.nonces.seen), BadBodyHash)
	}
	hashedBody(s)
	if d := v.Verify(t.Context(), s.ready(t)); d.Verdict != Allow {
		t.Errorf("the signed body then: %v", d.Reason)
	}
}

// TestHashedBodyIsReadForTheProven counts how often a body that is bound by its
// hash is read, and up to what size.
func TestHashedBodyIsReadForTheProven(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *scene)
		want   []BodyLimit
	}{
		{"proven", func(*scene) {}, []BodyLimit{{Size: DefaultMaxBodySize, Known: true, UserID: 9}}},
		{"with a limit", func(s *scene) { s.policy.MaxBodySize = 7 }, []BodyLimit{{Size: 7, Known: true, UserID: 9}}},
		{"unknown token", func(s *scene) { s.facts.Acceptance = nil }, nil},
		{"bad signature", func(s *scene) { s.facts.Acceptance.Secret = "x" }, nil},
		{"disabled app", func(s *scene) { s.facts.Consumer.Stage = Disabled }, nil},
		{"rules of MediaWiki", func(s *scene) { s.policy.Rules = MediaWiki }, nil},
	} {
		s := newScene()
		hashedBody(s)
		tt.change(s)
		var got []BodyLimit
		s.request.Body = func(limit BodyLimit) ([]byte, error) {
			got = append(got, limit)
			return []byte(`{"a":2}`), nil
		}
		s.run(t)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: read with %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestHangUpIsNotTheApps shows that a network which failed is not told as the
// app's.
func TestHangUpIsNotTheApps(t *testing.T) {
	for err, want := range map[error]Reason{ErrBodyAborted: ClientClosedRequest, ErrBodyTimeout: BodyTimeout} {
		s := newScene()
		brokenBody(err)(s)
		if d := s.run(t); d.Reason != want || d.Consumer != "" {
			t.Errorf("%v: %v of consumer %q", err, d.Reason, d.Consumer)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	s := newScene()
	v := s.verifier()
	v.store = storeFunc(func(Key) (Facts, error) { leave(); return Facts{}, ctx.Err() })
	if d := v.Verify(ctx, s.ready(t)); d.Reason != ClientClosedRequest || d.Verdict != Deny || d.Err != nil || d.Consumer != "" {
		t.Errorf("a client that leaves during the lookup: %v %v of consumer %q, %v", d.Verdict, d.Reason, d.Consumer, d.Err)
	}
}

// TestPooledEvaluationHoldsNothing looks into an evaluation that was put back.
func TestPooledEvaluationHoldsNothing(t *testing.T) {
	for _, params := range []int{3, 64, 65} {
		e := &evaluation{body: []byte("secret"), request: Request{Authorization: []string{"secret"}}}
		for range params {
			e.claim.params = append(e.claim.params, param{"oauth_token", "secret"})
		}
		kept := e.claim.params[:cap(e.claim.params)]
		e.claim.params = e.claim.params[:1] // as when fewer are used at the end
		e.end()
		for i, p := range kept {
			if p != (param{}) {
				t.Fatalf("%d parameters: number %d is %v", params, i, p)
			}
		}
		if e.body != nil || e.request.Authorization != nil || len(e.claim.params) != 0 || cap(e.claim.params) > 128 {
			t.Errorf("%d parameters: %d bytes, %v, room for %d", params, len(e.body), e.request.Authorization, cap(e.claim.params))
		}
	}
}

// TestStrangeKeysCostNoQuery sends consumer keys and tokens that no table can hold.
func TestStrangeKeysCostNoQuery(t *testing.T) {
	for _, rules := range []Rules{Standard, MediaWiki} {
		for name, strange := range map[string]string{
			"capitals": strings.Repeat("A", 32), "short": accessToken[1:], "long": accessToken + "0", "bytes": "%FF", "letters": strings.Repeat("g", 32),
			"a blank behind": accessToken + "%20",
		} {
			for _, tt := range []struct {
				old  string
				want Reason
			}{{consumerKey, UnknownConsumer}, {accessToken, UnknownToken}} {
				s := newScene()
				s.policy.Rules = rules
				resigned(tt.old, strange)(s)
				d := s.run(t)
				if d.Reason != tt.want || s.store.lookups != 0 {
					t.Errorf("rules %v, %s: %v after %d lookups, want %v without", rules, name, d.Reason, s.store.lookups, tt.want)
				}
			}
		}
	}
	// MediaWiki objects to a consumer that is unknown before it looks for a token.
	s := newScene()
	s.policy.Rules, s.facts.Consumer = MediaWiki, nil
	resigned(`"`+accessToken+`"`, `"0"`)(s)
	if d := s.run(t); d.Reason != UnknownConsumer {
		t.Errorf("no token, and an unknown consumer: %v", d.Reason)
	}
	// A jti may be any text, and the row of the token is asked for before the
	// client.
	b := newBearerScene()
	b.claims["jti"], b.claims["aud"] = "a \xff", "\xff"
	b.facts.Consumer, b.facts.Token = nil, nil
	if d := b.run(t); d.Reason != TokenRevoked || b.store.lookups != 1 || b.store.key.Consumer != "" {
		t.Errorf("a strange jti and aud: %v after %d lookups of consumer %q", d.Reason, b.store.lookups, b.store.key.Consumer)
	}
}

func TestClockSkew(t *testing.T) {
	for _, rules := range []Rules{Standard, MediaWiki} {
		for _, tt := range []struct {
			claim       string
			at          float64 // seconds from now
			skew        time.Duration
			want        Reason
			early       time.Duration
			description string
		}{
			{claim: "nbf", at: 0.75, skew: time.Second},
			{claim: "iat", at: 0.75, skew: time.Second},
			{claim: "nbf", at: 0.75, want: TokenNotYetValid, early: 750 * time.Millisecond},
			{claim: "iat", at: 1.25, skew: time.Second, want: TokenNotYetValid, early: 1250 * time.Millisecond},
			{claim: "nbf", at: 1e300, skew: time.Minute, want: TokenNotYetValid, early: 1 << 62},
			{claim: "exp", at: 0, skew: time.Minute, want: TokenExpired},
			{claim: "exp", at: -0.25, skew: time.Minute, want: TokenExpired},
		} {
			s := newBearerScene()
			s.policy.Rules, s.policy.ClockSkew = rules, tt.skew
			s.claims[tt.claim] = 1_700_000_000 + tt.at
			if d := s.run(t); d.Reason != tt.want || d.Early != tt.early {
				t.Errorf("rules %v, %s %+g s, skew %v: %v, early by %v; want %v by %v", rules, tt.claim, tt.at, tt.skew, d.Reason, d.Early, tt.want, tt.early)
			}
		}
	}
}

// failing is the body of a request that cannot be read.
func failing(err error) func(BodyLimit) ([]byte, error) {
	return func(BodyLimit) ([]byte, error) { return nil, err }
}

// brokenBody gives the request a form that cannot be read.
func brokenBody(err error) func(s *scene) {
	return func(s *scene) {
		s.request.Method, s.form = "POST", "a=1"
		s.request.ContentType = []string{"application/x-www-form-urlencoded"}
		s.request.Body = failing(err)
	}
}

// formOfType declares a form in another way, and does not sign it.
func formOfType(contentType string) func(s *scene) {
	return func(s *scene) {
		s.request.Method = "POST"
		s.request.ContentType = []string{contentType}
		s.request.Body = func(BodyLimit) ([]byte, error) { return []byte("a=1"), nil }
	}
}

// hashedBody gives the request a body that is bound by its hash.
func hashedBody(s *scene) {
	header(bodyHashHeader)(s)
	s.request.Method = "POST"
	s.request.ContentType = []string{"application/json"}
	s.request.Body = func(BodyLimit) ([]byte, error) { return []byte(`{"a":2}`), nil }
}
