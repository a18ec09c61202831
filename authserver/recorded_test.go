package authserver

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// A request of the handshake may carry its credential in the form or the query
// alone, whatever the rules are, and whatever else the Authorization header holds.
func TestHandshakeWithoutHeader(t *testing.T) {
	for _, tt := range []struct {
		name          string
		rules         validator.Rules
		inForm        bool
		authorization string
	}{
		{"form, standard", validator.Standard, true, ""},
		{"form, mediawiki", validator.MediaWiki, true, ""},
		{"query, standard", validator.Standard, false, ""},
		{"query, mediawiki", validator.MediaWiki, false, ""},
		{"form and Basic, mediawiki", validator.MediaWiki, true, "Basic eDp5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene1(t, func(c *Config) { c.Policy.Rules = tt.rules })
			q := url.Values{
				"oauth_consumer_key": {signedApp}, "oauth_signature_method": {"HMAC-SHA1"}, "oauth_nonce": {t.Name()},
				"oauth_timestamp": {strconv.FormatInt(time.Now().Unix(), 10)}, "oauth_callback": {outOfBand},
			}
			var pairs []string
			for name := range q {
				pairs = append(pairs, escape(name)+"="+escape(q.Get(name)))
			}
			slices.Sort(pairs)
			mac := hmac.New(sha1.New, []byte(s.secret(signedApp)+"&"))
			mac.Write([]byte("POST&" + escape(siteURL+"/x") + "&" + escape(strings.Join(pairs, "&"))))
			q.Set("oauth_signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
			target, body := siteURL+"/x?"+q.Encode(), ""
			if tt.inForm {
				target, body = siteURL+"/x", q.Encode()
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(body))
			if tt.inForm {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			sent := validator.FromHTTP(httptest.NewRecorder(), r)
			sent.Scheme = "https"
			pair(t, s.Serve(t.Context(), Request{Endpoint: Initiate, HTTP: r, Sent: sent}))
		})
	}
}

// A page of the handshake that does not exist is told in the format that was asked
// for.
func TestUnknownPage(t *testing.T) {
	s := newScene1(t)
	for _, tt := range []struct {
		query string
		want  Reason
		code  string
	}{
		{"", UnknownAction, "E002"},
		{"oauth_consumer_key=x", UnknownAction, "E002"},
		{"oauth_consumer_key=" + signedApp, UnknownActionOfApp, "E003"},
	} {
		a := s.send(t, UnknownPage, "", tt.query, nil, nil)
		wantReason(t, a, tt.want)
		if a.Page == nil || a.Status != http.StatusBadRequest || a.Page.Refusal.Code() != tt.code {
			t.Errorf("%s: %+v", tt.query, a)
		}
		if a := s.send(t, UnknownPage, "", tt.query+"&format=json", nil, nil); a.Status != http.StatusOK || !strings.Contains(string(a.Body), "#"+tt.code) {
			t.Errorf("%s: %d %s", tt.query, a.Status, a.Body)
		}
	}
}

// Where the wiki's pages are known, the owner's talk page is linked as MediaWiki
// links it.
func TestContactOfUnknownPage(t *testing.T) {
	s := newScene1(t, func(c *Config) { c.IndexURL = "https://wiki.example/w/index.php" })
	for name, want := range map[string]string{
		"Owner":         "[https://wiki.example/w/index.php?title=User_talk:Owner contact]",
		"Zoë Ü/b:(c) &": "[https://wiki.example/w/index.php?title=User_talk:Zo%C3%AB_%C3%9C/b:(c)_%26 contact]",
	} {
		for _, u := range s.tables.users {
			if u.CentralID == 1 {
				u.Name = name
			}
		}
		a := s.send(t, UnknownPage, "", "format=json&oauth_consumer_key="+signedApp, nil, nil)
		var answer struct{ Message string }
		if err := json.Unmarshal(a.Body, &answer); err != nil || !strings.Contains(answer.Message, "You'll need to "+want+" the application author") {
			t.Errorf("%v: %s", err, a.Body)
		}
	}
}

type allowsNobody struct{}

func (allowsNobody) Verify(context.Context, validator.Request) (d validator.Decision) { return d }

// The pages of the handshake read oauth_version in query or form as an integer,
// before the protocol reads it as a text. The form comes before the query, and the
// Authorization line does not count.
func TestVersionOfPages(t *testing.T) {
	s := newScene1(t)
	s.verifier = allowsNobody{}
	for text, want := range map[string]string{"2": "2", "2.0": "2", "abc": "0", "": "0", "0": "0", " 3x": "3", "-1": "-1", "1.9": "", "1": "", "01": ""} {
		for _, place := range []string{"query", "form"} {
			for _, e := range []Endpoint{Initiate, Authorize, Authenticate, Verified, TokenExchange, Identify} {
				query, form := "format=json", url.Values(nil)
				if place == "query" {
					query += "&oauth_version=" + url.QueryEscape(text)
				} else {
					query += "&oauth_version=1"
					form = url.Values{"oauth_version": {text}}
				}
				a := s.send(t, e, "Alice", query, form, nil)
				if refused := a.Event.Reason == UnsupportedVersion.String(); refused != (want != "") {
					t.Errorf("%q in the %s of %v: reason %q", text, place, e, a.Event.Reason)
				} else if refused && a.Page == nil && !strings.Contains(string(a.Body), "not allowed for OAuth version "+want+`"`) {
					t.Errorf("%q: %s", text, a.Body)
				}
			}
		}
	}
	header := http.Header{"Authorization": {`OAuth oauth_version="2.0"`}}
	wantReason(t, s.send(t, Initiate, "", "", nil, header), ProtocolError)
	wantReason(t, s.send(t, Initiate, "", "oauth_version[]=2", nil, nil), ProtocolError)
}

// With block_disables_login, a block from a part of the wiki disables it too up to
// MediaWiki 1.41.
func TestBlocksThatDisableLogin(t *testing.T) {
	for _, tt := range []struct {
		disables, onlySitewide bool
		user                   validator.User
		want                   bool
	}{
		{true, false, validator.User{PartlyBlocked: validator.Never}, false},
		{true, true, validator.User{PartlyBlocked: validator.Never}, true},
		{true, true, validator.User{Blocked: validator.Never}, false},
		{false, false, validator.User{PartlyBlocked: validator.Never, Blocked: validator.Never}, true},
	} {
		s := newScene(t, func(c *Config) {
			c.Policy.BlockDisablesLogin, c.Policy.OnlySitewideBlocks = tt.disables, tt.onlySitewide
		})
		u := &User{User: tt.user}
		u.Local, u.Attached = true, true
		if got := s.mayLogIn(u); got != tt.want {
			t.Errorf("%+v: %t", tt, got)
		}
	}
}

// A refusal that MediaWiki does not have is told to an app by a word of OAuth 2.
func TestKeysOfRefusals(t *testing.T) {
	for _, r := range Reasons() {
		refusal := &Refusal{Reason: r, App: new(Consumer)}
		if key, message, _ := refusal.mediaWiki(); r != NoReason && (key == "" || message == "" && r != ServiceUnavailable) {
			t.Errorf("%v: key %q, message %q", r, key, message)
		}
	}
}

// A page for a person asks to sign in with 401 alone.
func TestStatusOfPages(t *testing.T) {
	s := newScene(t)
	for _, tt := range []struct {
		user, query string
		want        Reason
		status      int
	}{
		{"", wantCode + confidential, NotSignedIn, http.StatusUnauthorized},
		{"Alice", wantCode + "x", ClientAuthFailed, http.StatusForbidden},
		{"Owner", wantCode + ownerOnly, ClientNotUsable, http.StatusForbidden},
		{"Alice", "response_type=code", InvalidParameter, http.StatusBadRequest},
	} {
		a := s.send(t, Authorize2, tt.user, tt.query, nil, nil)
		wantReason(t, a, tt.want)
		if a.Status != tt.status {
			t.Errorf("%s: status %d, want %d", tt.want, a.Status, tt.status)
		}
	}
}

// A block of a part of the wiki keeps a user out up to 1.41: then the tables tell
// it. From 1.42 on they do not, and block_disables_login may overlook it before.
func TestPartialBlock(t *testing.T) {
	for _, tt := range []struct {
		user        validator.User
		on, onlyAll bool
		want        Reason
	}{
		{validator.User{PartlyBlocked: validator.Never}, true, false, VisitorMayNotLogIn},
		{validator.User{PartlyBlocked: validator.Never}, true, true, NoReason},
		{validator.User{PartlyBlocked: validator.Never}, false, false, NoReason},
		{validator.User{Blocked: validator.Never}, true, true, VisitorMayNotLogIn},
		{validator.User{}, true, false, NoReason},
	} {
		s := newScene(t, func(c *Config) { c.Policy.BlockDisablesLogin, c.Policy.OnlySitewideBlocks = tt.on, tt.onlyAll })
		i := slices.IndexFunc(s.tables.users, func(u *User) bool { return u.Name == "Alice" })
		s.tables.users[i].PartlyBlocked, s.tables.users[i].Blocked = tt.user.PartlyBlocked, tt.user.Blocked
		a := s.send(t, Authorize2, "Alice", wantCode+confidential, nil, nil)
		if got := cmp.Or(a.Event.Reason, NoReason.String()); got != tt.want.String() {
			t.Errorf("%+v: %s, want %s", tt, got, tt.want)
		}
	}
}

// A block from a part of the wiki counts as one where the release says so: then the
// tables tell it.
func TestPartialBlockIsTold(t *testing.T) {
	s := newScene(t)
	for _, tt := range []struct {
		user validator.User
		want bool
	}{
		{validator.User{}, false},
		{validator.User{PartlyBlocked: validator.Never}, true},
		{validator.User{Blocked: validator.Never}, true},
		{validator.User{PartlyBlocked: validator.Expiry(s.clock.Unix() - 1)}, false},
	} {
		claims, err := s.statement(t.Context(), &User{User: tt.user}, Grants("basic"), false)
		if i := slices.IndexFunc(claims, func(c claim) bool { return c.name == "blocked" }); err != nil || claims[i].value != tt.want {
			t.Errorf("%+v: %v, %v", tt.user, claims, err)
		}
	}
	for _, r := range []validator.Reason{validator.UserBlocked, validator.UserPartiallyBlocked, validator.UserLocked} {
		if got := identifyRefusal(r, "enwiki", nil, nil).Reason; got != IdentifyBlockedUser {
			t.Errorf("%v is told as %v", r, got)
		}
	}
}

// A refresh token whose access token was used or withdrawn is refused for that,
// whatever else is wrong.
func TestWithdrawnRefreshToken(t *testing.T) {
	s := newScene(t)
	code := s.consent(t, wantCode+confidential, approveButton).Get("code")
	_, first := s.token(t, s.withCode(code)...)
	if _, found, err := s.tables.Withdraw(t.Context(), 3, s.tables.acceptances[0].ID); !found || err != nil {
		t.Fatal(found, err)
	}
	for _, more := range [][]string{nil, {"scope", "rollback"}} {
		a, _ := s.token(t, s.withRefresh(first["refresh_token"], more...)...)
		wantReason(t, a, RefreshUsed)
	}
}

// An Authorization header of any scheme but Bearer is a malformed token at the
// resources, and none is a missing one.
func TestResourceWithoutBearer(t *testing.T) {
	s := newScene(t)
	s.verifier = validator.New(s.cfg.Policy, nil, nil, nil)
	wantReason(t, s.send(t, ResourceProfile, "", "", nil, nil), TokenMissing)
	for header, hint := range map[string]string{
		"Basic eDp5":          "The JWT string must have two dots",
		"Bearer xyz":          "The JWT string must have two dots",
		"Bearer":              "The JWT string must have two dots",
		"Bearer a.b.c":        "Error while decoding from Base64Url, invalid base64 characters detected",
		"bearer e30.e30.e30":  "Error while decoding from Base64Url, invalid base64 characters detected",
		"Bearer eHl6.e30.e30": "Error while decoding from JSON",
		"Bearer e30.eHl6.e30": "Error while decoding from JSON",
	} {
		s.verifier = fakeVerifier{Verdict: validator.Anonymous, Reason: validator.NoCredentials}
		if strings.HasPrefix(header, "Bearer") {
			s.verifier = fakeVerifier{Verdict: validator.Deny, Protocol: validator.OAuth2, Reason: validator.MalformedToken}
		}
		a := s.send(t, ResourceProfile, "", "", nil, http.Header{"Authorization": {header}})
		wantReason(t, a, TokenMalformed)
		if !strings.Contains(string(a.Body), `"hint":"`+hint+`"`) {
			t.Errorf("%s: %s, want %s", header, a.Body, hint)
		}
	}
	s.verifier = fakeVerifier{Verdict: validator.Deny, Protocol: validator.OAuth1, Reason: validator.NoAcceptance}
	wantReason(t, s.send(t, ResourceProfile, "", "", nil, http.Header{"Authorization": {`OAuth oauth_token="x"`}}), TokenMalformed)
	wantReason(t, s.send(t, ResourceProfile, "", "oauth_token=x", nil, nil), TokenMissing)
}
