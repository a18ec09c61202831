package validator

import (
	"strings"
	"testing"
	"time"
)

// TestReleaseBoundaries asks both sides of every release in which a decision
// changed.
func TestReleaseBoundaries(t *testing.T) {
	for _, tt := range []struct {
		name          string
		scene         func() *scene
		change        func(s *scene)
		at            Release // the first of the new
		before, after Reason
	}{
		{"hidden user, central ids", newScene, func(s *scene) { s.policy.SharedUserIDs, s.facts.User.Hidden = true, Never }, 43, UnknownUser, OK},
		{"hidden user, CentralAuth", newScene, func(s *scene) { s.policy.Users, s.facts.User.Hidden = CentralAuth, Never }, 43, UnknownUser, OK},
		{"central account without a local user, theirs here", newScene, func(s *scene) {
			s.policy.Users, s.facts.User.Local = CentralAuth, false
		}, 47, UnknownUser, OK},
		{"user gone, own ids", newScene, func(s *scene) { s.facts.User = nil }, 46, OK, UnknownUser},
		{"sub of another scope, bearer", newBearerScene, func(s *scene) { s.claims["sub"], s.facts.Subject = "mw:CentralAuth::9", s.facts.User }, 46, OK, UnknownSubject},
		{"sub of this wiki, bearer", newBearerScene, func(s *scene) { s.claims["sub"] = "mw:local:enwiki:9" }, 47, OK, UnknownSubject},
		{"sub of an unknown user, bearer", newBearerScene, func(s *scene) { s.claims["sub"] = "12345" }, 47, OK, UnknownSubject},
		{"sub of a user who is not theirs here", newBearerScene, func(s *scene) {
			s.facts.Subject = &User{CentralID: 9, Name: "Alice", Local: true}
		}, 47, OK, UnknownSubject},
		{"client alone, names a user", newBearerScene, func(s *scene) {
			s.facts.Subject = s.facts.User
			clientAlone(s)
			s.claims["sub"] = "9"
		}, 46, NoAcceptance, OK},
		{"no scopes", newBearerScene, func(s *scene) { s.claims["scopes"], s.facts.Subject = []string{}, s.facts.User }, 46, NoScopes, OK},
		{"Pages restricted", newScene, func(s *scene) {
			s.facts.Consumer.Restrictions = ParseRestrictions([]byte(`{"IPAddresses":["0.0.0.0/0","::/0"],"Pages":["A"]}`), s.policy.Release)
		}, 42, BrokenRow, OK},
		{"an address that is none", newScene, func(s *scene) {
			s.facts.Consumer.Restrictions = ParseRestrictions([]byte(`{"IPAddresses":["0.0.0.0/0","::/0","x"]}`), s.policy.Release)
		}, 43, BrokenRow, OK},
		{"an unknown member", newScene, func(s *scene) {
			s.facts.Consumer.Restrictions = ParseRestrictions([]byte(`{"IPAddresses":["0.0.0.0/0","::/0"],"x":1}`), s.policy.Release)
		}, 43, BrokenRow, OK},
		{"two aud, by MediaWiki's rules", func() *scene { return mediaWiki(newBearerScene()) }, func(s *scene) {
			s.claims["aud"], s.facts.Subject = []string{clientKey, "x"}, s.facts.User
		}, 46, UnknownClient, OK},
		// Two boundaries that the gateway does not have: it knows no setting
		// for PLAINTEXT, and proves an identity wherever it stands, not at the
		// API alone.
		{"PLAINTEXT", newScene, resigned("HMAC-SHA1", "PLAINTEXT"), 47, UnsupportedMethod, UnsupportedMethod},
		{"off the API", newScene, func(s *scene) { s.url = "https://wiki.example.org/w/index.php?title=Talk" }, 41, OK, OK},
		{"off the API, forged", newScene, func(s *scene) {
			s.url, s.creds.TokenSecret = "https://wiki.example.org/w/index.php?title=Talk", "x"
		}, 41, BadSignature, BadSignature},
	} {
		for release := Release135; release <= Release147; release++ {
			s := tt.scene()
			s.policy.Release = release
			tt.change(s)
			s.tokens = NewJWT(s.tokens.(*JWT).keys, s.policy)
			want := tt.before
			if release >= tt.at {
				want = tt.after
			}
			if d := s.run(t); d.Reason != want || (d.Verdict == Allow) != (want == OK) {
				t.Errorf("%s, %v: %v, want %v", tt.name, release, d.Reason, want)
			}
		}
	}
}

// TestCentralAuth checks which global accounts are users of the wiki.
func TestCentralAuth(t *testing.T) {
	for _, tt := range []struct {
		name            string
		local, attached bool
		old, now        Reason // up to 1.46, and since
	}{
		{"attached", true, true, OK, OK},
		{"local user of that name, not attached", true, false, UnknownUser, UnknownUser},
		{"attached, no local user", false, true, UnknownUser, OK},
		{"only global", false, false, UnknownUser, UnknownUser},
	} {
		for release, want := range map[Release]Reason{Release139: tt.old, 46: tt.old, Release147: tt.now} {
			s := newScene()
			s.policy.Release, s.policy.Users = release, CentralAuth
			s.facts.User.Local, s.facts.User.Attached = tt.local, tt.attached
			if d := s.run(t); d.Reason != want {
				t.Errorf("%s, %v: %v, want %v", tt.name, release, d.Reason, want)
			}
		}
	}
	s := newScene()
	s.policy.Users, s.facts.User = CentralAuth, nil
	if d := s.run(t); d.Reason != UnknownUser {
		t.Errorf("no such global account, 1.39: %v", d.Reason)
	}
}

func TestConfigured(t *testing.T) {
	app := Consumer{ID: 1, Key: consumerKey, Name: "Kept in configuration", OwnerID: 7, Wiki: "*", Version: 1, Secret: consumerSecret, Restrictions: anywhere()}
	s := newScene()
	s.facts.Consumer = nil // the database has no row, or its placeholder
	s.facts.Accepted = &Consumer{ID: 1, Key: "placeholder", Stage: Placeholder}
	s.store.facts = s.facts
	run := func(apps ...Consumer) Decision {
		v := New(s.policy, Configured(s.store, apps), s.nonces, s.tokens)
		v.now = func() time.Time { return s.now }
		return v.Verify(t.Context(), s.ready(t))
	}
	if d := run(); d.Reason != UnknownConsumer {
		t.Errorf("without it: %v", d.Reason)
	}
	if d := run(app); d.Verdict != Allow || d.Identity.ConsumerName != app.Name {
		t.Errorf("with it: %v, %+v", d.Reason, d.Identity)
	}
	other := app
	other.ID, other.Key = 2, "other"
	if d := run(other); d.Reason != UnknownConsumer {
		t.Errorf("with another: %v", d.Reason)
	}

	b := newBearerScene()
	b.facts.Consumer, b.facts.Accepted = nil, &Consumer{ID: 1, Key: "placeholder", Stage: Placeholder}
	b.store.facts = b.facts
	client := app
	client.Key, client.Version = clientKey, 2
	v := New(b.policy, Configured(b.store, []Consumer{client}), b.nonces, b.tokens)
	v.now = func() time.Time { return b.now }
	if d := v.Verify(t.Context(), b.ready(t)); d.Verdict != Allow || d.Identity.ConsumerName != app.Name {
		t.Errorf("bearer: %v, %+v", d.Reason, d.Identity)
	}
}

func TestMediaWikiError(t *testing.T) {
	const general = "The authorization headers in your request are not valid"
	now := time.Unix(1700000000, 0)
	for _, tt := range []struct {
		reason            Reason
		sent              string
		code, info, param string
	}{
		{BadSignature, "", mwInvalid, general + ": Invalid signature", "Invalid signature"},
		{BadSignature, "x", mwInvalid, general + ": Invalid signature", "Invalid signature"},
		{NonceUsed, "aZ09-._~+/=", mwInvalid, general + ": Nonce already used: aZ09-._~+/=", "Nonce already used: aZ09-._~+/="},
		{NonceUsed, strings.Repeat("n", 255), mwInvalid, general + ": Nonce already used: " + strings.Repeat("n", 255), "Nonce already used: " + strings.Repeat("n", 255)},
		{TimestampExpired, "1400000000", mwInvalid, general + ": Expired timestamp, yours 1400000000, ours 1700000000", "Expired timestamp, yours 1400000000, ours 1700000000"},
		{TokenExpired, "", mwInvalid, general + ": Invalid access token", "Invalid access token"},
		{WrongWiki, "", mwInvalid + "-wrong-wiki", general + " for enwiki", "enwiki"},
		{ConsumerWrongWiki, "", mwInvalid + "-wrong-wiki", general + " for enwiki", "enwiki"},
		{UnknownUser, "", mwInvalid + "-invalid-user", "The authorization headers in your request are for a user that does not exist here", ""},
		{UserBlocked, "", mwInvalid + "-blocked-user", "The authorization headers in your request are for a user who is blocked", ""},
		{ConsumerNotUsable, "", mwInvalid + "-not-approved", "The app that you are trying to connect seems to be set up incorrectly. Contact its author for help.", ""},
		{MissingGrant, "", mwInvalid, general + ": A required grant is missing", "A required grant is missing"},
	} {
		want := mediaWikiError{tt.code, tt.info, tt.param}
		if got := (Decision{Reason: tt.reason, Sent: tt.sent}).mediaWikiError("enwiki", now); got != want {
			t.Errorf("%v: %+v, want %+v", tt.reason, got, want)
		}
	}
	// What might be markup, a line of a log, or very long is not quoted.
	for _, sent := range []string{
		"", "a b", "<b>", "a&b", `a"b`, "a'b", "[[a]]", "{{a}}", "a|b", "http://a", "a\nb", "a\x00b", "a\x7fb", "é", "a\u2028b", "a\xffb", "__TOC__", "<!--", "#a", "*a", "-{a}-",
		strings.Repeat("n", 256),
	} {
		for reason, want := range map[Reason]string{NonceUsed: general + ": Nonce already used", TimestampExpired: general + ": Expired timestamp"} {
			if got := (Decision{Reason: reason, Sent: sent}).mediaWikiError("enwiki", now); got.Info != want {
				t.Errorf("%v of %q: %q", reason, sent, got.Info)
			}
		}
	}
	for reason := range mediaWikiDetail {
		if reason.Status() < 400 || reason.Status() >= 500 {
			t.Errorf("%v has a text of MediaWiki's and status %d", reason, reason.Status())
		}
	}
}

// TestClientAloneNamesNoUser reads the sub of a client's own token as PHP does,
// up to 1.45: it must be no user's id. With central ids PHP looks for the user
// of any sub that is not falsy, and dies when there is none.
func TestClientAloneNamesNoUser(t *testing.T) {
	for _, tt := range []struct {
		sub         any
		own, shared Reason
	}{
		{nil, OK, OK},
		{"", OK, OK},
		{"0", OK, OK},
		{0, OK, OK},
		{0.0, OK, OK},
		{false, OK, OK},
		{[]any{}, OK, OK},
		{map[string]any{}, OK, OK},
		{"abc", OK, NoAcceptance},
		{"00", OK, NoAcceptance},
		{"0.9", OK, NoAcceptance},
		{"0e1", OK, NoAcceptance},
		{"--1", OK, NoAcceptance},
		{" ", OK, NoAcceptance},
		{"\x00", OK, NoAcceptance},
		{"9", NoAcceptance, NoAcceptance},
		{9, NoAcceptance, NoAcceptance},
		{" 9", NoAcceptance, NoAcceptance},
		{"-9", NoAcceptance, NoAcceptance},
		{"9abc", NoAcceptance, NoAcceptance},
		{"0.5e1", NoAcceptance, NoAcceptance},
		{true, NoAcceptance, NoAcceptance},
		{[]any{""}, NoAcceptance, NoAcceptance},
	} {
		for shared, want := range map[bool]Reason{false: tt.own, true: tt.shared} {
			s := newBearerScene()
			clientAlone(s)
			s.claims["sub"], s.policy.SharedUserIDs = tt.sub, shared
			if d := s.run(t); d.Reason != want || d.Identity.UserID != 0 {
				t.Errorf("sub %#v, shared ids %v: %v, want %v", tt.sub, shared, d.Reason, want)
			}
		}
	}
}
