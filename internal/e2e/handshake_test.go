package e2e_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// wholeWiki is the Caddyfile that docs/operators.md has for a whole wiki.
func wholeWiki(t *testing.T) string {
	t.Helper()
	return harness.Recipe(t, "../../docs/operators.md", "handshake pass")
}

// TestHandshake runs the Caddyfile for a whole wiki: what the extension judges by
// itself reaches the wiki with its own credential and cookies, without an
// identity, and everything else is verified.
func TestHandshake(t *testing.T) {
	g := harness.New(t, harness.Options{Recipe: wholeWiki(t), Wiki: harness.NewWiki(t, validator.Release143)})
	started := g.Wiki.HMAC
	started.Credentials.Token, started.Credentials.TokenSecret = "", ""
	for _, target := range []string{
		"/w/index.php?title=Special:OAuth/initiate&oauth_callback=oob",
		"/w/index.php?title=Special%3AMWOAuth%2Finitiate&oauth_callback=oob",
		"/w/index.php?title=special:oauth/token",
		"/w/index.php?title=_Special_:+OAuth/token",
		"/w/index.php/Special:OAuth/initiate",
		"/index.php/Special:OAuth/initiate",
		"/wiki/Special:OAuth/initiate?oauth_callback=oob",
		"/wiki/sPECIAL%3amwoauth/token",
		"/w/index.php?title=Special:OAuth/identify",
		"/w/rest.php/oauth2/resource/profile",
	} {
		for name, authorization := range map[string]string{
			"no token": harness.Sign(t, started, "GET", g.URL(target), ""), "dead": "Bearer dead", "none": "",
			"good": harness.Sign(t, g.Wiki.HMAC, "GET", g.URL(target), ""),
		} {
			a := g.Get(t, target, authorization, "X-OAuth-User-Id", "1", "Cookie", "session=1")
			if a.Seen == nil || a.Seen.Target != target {
				t.Errorf("%s, %s: status %d, the wiki saw %+v", target, name, a.Status, a.Seen)
				continue
			}
			if h := a.Seen.Header; h.Get("Authorization") != authorization || h.Get("Cookie") != "session=1" {
				t.Errorf("%s, %s: the wiki saw %v", target, name, h)
			}
			noIdentity(t, a.Seen.Header)
		}
	}

	form := "title=Special:MWOauth%2Finitiate&x=%zz&oauth_callback=oob"
	posted := g.Request(t, "POST", g.URL("/w/index.php"), form, "Authorization", "Bearer dead", "Content-Type", formType)
	if a := g.Do(t, posted); a.Seen == nil || string(a.Seen.Body) != form || a.Seen.Header.Get("Authorization") != "Bearer dead" {
		t.Errorf("form: status %d, the wiki saw %+v", a.Status, a.Seen)
	}

	// Everything else, as MediaWiki answers it.
	a := g.Get(t, "/w/api.php?action=query&title=Special:OAuth/initiate", "Bearer dead")
	if a.Status != http.StatusOK || a.Header.Get("MediaWiki-API-Error") != "mwoauth-invalid-authorization" || a.Seen != nil {
		t.Errorf("api.php with a dead token: %d %v", a.Status, a.Header)
	}
	if a = g.Signed(t, g.Wiki.HMAC, "/w/api.php?action=query"); a.Identity("User-Name") != "Alice" || a.Header.Get("Vary") != "Authorization" {
		t.Errorf("api.php: %d, user %q, Vary %q", a.Status, a.Identity("User-Name"), a.Header["Vary"])
	}
	if a = g.Get(t, "/wiki/Main_Page", "", "Cookie", "session=1"); a.Seen == nil || a.Seen.Header.Get("Cookie") != "session=1" {
		t.Errorf("a page with a cookie: %d", a.Status)
	}
	g.Get(t, "/wiki/Main_Page", "Bearer dead").Want(t, "malformed_token")
	for _, target := range []string{"/w/load.php?modules=site", "/w/resources/assets/wiki.png", "/w/images/a/ab/X.png", "/w/opensearch_desc.php"} {
		if a = g.Get(t, target, "Bearer dead"); a.Seen == nil || a.Header["Vary"] != nil {
			t.Errorf("%s: %d, Vary %q", target, a.Status, a.Header["Vary"])
		}
	}
}

// noIdentity reports identity headers, under any name that a backend could take
// for one.
func noIdentity(t *testing.T, h http.Header) {
	t.Helper()
	for name := range h {
		if strings.HasPrefix(strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name)), "x-oauth-") {
			t.Errorf("the wiki sees %s: %s", name, h.Get(name))
		}
	}
}

// TestBypassLists sends every spelling of the handshake's pages to paths where a
// title means nothing, to a backend that is not a wiki, and with signs by which
// another program could read another page.
func TestBypassLists(t *testing.T) {
	const site = `
	handle /service/* {
		oauth {
			import settings
		}
		import backend
	}
	handle {
		oauth {
			import settings
			handshake pass {
				special_page Spezial
			}
		}
		import backend
	}
`
	g := harness.New(t, harness.Options{Site: site})
	for _, title := range []string{
		"Special:OAuth/initiate", "Special%3AOAuth%2Finitiate", "special:oauth/token", "SPECIAL:MWOAUTH/identify", "_Special_:_OAuth",
		"Special%20:%20OAuth", ":Special:OAuth", "Spezial:OAuth/token", "%53pecial:%4FAuth", "Special:OAuth%23x", "Special:OAuth",
	} {
		dead(t, g, "ok", "GET", "/w/index.php?title="+title, "") // it is one of the spellings
		for _, before := range []string{
			"/service/?title=", "/service/w/index.php?title=", "/service/wiki/", "/service/index.php/", "/?title=", "/", "/w/api.php?title=",
			"/w/rest.php/v1/page?title=", "/w/rest.php?title=", "/w/load.php?title=", "/index.php?title=", "/x/w/index.php?title=", "/w/Index.php?title=",
			"/w/index.php5?title=", "/w/wiki/", "/w/index.php?titles=", "/w/api.php/", "/x/index.php/",
		} {
			dead(t, g, "malformed_token", "GET", before+title, "")
		}
		for _, target := range []string{"/service/w/index.php", "/w/api.php", "/", "/index.php", "/w/rest.php/v1/page"} {
			dead(t, g, "malformed_token", "POST", target, "title="+title)
		}
		dead(t, g, "ok", "POST", "/w/index.php", "title="+title)
		dead(t, g, "malformed_token", "POST", "/w/index.php?title=Main_Page", "title="+title)
		dead(t, g, "malformed_token", "POST", "/w/index.php?title="+title, "title=Main_Page")
		dead(t, g, "malformed_token", "GET", "/wiki/Main_Page?title="+title, "")
		dead(t, g, "malformed_token", "GET", "/w/index.php?title="+title+"&curid=1", "")
	}
	for _, target := range []string{
		"/service/oauth2/access_token", "/service/rest.php/oauth2/access_token", "/service/w/rest.php/oauth2/access_token", "/rest.php/oauth2/access_token",
		"/w/rest.php/oauth2", "/w/rest.php/oauth2/", "/w/rest.php/oauth2/../v1/page", "/w/rest.php/oauth2/%2e%2e/v1/page", "/w/rest.php/oauth2/..%2fv1",
		"/w/rest.php/oauth2//../v1", "/w/rest.php/oauth2/..;/v1", "/w/rest.php/OAUTH2/access_token", "//w/rest.php/oauth2/access_token",
		"/w/../service/wiki/Special:OAuth", "/wiki/../service/Special:OAuth", "/wiki/Special:OAuth/../../service/x", "/wiki/Special:OAuth/%2e%2e/%2e%2e/service/x",
		"/wiki/Special:OAuth/..%2f..%2fservice", "/wiki//Special:OAuth", "//wiki/Special:OAuth", "/wiki/Special:OAuth//x", "/wiki/Special:OAuth%2Finitiate",
		"/wiki/Special:OAuth;x=y", "/wiki/Special:OAuth/..;/..;/service", "/wiki/Special:OAuth/%5c..%5c..%5cservice", "/wiki/Special:OAuth/x&curid=1",
		"/wiki/Special:OAuth/x%26curid=1", "/wiki/Special:OAuth/%3Fcurid=1", "/wiki/Special:OAuth%23x", "/wiki/Special%253AOAuth", "/wiki/Special:OAuth%00",
		"/w/index.php/?title=Special:OAuth", "/w/index.php?title=Special:OAuth&title=Main_Page", "/w/index.php?title=Main_Page&title=Special:OAuth",
		"/w/index.php?title=Special:OAuth&title[]=Main_Page", "/w/index.php?title=Special:OAuth;title=Main_Page", "/w/index.php?title=Special:OAuth&%74itle=x",
		"/w/index.php?title=Special:OAuth&action=ajax", "/w/index.php?title=Special%253AOAuth", "/w/index.php?title=%C5%BFpecial:OAuth",
		"http://" + g.HTTP + "/w/index.php?title=Special:OAuth", "http://" + g.HTTP + "/service/?x=/wiki/Special:OAuth",
	} {
		dead(t, g, "malformed_token", "GET", target, "")
	}
	for _, headers := range [][]string{
		{"X-Original-URL: /service/x"}, {"X-Rewrite-URL: /service/x"}, {"Connection: upgrade", "Upgrade: websocket"},
	} {
		dead(t, g, "malformed_token", "GET", "/wiki/Special:OAuth", "", headers...)
	}
	for _, headers := range [][]string{
		{"Content-Type: multipart/form-data; boundary=x"}, {"Content-Type: text/plain"}, {"Content-Type: " + formType, "Content-Encoding: gzip"},
	} {
		dead(t, g, "malformed_token", "POST", "/w/index.php?title=Special:OAuth", "x=y", headers...)
	}
	dead(t, g, "malformed_token", "POST", "/w/index.php?title=Special:OAuth", "x="+strings.Repeat("x", 64<<10))
	dead(t, g, "malformed_token", "GET", "/w/index.php?title=Special:OAuth", "title=Main_Page", "Content-Type: "+formType)
	dead(t, g, "malformed_token", "PUT", "/w/index.php?title=Special:OAuth", "")
	dead(t, g, "method_not_allowed", "CONNECT", "/w/index.php?title=Special:OAuth", "")
}

// dead sends a request with a token that is none, as it stands, and reports what
// becomes of it unless that is what is wanted.
func dead(t *testing.T, g *harness.Gateway, want, method, target, body string, headers ...string) {
	t.Helper()
	headers = append(headers, "Authorization: Bearer dead", "Connection: close")
	if body != "" {
		headers = append(headers, "Content-Length: "+strconv.Itoa(len(body)))
		if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Content-Type") }) {
			headers = append(headers, "Content-Type: "+formType)
		}
	}
	a := g.Send(t, method, g.Raw(method+" "+target, headers, body))
	if passed := a.Seen != nil; passed != (want == "ok") || !passed && a.Reason != want {
		t.Errorf("%s %s %.60s %q: status %d %s, passed %v, want %s", method, target, body, headers, a.Status, a.Reason, passed, want)
	}
}

// handshakeWiki is as much of a wiki as the first step of the handshake and a
// refresh need. It checks credentials by itself.
type handshakeWiki struct {
	app harness.App

	mu   sync.Mutex
	seen []http.Header
}

var protocolParameter = regexp.MustCompile(`(oauth_\w+)="([^"]*)"`)

func (w *handshakeWiki) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway has hung up
	}
	w.mu.Lock()
	w.seen = append(w.seen, r.Header)
	w.mu.Unlock()
	query, form := r.URL.Query(), url.Values{}
	if strings.HasPrefix(r.Header.Get("Content-Type"), formType) {
		form, _ = url.ParseQuery(string(body)) // what is missing is not what the test wants
	}
	title := strings.ToLower(query.Get("title") + form.Get("title"))
	switch {
	case r.URL.Path == "/w/index.php" && (title == "special:oauth/initiate" || title == "special:mwoauth/initiate"):
		if !w.signed(r, query, form) {
			_, _ = io.WriteString(out, "Error: Invalid signature")
			return
		}
		_, _ = io.WriteString(out, "oauth_token=request&oauth_token_secret=secret&oauth_callback_confirmed=true")
	case r.URL.Path == "/w/rest.php/oauth2/access_token" && form.Get("grant_type") == "refresh_token" && form.Get("refresh_token") == "old":
		_, _ = io.WriteString(out, `{"access_token":"new"}`)
	default:
		http.Error(out, "no such thing", http.StatusNotFound)
	}
}

// signed reports whether the app has signed the request as it has arrived,
// without a token.
func (w *handshakeWiki) signed(r *http.Request, query, form url.Values) bool {
	var pairs []string
	signature := ""
	for _, found := range protocolParameter.FindAllStringSubmatch(r.Header.Get("Authorization"), -1) {
		value, _ := url.PathUnescape(found[2])
		switch found[1] {
		case "oauth_signature":
			signature = value
		case "oauth_token":
			return false
		default:
			pairs = append(pairs, found[1]+"="+sign.Escape(value))
		}
	}
	for _, values := range []url.Values{query, form} {
		for name := range values {
			pairs = append(pairs, sign.Escape(name)+"="+sign.Escape(values.Get(name)))
		}
	}
	slices.Sort(pairs)
	mac := hmac.New(sha1.New, []byte(w.app.Credentials.ConsumerSecret+"&"))
	mac.Write([]byte(r.Method + "&" + sign.Escape("http://"+r.Host+r.URL.Path) + "&" + sign.Escape(strings.Join(pairs, "&"))))
	return signature == base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// TestHandshakeOfClients lets clients in use take their first step, and get a
// new token with a dead one, through the Caddyfile for a whole wiki.
func TestHandshakeOfClients(t *testing.T) {
	modules, python3 := nodeModules(t), pythonWith(t, "mwoauth", "python3-mwoauth")
	wiki := new(handshakeWiki)
	g := harness.New(t, harness.Options{Recipe: wholeWiki(t), Wiki: harness.NewWiki(t, validator.Release143), Backend: wiki})
	wiki.app = g.Wiki.HMAC
	node := exec.CommandContext(t.Context(), "node", "testdata/clients/passport_mediawiki.js")
	node.Env = append(node.Environ(), "NODE_PATH="+modules)
	for name, cmd := range map[string]*exec.Cmd{
		"passport-mediawiki-oauth": node,
		"mwoauth":                  exec.CommandContext(t.Context(), python3, "testdata/clients/mwoauth_initiate.py"),
	} {
		var got struct{ Token, Secret, Error string }
		runClient(t, cmd, newClientInput(t, g, wiki.app), &got)
		if got.Token != "request" || got.Secret != "secret" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	started := wiki.app
	started.Credentials.Token, started.Credentials.TokenSecret = "", ""
	flask := "/w/index.php?title=Special%3AMWOAuth%2Finitiate&oauth_callback=oob"
	if a := g.Signed(t, started, flask); !strings.HasPrefix(string(a.Body), "oauth_token=request&") {
		t.Errorf("flask-mwoauth's request: %d %s", a.Status, a.Body)
	}
	refresh := g.Request(t, "POST", g.URL("/w/rest.php/oauth2/access_token"), "grant_type=refresh_token&refresh_token=old",
		"Content-Type", formType, "Authorization", "Bearer "+g.Wiki.Token(t, g.Wiki.OAuth2, map[string]any{"exp": 1}), "X-OAuth-User-Id", "1")
	if a := g.Do(t, refresh); string(a.Body) != `{"access_token":"new"}` {
		t.Errorf("refresh with a dead token: %d %s", a.Status, a.Body)
	}
	if len(wiki.seen) != 4 {
		t.Errorf("the wiki saw %d requests", len(wiki.seen))
	}
	for _, h := range wiki.seen {
		noIdentity(t, h)
	}
}
