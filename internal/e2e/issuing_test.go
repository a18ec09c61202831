package e2e_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// browserMatcher matches the pages for people at both kinds of paths. The manual
// has it.
const browserMatcher = `@browser expression "{http.request.uri}.matches('(?i)oauth2?(/|%2F)(authorize2?|authenticate|apps)([?&]|$)')"`

// issuingSite has the authentication handler where browsers are and nowhere else,
// so that an app's own HTTP Basic reaches the token endpoint. The password of
// Alice is alice-password, and that of Bob bob-password.
const issuingSite = `
route {
	` + browserMatcher + `
	basic_auth @browser {
		Alice $2a$04$PLIt/VkPkQVbZPQJGuoZnu1z.LLouo4rV34NetUqCndX3/WCJpMDa
		Bob $2a$04$Lx3pXf0bZhyd.O77vwehxeje.9MLEmQ34I93BRLzaMHoMbhu8D.H2
	}
	oauth_server {
		import settings
		{$WRITER}
		issuer https://wiki.example
		session caddy {
			name {http.auth.user.id}
		}
		{$LIFETIMES}
		import {$OWN}
	}
	oauth {
		import settings
	}
	import backend
}
`

// issuer is a site with both directives, and its wiki.
type issuer struct {
	*harness.Gateway
	app1, app2 wikidb.Consumer
	own        string // a file of lines of oauth_server alone
}

func newIssuer(t *testing.T, own ...string) *issuer {
	t.Helper()
	return issuerOf(t, harness.Options{}, account{}, own...)
}

// account is how the account that writes is used otherwise than by default.
type account struct {
	through func(dsn string) string // changes the DSN
	block   string                  // lines of the block of writer
}

// issuerOf is an issuer with other options of the gateway.
func issuerOf(t *testing.T, o harness.Options, writer account, own ...string) *issuer {
	t.Helper()
	if o.Wiki == nil {
		o.Wiki = harness.NewWiki(t, validator.Release139)
	}
	w := o.Wiki
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(w.IssuerKey)})
	dsn := w.Writer(t).DSN
	if writer.through != nil {
		dsn = writer.through(dsn)
	}
	lines := "writer {file." + file("writer", dsn) + "} {\n" + writer.block + "\n}\nprivate_key " + file("key.pem", string(key))
	i := &issuer{own: file("own", strings.Join(own, "\n")+"\n")}
	lifetimes := "lifetimes {\nrefresh_token 1h\n}"
	if strings.HasPrefix(strings.Join(own, "\n"), "lifetimes") {
		lifetimes = ""
	}
	o.Site = strings.NewReplacer("{$WRITER}", lines, "{$LIFETIMES}", lifetimes, "{$OWN}", i.own).Replace(issuingSite)
	i.Gateway = harness.New(t, o)
	owner := wikidb.User{ID: 99, Name: "Owner"}
	w.Insert(t, owner)
	i.app1, i.app2 = w.HMAC.Consumer, w.OAuth2.Consumer
	return i
}

// basic is HTTP Basic.
func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// secret is what the developer of an app holds.
func (i *issuer) secret(c wikidb.Consumer) string { return sign.Secret(i.Wiki.SiteKey, c.Secret) }

var field = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// press shows a consent page to Bob and presses a button of it.
func (i *issuer) press(t *testing.T, target, button string) *harness.Answer {
	t.Helper()
	bob := basic("Bob", "bob-password")
	page := i.Get(t, target, bob)
	if page.Status != http.StatusOK || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("no consent page: %d %v %s", page.Status, page.Header, page.Body)
	}
	form := url.Values{button: {"1"}}
	for _, m := range field.FindAllStringSubmatch(string(page.Body), -1) {
		form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return i.Do(t, i.Request(t, http.MethodPost, i.URL(target), form.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", bob, "Sec-Fetch-Site", "same-origin"))
}

// query is the query of a Location.
func query(t *testing.T, a *harness.Answer) url.Values {
	t.Helper()
	u, err := url.Parse(a.Header.Get("Location"))
	if err != nil || a.Status != http.StatusSeeOther {
		t.Fatalf("no redirect: %d %v %s", a.Status, a.Header, a.Body)
	}
	return u.Query()
}

// tokenPair is the token and secret of an answer.
func tokenPair(t *testing.T, a *harness.Answer) url.Values {
	t.Helper()
	v, err := url.ParseQuery(string(a.Body))
	if err != nil || v.Get("oauth_token") == "" {
		t.Fatalf("no token: %d %s", a.Status, a.Body)
	}
	return v
}

// signed sends a signed request of the handshake.
func (i *issuer) signed(t *testing.T, target string, c sign.Credentials, o sign.Options) *harness.Answer {
	t.Helper()
	header, err := sign.Header(c, http.MethodGet, i.URL(target), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return i.Get(t, target, header)
}

// The handshake of OAuth 1.0a, at both kinds of paths: the token that it ends in
// passes the directive oauth of the same site.
func TestIssuingOAuth1(t *testing.T) {
	i := newIssuer(t)
	for _, path := range []string{"/oauth/", "/w/index.php?title=Special:OAuth/", "/w/index.php?title=Special%3AOAuth%2F", "/wiki/Special:OAuth/"} {
		t.Run(path, func(t *testing.T) {
			query1 := "?"
			if strings.Contains(path, "?") {
				query1 = "&"
			}
			c := sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}
			request := tokenPair(t, i.signed(t, path+"initiate", c, sign.Options{Callback: "oob"}))
			back := query(t, i.press(t, path+"authorize"+query1+"oauth_token="+request.Get("oauth_token"), "approve"))
			c.Token, c.TokenSecret = request.Get("oauth_token"), request.Get("oauth_token_secret")
			access := tokenPair(t, i.signed(t, path+"token", c, sign.Options{Verifier: back.Get("oauth_verifier")}))
			c.Token, c.TokenSecret = access.Get("oauth_token"), access.Get("oauth_token_secret")
			a := i.signed(t, "/w/api.php?action=query", c, sign.Options{})
			if a.Want(t, "ok"); a.Identity("User-Name") != "Bob" {
				t.Errorf("the backend sees %q", a.Identity("User-Name"))
			}
			identity := i.signed(t, path+"identify", c, sign.Options{})
			if parts := strings.Split(string(identity.Body), "."); len(parts) != 3 || !strings.Contains(decode(t, parts[1]), `"username":"Bob"`) {
				t.Errorf("identify: %d %s", identity.Status, identity.Body)
			}
		})
	}
}

// The manual and the example have the matcher that is tested here.
func TestBrowserMatcher(t *testing.T) {
	for _, name := range []string{"../../docs/issuing.md", "../../Caddyfile.example"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\t"+browserMatcher+"\n") {
			t.Errorf("%s lacks %s", name, browserMatcher)
		}
	}
}

func decode(t *testing.T, part string) string {
	t.Helper()
	out, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// tokens are an answer of the token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Error   string `json:"error"`
}

// token sends a form to the token endpoint, with the app's own HTTP Basic.
func (i *issuer) token(t *testing.T, path string, pairs ...string) tokens {
	t.Helper()
	return i.exchange(t, path, basic(i.app2.Key, i.secret(i.app2)), pairs...)
}

// exchange sends a form to the token endpoint.
func (i *issuer) exchange(t *testing.T, path, authorization string, pairs ...string) (out tokens) {
	t.Helper()
	a := i.Do(t, i.tokenRequest(t, path, authorization, pairs...))
	if err := json.Unmarshal(a.Body, &out); err != nil {
		t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
	return out
}

func (i *issuer) tokenRequest(t *testing.T, path, authorization string, pairs ...string) *http.Request {
	t.Helper()
	form := url.Values{}
	for n := 0; n < len(pairs); n += 2 {
		form.Set(pairs[n], pairs[n+1])
	}
	r := i.Request(t, http.MethodPost, i.URL(path+"access_token"), form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

// The flows of OAuth 2, at both kinds of paths.
func TestIssuingOAuth2(t *testing.T) {
	i := newIssuer(t)
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	for _, path := range []string{"/oauth2/", "/w/rest.php/oauth2/"} {
		t.Run(path, func(t *testing.T) {
			authorize := path + "authorize?response_type=code&state=s%20t&code_challenge_method=S256&code_challenge=" + challenge + "&client_id=" + i.app2.Key
			denied := query(t, i.press(t, authorize, "cancel"))
			if denied.Get("error") != "access_denied" || denied.Get("state") != "s t" || denied.Get("iss") != "https://wiki.example" {
				t.Errorf("a denial is told as %v", denied)
			}
			back := query(t, i.press(t, authorize, "approve"))
			if back.Get("state") != "s t" || back.Get("iss") != "https://wiki.example" {
				t.Errorf("response %v", back)
			}
			if wrong := i.token(t, path, "grant_type", "authorization_code", "code", back.Get("code"), "code_verifier", strings.Repeat("x", 43)); wrong.Error != "invalid_grant" {
				t.Errorf("another verifier: %+v", wrong)
			}
			got := i.token(t, path, "grant_type", "authorization_code", "code", back.Get("code"), "code_verifier", verifier)
			a := i.Get(t, "/w/api.php", "Bearer "+got.Access)
			if a.Want(t, "ok"); a.Identity("User-Name") != "Bob" {
				t.Errorf("the backend sees %q", a.Identity("User-Name"))
			}
			profile := i.Get(t, path+"resource/profile", "Bearer "+got.Access)
			if profile.Status != http.StatusOK || !strings.Contains(string(profile.Body), `"username":"Bob"`) {
				t.Errorf("profile: %d %s", profile.Status, profile.Body)
			}
			next := i.token(t, path, "grant_type", "refresh_token", "refresh_token", got.Refresh)
			i.Get(t, "/w/api.php", "Bearer "+next.Access).Want(t, "ok")
			if again := i.token(t, path, "grant_type", "refresh_token", "refresh_token", got.Refresh); again.Error != "invalid_request" {
				t.Errorf("a refresh token that was used: %+v", again)
			}
			own := i.token(t, path, "grant_type", "client_credentials")
			i.Get(t, "/w/api.php", "Bearer "+own.Access).Want(t, "ok")
		})
	}
}

// Both kinds of paths answer alike, byte for byte.
func TestIssuingPathsAnswerAlike(t *testing.T) {
	i := newIssuer(t)
	bob := basic("Bob", "bob-password")
	for _, tt := range []struct{ plain, wiki, authorization string }{
		{"/oauth/initiate", "/w/index.php?title=Special:OAuth/initiate", ""},
		{"/oauth/initiate?format=json", "/w/index.php?title=Special:OAuth/initiate&format=json", ""},
		{"/oauth/nonsense?format=json", "/wiki/Special:OAuth/nonsense?format=json", ""},
		{"/oauth/authorize", "/wiki/Special:OAuth/authorize", bob},
		{"/oauth/authorize?oauth_token=x", "/wiki/Special:OAuth/authorize?oauth_token=x", bob},
		{"/oauth/verified", "/wiki/Special:OAuth/verified", ""},
		{"/oauth/verified?oauth_verifier=a&oauth_token=b&uselang=de", "/wiki/Special:OAuth/verified?oauth_verifier=a&oauth_token=b&uselang=de", ""},
		{"/oauth/token", "/w/index.php/Special:OAuth/token", ""},
		{"/oauth/identify", "/wiki/Special:OAuth/identify", ""},
		{"/oauth2/authorize", "/w/rest.php/oauth2/authorize", bob},
		{"/oauth2/access_token", "/w/rest.php/oauth2/access_token", ""},
		{"/oauth2/resource/profile", "/w/rest.php/oauth2/resource/profile", ""},
		{"/oauth2/resource/x", "/w/rest.php/oauth2/resource/x", ""},
	} {
		a, b := i.Get(t, tt.plain, tt.authorization), i.Get(t, tt.wiki, tt.authorization)
		a.Header.Del("Date")
		b.Header.Del("Date")
		if a.Seen != nil || a.Status != b.Status || string(a.Body) != string(b.Body) || !sameHeader(a.Header, b.Header) {
			t.Errorf("%s: %d %v %s\n%s: %d %v %s", tt.plain, a.Status, a.Header, a.Body, tt.wiki, b.Status, b.Header, b.Body)
		}
	}
}

func sameHeader(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if strings.Join(a[name], "\n") != strings.Join(b[name], "\n") {
			return false
		}
	}
	return true
}

// What MediaWiki could take for its handshake never reaches it, and what is not
// ours does.
func TestIssuingBesideTheWiki(t *testing.T) {
	i := newIssuer(t)
	for _, target := range []string{"/wiki/Special:OAuth/approve", "/w/?title=Special:OAuth/authorize", "/w//rest.php/oauth2/authorize", "/w/rest.php/oauth2/x"} {
		if a := i.Get(t, target, i.Wiki.Bearer(t, i.Wiki.OAuth2)); a.Seen != nil {
			t.Errorf("%s reaches the wiki", target)
		}
	}
	const form, title = "application/x-www-form-urlencoded", "title=Special:OAuth/initiate"
	part := "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nSpecial:OAuth/initiate\r\n--x--"
	for name, r := range map[string]*http.Request{
		"a coding that PHP overlooks": i.Request(t, http.MethodPost, i.URL("/w/index.php"), title, "Content-Type", form, "Content-Encoding", "identity"),
		"a coding":                    i.Request(t, http.MethodPost, i.URL("/w/index.php"), "\x1f\x8b", "Content-Type", form, "Content-Encoding", "gzip"),
		"two types":                   i.Request(t, http.MethodPost, i.URL("/w/index.php"), title, "Content-Type", "text/plain", "Content-Type", form),
		"a sign behind the type":      i.Request(t, http.MethodPost, i.URL("/w/index.php"), title, "Content-Type", form+", x"),
		"a long form":                 i.Request(t, http.MethodPost, i.URL("/w/"), "a="+strings.Repeat("x", 1<<17)+"&"+title, "Content-Type", form),
		"signed parts": i.Request(t, http.MethodPost, i.URL("/w/index.php"), part, "Content-Type", "multipart/form-data; boundary=x",
			"Authorization", `OAuth oauth_consumer_key="k"`),
	} {
		if a := i.Do(t, r); a.Seen != nil || a.Status == http.StatusUnauthorized {
			t.Errorf("%s: %d: it passes to the next handler", name, a.Status)
		}
	}
	for _, target := range []string{"/w/rest.php/oauth2/client", "/w/api.php", "/wiki/Special:OAuthListConsumers"} {
		i.Get(t, target, i.Wiki.Bearer(t, i.Wiki.OAuth2)).Want(t, "ok")
	}
}

// The log has a line for what happened, without a token, and the metrics count it.
func TestIssuingIsSeen(t *testing.T) {
	i := newIssuer(t)
	back := query(t, i.press(t, "/oauth2/authorize?response_type=code&client_id="+i.app2.Key, "approve"))
	got := i.token(t, "/oauth2/", "grant_type", "authorization_code", "code", back.Get("code"))
	i.token(t, "/oauth2/", "grant_type", "authorization_code", "code", back.Get("code"))
	log := i.Log(t)
	for _, want := range []string{`"msg":"consented"`, `"msg":"issued"`, `"msg":"revoked"`, `"endpoint":"access_token"`, `"consumer_key":"` + i.app2.Key, `"user_id":8`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s", want)
		}
	}
	own := ""
	for line := range strings.Lines(log) {
		if strings.Contains(line, "oauth_server") {
			own += line
		}
	}
	for _, secret := range []string{back.Get("code"), got.Access, got.Refresh, i.secret(i.app2)} {
		if secret == "" || strings.Contains(own, secret) {
			t.Errorf("the log of the directive holds %q", secret)
		}
	}
	for _, want := range []string{
		`caddy_oauth_server_events_total{endpoint="oauth2_authorize",event="consented",reason=""} `,
		`caddy_oauth_server_events_total{endpoint="access_token",event="revoked",reason="code_used"} `,
		"caddy_oauth_server_state_capacity_bytes 6.7108864e+07",
	} {
		if !strings.Contains(i.Metrics(t), want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	i.Get(t, "/w/api.php", "Bearer "+got.Access, "Cache-Control", "no-cache") // the family is revoked; the cache knows within its ttl
}

// A request token outlives a reload, and so do codes and refresh tokens.
func TestIssuingOutlivesAReload(t *testing.T) {
	i := newIssuer(t)
	c := sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}
	request := tokenPair(t, i.signed(t, "/oauth/initiate", c, sign.Options{Callback: "oob"}))
	if err := i.Load(t, "realm another"); err != nil {
		t.Fatal(err)
	}
	back := query(t, i.press(t, "/oauth/authorize?oauth_token="+request.Get("oauth_token"), "approve"))
	code := query(t, i.press(t, "/oauth2/authorize?response_type=code&client_id="+i.app2.Key, "approve"))
	if err := i.Load(t); err != nil {
		t.Fatal(err)
	}
	c.Token, c.TokenSecret = request.Get("oauth_token"), request.Get("oauth_token_secret")
	tokenPair(t, i.signed(t, "/oauth/token", c, sign.Options{Verifier: back.Get("oauth_verifier")}))
	got := i.token(t, "/oauth2/", "grant_type", "authorization_code", "code", code.Get("code"))
	if err := i.Load(t, "realm another"); err != nil {
		t.Fatal(err)
	}
	if next := i.token(t, "/oauth2/", "grant_type", "refresh_token", "refresh_token", got.Refresh); next.Access == "" {
		t.Errorf("after a reload: %+v", next)
	}
}
