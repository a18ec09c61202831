package authserver

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const wantCode = "response_type=code&client_id="

// withCode adds what an authenticated client sends for a code.
func (s *scene) withCode(code string) []string {
	return []string{
		"grant_type", grantCode, "client_id", confidential, "client_secret", s.secret(confidential), "code", code,
	}
}

func (s *scene) withRefresh(token any, more ...string) []string {
	text, _ := token.(string)
	return append([]string{
		"grant_type", grantRefresh, "client_id", confidential, "client_secret", s.secret(confidential), "refresh_token", text,
	}, more...)
}

// wantReason fails unless an answer is the refusal for the reason.
func wantReason(t testing.TB, a Answer, want Reason) {
	t.Helper()
	if a.Event.Reason != want.String() {
		t.Errorf("reason %q, want %q (status %d, %s)", a.Event.Reason, want, a.Status, a.Body)
	}
}

func TestCodeFlow(t *testing.T) {
	s := newScene(t)
	back := s.consent(t, wantCode+confidential+"&state=a+b", approveButton)
	if back.Get("state") != "a b" {
		t.Errorf("state %q", back.Get("state"))
	}
	a, out := s.token(t, s.withCode(back.Get("code"))...)
	if a.Status != 200 || out["token_type"] != "Bearer" || out["expires_in"] != 3600.0 || a.Headers.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", a.Status, out)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(out["access_token"].(string), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Aud, JTI, Sub, Iss string
		Exp                json.Number
		Scopes             []string
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Aud != confidential || claims.Sub != "3" || claims.Iss != siteURL || len(claims.JTI) != 80 ||
		!slices.Equal(claims.Scopes, []string{"basic", "editpage", "createeditmovepage"}) {
		t.Errorf("claims %+v", claims)
	}
	if !strings.HasPrefix(string(raw), `{"aud":"`) || !strings.Contains(string(claims.Exp), ".") {
		t.Errorf("claims are not in MediaWiki's order and types: %s", raw)
	}
	if row := s.tables.tokens[claims.JTI]; row.AcceptanceID == 0 || row.Revoked {
		t.Errorf("row %+v", row)
	}
}

func TestCodeRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		query  string
		change func(form url.Values)
		wait   time.Duration
		want   Reason
	}{
		{"wrong secret", "", func(f url.Values) { f.Set("client_secret", "x") }, 0, ClientAuthFailed},
		{"no secret", "", func(f url.Values) { f.Del("client_secret") }, 0, ClientAuthFailed},
		{"stored secret", "", func(f url.Values) { f.Set("client_secret", "stored-aaaa") }, 0, ClientAuthFailed},
		{"unknown client", "", func(f url.Values) { f.Set("client_id", "x") }, 0, ClientAuthFailed},
		{"no client", "", func(f url.Values) { f.Del("client_id") }, 0, InvalidParameter},
		{"empty client", "", func(f url.Values) { f.Set("client_id", "") }, 0, ClientAuthFailed},
		{"no code", "", func(f url.Values) { f.Del("code") }, 0, InvalidParameter},
		{"garbage", "", func(f url.Values) { f.Set("code", "xyz") }, 0, CodeUnreadable},
		{"repeated", "", func(f url.Values) { f.Add("code", "xyz") }, 0, InvalidParameter},
		{"unknown grant type", "", func(f url.Values) { f.Set("grant_type", "password") }, 0, InvalidParameter},
		{"too late", "", func(url.Values) {}, 10 * time.Minute, CodeExpired},
		{"redirect_uri once", "&redirect_uri=https://app.example/cb", func(url.Values) {}, 0, InvalidParameter},
		{"redirect_uri at the exchange alone", "", func(f url.Values) { f.Set("redirect_uri", "https://app.example/cb") }, 0, WrongRedirectURI},
		{"another redirect_uri", "", func(f url.Values) { f.Set("redirect_uri", "https://evil.example/") }, 0, ClientAuthFailed},
		{"no verifier", "&code_challenge_method=S256&code_challenge=" + challenge43, func(url.Values) {}, 0, InvalidParameter},
		{"wrong verifier", "&code_challenge_method=S256&code_challenge=" + challenge43, func(f url.Values) { f.Set("code_verifier", strings.Repeat("x", 43)) }, 0, WrongCodeVerifier},
		{"short verifier", "&code_challenge_method=S256&code_challenge=" + challenge43, func(f url.Values) { f.Set("code_verifier", "x") }, 0, MalformedVerifier},
		{"superfluous verifier", "", func(f url.Values) { f.Set("code_verifier", verifier43) }, 0, SuperfluousVerifier},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			code := s.consent(t, wantCode+confidential+tt.query, approveButton).Get("code")
			form := url.Values{}
			for i, pairs := 0, s.withCode(code); i < len(pairs); i += 2 {
				form.Add(pairs[i], pairs[i+1])
			}
			tt.change(form)
			s.clock = s.clock.Add(tt.wait)
			wantReason(t, s.send(t, AccessToken, "", "", form, nil), tt.want)
			if len(s.tables.tokens) != 0 {
				t.Error("a refused request wrote a token")
			}
			if tt.wait == 0 && tt.query == "" {
				if a, _ := s.token(t, s.withCode(code)...); a.Status != 200 {
					t.Errorf("a refused request used the code up: %s", a.Body)
				}
			}
		})
	}
}

// A code that is used again later ends the whole authorization.
func TestReplayedCode(t *testing.T) {
	s := newScene(t)
	code := s.consent(t, wantCode+confidential, approveButton).Get("code")
	_, first := s.token(t, s.withCode(code)...)
	_, second := s.token(t, s.withRefresh(first["refresh_token"])...)
	a, _ := s.token(t, s.withCode(code)...)
	wantReason(t, a, CodeUsed)
	for jti, row := range s.tables.tokens {
		if !row.Revoked {
			t.Errorf("token %s… is still good", jti[:8])
		}
	}
	a, _ = s.token(t, s.withRefresh(second["refresh_token"])...)
	wantReason(t, a, RefreshUsed)
}

// A replay without the client's secret ends nothing.
func TestReplayOfAStranger(t *testing.T) {
	s := newScene(t)
	code := s.consent(t, wantCode+confidential, approveButton).Get("code")
	s.token(t, s.withCode(code)...)
	a, _ := s.token(t, "grant_type", grantCode, "client_id", confidential, "client_secret", "x", "code", code)
	wantReason(t, a, ClientAuthFailed)
	for _, row := range s.tables.tokens {
		if row.Revoked {
			t.Error("a stranger revoked a token")
		}
	}
}

func TestSimultaneousExchanges(t *testing.T) {
	s := newScene(t)
	code := s.consent(t, wantCode+confidential, approveButton).Get("code")
	exchange := func(pairs []string) (good []map[string]any) {
		// Every request is at hand before the first one is answered.
		var arrived sync.WaitGroup
		arrived.Add(100)
		s.tables.arrive = func() { arrived.Done(); arrived.Wait() }
		defer func() { s.tables.arrive = nil }()
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if a, out := s.token(t, pairs...); a.Status == 200 {
					mu.Lock()
					good = append(good, out)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return good
	}
	first := exchange(s.withCode(code))
	if len(first) != 1 {
		t.Fatalf("%d of 100 exchanges of one code succeeded", len(first))
	}
	second := exchange(s.withRefresh(first[0]["refresh_token"]))
	if len(second) != 1 {
		t.Fatalf("%d of 100 exchanges of one refresh token succeeded", len(second))
	}
	if a, _ := s.token(t, s.withRefresh(second[0]["refresh_token"])...); a.Status != 200 {
		t.Errorf("the token of the one that succeeded is refused: %s", a.Body)
	}
}

func TestRefresh(t *testing.T) {
	s := newScene(t)
	code := s.consent(t, wantCode+confidential, approveButton).Get("code")
	_, first := s.token(t, s.withCode(code)...)
	a, _ := s.token(t, s.withRefresh(first["refresh_token"], "scope", "rollback")...)
	wantReason(t, a, UnknownScope)
	a, narrow := s.token(t, s.withRefresh(first["refresh_token"], "scope", "editpage")...)
	if a.Status != 200 {
		t.Fatalf("%s", a.Body)
	}
	a, _ = s.token(t, s.withRefresh(first["refresh_token"])...)
	wantReason(t, a, RefreshUsed)
	a, _ = s.token(t, s.withRefresh(narrow["refresh_token"], "scope", "basic editpage")...)
	wantReason(t, a, UnknownScope)
	s.clock = s.clock.Add(24 * time.Hour)
	a, _ = s.token(t, s.withRefresh(narrow["refresh_token"])...)
	wantReason(t, a, RefreshExpired)
}

// Within the grace a refresh token that was used answers with the same successor.
func TestRefreshGrace(t *testing.T) {
	s := newScene(t, func(c *Config) { c.Lifetimes.RefreshGrace = time.Minute })
	code := s.consent(t, wantCode+confidential, approveButton).Get("code")
	_, first := s.token(t, s.withCode(code)...)
	s.token(t, s.withRefresh(first["refresh_token"])...)
	rows := len(s.tables.tokens)
	s.clock = s.clock.Add(30 * time.Second)
	a, again := s.token(t, s.withRefresh(first["refresh_token"])...)
	if a.Status != 200 || again["expires_in"] != 3570.0 || len(s.tables.tokens) != rows {
		t.Errorf("%d, %v, %d rows of %d", a.Status, again["expires_in"], len(s.tables.tokens), rows)
	}
	s.clock = s.clock.Add(31 * time.Second)
	a, _ = s.token(t, s.withRefresh(first["refresh_token"])...)
	wantReason(t, a, RefreshUsed)
}

// What changes between consent, exchange and refresh decides.
func TestApprovalDecides(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(f *fakeTables)
		want   Reason
	}{
		{"acceptance gone", func(f *fakeTables) { f.acceptances = nil }, ApprovalMissing},
		{"acceptance of the other version", func(f *fakeTables) { f.acceptances[0].Version = 1 }, ApprovalMissing},
		{"acceptance of another wiki", func(f *fakeTables) { f.acceptances[0].Wiki = "dewiki" }, ApprovalMissing},
		{"nothing of it left", func(f *fakeTables) { f.acceptances[0].Grants = Grants("rollback") }, NoScopesLeft},
		{"app disabled", func(f *fakeTables) { f.consumers[0].Stage = 4 }, ClientNotUsable},
		{"user gone", func(f *fakeTables) { f.users = nil }, UserNotUsable},
		{"user locked", func(f *fakeTables) {
			for _, u := range f.users {
				u.Locked = true
			}
		}, UserNotUsable},
		{"database down", func(f *fakeTables) { f.err = errors.New("no answer") }, ServiceUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			code := s.consent(t, wantCode+confidential, approveButton).Get("code")
			tt.change(s.tables)
			a, _ := s.token(t, s.withCode(code)...)
			wantReason(t, a, tt.want)
			if tt.want == ServiceUnavailable && (a.Status != 503 || a.Headers.Get("Retry-After") == "") {
				t.Errorf("%d %v", a.Status, a.Headers)
			}
		})
	}
}

func TestClientCredentials(t *testing.T) {
	s := newScene(t)
	ask := func(key string, more ...string) (Answer, map[string]any) {
		return s.token(t, append([]string{"grant_type", grantCredentials, "client_id", key, "client_secret", s.secret(key)}, more...)...)
	}
	if a, out := ask(confidential, "scope", "editpage rollback"); a.Status != 200 || out["refresh_token"] != nil {
		t.Errorf("%d %v", a.Status, out)
	}
	a, _ := ask(public)
	wantReason(t, a, ClientAuthFailed)
	a, _ = ask(confidential, "scope", "nonsense")
	wantReason(t, a, UnknownScope)
	a, _ = ask(confidential, "scope", "rollback")
	wantReason(t, a, NoScopesLeft)
	a, _ = ask(ownerOnly)
	wantReason(t, a, ApprovalMissing)
	s.tables.acceptances = append(s.tables.acceptances, Acceptance{ID: 9, Wiki: "*", UserID: 1, ConsumerID: 3, Version: 2, Grants: s.tables.consumers[2].Grants})
	for _, scope := range []string{"", "rollback", defaultScope} {
		if a, out := ask(ownerOnly, "scope", scope); a.Status != 200 || a.Event.UserID != 1 || len(scopesOf(t, out)) != 3 {
			t.Errorf("%q: %d %s", scope, a.Status, a.Body)
		}
	}
	a, _ = ask(ownerOnly, "scope", "nonsense")
	wantReason(t, a, UnknownScope)
	if a, out := ask(confidential, "scope", "editpage "+defaultScope); a.Status != 200 || len(scopesOf(t, out)) != 3 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// claimsOf decodes the access token of an answer.
func claimsOf(t *testing.T, out map[string]any) (claims map[string]any) {
	t.Helper()
	token, _ := out["access_token"].(string)
	_, rest, _ := strings.Cut(token, ".")
	body, _, _ := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err == nil {
		err = json.Unmarshal(raw, &claims)
	}
	if err != nil {
		t.Fatalf("%v: %v", out, err)
	}
	return claims
}

func scopesOf(t *testing.T, out map[string]any) []any {
	t.Helper()
	scopes, _ := claimsOf(t, out)["scopes"].([]any)
	return scopes
}

func TestConsent(t *testing.T) {
	s := newScene(t)
	if back := s.consent(t, wantCode+confidential+"&state=s", cancelButton); back.Get("error") != accessDenied || back.Get("state") != "s" {
		t.Errorf("a denial is %v", back)
	}
	if len(s.tables.acceptances) != 0 {
		t.Error("a denial wrote an acceptance")
	}
	page := s.send(t, Authorize2, "Alice", wantCode+confidential, nil, nil)
	form := url.Values{approveButton: {"x"}}
	for _, f := range page.Page.Consent.Fields {
		form.Set(f.Name, f.Value)
	}
	for name, change := range map[string]func(f url.Values, header map[string][]string) string{
		"another user":   func(url.Values, map[string][]string) string { return "Bob" },
		"no token":       func(f url.Values, _ map[string][]string) string { f.Del(csrfField); return "Alice" },
		"another state":  func(f url.Values, _ map[string][]string) string { f.Set("state", "x"); return "Alice" },
		"another client": func(f url.Values, _ map[string][]string) string { f.Set("client_id", ownerOnly); return "Alice" },
		"both buttons":   func(f url.Values, _ map[string][]string) string { f.Set(cancelButton, "x"); return "Alice" },
		"another site": func(_ url.Values, h map[string][]string) string {
			h["Sec-Fetch-Site"] = []string{"cross-site"}
			return "Alice"
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, header := url.Values{}, map[string][]string{}
			maps.Copy(f, form)
			user := change(f, header)
			if a := s.send(t, Authorize2, user, "", f, header); a.Location != "" || len(s.tables.acceptances) != 0 {
				t.Errorf("approved: %+v", a)
			}
		})
	}
	s.clock = s.clock.Add(csrfLife)
	if a := s.send(t, Authorize2, "Alice", "", form, nil); a.Location != "" {
		t.Error("a form was accepted after its time")
	}
}

func TestAuthorizeRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, user, query string
		want              Reason
	}{
		{"no response_type", "Alice", "client_id=" + confidential, InvalidParameter},
		{"token", "Alice", "response_type=token&client_id=" + confidential, InvalidParameter},
		{"no client", "Alice", "response_type=code", InvalidParameter},
		{"list", "Alice", wantCode + confidential + "&state[]=x", InvalidParameter},
		{"repeated", "Alice", wantCode + confidential + "&state=x&state=y", InvalidParameter},
		{"unknown client", "Alice", wantCode + "x", ClientAuthFailed},
		{"another redirect_uri", "Alice", wantCode + confidential + "&redirect_uri=https://evil.example/", ClientAuthFailed},
		{"empty redirect_uri", "Alice", wantCode + confidential + "&redirect_uri=", ClientAuthFailed},
		{"public without challenge", "Alice", wantCode + public, InvalidParameter},
		{"bad challenge", "Alice", wantCode + confidential + "&code_challenge=x", InvalidParameter},
		{"empty challenge", "Alice", wantCode + confidential + "&code_challenge=", InvalidParameter},
		{"unknown method", "Alice", wantCode + confidential + "&code_challenge_method=S512", InvalidParameter},
		{"empty method", "Alice", wantCode + confidential + "&code_challenge_method=", InvalidParameter},
		{"public with a method alone", "Alice", wantCode + public + "&code_challenge_method=S256", InvalidParameter},
		{"nobody with a bad challenge", "", wantCode + confidential + "&code_challenge=x", NotSignedIn},
		{"nobody with an unknown method", "", wantCode + confidential + "&code_challenge_method=S512", InvalidParameter},
		{"owner-only", "Owner", wantCode + ownerOnly, ClientNotUsable},
		{"not signed in", "", wantCode + confidential, NotSignedIn},
		{"unknown user", "Nobody", wantCode + confidential, VisitorUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			a := s.send(t, Authorize2, tt.user, tt.query, nil, nil)
			wantReason(t, a, tt.want)
			if a.Location != "" || a.Page == nil || a.Page.Kind != ErrorPage {
				t.Errorf("%+v", a)
			}
			if signIn := a.Login != nil; signIn != (tt.want == NotSignedIn) {
				t.Errorf("sign in first: %t", signIn)
			}
		})
	}
	s := newScene(t)
	var a Answer
	for _, query := range []string{"&scope=nonsense&state=s", "&scope=basic%09editpage&state=s", "&scope=nonsense&state=s&code_challenge=x"} {
		a = s.send(t, Authorize2, "Alice", wantCode+confidential+query, nil, nil)
		if u, err := url.Parse(a.Location); err != nil || u.Query().Get("error") != invalidScope || u.Query().Get("state") != "s" {
			t.Errorf("unknown scope: %q, %v", a.Location, err)
		}
	}
	// A method without a challenge is not looked at, and what nothing here reads may
	// stand there twice.
	a = s.send(t, Authorize2, "Alice", wantCode+confidential+"&code_challenge_method=S256&foo=1&foo=2&bar[]=x", nil, nil)
	if a.Page == nil || a.Page.Kind != ConsentPage {
		t.Errorf("%+v", a)
	}
	a = s.send(t, Authorize2, "Alice", wantCode+confidential, nil, map[string][]string{"Authorization": {"Bearer x"}})
	wantReason(t, a, NotSignedIn)
}
