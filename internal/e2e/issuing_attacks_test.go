package e2e_test

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// authorizeApp is an authorization request of an app, with further parameters.
func authorizeApp(app wikidb.Consumer, more string) string {
	return "/oauth2/authorize?response_type=code&client_id=" + app.Key + more
}

// code is a fresh code of Bob's for an app.
func (i *issuer) code(t *testing.T, app wikidb.Consumer, more string) string {
	t.Helper()
	back := query(t, i.press(t, authorizeApp(app, more), "approve"))
	if back.Get("code") == "" {
		t.Fatalf("no code: %v", back)
	}
	return back.Get("code")
}

// with asks the token endpoint as an app.
func (i *issuer) with(t *testing.T, app wikidb.Consumer, pairs ...string) tokens {
	t.Helper()
	return i.exchange(t, "/oauth2/", basic(app.Key, i.secret(app)), pairs...)
}

// wantRefused expects an error of the token endpoint, and no token.
func wantRefused(t *testing.T, name string, got tokens, want string) {
	t.Helper()
	if got.Access != "" || got.Refresh != "" || got.Error != want {
		t.Errorf("%s: %+v, want %s", name, got, want)
	}
}

// handshake is a request token of an app.
func (i *issuer) handshake(t *testing.T, app wikidb.Consumer, callback string) sign.Credentials {
	t.Helper()
	c := sign.Credentials{ConsumerKey: app.Key, ConsumerSecret: i.secret(app)}
	request := tokenPair(t, i.signed(t, "/oauth/initiate", c, sign.Options{Callback: callback}))
	c.Token, c.TokenSecret = request.Get("oauth_token"), request.Get("oauth_token_secret")
	return c
}

// Every authorization response tells its issuer: codes, denials and errors, unless
// the operator turned it off.
func TestIssuingMixUp(t *testing.T) {
	i := newIssuer(t)
	for _, on := range []bool{true, false} {
		if !on {
			i.configure(t, "authorization_response_iss off")
		}
		for name, a := range map[string]*harness.Answer{
			"code":   i.press(t, authorizeApp(i.app2, "&state=s"), "approve"),
			"denial": i.press(t, authorizeApp(i.app2, "&state=s"), "cancel"),
			"error":  i.Get(t, authorizeApp(i.app2, "&state=s&scope=nonsense"), basic("Bob", "bob-password")),
		} {
			u, err := url.Parse(a.Header.Get("Location"))
			if err != nil || !strings.HasPrefix(u.String(), appCallback+"?") {
				t.Fatalf("%s: %d %q", name, a.Status, u)
			}
			if want := map[bool][]string{true: {"https://wiki.example"}}[on]; strings.Join(u.Query()["iss"], " ") != strings.Join(want, " ") {
				t.Errorf("%s, iss is sent %t: %q", name, on, u)
			}
			if u.Query().Get("state") != "s" {
				t.Errorf("%s: %q has no state", name, u)
			}
		}
	}
}

// A code, verifier or refresh token of one app is of no use to another, and stays
// good for its own.
func TestIssuingTokenSubstitution(t *testing.T) {
	i := newIssuer(t)
	other := i.Wiki.NewApp(t, i.Wiki.Alice, func(c *wikidb.Consumer) { c.Name, c.Version = "other app", 2 }).Consumer
	code := i.code(t, i.app2, pkce)
	wantRefused(t, "a code at another app", i.with(t, other, "grant_type", "authorization_code", "code", code, "code_verifier", codeVerifier), "invalid_request")
	good := i.with(t, i.app2, "grant_type", "authorization_code", "code", code, "code_verifier", codeVerifier)
	wantRefused(t, "a refresh token at another app", i.with(t, other, "grant_type", "refresh_token", "refresh_token", good.Refresh), "invalid_request")
	wantRefused(t, "a used code at another app", i.with(t, other, "grant_type", "authorization_code", "code", code, "code_verifier", codeVerifier), "invalid_request")
	i.Get(t, "/w/api.php", "Bearer "+good.Access).Want(t, "ok")
	next := i.with(t, i.app2, "grant_type", "refresh_token", "refresh_token", good.Refresh)
	i.Get(t, "/w/api.php", "Bearer "+next.Access).Want(t, "ok")
	wantRefused(t, "a refresh token as a code", i.with(t, i.app2, "grant_type", "authorization_code", "code", next.Refresh), "invalid_request")
	wantRefused(t, "a code as a refresh token", i.with(t, i.app2, "grant_type", "refresh_token", "refresh_token", i.code(t, i.app2, "")), "invalid_request")
	wantRefused(t, "an access token as a refresh token", i.with(t, i.app2, "grant_type", "refresh_token", "refresh_token", next.Access), "invalid_request")

	other1 := i.Wiki.NewApp(t, i.Wiki.Alice, func(c *wikidb.Consumer) { c.Name = "other app of OAuth 1" }).Consumer
	c := i.handshake(t, i.app1, "oob")
	verifier := query(t, i.press(t, "/oauth/authorize?oauth_token="+c.Token, "approve")).Get("oauth_verifier")
	stolen := c
	stolen.ConsumerKey, stolen.ConsumerSecret = other1.Key, i.secret(other1)
	if a := i.signed(t, "/oauth/token", stolen, sign.Options{Verifier: verifier}); !strings.Contains(string(a.Body), "E004") {
		t.Errorf("a request token at another app: %d %s", a.Status, a.Body)
	}
	tokenPair(t, i.signed(t, "/oauth/token", c, sign.Options{Verifier: verifier}))
}

// withdraw presses Bob's button for an app on the page of apps.
func (i *issuer) withdraw(t *testing.T, app wikidb.Consumer) {
	t.Helper()
	page, label := string(i.Get(t, "/oauth2/apps", basic("Bob", "bob-password")).Body), "Withdraw access from "+app.Name+`"`
	for section := range strings.SplitSeq(page, "<section>") {
		if !strings.Contains(section, label) {
			continue
		}
		form := url.Values{"withdraw": {"1"}}
		for _, m := range field.FindAllStringSubmatch(section, -1) {
			form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
		}
		if a := i.submit(t, "/oauth2/apps", form, "Bob"); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return
	}
	t.Fatalf("the app is not on the page: %s", page)
}

// A user who withdraws an approval and gives it again revives nothing: neither a code
// that was used, nor one that was not.
func TestIssuingOldCodes(t *testing.T) {
	i := newIssuer(t)
	used, unused := i.code(t, i.app2, ""), i.code(t, i.app2, "")
	old := i.with(t, i.app2, "grant_type", "authorization_code", "code", used)
	i.Get(t, "/w/api.php", "Bearer "+old.Access).Want(t, "ok")
	i.withdraw(t, i.app2)
	i.Get(t, "/w/api.php", "Bearer "+old.Access).Want(t, "token_revoked")
	again := i.code(t, i.app2, "")
	wantRefused(t, "a used code", i.with(t, i.app2, "grant_type", "authorization_code", "code", used), "invalid_grant")
	wantRefused(t, "an unused code", i.with(t, i.app2, "grant_type", "authorization_code", "code", unused), "invalid_grant")
	wantRefused(t, "a refresh token", i.with(t, i.app2, "grant_type", "refresh_token", "refresh_token", old.Refresh), "invalid_request")
	good := i.with(t, i.app2, "grant_type", "authorization_code", "code", again)
	i.Get(t, "/w/api.php", "Bearer "+good.Access).Want(t, "ok")
}

// A code is bound to the redirect URI and to the challenge of its authorization
// request; a challenge can neither be left out afterwards nor be weakened.
func TestIssuingCodeInjection(t *testing.T) {
	i := newIssuer(t)
	const grant, redirect = "authorization_code", "&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback"
	bound := i.code(t, i.app2, pkce+redirect)
	for _, tt := range []struct {
		name, want string
		pairs      []string
	}{
		{"another redirect_uri", "invalid_client", []string{"redirect_uri", "https://evil.example/", "code_verifier", codeVerifier}},
		{"no redirect_uri", "invalid_request", []string{"code_verifier", codeVerifier}},
		{"no verifier", "invalid_request", []string{"redirect_uri", appCallback}},
		{"empty verifier", "invalid_request", []string{"redirect_uri", appCallback, "code_verifier", ""}},
		{"the challenge as verifier", "invalid_grant", []string{"redirect_uri", appCallback, "code_verifier", codeChallenge}},
		{"plain after S256", "invalid_grant", []string{"redirect_uri", appCallback, "code_verifier", codeChallenge, "code_challenge_method", "plain"}},
		{"another verifier", "invalid_grant", []string{"redirect_uri", appCallback, "code_verifier", strings.Repeat("x", 43)}},
	} {
		wantRefused(t, tt.name, i.with(t, i.app2, append([]string{"grant_type", grant, "code", bound}, tt.pairs...)...), tt.want)
	}
	// None of the refusals used the code up.
	good := i.with(t, i.app2, "grant_type", grant, "code", bound, "redirect_uri", appCallback, "code_verifier", codeVerifier)
	i.Get(t, "/w/api.php", "Bearer "+good.Access).Want(t, "ok")

	plain := i.code(t, i.app2, "")
	wantRefused(t, "a verifier without a challenge", i.with(t, i.app2, "grant_type", grant, "code", plain, "code_verifier", codeVerifier), "invalid_request")
	// A public app cannot do without a challenge at all.
	public := i.publicApp(t)
	if a := i.Get(t, authorizeApp(public, ""), basic("Bob", "bob-password")); a.Status != http.StatusBadRequest || strings.Contains(string(a.Body), `name="approve"`) {
		t.Errorf("a public app without a challenge: %d %v %s", a.Status, a.Header, a.Body)
	}

	// A code that is sent again ends what it was exchanged for, on the next request.
	wantRefused(t, "a used code", i.with(t, i.app2, "grant_type", grant, "code", bound, "redirect_uri", appCallback, "code_verifier", codeVerifier), "invalid_request")
	i.Get(t, "/w/api.php", "Bearer "+good.Access).Want(t, "token_revoked")
	wantRefused(t, "its refresh token", i.with(t, i.app2, "grant_type", "refresh_token", "refresh_token", good.Refresh), "invalid_request")
}

// A refresh token succeeds once; the one before gives nothing, and the token that
// it replaced passes no more.
func TestIssuingRefreshReplay(t *testing.T) {
	i := newIssuer(t)
	first := i.with(t, i.app2, "grant_type", "authorization_code", "code", i.code(t, i.app2, ""))
	second := i.with(t, i.app2, "grant_type", "refresh_token", "refresh_token", first.Refresh)
	i.Get(t, "/w/api.php", "Bearer "+second.Access).Want(t, "ok")
	for range 3 {
		wantRefused(t, "a used refresh token", i.with(t, i.app2, "grant_type", "refresh_token", "refresh_token", first.Refresh), "invalid_request")
	}
	i.Get(t, "/w/api.php", "Bearer "+first.Access).Want(t, "token_revoked")
	third := i.with(t, i.app2, "grant_type", "refresh_token", "refresh_token", second.Refresh)
	i.Get(t, "/w/api.php", "Bearer "+third.Access).Want(t, "ok")
	wantRefused(t, "one that was changed", i.with(t, i.app2, "grant_type", "refresh_token", "refresh_token", third.Refresh[:len(third.Refresh)-2]+"AA"), "invalid_request")
}
