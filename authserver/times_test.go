package authserver

import (
	"strconv"
	"testing"
	"time"
)

// timed1 is a handshake whose clock is set.
type timed1 struct {
	*scene
	token, secret, verifier string
}

func newTimed1(t *testing.T) *timed1 {
	s := &timed1{scene: newScene1(t)}
	s.token, s.secret = pair(t, s.sign(t, Initiate, "", func(p map[string]string) { p["oauth_callback"] = outOfBand }))
	return s
}

func (s *timed1) wait(seconds int) { s.clock = s.clock.Add(time.Duration(seconds) * time.Second) }

// approve presses the button, and returns what the page said.
func (s *timed1) approve(t *testing.T) Answer {
	t.Helper()
	a := s.press(t, "Alice", s.token, approveButton)
	if a.Location != "" {
		s.verifier = verifierOf(t, a)
	}
	return a
}

func (s *timed1) exchange(t *testing.T) Answer {
	t.Helper()
	return s.sign(t, TokenExchange, s.secret, func(p map[string]string) {
		p["oauth_token"], p["oauth_verifier"], p["oauth_timestamp"] = s.token, s.verifier, strconv.FormatInt(s.clock.Unix(), 10)
	})
}

// The times that were recorded: a request token lives 600 s, and 600 s more from the
// consent; that it was used is known until then.
func TestTimesOfRequestTokens(t *testing.T) {
	t.Run("expired before consent", func(t *testing.T) {
		s := newTimed1(t)
		s.wait(601)
		wantReason(t, s.approve(t), UnknownApp)
	})
	t.Run("in time before consent", func(t *testing.T) {
		s := newTimed1(t)
		s.wait(599)
		if a := s.approve(t); a.Location == "" {
			t.Errorf("%+v", a)
		}
	})
	t.Run("extended by consent", func(t *testing.T) {
		s := newTimed1(t)
		s.wait(500)
		s.approve(t)
		s.wait(500)
		pair(t, s.exchange(t))
	})
	t.Run("expired after consent", func(t *testing.T) {
		s := newTimed1(t)
		s.approve(t)
		s.wait(601)
		wantReason(t, s.exchange(t), RequestTokenNotFound)
	})
	t.Run("used, and used later", func(t *testing.T) {
		s := newTimed1(t)
		s.approve(t)
		pair(t, s.exchange(t))
		s.wait(500)
		wantReason(t, s.exchange(t), RequestTokenUsed)
		s.wait(101)
		wantReason(t, s.exchange(t), RequestTokenNotFound)
	})
}

// A code lives 600 s, and a refresh token of these releases 60 s.
func TestTimesOfGrants(t *testing.T) {
	for _, tt := range []struct {
		wait int
		want Reason
	}{{500, NoReason}, {599, NoReason}, {600, CodeExpired}} {
		s := newScene(t)
		code := s.consent(t, wantCode+confidential, approveButton).Get("code")
		s.clock = s.clock.Add(time.Duration(tt.wait) * time.Second)
		a, _ := s.token(t, s.withCode(code)...)
		wantTimed(t, a, tt.want)
	}
	for _, tt := range []struct {
		wait int
		want Reason
	}{{59, NoReason}, {62, RefreshExpired}} {
		s := newScene(t, func(c *Config) { c.Lifetimes.RefreshToken = time.Minute })
		code := s.consent(t, wantCode+confidential, approveButton).Get("code")
		_, first := s.token(t, s.withCode(code)...)
		s.clock = s.clock.Add(time.Duration(tt.wait) * time.Second)
		a, _ := s.token(t, s.withRefresh(first["refresh_token"])...)
		wantTimed(t, a, tt.want)
	}
}

// wantTimed expects a token, or a refusal for a reason.
func wantTimed(t *testing.T, a Answer, want Reason) {
	t.Helper()
	if want == NoReason {
		if a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		return
	}
	wantReason(t, a, want)
}
