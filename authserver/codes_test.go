package authserver

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// A code that was used is told so before anything else is said of it. Where the
// rest is not right, nobody has proven to be the client, and nothing is revoked.
func TestUsedCodeIsToldFirst(t *testing.T) {
	for name, change := range map[string]func(f url.Values){
		"another redirect_uri": func(f url.Values) { f.Set("redirect_uri", "https://app.example/cb") },
		"no verifier":          func(f url.Values) { f.Del("code_verifier") },
		"wrong verifier":       func(f url.Values) { f.Set("code_verifier", strings.Repeat("x", 43)) },
		"another client":       func(f url.Values) { f.Set("client_id", public); f.Del("client_secret") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			code := s.consent(t, wantCode+confidential+"&code_challenge_method=S256&code_challenge="+challenge43, approveButton).Get("code")
			form := url.Values{}
			for i, pairs := 0, s.withCode(code); i < len(pairs); i += 2 {
				form.Set(pairs[i], pairs[i+1])
			}
			form.Set("code_verifier", verifier43)
			if a := s.send(t, AccessToken, "", "", form, nil); a.Status != 200 {
				t.Fatalf("%s", a.Body)
			}
			change(form)
			wantReason(t, s.send(t, AccessToken, "", "", form, nil), CodeUsed)
			for jti, row := range s.tables.tokens {
				if row.Revoked {
					t.Errorf("%s was revoked", jti)
				}
			}
		})
	}
}

// A code is not a refresh token, nor the other way round.
func TestTokensOfAnotherKind(t *testing.T) {
	s := newScene(t)
	code := s.consent(t, wantCode+confidential, approveButton).Get("code")
	a, _ := s.token(t, s.withRefresh(code)...)
	wantReason(t, a, RefreshUsed)
	a, _ = s.token(t, "grant_type", grantRefresh, "client_id", ownerOnly, "client_secret", s.secret(ownerOnly), "refresh_token", code)
	wantReason(t, a, RefreshOfOtherClient)
	a, out := s.token(t, s.withCode(code)...)
	if a.Status != 200 {
		t.Fatalf("the code was used up: %s", a.Body)
	}
	a, _ = s.token(t, s.withCode(out["refresh_token"].(string))...)
	wantReason(t, a, CodeMalformed)
	a, _ = s.token(t, s.withCode(out["access_token"].(string))...)
	wantReason(t, a, CodeUnreadable)
	s.clock = s.clock.Add(10 * time.Minute)
	a, _ = s.token(t, s.withRefresh(code)...)
	wantReason(t, a, RefreshExpired)
}
