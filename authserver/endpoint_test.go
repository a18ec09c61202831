package authserver

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Each endpoint and each kind of event has a name of its own for log and metrics.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for e := range numEndpoints {
		if name := e.String(); name == "" || seen[name] {
			t.Errorf("endpoint %d is called %q", e, name)
		}
		seen[e.String()] = true
	}
	seen = map[string]bool{}
	for k := range numEventKinds {
		if name := k.String(); name == "" || seen[name] {
			t.Errorf("event %d is called %q", k, name)
		}
		seen[k.String()] = true
	}
}

// What is not served is answered as what does not exist, so that no handler behind
// this one answers it otherwise.
func TestProtocolsThatAreNotServed(t *testing.T) {
	one := newScene(t, func(c *Config) { c.OAuth2, c.PrivateKey = false, nil })
	two := newScene(t, func(c *Config) { c.OAuth1 = false })
	for e := Initiate; e < numEndpoints; e++ {
		s := one
		if e.ofOAuth1() {
			s = two
		} else if !e.ofOAuth2() {
			continue
		}
		a := s.send(t, e, "", "format=json", nil, nil)
		if e.ofOAuth2() && (a.Status != 404 || a.Event.Reason != "not_found") || e.ofOAuth1() && !strings.Contains(string(a.Body), "E002") {
			t.Errorf("%v: %+v %s", e, a.Event, a.Body)
		}
		if a.Event.Endpoint != e {
			t.Errorf("%v is reported as %v", e, a.Event.Endpoint)
		}
	}
}

func TestUnknownPages(t *testing.T) {
	s := newScene(t)
	if a := s.send(t, UnknownPage, "", "format=json", nil, nil); a.Status != 200 || a.Event.Reason != "unknown_action" ||
		!strings.Contains(string(a.Body), "mwoauth-bad-request-invalid-action") {
		t.Errorf("%+v %s", a.Event, a.Body)
	}
	if a := s.send(t, UnknownType, "", "", nil, nil); a.Status != 400 || a.Event.Reason != "unknown_resource" {
		t.Errorf("%+v", a)
	}
	if a := s.send(t, UnknownRoute, "", "", nil, nil); a.Status != 404 || a.Event.Reason != "not_found" {
		t.Errorf("%+v", a)
	}
}

// The realm of a challenge is the operator's text, whatever it holds.
func TestRealm(t *testing.T) {
	for realm, want := range map[string]string{"": `Basic realm="OAuth"`, `a "b" \c`: `Basic realm="a \"b\" \\c"`} {
		s := newScene(t, func(c *Config) { c.Realm = realm })
		header := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(confidential+":wrong"))}}
		a := s.send(t, AccessToken, "", "", url.Values{"grant_type": {grantCredentials}}, header)
		if got := a.Headers.Get("WWW-Authenticate"); a.Status != 401 || got != want {
			t.Errorf("%q: %d, %q, want %q", realm, a.Status, got, want)
		}
	}
}
