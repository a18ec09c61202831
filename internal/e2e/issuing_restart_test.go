package e2e_test

import (
	"html"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// codeChallenge is the S256 challenge of codeVerifier (RFC 7636 appendix B).
const (
	codeVerifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	codeChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	pkce          = "&code_challenge_method=S256&code_challenge=" + codeChallenge
	appCallback   = "https://app.example/callback"
)

// form shows a consent page to Bob and returns the form that Approve sends.
func (i *issuer) form(t *testing.T, target string) url.Values {
	t.Helper()
	page := i.Get(t, target, basic("Bob", "bob-password"))
	form := url.Values{"approve": {"1"}}
	for _, m := range field.FindAllStringSubmatch(string(page.Body), -1) {
		form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	if page.Status != http.StatusOK || len(form) < 2 {
		t.Fatalf("no consent page: %d %v %s", page.Status, page.Header, page.Body)
	}
	return form
}

// submit sends a form of a consent page, from a browser where somebody signs in
// with HTTP Basic.
func (i *issuer) submit(t *testing.T, target string, form url.Values, user string, headers ...string) *harness.Answer {
	t.Helper()
	if len(headers) == 0 {
		headers = []string{"Sec-Fetch-Site", "same-origin"}
	}
	headers = append(headers, "Content-Type", "application/x-www-form-urlencoded", "Authorization", basic(user, strings.ToLower(user)+"-password"))
	return i.Do(t, i.Request(t, http.MethodPost, i.URL(target), form.Encode(), headers...))
}

// configure reloads with other lines of oauth_server.
func (i *issuer) configure(t *testing.T, own string, settings ...string) {
	t.Helper()
	if err := os.WriteFile(i.own, []byte(own+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := i.Load(t, settings...); err != nil {
		t.Fatal(err)
	}
}

// publicApp adds an app of OAuth 2 that has no secret.
func (i *issuer) publicApp(t *testing.T) wikidb.Consumer {
	t.Helper()
	app := i.Wiki.NewApp(t, i.Wiki.Alice, func(c *wikidb.Consumer) { c.Name, c.Version = "public app", 2 }).Consumer
	i.Wiki.Exec(t, "UPDATE oauth_registered_consumer SET oarc_oauth2_is_confidential = 0 WHERE oarc_consumer_key = '"+app.Key+"'")
	return app
}

// Every flow of OAuth 2 goes on after a restart between any two of its steps:
// nothing that it needs is in the memory of the process.
func TestIssuingOutlivesARestart(t *testing.T) {
	i := issuerOf(t, harness.Options{OwnProcess: true}, account{}, "state memory")
	outlive(t, i, i.Restart, "/oauth2/")
}

// Every flow of OAuth 2 goes on after the process was killed between any two of its
// steps.
func TestIssuingOutlivesSIGKILL(t *testing.T) {
	i := issuerOf(t, harness.Options{OwnProcess: true}, account{}, "state memory")
	outlive(t, i, func(tb testing.TB) { i.Kill(); i.Start(tb) }, "/oauth2/", "/w/rest.php/oauth2/")
}

// outlive restarts the gateway between any two steps of each flow.
func outlive(t *testing.T, i *issuer, restart func(testing.TB), paths ...string) {
	t.Helper()
	public := i.publicApp(t)
	c := sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}
	request := tokenPair(t, i.signed(t, "/oauth/initiate", c, sign.Options{Callback: "oob"}))
	restart(t)
	// The memory was lost: a restart is what it is said to be.
	lost := i.Get(t, "/oauth/authorize?oauth_consumer_key="+i.app1.Key+"&oauth_token="+request.Get("oauth_token"), basic("Bob", "bob-password"))
	if lost.Status/100 != 4 || !strings.Contains(string(lost.Body), "E004") {
		t.Errorf("a request token of the process before: %d %s", lost.Status, lost.Body)
	}
	for _, path := range paths {
		for _, app := range []wikidb.Consumer{i.app2, public} {
			t.Run(path+" "+app.Name, func(t *testing.T) {
				token := func(pairs ...string) tokens {
					t.Helper()
					if app.Key == public.Key {
						pairs = append(pairs, "client_id", app.Key)
						return i.exchange(t, path, "", pairs...)
					}
					return i.token(t, path, pairs...)
				}
				target := path + "authorize?response_type=code&state=s&redirect_uri=" + url.QueryEscape(appCallback) + pkce + "&client_id=" + app.Key
				form := i.form(t, target)
				restart(t)
				back := query(t, i.submit(t, target, form, "Bob"))
				restart(t)
				first := token("grant_type", "authorization_code", "code", back.Get("code"), "code_verifier", codeVerifier, "redirect_uri", appCallback)
				restart(t)
				i.Get(t, "/w/api.php", "Bearer "+first.Access).Want(t, "ok")
				second := token("grant_type", "refresh_token", "refresh_token", first.Refresh)
				restart(t)
				third := token("grant_type", "refresh_token", "refresh_token", second.Refresh)
				restart(t)
				profile := i.Get(t, path+"resource/profile", "Bearer "+third.Access)
				if profile.Status != http.StatusOK || !strings.Contains(string(profile.Body), `"username":"Bob"`) {
					t.Errorf("profile: %d %s", profile.Status, profile.Body)
				}
				i.Get(t, "/w/api.php", "Bearer "+third.Access).Want(t, "ok")
				// What was used before a restart stays used after it.
				for name, used := range map[string]tokens{
					"code":                token("grant_type", "authorization_code", "code", back.Get("code"), "code_verifier", codeVerifier, "redirect_uri", appCallback),
					"first refresh token": token("grant_type", "refresh_token", "refresh_token", first.Refresh),
				} {
					if used.Access != "" || used.Error == "" {
						t.Errorf("the %s succeeds again: %+v", name, used)
					}
				}
			})
		}
		own := i.token(t, path, "grant_type", "client_credentials")
		restart(t)
		i.Get(t, "/w/api.php", "Bearer "+own.Access).Want(t, "ok")
	}
}

// The handshake of OAuth 1.0a goes on after a reload between any two of its steps
// that changes the configuration of both directives: state memory outlives reloads.
func TestIssuingHandshakeOutlivesReloads(t *testing.T) {
	i := newIssuer(t, "state memory")
	for _, path := range []string{"/oauth/", "/wiki/Special:OAuth/"} {
		c := sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}
		request := tokenPair(t, i.signed(t, path+"initiate", c, sign.Options{Callback: "oob"}))
		target := path + "authorize?oauth_token=" + request.Get("oauth_token")
		i.configure(t, "state memory", "realm another")
		form := i.form(t, target)
		i.configure(t, "authorization_response_iss off", "cache {\nttl 1m\n}")
		back := query(t, i.submit(t, target, form, "Bob"))
		i.configure(t, "require_pkce all", "clock_skew 30s")
		c.Token, c.TokenSecret = request.Get("oauth_token"), request.Get("oauth_token_secret")
		access := tokenPair(t, i.signed(t, path+"token", c, sign.Options{Verifier: back.Get("oauth_verifier")}))
		i.configure(t, "")
		again := i.signed(t, path+"token", c, sign.Options{Verifier: back.Get("oauth_verifier")})
		if !strings.Contains(string(again.Body), "E009") {
			t.Errorf("the verifier after a reload: %d %s", again.Status, again.Body)
		}
		c.Token, c.TokenSecret = access.Get("oauth_token"), access.Get("oauth_token_secret")
		i.signed(t, "/w/api.php?action=query", c, sign.Options{}).Want(t, "ok")
		i.configure(t, "state memory", "realm another")
		if identity := i.signed(t, path+"identify", c, sign.Options{}); strings.Count(string(identity.Body), ".") != 2 {
			t.Errorf("identify: %d %s", identity.Status, identity.Body)
		}
	}
}
