package authserver

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// boundary is one thing that changes with a release of MediaWiki.
type boundary struct {
	name string
	// from is the first release of the new behaviour.
	from validator.Release
	// shows does something and returns what can be seen of it.
	shows         func(t *testing.T, s *scene) string
	before, after string
}

// TestReleaseBoundaries shows what differs by release, on both sides of each
// boundary, and at the oldest and the newest release. docs/issuing.md lists it.
func TestReleaseBoundaries(t *testing.T) {
	for _, b := range boundaries {
		t.Run(b.name, func(t *testing.T) {
			for release, want := range map[validator.Release]string{
				validator.Release135: b.before, b.from - 1: b.before, b.from: b.after, validator.Release147: b.after,
			} {
				s := newScene1(t, func(c *Config) { c.Policy.Release = release })
				if got := b.shows(t, s); got != want {
					t.Errorf("%v: %s, want %s", release, got, want)
				}
			}
		})
	}
}

// elsewhere are the rows of the table that have tests of their own.
const elsewhere = 4

// TestReleasesAreDocumented holds the table of docs/issuing.md against the
// boundaries.
func TestReleasesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/issuing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n### What differs by release\n")
	section, _, _ = strings.Cut(section, "\n### ")
	for _, b := range boundaries {
		if row := fmt.Sprintf("\n| %v | %s | ", b.from, b.name); !strings.Contains(section, row) {
			t.Errorf("docs/issuing.md has no row %q", row)
		}
	}
	if rows := strings.Count(section, "\n| 1."); !found || rows != len(boundaries)+elsewhere || strings.Count(section, "(`Test") != elsewhere {
		t.Errorf("docs/issuing.md has %d rows, want %d", rows, len(boundaries)+elsewhere)
	}
}

var boundaries = []boundary{
	// OAuth 1.0a.
	{"any port of a callback that is registered with port 1", 36, func(_ *testing.T, s *scene) string {
		c := &Consumer{CallbackURL: "https://app.example:1/cb", CallbackIsPrefix: true}
		allowed := []string{}
		for _, port := range []string{":1", ":8443", ""} {
			if s.callbackAllowed(c, "https://app.example"+port+"/cb") {
				allowed = append(allowed, port)
			}
		}
		return fmt.Sprintf("%q", allowed)
	}, `[":1"]`, `[":1" ":8443" ""]`},
	{"any scheme of a callback", 47, func(_ *testing.T, s *scene) string {
		c := &Consumer{CallbackURL: "myapp://done", CallbackIsPrefix: true}
		return fmt.Sprint(s.callbackAllowed(c, "myapp://done/x"))
	}, "false", "true"},
	{"E012 for an app of the other version", 41, func(t *testing.T, s *scene) string {
		token, _ := pair(t, s.sign(t, Initiate, "", callback(outOfBand)))
		s.tables.consumers[3].Version = 2
		return s.send(t, Authorize, "Alice", "oauth_token="+token, nil, nil).Event.Reason
	}, AppNotUsable.String(), AppOfOtherVersion.String()},
	{"names of RFC 5849 in the JSON of a token", 47, func(_ *testing.T, s *scene) string {
		return string(s.tokens1(formatJSON, "k", "s", false, Event{}).Body)
	}, `{"key":"k","secret":"s"}`, `{"oauth_token":"k","oauth_token_secret":"s","key":"k","secret":"s","oauth_callback_confirmed":"true"}`},

	// Statements about users: /identify and the profile.
	{"sub of a statement is a text", 39, func(t *testing.T, s *scene) string { return s.stated(t, "sub") }, `3`, `"3"`},
	{"email_verified", 42, func(t *testing.T, s *scene) string { return s.stated(t, "email_verified") }, "", "false"},
	{"only a confirmed e-mail is told", 42, func(t *testing.T, s *scene) string { return s.stated(t, "email") }, `"a@wiki.example"`, `""`},
	{"/identify of a hidden user", 47, func(t *testing.T, s *scene) string {
		s.tables.users[0].Hidden = validator.Never
		d := &validator.Decision{Identity: validator.Identity{UserID: s.tables.users[0].CentralID, Grants: []string{"basic"}}}
		s.tables.acceptances = append(s.tables.acceptances, Acceptance{ID: 1, UserID: d.Identity.UserID, ConsumerID: 4, Wiki: "*", Version: 1, Grants: Grants("basic")})
		a := s.identity(t.Context(), Request{Endpoint: Identify}, d, s.tables.consumers[3], "n")
		return cmp.Or(a.Event.Reason, "told")
	}, "told", IdentifyUnknownUser.String()},
	{"profile of a client's own token", 46, func(t *testing.T, s *scene) string {
		s.verifier = fakeVerifier{Verdict: validator.Allow, Protocol: validator.OAuth2, Identity: validator.Identity{ConsumerKey: confidential, Grants: []string{"basic"}}}
		a := s.send(t, ResourceProfile, "", "", nil, http.Header{"Authorization": {"Bearer x"}})
		var out struct{ Username string }
		if err := json.Unmarshal(a.Body, &out); err != nil || a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		return out.Username
	}, "192.0.2.1", "Owner"},
	{"a bad bearer token at a resource", 44, func(t *testing.T, s *scene) string {
		s.verifier = fakeVerifier{Verdict: validator.Deny, Protocol: validator.OAuth2, Reason: validator.TokenRevoked}
		a := s.send(t, ResourceProfile, "", "", nil, http.Header{"Authorization": {"Bearer x"}})
		var out map[string]any
		if err := json.Unmarshal(a.Body, &out); err != nil {
			t.Error(err)
		}
		return fmt.Sprint(a.Status, " ", a.Event.Reason, " ", out["error"], " ", out["errorKey"])
	}, "401 token_revoked access_denied <nil>", "403 token_revoked <nil> mwoauth-invalid-authorization"},

	// Access tokens.
	{"iss of an access token", 36, func(t *testing.T, s *scene) string { return fmt.Sprint(s.codeClaims(t)["iss"]) }, "<nil>", siteURL},
	{"sub of a user's token", 46, func(t *testing.T, s *scene) string { return fmt.Sprint(s.codeClaims(t)["sub"]) }, "3", "mw:local:enwiki:3"},
	{"sub of a client's own token", 46, func(t *testing.T, s *scene) string {
		return fmt.Sprint(s.credentialsClaims(t, confidential)["sub"])
	}, "", "mw:local:enwiki:1"},
	{"grant_type of a token", 47, func(t *testing.T, s *scene) string { return fmt.Sprint(s.codeClaims(t)["grant_type"]) }, "<nil>", grantCode},
	{"an owner-only token stays as it was", 36, func(t *testing.T, s *scene) string {
		claims := s.credentialsClaims(t, ownerOnly)
		return fmt.Sprint(claims["sub"], " ", claims["grant_type"], " ", claims["iss"])
	}, "1 <nil> <nil>", "1 <nil> " + siteURL},
	{"a refresh keeps what a narrower approval allows", 47, func(t *testing.T, s *scene) string {
		_, out := s.token(t, s.withCode(s.consent(t, wantCode+confidential, approveButton).Get("code"))...)
		s.tables.acceptances[0].Grants = Grants("basic")
		a, out := s.token(t, s.withRefresh(out["refresh_token"])...)
		if a.Status != http.StatusOK {
			return a.Event.Reason
		}
		return fmt.Sprint(scopesOf(t, out))
	}, ApprovalMissing.String(), "[basic]"},
	{"a central account without a local one", 47, func(t *testing.T, s *scene) string {
		code := s.consent(t, wantCode+confidential, approveButton).Get("code")
		for _, u := range s.tables.users {
			u.Local = false
		}
		a, _ := s.token(t, s.withCode(code)...)
		return fmt.Sprint(a.Status, a.Event.Reason)
	}, "401" + UserNotUsable.String(), "200"},
	{"a hidden name with central ids", 43, func(t *testing.T, s *scene) string {
		s.cfg.Policy.SharedUserIDs = true
		code := s.consent(t, wantCode+confidential, approveButton).Get("code")
		for _, u := range s.tables.users {
			u.Hidden = validator.Never
		}
		a, _ := s.token(t, s.withCode(code)...)
		return fmt.Sprint(a.Status, a.Event.Reason)
	}, "401" + UserNotUsable.String(), "200"},

	// Clients and errors of the token endpoint.
	{"a confidential client without a secret", 46, func(t *testing.T, s *scene) string {
		return s.tokenError(t, "grant_type", grantCredentials, "client_id", confidential)
	}, "401 invalid_client", "400 invalid_request"},
	{"grant types of a public client that refreshes", 46, func(t *testing.T, s *scene) string {
		s.tables.consumers[1].GrantTypes = []string{grantCode}
		code := s.consent(t, wantCode+public+"&code_challenge="+verifier43, approveButton).Get("code")
		_, out := s.token(t, "grant_type", grantCode, "client_id", public, "code", code, "code_verifier", verifier43)
		return s.tokenError(t, "grant_type", grantRefresh, "client_id", public, "refresh_token", fmt.Sprint(out["refresh_token"]))
	}, "401 invalid_client", "200 <nil>"},
	{"a bad refresh token", 46, func(t *testing.T, s *scene) string {
		return s.tokenError(t, s.withRefresh("x")...)
	}, "401 invalid_request", "400 invalid_grant"},
	{"a used code", 46, func(t *testing.T, s *scene) string {
		code := s.consent(t, wantCode+confidential, approveButton).Get("code")
		s.token(t, s.withCode(code)...)
		return s.tokenError(t, s.withCode(code)...)
	}, "400 invalid_request", "400 invalid_grant"},
	{"an expired code", 46, func(t *testing.T, s *scene) string {
		code := s.consent(t, wantCode+confidential, approveButton).Get("code")
		s.clock = s.clock.Add(10 * time.Minute)
		return s.tokenError(t, s.withCode(code)...)
	}, "400 invalid_request", "400 invalid_grant"},
	{"the description of an error as its message", 46, func(t *testing.T, s *scene) string {
		_, out := s.token(t, "grant_type", "x")
		return fmt.Sprint(out["message"] == out["error_description"], out["message"] == nil)
	}, "true false", "false true"},
}

// fakeVerifier is a verifier that has decided already.
type fakeVerifier validator.Decision

func (f fakeVerifier) Verify(context.Context, validator.Request) validator.Decision {
	return validator.Decision(f)
}

// stated returns a claim of the statement about Alice as JSON, or "".
func (s *scene) stated(t *testing.T, name string) string {
	t.Helper()
	user := &User{User: validator.User{CentralID: 3, Name: "Alice"}, Profile: Profile{HasPrivate: true, Email: "a@wiki.example"}}
	claims, err := s.statement(t.Context(), user, Grants("mwoauth-authonlyprivate"), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claims {
		if c.name == name {
			text, err := encodeJSON(c.value)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
	return ""
}

// codeClaims returns the claims of an access token for a code.
func (s *scene) codeClaims(t *testing.T) map[string]any {
	t.Helper()
	_, out := s.token(t, s.withCode(s.consent(t, wantCode+confidential, approveButton).Get("code"))...)
	return claimsOf(t, out)
}

// credentialsClaims returns the claims of a token that a client asked for itself.
func (s *scene) credentialsClaims(t *testing.T, key string) map[string]any {
	t.Helper()
	s.tables.acceptances = []Acceptance{{ID: 9, Wiki: "*", UserID: 1, ConsumerID: 3, Version: 2, Grants: s.tables.consumers[2].Grants}}
	_, out := s.token(t, "grant_type", grantCredentials, "client_id", key, "client_secret", s.secret(key))
	return claimsOf(t, out)
}

// tokenError returns the status and the error of the token endpoint.
func (s *scene) tokenError(t *testing.T, pairs ...string) string {
	t.Helper()
	a, out := s.token(t, pairs...)
	return fmt.Sprint(a.Status, " ", out["error"])
}

// The profile of a client's own token is that of nobody, with the rights that the
// grants leave of those of a visitor.
func TestProfileOfAClient(t *testing.T) {
	for _, tt := range []struct {
		grants  []string
		central bool
		public  PublicUsers
		want    string
	}{
		{[]string{"basic"}, false, nil, `{"sub":"0","username":"192.0.2.1","editcount":0,"confirmed_email":false,"blocked":false,"registered":false,"groups":["*"],"grants":["basic"]}`},
		{[]string{"basic"}, true, fakePublic{"read", "edit"}, `{"sub":"","username":"192.0.2.1","editcount":0,"confirmed_email":false,"blocked":false,"registered":false,"groups":["*"],"rights":["read"],"grants":["basic"]}`},
		{[]string{"mwoauth-authonlyprivate"}, false, fakePublic{"read"}, `{"sub":"0","username":"192.0.2.1","editcount":0,"confirmed_email":false,"blocked":false,"registered":false,"groups":["*"],"rights":[],"grants":["mwoauth-authonlyprivate"],"realname":"","email":""}`},
	} {
		s := newScene(t, func(c *Config) { c.Policy.SharedUserIDs = tt.central })
		s.public = tt.public
		s.verifier = fakeVerifier{Verdict: validator.Allow, Protocol: validator.OAuth2, Identity: validator.Identity{ConsumerKey: confidential, Grants: tt.grants}}
		a := s.send(t, ResourceProfile, "", "", nil, http.Header{"Authorization": {"Bearer x"}})
		if a.Status != 200 || string(a.Body) != tt.want {
			t.Errorf("%d\n%s, want\n%s", a.Status, a.Body, tt.want)
		}
	}
}

// fakePublic is a wiki that tells the rights of whoever is not signed in.
type fakePublic []string

func (f fakePublic) PublicUser(_ context.Context, name string) (PublicUser, error) {
	if name != "" {
		return PublicUser{}, fmt.Errorf("asked for %q", name)
	}
	return PublicUser{Rights: f}, nil
}

// The issuer stands in every answer at the redirect URI and in no other, last (RFC
// 9207 section 2), unless the operator leaves it out.
func TestResponseIssuer(t *testing.T) {
	for _, on := range []bool{true, false} {
		s := newScene(t, func(c *Config) { c.ResponseIssuer = on })
		for name, location := range map[string]string{
			"code":              s.pressed(t, wantCode+confidential+"&state=s", approveButton),
			"without state":     s.pressed(t, wantCode+confidential, approveButton),
			"denial":            s.pressed(t, wantCode+confidential+"&state=s", cancelButton),
			"unknown scope":     s.send(t, Authorize2, "Alice", wantCode+confidential+"&scope=nonsense&state=s", nil, nil).Location,
			"none is left":      s.send(t, Authorize2, "Alice", wantCode+confidential+"&scope=rollback", nil, nil).Location,
			"iss of a stranger": s.pressed(t, wantCode+confidential+"&iss=https://evil.example", approveButton),
		} {
			const iss = "&iss=https%3A%2F%2Fwiki.example.org"
			if n := strings.Count(location, "iss="); location == "" || n != map[bool]int{true: 1, false: 0}[on] || on != strings.HasSuffix(location, iss) {
				t.Errorf("%s, %t: %q", name, on, location)
			}
		}
		for _, query := range []string{wantCode + "x", wantCode + confidential + "&redirect_uri=https://evil.example/", "response_type=token&client_id=" + confidential} {
			if a := s.send(t, Authorize2, "Alice", query, nil, nil); a.Location != "" {
				t.Errorf("%s: %s", query, a.Location)
			}
		}
	}
	// It is the iss of the tokens that come of it.
	s := newScene(t, func(c *Config) { c.ResponseIssuer = true })
	back := s.consent(t, wantCode+confidential, approveButton)
	if _, out := s.token(t, s.withCode(back.Get("code"))...); claimsOf(t, out)["iss"] != back.Get("iss") {
		t.Errorf("%v, %v", claimsOf(t, out)["iss"], back)
	}
}

// pressed is where the browser goes after a button of the consent page.
func (s *scene) pressed(t *testing.T, query, button string) string {
	t.Helper()
	page := s.send(t, Authorize2, "Alice", query, nil, nil)
	if page.Page == nil || page.Page.Consent == nil {
		t.Fatalf("%s: no consent page: %+v", query, page)
	}
	form := map[string][]string{button: {"x"}}
	for _, f := range page.Page.Consent.Fields {
		form[f.Name] = []string{f.Value}
	}
	return s.send(t, Authorize2, "Alice", "", form, nil).Location
}
