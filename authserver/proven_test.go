package authserver

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// unproven returns how the app was looked up in a call: whether as for a client
// that has proven nothing. It fails if there was no lookup.
func (s *scene) unproven(t *testing.T, call func() Answer) bool {
	t.Helper()
	s.tables.askers = nil
	a := call()
	if len(s.tables.askers) == 0 {
		t.Fatalf("no lookup of the app: %+v", a.Event)
	}
	asker := s.tables.askers[0]
	if asker.Client != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("the lookup is for %v", asker.Client)
	}
	return asker.Unproven
}

// A key alone proves nothing. A signature does, for that client and app, until it
// signs wrongly; and so does a request token.
func TestProofBySignature(t *testing.T) {
	s := newScene1(t)
	proven = provenClients{}
	initiate := func(change func(map[string]string)) func() Answer {
		return func() Answer {
			return s.sign(t, Initiate, "", func(p map[string]string) {
				p["oauth_callback"] = outOfBand
				if change != nil {
					change(p)
				}
			})
		}
	}
	wrong := initiate(func(p map[string]string) { p["oauth_signature_method"] = "PLAINTEXT" })
	var token, secret string
	exchange := func(token string) func() Answer {
		return func() Answer {
			return s.sign(t, TokenExchange, secret, func(p map[string]string) { p["oauth_token"] = token })
		}
	}
	for _, tt := range []struct {
		name string
		call func() Answer
		want bool
	}{
		{"wrongly signed", wrong, true},
		{"wrongly signed again", wrong, true},
		{"right", func() Answer {
			a := initiate(nil)()
			token, secret = pair(t, a)
			return a
		}, true},
		{"right again", initiate(nil), false},
		{"another app", initiate(func(p map[string]string) { p["oauth_consumer_key"] = "x" }), true},
		{"wrong after right", wrong, false},
		{"wrong after wrong", wrong, true},
		{"without a request token", exchange("x"), true},
		{"with a request token", func() Answer { return exchange(token)() }, false},
		{"a page that does not exist", func() Answer {
			proven = provenClients{}
			return s.send(t, UnknownPage, "", "oauth_consumer_key="+signedApp, nil, nil)
		}, true},
	} {
		if got := s.unproven(t, tt.call); got != tt.want {
			t.Errorf("%s: unproven is %v", tt.name, got)
		}
	}
	proven.note(provenID(signedApp, netip.MustParseAddr("192.0.2.1")), true)
	for address, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false} {
		if got := proven.has(provenID(signedApp, netip.MustParseAddr(address))); got != want {
			t.Errorf("%s has proven itself: %v", address, got)
		}
	}
}

// A secret proves which app a client is, and so do a code and a refresh token.
// Those of another app do not.
func TestProofAtTheTokenEndpoint(t *testing.T) {
	s := newScene(t)
	proven = provenClients{}
	ask := func(pairs ...string) func() Answer {
		return func() Answer {
			form := url.Values{}
			for i := 0; i < len(pairs); i += 2 {
				form.Add(pairs[i], pairs[i+1])
			}
			return s.send(t, AccessToken, "", "", form, nil)
		}
	}
	code := s.consent(t, wantCode+public+"&code_challenge_method=S256&code_challenge="+challenge43, approveButton).Get("code")
	credentials := func(secret string) func() Answer {
		return ask("grant_type", grantCredentials, "client_id", confidential, "client_secret", secret)
	}
	withCode := func(client, code string) func() Answer {
		return ask("grant_type", grantCode, "client_id", client, "code", code, "code_verifier", verifier43)
	}
	refresh, err := s.sealer.seal(sealRefresh, refreshToken{Client: public, Expires: s.clock.Add(1)})
	if err != nil {
		t.Fatal(err)
	}
	withRefresh := func(client, token string) func() Answer {
		return ask("grant_type", grantRefresh, "client_id", client, "refresh_token", token)
	}
	for _, tt := range []struct {
		name string
		call func() Answer
		want bool
	}{
		{"wrong secret", credentials("x"), true},
		{"right secret", credentials(s.secret(confidential)), true},
		{"right secret again", credentials(s.secret(confidential)), false},
		{"wrong after right", credentials("x"), false},
		{"wrong after wrong", credentials("x"), true},
		{"junk for a code", withCode(public, "x"), true},
		{"a code of another app", withCode(confidential, code), true},
		{"a code", withCode(public, code), false},
		{"a code does not vouch for later", withCode(public, "x"), true},
		{"junk for a refresh token", withRefresh(public, "x"), true},
		{"a refresh token of another app", withRefresh(confidential, refresh), true},
		{"a refresh token", withRefresh(public, refresh), false},
		{"an old refresh token", func() Answer {
			s.clock = s.clock.Add(2)
			return withRefresh(public, refresh)()
		}, true},
	} {
		if got := s.unproven(t, tt.call); got != tt.want {
			t.Errorf("%s: unproven is %v", tt.name, got)
		}
	}
}

// denying is a verifier that refuses everything for one reason.
type denying validator.Reason

func (d denying) Verify(context.Context, validator.Request) validator.Decision {
	return validator.Decision{Verdict: validator.Deny, Reason: validator.Reason(d)}
}

// What strangers send to /identify is refused by the verification alone. An app
// that is disabled is looked up, for its name, as for a stranger.
func TestStrangersAtIdentify(t *testing.T) {
	for reason, want := range map[validator.Reason]int{validator.UnknownConsumer: 0, validator.BadSignature: 0, validator.ConsumerNotUsable: 1} {
		s := newScene1(t)
		proven = provenClients{}
		s.verifier = denying(reason)
		s.sign(t, Identify, "", func(p map[string]string) { p["oauth_token"] = "x" })
		if n := len(s.tables.askers); n != want || n == 1 && !s.tables.askers[0].Unproven {
			t.Errorf("%v: the app was looked up for %+v", reason, s.tables.askers)
		}
	}
}

// Two generations are remembered, and the clients before are forgotten.
func TestProvenClientsAreBounded(t *testing.T) {
	var p provenClients
	for id := range uint64(3 * maxProven) {
		p.note(id, true)
	}
	if n := len(p.current) + len(p.older); n > 2*maxProven || p.has(0) || !p.has(3*maxProven-1) || !p.has(2*maxProven-1) {
		t.Errorf("%d clients are remembered", n)
	}
}

// Strangers' requests to the pages look up nothing.
func TestStrangersAtThePages(t *testing.T) {
	s := newScene1(t)
	for endpoint, query := range map[Endpoint]string{
		Authorize:  "oauth_token=x&oauth_consumer_key=" + signedApp,
		Authorize2: wantCode + confidential,
		Apps:       "",
		Verified:   "oauth_token=x&oauth_verifier=x",
	} {
		s.send(t, endpoint, "", query, nil, nil)
		if len(s.tables.askers) != 0 {
			t.Errorf("endpoint %v: a request of nobody makes a lookup", endpoint)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, siteURL+"/x", strings.NewReader("oauth_token=x"))
	s.Serve(t.Context(), Request{Endpoint: Authorize, HTTP: r, Sent: validator.FromHTTP(httptest.NewRecorder(), r)})
	if len(s.tables.askers) != 0 {
		t.Error("a form of nobody makes a lookup")
	}
}

// A client that gets no place is told to try again, wherever that happens. It is
// no failure of the database.
func TestTooManyUnproven(t *testing.T) {
	s := newScene1(t)
	crowded := fmt.Errorf("%w: full", validator.ErrCrowded)
	s.tables.err = crowded
	s.sessions.err = crowded
	form := url.Values{"grant_type": {grantCredentials}, "client_id": {confidential}, "client_secret": {"x"}}
	for name, a := range map[string]Answer{
		"initiate":     s.sign(t, Initiate, "", callback(outOfBand)),
		"access_token": s.send(t, AccessToken, "", "", form, nil),
		"unknown page": s.send(t, UnknownPage, "", "oauth_consumer_key="+signedApp, nil, nil),
		"session":      s.send(t, Authorize, "Alice", "oauth_token=x", nil, nil),
	} {
		wantReason(t, a, TooManyUnproven)
		if a.Status != http.StatusTooManyRequests || a.Headers.Get("Retry-After") == "" || a.Event.Kind != Refused {
			t.Errorf("%s: %d %v, event %v", name, a.Status, a.Headers, a.Event.Kind)
		}
	}
}

// Whether an app exists is not told to somebody who does not know its secret.
func TestUnknownAppIsToldTheSame(t *testing.T) {
	s := newScene(t)
	for _, secret := range []string{"x", ""} {
		known := s.send(t, AccessToken, "", "", url.Values{"grant_type": {grantCredentials}, "client_id": {confidential}, "client_secret": {secret}}, nil)
		unknown := s.send(t, AccessToken, "", "", url.Values{"grant_type": {grantCredentials}, "client_id": {"x"}, "client_secret": {secret}}, nil)
		wantReason(t, known, ClientAuthFailed)
		if unknown.Status != known.Status || string(unknown.Body) != string(known.Body) || !reflect.DeepEqual(unknown.Headers, known.Headers) {
			t.Errorf("secret %q: an unknown app is told %d %s %v, a known one %d %s %v", secret,
				unknown.Status, unknown.Body, unknown.Headers, known.Status, known.Body, known.Headers)
		}
	}
}
