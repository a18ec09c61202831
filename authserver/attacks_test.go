package authserver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// changeApp changes the confidential app.
func (s *scene) changeApp(change func(*Consumer)) {
	s.tables.mu.Lock()
	defer s.tables.mu.Unlock()
	change(s.tables.consumers[0])
}

// withdraws presses the button of the only row on Alice's page of apps.
func (s *scene) withdraws(t *testing.T) Answer {
	t.Helper()
	page := s.send(t, Apps, "Alice", "", nil, nil).Page
	if page == nil || len(page.Apps) != 1 {
		t.Fatalf("page of apps: %+v", page)
	}
	form := url.Values{withdrawButton: {"1"}}
	for _, f := range page.Apps[0].Fields {
		form.Set(f.Name, f.Value)
	}
	return s.send(t, Apps, "Alice", "", form, nil)
}

// A code is worth nothing once the approval that it stands for was withdrawn, used
// or not, even if the user approves the app again.
func TestCodeOfAWithdrawnApproval(t *testing.T) {
	s := newScene(t)
	used := s.consent(t, wantCode+confidential, approveButton).Get("code")
	unused := s.consent(t, wantCode+confidential, approveButton).Get("code")
	if a, _ := s.token(t, s.withCode(used)...); a.Status != http.StatusOK {
		t.Fatalf("%s", a.Body)
	}
	if a := s.withdraws(t); a.Event.Kind != Withdrew {
		t.Fatalf("%+v", a.Event)
	}
	fresh := s.consent(t, wantCode+confidential, approveButton).Get("code")
	for name, code := range map[string]string{"used": used, "unused": unused} {
		a, _ := s.token(t, s.withCode(code)...)
		if wantReason(t, a, ApprovalMissing); len(s.tables.tokens) != 0 {
			t.Errorf("the %s code gave a token", name)
		}
	}
	if a, _ := s.token(t, s.withCode(fresh)...); a.Status != http.StatusOK {
		t.Errorf("the new code: %s", a.Body)
	}
}

// An app that can no longer be used here gets nothing, at any step.
func TestUnusableAppGetsNothing(t *testing.T) {
	for name, change := range map[string]func(*Consumer){
		"suppressed":      func(c *Consumer) { c.Deleted = true },
		"of another wiki": func(c *Consumer) { c.Wiki = "dewiki" },
		"disabled":        func(c *Consumer) { c.Stage = validator.Disabled },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			code := s.consent(t, wantCode+confidential, approveButton).Get("code")
			_, out := s.token(t, s.withCode(s.consent(t, wantCode+confidential, approveButton).Get("code"))...)
			s.changeApp(change)
			for step, pairs := range map[string][]string{
				"code": s.withCode(code), "refresh": s.withRefresh(out["refresh_token"]),
				"credentials": {"grant_type", grantCredentials, "client_id", confidential, "client_secret", s.secret(confidential)},
			} {
				a, _ := s.token(t, pairs...)
				if wantReason(t, a, ClientNotUsable); len(s.tables.tokens) != 1 {
					t.Errorf("%s gave a token", step)
				}
			}
			// Nor does a link lead to its address.
			for _, more := range []string{"", "&scope=nonsense", "&scope=patrol", "&prompt=none"} {
				a := s.send(t, Authorize2, "Alice", wantCode+confidential+"&state=x"+more, nil, nil)
				if wantReason(t, a, ClientNotUsable); a.Location != "" {
					t.Errorf("%q leads to %s", more, a.Location)
				}
			}
		})
	}
}

// A form counts on the wiki that showed it, for what it showed, and under each of
// the state keys.
func TestFormIsBoundToWhatItShowed(t *testing.T) {
	key := func(c string) []byte { return []byte(strings.Repeat(c, sealKeySize)) }
	shown := newScene(t, func(c *Config) { c.StateKeys = [][]byte{key("a")} })
	form := url.Values{approveButton: {"x"}}
	for _, f := range shown.send(t, Authorize2, "Alice", wantCode+confidential, nil, nil).Page.Consent.Fields {
		form.Set(f.Name, f.Value)
	}
	for _, tt := range []struct {
		name   string
		config func(*Config)
		change func(*Consumer)
		want   int
	}{
		{"the same", func(*Config) {}, func(*Consumer) {}, http.StatusSeeOther},
		{"a new state key in front", func(c *Config) { c.StateKeys = [][]byte{key("b"), key("a")} }, func(*Consumer) {}, http.StatusSeeOther},
		{"another state key", func(c *Config) { c.StateKeys = [][]byte{key("b")} }, func(*Consumer) {}, http.StatusForbidden},
		{"another issuer", func(c *Config) { c.Issuer = "https://other.example.org" }, func(*Consumer) {}, http.StatusForbidden},
		{"another wiki", func(c *Config) { c.Policy.Wiki = "dewiki" }, func(*Consumer) {}, http.StatusForbidden},
		{"more grants", func(*Config) {}, func(c *Consumer) { c.Grants = Grants("basic", "editpage", "createeditmovepage", "delete") }, http.StatusForbidden},
		{"another callback", func(*Config) {}, func(c *Consumer) { c.CallbackURL = "https://evil.example/" }, http.StatusForbidden},
	} {
		s := newScene(t, func(c *Config) { c.StateKeys = [][]byte{key("a")}; tt.config(c) })
		s.changeApp(tt.change)
		a := s.send(t, Authorize2, "Alice", "", form, nil)
		if a.Status != tt.want || (a.Status == http.StatusForbidden) != (len(s.tables.acceptances) == 0) {
			t.Errorf("%s: %d, %d acceptances", tt.name, a.Status, len(s.tables.acceptances))
		}
		if tt.want == http.StatusForbidden && !a.Page.Again {
			t.Errorf("%s: the page does not tell why it is shown again", tt.name)
		}
	}
	if shown.send(t, Authorize2, "Alice", wantCode+confidential, nil, nil).Page.Again {
		t.Error("a page that is shown first tells that it is shown again")
	}
}

// What one wiki sealed is worth nothing on another, even if both have one key and
// one issuer.
func TestSealedForOneWiki(t *testing.T) {
	here := newScene(t)
	there := newScene(t, func(c *Config) { c.Policy.Wiki = "dewiki" })
	there.tables = here.tables
	there.Server.tables = here.tables
	code := here.consent(t, wantCode+confidential, approveButton).Get("code")
	a, _ := there.token(t, there.withCode(code)...)
	wantReason(t, a, CodeUnreadable)
	_, out := here.token(t, here.withCode(code)...)
	a, _ = there.token(t, there.withRefresh(out["refresh_token"])...)
	wantReason(t, a, RefreshUnreadable)
	a, _ = here.token(t, here.withCode(out["refresh_token"].(string))...)
	wantReason(t, a, CodeMalformed)
	a, _ = there.token(t, there.withCode(out["refresh_token"].(string))...)
	wantReason(t, a, CodeUnreadable)
}

// A repeat within the grace stands for the token that the first one gave: one with
// other scopes gives none, and neither does one whose token would begin later.
func TestGraceGivesNoBranch(t *testing.T) {
	s := newScene(t, func(c *Config) { c.Lifetimes.RefreshGrace = time.Minute; c.Lifetimes.AccessToken = 2 * time.Hour })
	_, first := s.token(t, s.withCode(s.consent(t, wantCode+confidential, approveButton).Get("code"))...)
	narrow := s.withRefresh(first["refresh_token"], "scope", "editpage")
	if a, _ := s.token(t, narrow...); a.Status != http.StatusOK {
		t.Fatalf("%s", a.Body)
	}
	s.clock = s.clock.Add(30 * time.Second)
	a, _ := s.token(t, s.withRefresh(first["refresh_token"])...)
	wantReason(t, a, RefreshUsed)
	if a, _ := s.token(t, narrow...); a.Status != http.StatusOK {
		t.Errorf("the same request: %s", a.Body)
	}
	s.cfg.Lifetimes.AccessToken = time.Hour // a reload
	s.clock = s.clock.Add(10 * time.Minute)
	a, _ = s.token(t, narrow...)
	wantReason(t, a, RefreshUsed)
}

var errLost = errors.New("the connection was lost")

// lostTables write, and then fail: the outcome of the transaction is not known.
type lostTables struct{ *fakeTables }

func (l lostTables) Accept(ctx context.Context, a Approval) (Acceptance, error) {
	_, _ = l.fakeTables.Accept(ctx, a)
	return Acceptance{}, errLost
}

func (l lostTables) Withdraw(ctx context.Context, userID, id uint64) (Withdrawn, bool, error) {
	gone, _, _ := l.fakeTables.Withdraw(ctx, userID, id)
	return gone, false, errLost
}

func (l lostTables) RefreshToken(ctx context.Context, old string, next Token, a *Acceptance) error {
	_ = l.fakeTables.RefreshToken(ctx, old, next, a)
	return errLost
}

func (l lostTables) RevokeFamily(ctx context.Context, prefix string) (int64, error) {
	_, _ = l.fakeTables.RevokeFamily(ctx, prefix)
	return 0, errLost
}

// What may have been written is marked too, because whoever verifies must look
// again.
func TestLostWritesAreMarked(t *testing.T) {
	for name, write := range map[string]func(t *testing.T, s *scene, code string, refresh any) Answer{
		"consent": func(t *testing.T, s *scene, _ string, _ any) Answer {
			page := s.send(t, Authorize2, "Alice", wantCode+confidential+"&scope=editpage", nil, nil).Page
			form := url.Values{approveButton: {"x"}}
			for _, f := range page.Consent.Fields {
				form.Set(f.Name, f.Value)
			}
			return s.send(t, Authorize2, "Alice", "", form, nil)
		},
		"withdrawal": func(t *testing.T, s *scene, _ string, _ any) Answer { return s.withdraws(t) },
		"refresh": func(t *testing.T, s *scene, _ string, refresh any) Answer {
			a, _ := s.token(t, s.withRefresh(refresh)...)
			return a
		},
		"revocation": func(t *testing.T, s *scene, code string, _ any) Answer {
			a, _ := s.token(t, s.withCode(code)...)
			return a
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			code := s.consent(t, wantCode+confidential, approveButton).Get("code")
			_, out := s.token(t, s.withCode(code)...)
			token := s.tables.acceptances[0].Token
			var jti string
			for jti = range s.tables.tokens {
			}
			var heard []Change
			s.marks = marksFunc(func(c ...Change) { heard = append(heard, c...) })
			s.Server.tables = lostTables{s.tables}
			if a := write(t, s, code, out["refresh_token"]); a.Status != http.StatusServiceUnavailable {
				t.Fatalf("status %d", a.Status)
			}
			want := map[string][]Change{
				"consent":    {{confidential, token}},
				"withdrawal": {{confidential, token}, {confidential, jti}},
				"refresh":    {{confidential, jti}},
				"revocation": {{confidential, ""}},
			}[name]
			if !slices.Equal(heard, want) {
				t.Errorf("marks %v, want %v", heard, want)
			}
		})
	}
}

// A consent whose request token ended meanwhile was written, and so is marked.
func TestUnfinishedConsentIsMarked(t *testing.T) {
	s := newScene1(t)
	token, _ := pair(t, s.sign(t, Initiate, "", callback(outOfBand)))
	form := url.Values{approveButton: {"x"}}
	for _, f := range s.send(t, Authorize, "Alice", "oauth_token="+token, nil, nil).Page.Consent.Fields {
		form.Set(f.Name, f.Value)
	}
	var heard []Change
	s.marks = marksFunc(func(c ...Change) { heard = append(heard, c...) })
	s.Server.state = lostState{s.Server.state}
	if a := s.send(t, Authorize, "Alice", "", form, nil); a.Status != http.StatusServiceUnavailable {
		t.Fatalf("%d", a.Status)
	}
	if want := []Change{{signedApp, s.tables.acceptances[0].Token}}; !slices.Equal(heard, want) {
		t.Errorf("marks %v, want %v", heard, want)
	}
}

type lostState struct{ State }

func (lostState) Approve(context.Context, string, RequestApproval) error { return errLost }

// Whatever stands behind the scheme of a credential, it is no session, and two lines
// of credentials are no way to authenticate.
func TestSpellingsOfCredentials(t *testing.T) {
	s := newScene(t)
	for _, line := range []string{
		"Bearer x", "bearer x", "Bearer\tx", "Bearer", "  Bearer x", "Bearer,x", "OAuth oauth_token=\"x\"", "oauth\tx", "OAUTH,oauth_token=x", "OAuth",
	} {
		for _, e := range []Endpoint{Authorize, Authenticate, Authorize2, Apps} {
			a := s.send(t, e, "Alice", wantCode+confidential+"&oauth_token=x", nil, http.Header{"Authorization": {"Basic eDp5", line}})
			wantReason(t, a, NotSignedIn)
		}
	}
	form := url.Values{"grant_type": {grantCredentials}, "client_id": {confidential}, "client_secret": {s.secret(confidential)}}
	a := s.send(t, AccessToken, "", "", form, http.Header{"Authorization": {"Basic eDp5", "Bearer x"}})
	wantReason(t, a, SeveralClientCredentials)
}

// A method that a page does not take is told which ones it does (RFC 9110 section
// 15.5.6).
func TestMethodOfPages(t *testing.T) {
	s := newScene(t)
	for _, e := range []Endpoint{Authorize, Authenticate, Verified, Authorize2, Apps} {
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodOptions, "PROPFIND"} {
			r := httptest.NewRequestWithContext(t.Context(), method, siteURL+"/x", nil)
			r.Header.Set("X-Test-User", "Alice")
			a := s.Serve(t.Context(), Request{Endpoint: e, HTTP: r, Sent: validator.FromHTTP(httptest.NewRecorder(), r)})
			if a.Status != http.StatusMethodNotAllowed || a.Headers.Get("Allow") != "GET, HEAD, POST" {
				t.Errorf("%v, %s: %d, %v", e, method, a.Status, a.Headers)
			}
		}
	}
}

// What a page says of an app and its owner holds nothing that is not seen, and
// nothing at all of a suppressed app.
func TestNamesOnPages(t *testing.T) {
	s := newScene(t)
	s.changeApp(func(c *Consumer) {
		c.Name, c.Description, c.AppVersion = "A\u2069\u202Epp\u200B\x00x\u2028", "d\u2066\r\ny", "\u061c1"
	})
	for _, u := range s.tables.users {
		if u.CentralID == 1 { // the owner
			u.Name += "\u202E"
		}
	}
	app := s.send(t, Authorize2, "Alice", wantCode+confidential, nil, nil).Page.App
	if app.Name != "App x" || app.Description != "d  y" || app.Version != "1" || strings.Contains(app.Owner, "\u202E") {
		t.Errorf("%+q", app)
	}
	s.consent(t, wantCode+confidential, approveButton)
	s.changeApp(func(c *Consumer) { c.Deleted = true })
	shown := s.send(t, Apps, "Alice", "", nil, nil).Page.Apps[0].App
	if shown != (PageApp{Name: confidential, Wiki: "*"}) {
		t.Errorf("%+v", shown)
	}
	if a := s.withdraws(t); a.Page.App.Name != confidential {
		t.Errorf("%+v", a.Page.App)
	}
	for _, name := range []string{"", "\u202E", " \t"} {
		if got := (&Consumer{Consumer: validator.Consumer{Name: name, Key: "k"}}).ShownName(); got != "k" {
			t.Errorf("%q is shown as %q", name, got)
		}
	}
	if got := (&Refusal{Reason: OwnerOnlyApp, App: &Consumer{Consumer: validator.Consumer{Name: "hidden", Key: "k"}, Deleted: true}}); true {
		if _, message, _ := got.mediaWiki(); strings.Contains(message, "hidden") {
			t.Errorf("%q", message)
		}
	}
}

// An app without a secret gets no statement, because anybody could make its MAC.
func TestStatementNeedsASecret(t *testing.T) {
	s := newScene1(t, func(c *Config) { c.Policy.SiteKey = "" })
	c := &Consumer{Consumer: validator.Consumer{ID: 4, Key: signedApp}}
	d := &validator.Decision{Identity: validator.Identity{UserID: 3}}
	a := s.identity(t.Context(), Request{Endpoint: Identify}, d, c, "n")
	if wantReason(t, a, AppWithoutKey); strings.Count(string(a.Body), ".") == 2 {
		t.Errorf("%s", a.Body)
	}
}

// A field of a form that browsers would change is escaped, and is still one field.
func TestFieldsOfForms(t *testing.T) {
	fields := []Field{{"a", "1"}, {"state", "x\n\xff\x00"}, {"b", "é\u202E"}}
	got := formFields(fields)
	if want := []Field{{"a", "1"}, {"escaped.state", "x%0A%FF%00"}, {"b", "é\u202E"}}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	p := params{}
	for _, f := range got {
		p[f.Name] = f.Value
	}
	if refusal := p.unescape(); refusal != nil || len(p) != 3 || p["state"] != fields[1].Value {
		t.Errorf("%v, %q", refusal, p)
	}
	for name, p := range map[string]params{
		"both":      {"state": "x", "escaped.state": "y"},
		"malformed": {"escaped.state": "%"},
		"twice":     {"escaped.escaped.state": "y"},
	} {
		if refusal := p.unescape(); refusal == nil || refusal.Reason != InvalidParameter {
			t.Errorf("%s: %v, %q", name, refusal, p)
		}
	}
}
