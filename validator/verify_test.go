package validator

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

func TestIdentity(t *testing.T) {
	want := Identity{
		UserID: 9, UserName: "Alice", Groups: []string{"sysop"}, Grants: []string{"basic", "editpage"},
		ConsumerKey: consumerKey, ConsumerName: "App", Wiki: "enwiki",
	}
	d := newScene().run(t)
	if !reflect.DeepEqual(d.Identity, want) || d.Protocol != OAuth1 || d.InQuery || d.Reason != OK {
		t.Errorf("OAuth 1: %+v", d)
	}
	d = newBearerScene().run(t)
	want.ConsumerKey = clientKey
	if !reflect.DeepEqual(d.Identity, want) || d.Protocol != OAuth2 || d.Reason != OK {
		t.Errorf("OAuth 2: %+v", d)
	}

	s := newBearerScene()
	clientAlone(s)
	s.claims["scopes"] = []string{"basic"}
	d = s.run(t)
	want = Identity{Grants: []string{"basic"}, ConsumerKey: clientKey, ConsumerName: "App", Wiki: "enwiki"}
	if d.Verdict != Allow || !reflect.DeepEqual(d.Identity, want) {
		t.Errorf("client alone: %+v", d)
	}

	// The token speaks for user and consumer of its acceptance, whatever its
	// aud says.
	s = newBearerScene()
	s.facts.Accepted = &Consumer{ID: 3, Key: "accepted", Name: "Other", OwnerID: 9, OwnerOnly: true, Wiki: "*", Version: 2, Stage: Approved, Restrictions: anywhere()}
	if d = s.run(t); d.Identity.ConsumerKey != "accepted" || !d.Identity.OwnerOnly {
		t.Errorf("another consumer accepted: %+v", d)
	}

	// Up to 1.45, a request for a user with a local id that is gone has no user.
	s = newScene()
	s.facts.User = nil
	if d = s.run(t); d.Verdict != Allow || d.Identity.UserID != 0 || d.Identity.UserName != "" || d.Identity.ConsumerKey != consumerKey {
		t.Errorf("user gone: %+v", d)
	}
	s = newScene()
	s.facts.User, s.policy.Release = nil, Release147
	if d = s.run(t); d.Reason != UnknownUser {
		t.Errorf("user gone, 1.47: %+v", d)
	}
}

func TestLookupKey(t *testing.T) {
	client := newScene().request.ClientIP
	for _, tt := range []struct {
		name   string
		scene  *scene
		change func(s *scene)
		want   Key
	}{
		{"OAuth 1", newScene(), func(*scene) {}, Key{"enwiki", OAuth1, consumerKey, accessToken, 0, client, false}},
		{"OAuth 2", newBearerScene(), func(*scene) {}, Key{"enwiki", OAuth2, clientKey, jti, 0, client, false}},
		{"OAuth 2, 1.47", newBearerScene(), func(s *scene) { s.policy.Release = Release147 }, Key{"enwiki", OAuth2, clientKey, jti, 9, client, false}},
		{"OAuth 2, 1.47, scoped", newBearerScene(), func(s *scene) {
			s.policy.Release, s.claims["sub"] = Release147, "mw:local:enwiki:10"
		}, Key{"enwiki", OAuth2, clientKey, jti, 10, client, false}},
		{"OAuth 2, 1.47, other scope", newBearerScene(), func(s *scene) {
			s.policy.Release, s.claims["sub"] = Release147, "mw:CentralAuth::10"
		}, Key{"enwiki", OAuth2, clientKey, jti, 0, client, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.change(tt.scene)
			tt.scene.run(t)
			if tt.scene.store.key != tt.want || tt.scene.store.lookups != 1 {
				t.Errorf("%d lookups, %+v; want %+v", tt.scene.store.lookups, tt.scene.store.key, tt.want)
			}
		})
	}
}

// TestFreeRules shows that what can be refused without the tables is refused
// without asking them.
func TestFreeRules(t *testing.T) {
	for name, tt := range map[string]struct {
		scene  *scene
		change func(s *scene)
		want   Reason
	}{
		"timestamp": {newScene(), func(s *scene) { s.now = testNow.Add(time.Hour) }, TimestampExpired},
		"method":    {newScene(), resigned("HMAC-SHA1", "PLAINTEXT"), UnsupportedMethod},
		"header":    {newScene(), header("OAuth x"), MalformedHeader},
		"exp":       {newBearerScene(), func(s *scene) { s.now = testNow.Add(2 * time.Hour) }, TokenExpired},
		"token":     {newBearerScene(), header("Bearer x"), MalformedToken},
	} {
		t.Run(name, func(t *testing.T) {
			tt.change(tt.scene)
			if d := tt.scene.run(t); d.Reason != tt.want || tt.scene.store.lookups != 0 {
				t.Errorf("%v after %d lookups, want %v without", d.Reason, tt.scene.store.lookups, tt.want)
			}
		})
	}
}

// TestFormIsReadLate counts how often, and up to what size, the body is read.
func TestFormIsReadLate(t *testing.T) {
	known := []BodyLimit{{Size: 1 << 20, Known: true, UserID: 9}}
	for _, tt := range []struct {
		name   string
		change func(s *scene)
		want   []BodyLimit // asked for
	}{
		{"known", func(*scene) {}, known},
		{"token of another app", func(s *scene) { s.facts.Acceptance.ConsumerID = 3 }, nil},
		{"unknown consumer", func(s *scene) { s.facts.Consumer = nil }, nil},
		{"unknown token", func(s *scene) { s.facts.Acceptance = nil }, nil},
		{"store down", func(s *scene) { s.store.err = errors.New("down") }, nil},
		{"stale", func(s *scene) { s.now = testNow.Add(time.Hour) }, nil},
		{"JSON", func(s *scene) { s.request.ContentType = []string{"application/json"} }, nil},
		{"form in other letters", func(s *scene) {
			s.request.ContentType = []string{"Application/X-WWW-Form-urlencoded ; charset=utf-8"}
		}, known},
		{"bearer", func(s *scene) { s.claims = newBearerScene().claims }, nil},
		{"credential in the form", func(s *scene) { header(`OAuth realm="x"`)(s) }, []BodyLimit{{Size: maxUnprovenForm, Client: netip.MustParseAddr("192.0.2.1")}}},
		{"no credential", header(), nil},
		{"no credential but in the form", func(s *scene) { header()(s); s.form = "oauth_signature=x" }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			s.policy.MaxFormSize = 1 << 20
			s.request.Method, s.form = "POST", "a=1"
			s.request.ContentType = []string{"application/x-www-form-urlencoded"}
			var limits []BodyLimit
			s.request.Body = func(limit BodyLimit) ([]byte, error) {
				limits = append(limits, limit)
				return []byte(s.form), nil
			}
			tt.change(s)
			s.run(t)
			if !reflect.DeepEqual(limits, tt.want) {
				t.Errorf("read with limits %v, want %v", limits, tt.want)
			}
		})
	}
}

// TestPlaces sends the credential in each of the sources of RFC 5849 section 3.5.
func TestPlaces(t *testing.T) {
	const params = "oauth_consumer_key=" + consumerKey + "&oauth_token=" + accessToken +
		"&oauth_signature_method=HMAC-SHA1&oauth_timestamp=1700000000&oauth_nonce=abc123&oauth_version=1.0&oauth_signature="
	signature := func(method, form string) string {
		s := newScene()
		value, err := sign.Header(s.creds, method, s.url, []byte(form), s.options)
		if err != nil {
			t.Fatal(err)
		}
		var c Claim
		authParams(value[len("OAuth"):], func(name, value string) { c.add(fromHeader, param{name, value}) })
		return recodeText(c.oauth[fieldSignature])
	}
	for _, tt := range []struct {
		name    string
		change  func(s *scene)
		inQuery bool
	}{
		{"header", func(*scene) {}, false},
		{"query", func(s *scene) { header()(s); s.url += "&" + params + signature("GET", "") }, true},
		{"query, with the marker", func(s *scene) {
			header("OAuth realm=\"x\"")(s)
			s.url += "&" + params[:len(params)-len("&oauth_signature=")]
		}, true},
		{"query, with a form", func(s *scene) {
			header()(s)
			s.request.Method, s.form = "POST", "a=1"
			s.url += "&" + params + signature("POST", "a=1")
		}, true},
		{"form", func(s *scene) {
			header(`OAuth realm="x"`)(s)
			s.request.Method = "POST"
			s.form = "a=1&" + params + signature("POST", "a=1")
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			tt.change(s)
			d := s.run(t)
			if tt.name == "query, with the marker" { // the signature itself must be in one place with the rest
				if d.Reason != MissingSignature {
					t.Errorf("%v", d.Reason)
				}
				return
			}
			if d.Verdict != Allow || d.InQuery != tt.inQuery {
				t.Errorf("%v, %v, in query: %v", d.Verdict, d.Reason, d.InQuery)
			}
		})
	}
}

// recodeText percent-encodes plain text.
func recodeText(s string) string { return string(appendEncodedString(nil, s)) }

func TestNonce(t *testing.T) {
	s := newScene()
	v := s.verifier()
	r := s.ready(t)
	bad := r
	bad.Host = "other.example.org"
	if d := v.Verify(t.Context(), bad); d.Reason != BadSignature || len(s.nonces.seen) != 0 {
		t.Errorf("a bad signature: %v, %d nonces used", d.Reason, len(s.nonces.seen))
	}
	s.store.facts.Consumer.Stage = Disabled
	if d := v.Verify(t.Context(), r); d.Reason != ConsumerNotUsable || len(s.nonces.seen) != 0 {
		t.Errorf("a request that may not pass: %v, %d nonces used", d.Reason, len(s.nonces.seen))
	}
	s.store.facts.Consumer.Stage = Approved
	if d := v.Verify(t.Context(), r); d.Verdict != Allow {
		t.Errorf("first: %v", d.Reason)
	}
	if want := testNow.Add(301 * time.Second); !s.nonces.until.Equal(want) {
		t.Errorf("kept until %v, want %v", s.nonces.until, want)
	}
	if d := v.Verify(t.Context(), r); d.Reason != NonceUsed {
		t.Errorf("again: %v, want %v", d.Reason, NonceUsed)
	}
	if d := newBearerScene().run(t); d.Verdict != Allow {
		t.Errorf("bearer: %v", d.Reason)
	}
}

// TestDecideAsksNoClock decides about the same claim at different times.
func TestDecideAsksNoClock(t *testing.T) {
	s := newBearerScene()
	c, reason := Parse(s.policy, s.ready(t))
	if reason != OK {
		t.Fatal(reason)
	}
	c.Token, _ = s.tokens.Verify(c.Bearer)
	for at, want := range map[int64]Reason{1_600_000_000: TokenNotYetValid, 1_700_000_000: OK, 1_800_000_000: TokenExpired} {
		if d := Decide(s.policy, time.Unix(at, 0), c, s.facts); d.Reason != want || (d.Verdict == Allow) != (want == OK) {
			t.Errorf("at %d: %v, want %v", at, d.Reason, want)
		}
	}
	if d := (Decision{}); d.Verdict != Deny {
		t.Error("the zero decision does not deny")
	}
	if d := Decide(s.policy, testNow, Claim{}, Facts{}); d.Verdict == Allow {
		t.Error("no claim, no facts: allowed")
	}
}
