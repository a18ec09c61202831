package e2e_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// sender makes the same request anew each time.
type sender func(t *testing.T) *http.Request

// operation is a request to the issuer, with what it answers while all is well.
type operation struct {
	name     string
	endpoint authserver.Endpoint
	// prepare does the steps before.
	prepare func(t *testing.T, i *issuer) sender
	// reader and writer are the accounts that it needs. With neither, it is
	// answered without the database.
	reader, writer bool
	status         int
	contains       string // of the body or the Location
}

// The requests of the test.

func page(target string) func(*testing.T, *issuer) sender {
	return func(_ *testing.T, i *issuer) sender {
		return func(t *testing.T) *http.Request {
			return i.Request(t, http.MethodGet, i.URL(target), "", "Authorization", basic("Bob", "bob-password"))
		}
	}
}

// get is a GET of a client without credentials.
func get(target string) func(*testing.T, *issuer) sender {
	return func(_ *testing.T, i *issuer) sender {
		return func(t *testing.T) *http.Request { return i.Request(t, http.MethodGet, i.URL(target), "") }
	}
}

func (i *issuer) post(target string, form url.Values) sender {
	return func(t *testing.T) *http.Request {
		return i.Request(t, http.MethodPost, i.URL(target), form.Encode(), "Sec-Fetch-Site", "same-origin",
			"Content-Type", "application/x-www-form-urlencoded", "Authorization", basic("Bob", "bob-password"))
	}
}

// begin gets a request token of OAuth 1.0a.
func (i *issuer) begin(t *testing.T) (c sign.Credentials, authorize string) {
	t.Helper()
	c = sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}
	request := tokenPair(t, i.signed(t, "/oauth/initiate", c, sign.Options{Callback: "oob"}))
	c.Token, c.TokenSecret = request.Get("oauth_token"), request.Get("oauth_token_secret")
	return c, "authorize?oauth_consumer_key=" + c.ConsumerKey + "&oauth_token=" + c.Token
}

func (i *issuer) sender(target string, c sign.Credentials, o sign.Options) sender {
	return func(t *testing.T) *http.Request {
		header, err := sign.Header(c, http.MethodGet, i.URL(target), nil, o)
		if err != nil {
			t.Fatal(err)
		}
		return i.Request(t, http.MethodGet, i.URL(target), "", "Authorization", header)
	}
}

// press1 and press2 press a button of a consent page.
func press1(button string) func(*testing.T, *issuer) sender {
	return func(t *testing.T, i *issuer) sender {
		_, authorize := i.begin(t)
		form := i.form(t, "/oauth/"+authorize)
		form.Del("approve")
		form.Set(button, "1")
		return i.post("/oauth/authorize", form)
	}
}

func press2(button string) func(*testing.T, *issuer) sender {
	return func(t *testing.T, i *issuer) sender {
		form := i.form(t, "/oauth2/authorize?response_type=code&client_id="+i.app2.Key+pkce)
		form.Del("approve")
		form.Set(button, "1")
		return i.post("/oauth2/authorize", form)
	}
}

// approved returns a request token that Bob has approved, and its verifier.
func (i *issuer) approved(t *testing.T) (sign.Credentials, sign.Options) {
	t.Helper()
	c, authorize := i.begin(t)
	back := query(t, i.press(t, "/oauth/"+authorize, "approve"))
	return c, sign.Options{Verifier: back.Get("oauth_verifier")}
}

func (i *issuer) codeForm(t *testing.T) []string {
	t.Helper()
	back := query(t, i.press(t, "/oauth2/authorize?response_type=code&client_id="+i.app2.Key+pkce, "approve"))
	return []string{"grant_type", "authorization_code", "code", back.Get("code"), "code_verifier", codeVerifier}
}

func (i *issuer) tokenSender(form ...string) sender {
	return func(t *testing.T) *http.Request {
		return i.tokenRequest(t, "/oauth2/", basic(i.app2.Key, i.secret(i.app2)), form...)
	}
}

func resource(kind string) func(*testing.T, *issuer) sender {
	return func(t *testing.T, i *issuer) sender {
		got := i.token(t, "/oauth2/", i.codeForm(t)...) // a token that no cache knows
		return func(t *testing.T) *http.Request {
			return i.Request(t, http.MethodGet, i.URL("/oauth2/resource/"+kind), "", "Authorization", "Bearer "+got.Access)
		}
	}
}

func withdraw(t *testing.T, i *issuer) sender {
	i.codeForm(t) // there is something to withdraw
	form := i.form(t, "/oauth2/apps")
	form.Del("approve")
	form.Set("withdraw", "1")
	return i.post("/oauth2/apps", form)
}

var (
	consent = operation{
		name: "OAuth 2 consent", endpoint: authserver.Authorize2, writer: true, status: 303, contains: "code=", prepare: press2("approve"),
	}
	exchange = operation{
		name: "exchange of a code", endpoint: authserver.AccessToken, writer: true, status: 200, contains: `"access_token":`,
		prepare: func(t *testing.T, i *issuer) sender { return i.tokenSender(i.codeForm(t)...) },
	}
	refresh = operation{
		name: "refresh", endpoint: authserver.AccessToken, writer: true, status: 200, contains: `"access_token":`,
		prepare: func(t *testing.T, i *issuer) sender {
			got := i.token(t, "/oauth2/", i.codeForm(t)...)
			return i.tokenSender("grant_type", "refresh_token", "refresh_token", got.Refresh)
		},
	}
	usedRefreshToken = operation{
		name: "used refresh token", endpoint: authserver.AccessToken, writer: true, status: 401, contains: "Token has been revoked",
		prepare: func(t *testing.T, i *issuer) sender {
			got := i.token(t, "/oauth2/", i.codeForm(t)...)
			i.token(t, "/oauth2/", "grant_type", "refresh_token", "refresh_token", got.Refresh)
			return i.tokenSender("grant_type", "refresh_token", "refresh_token", got.Refresh)
		},
	}
	withdrawal = operation{
		name: "withdrawal", endpoint: authserver.Apps, writer: true, status: 200, contains: "no longer", prepare: withdraw,
	}
	identify = operation{
		name: "identify", endpoint: authserver.Identify, reader: true, writer: true, status: 200, contains: ".",
		prepare: func(t *testing.T, i *issuer) sender {
			c, verifier := i.approved(t)
			access := tokenPair(t, i.signed(t, "/oauth/token", c, verifier))
			c.Token, c.TokenSecret = access.Get("oauth_token"), access.Get("oauth_token_secret")
			return i.sender("/oauth/identify", c, sign.Options{})
		},
	}
	profile = operation{
		name: "profile", endpoint: authserver.ResourceProfile, reader: true, writer: true, status: 200, contains: `"username":"Bob"`,
		prepare: resource("profile"),
	}
)

// operations are requests to every endpoint, by every way through it that asks the
// database for something else.
var operations = []operation{
	{
		name: "initiate", endpoint: authserver.Initiate, writer: true, status: 200, contains: "oauth_token=",
		prepare: func(_ *testing.T, i *issuer) sender {
			return i.sender("/oauth/initiate", sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}, sign.Options{Callback: "oob"})
		},
	},
	{
		name: "initiate as JSON", endpoint: authserver.Initiate, writer: true, status: 200, contains: `"secret":`,
		prepare: func(_ *testing.T, i *issuer) sender {
			return i.sender("/oauth/initiate?format=json", sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}, sign.Options{Callback: "oob"})
		},
	},
	{
		name: "consent page", endpoint: authserver.Authorize, writer: true, status: 200, contains: "oauth_token",
		prepare: func(t *testing.T, i *issuer) sender {
			_, authorize := i.begin(t)
			return page("/oauth/"+authorize)(t, i)
		},
	},
	{name: "consent", endpoint: authserver.Authorize, writer: true, status: 303, contains: "oauth_verifier=", prepare: press1("approve")},
	{name: "denial", endpoint: authserver.Authorize, writer: true, status: 200, contains: "", prepare: press1("cancel")},
	{
		name: "authenticate", endpoint: authserver.Authenticate, writer: true, status: 200, contains: "oauth_token",
		prepare: func(t *testing.T, i *issuer) sender {
			_, authorize := i.begin(t)
			return page("/oauth/"+strings.Replace(authorize, "authorize", "authenticate", 1))(t, i)
		},
	},
	{name: "verified", endpoint: authserver.Verified, status: 200, contains: "verifier-x", prepare: get("/oauth/verified?oauth_verifier=verifier-x&oauth_token=b")},
	{
		name: "exchange of a verifier", endpoint: authserver.TokenExchange, writer: true, status: 200, contains: "oauth_token_secret=",
		prepare: func(t *testing.T, i *issuer) sender {
			c, verifier := i.approved(t)
			return i.sender("/oauth/token", c, verifier)
		},
	},
	identify,
	{
		name: "OAuth 2 consent page", endpoint: authserver.Authorize2, writer: true, status: 200, contains: "code_challenge",
		prepare: func(t *testing.T, i *issuer) sender {
			return page("/oauth2/authorize?response_type=code&client_id="+i.app2.Key+pkce)(t, i)
		},
	},
	consent,
	{name: "OAuth 2 denial", endpoint: authserver.Authorize2, writer: true, status: 303, contains: "access_denied", prepare: press2("cancel")},
	exchange,
	refresh,
	{
		name: "client credentials", endpoint: authserver.AccessToken, writer: true, status: 200, contains: `"access_token":`,
		prepare: func(_ *testing.T, i *issuer) sender { return i.tokenSender("grant_type", "client_credentials") },
	},
	profile,
	{
		name: "replay of a code", endpoint: authserver.AccessToken, writer: true, status: 400, contains: "Authorization code has been revoked",
		prepare: func(t *testing.T, i *issuer) sender {
			form := i.codeForm(t)
			i.token(t, "/oauth2/", form...)
			return i.tokenSender(form...)
		},
	},
	{
		name: "exchange after a withdrawal", endpoint: authserver.AccessToken, writer: true, status: 400, contains: "approval is gone",
		prepare: func(t *testing.T, i *issuer) sender {
			form := i.codeForm(t)
			i.Wiki.Exec(t, "DELETE FROM oauth_accepted_consumer WHERE oaac_user_id = 8")
			return i.tokenSender(form...)
		},
	},
	usedRefreshToken,
	{
		name: "refresh after a narrower consent", endpoint: authserver.AccessToken, writer: true, status: 400, contains: "does not cover the scopes",
		prepare: func(t *testing.T, i *issuer) sender {
			got := i.token(t, "/oauth2/", i.codeForm(t)...)
			i.Wiki.Exec(t, `UPDATE oauth_accepted_consumer SET oaac_grants = '["basic"]' WHERE oaac_user_id = 8`)
			return i.tokenSender("grant_type", "refresh_token", "refresh_token", got.Refresh)
		},
	},
	{
		name: "unknown client", endpoint: authserver.AccessToken, writer: true, status: 401, contains: "invalid_client",
		prepare: func(_ *testing.T, i *issuer) sender {
			return func(t *testing.T) *http.Request {
				return i.tokenRequest(t, "/oauth2/", basic(strings.Repeat("f", 32), "secret"), "grant_type", "client_credentials")
			}
		},
	},
	{
		name: "unknown app", endpoint: authserver.Initiate, writer: true, status: 200, contains: "Invalid consumer",
		prepare: func(_ *testing.T, i *issuer) sender {
			return i.sender("/oauth/initiate", sign.Credentials{ConsumerKey: strings.Repeat("f", 32), ConsumerSecret: "secret"}, sign.Options{Callback: "oob"})
		},
	},
	{
		name: "request token of an app that was disabled", endpoint: authserver.Authorize, writer: true, status: 400, contains: "E005",
		prepare: func(t *testing.T, i *issuer) sender {
			app := i.Wiki.NewApp(t, i.Wiki.Alice, func(*wikidb.Consumer) {}).Consumer
			c := sign.Credentials{ConsumerKey: app.Key, ConsumerSecret: i.secret(app)}
			request := tokenPair(t, i.signed(t, "/oauth/initiate", c, sign.Options{Callback: "oob"}))
			i.Wiki.Exec(t, "UPDATE oauth_registered_consumer SET oarc_stage = 4 WHERE oarc_consumer_key = '"+app.Key+"'")
			authorize := "authorize?oauth_token=" + request.Get("oauth_token")
			return page("/oauth/"+authorize)(t, i)
		},
	},
	{
		name: "withdrawal of nothing", endpoint: authserver.Apps, writer: true, status: 403, contains: "",
		prepare: func(t *testing.T, i *issuer) sender {
			send := withdraw(t, i)
			i.Do(t, send(t))
			return send
		},
	},
	{name: "scopes", endpoint: authserver.ResourceScopes, reader: true, writer: true, status: 200, contains: `"scopes":`, prepare: resource("scopes")},
	{name: "apps", endpoint: authserver.Apps, writer: true, status: 200, contains: "withdraw", prepare: page("/oauth2/apps")},
	withdrawal,
	{
		name: "unknown page of an app", endpoint: authserver.UnknownPage, writer: true, status: 400, contains: "E003",
		prepare: func(t *testing.T, i *issuer) sender {
			return get("/oauth/nonsense?oauth_consumer_key="+i.app1.Key)(t, i)
		},
	},
	{name: "unknown page", endpoint: authserver.UnknownPage, status: 400, contains: "E002", prepare: get("/oauth/nonsense")},
	{name: "unknown resource", endpoint: authserver.UnknownType, status: 400, contains: "badvalue", prepare: get("/oauth2/resource/x")},
	{name: "unknown route", endpoint: authserver.UnknownRoute, status: 404, contains: "did not match any known handler", prepare: page("/w//rest.php/oauth2/authorize")},
}
