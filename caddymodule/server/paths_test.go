package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikipath"
)

const formType = "application/x-www-form-urlencoded"

func testPaths(tb testing.TB, plain, mediawiki bool) *paths {
	tb.Helper()
	p := &paths{plain: plain, script: "/w", wikiFirst: !plain, base: "https://wiki.example"}
	if mediawiki {
		var err error
		if p.wiki, err = wikipath.New(wikipath.Config{SpecialPages: []string{"Spezial"}}); err != nil {
			tb.Fatal(err)
		}
	}
	return p
}

// where returns the endpoint of a request, or "next".
func where(p *paths, method, target, contentType, body string) string {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.RequestURI = target
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	f, ok := p.find(httptest.NewRecorder(), r)
	switch {
	case !ok:
		return "next"
	case f.name != "":
		return f.endpoint.String() + " " + f.name
	default:
		return f.endpoint.String()
	}
}

// Each endpoint has a plain path and one of MediaWiki's, and both kinds are found
// only where they are served.
func TestPaths(t *testing.T) {
	plain, wiki, both := testPaths(t, true, false), testPaths(t, false, true), testPaths(t, true, true)
	for _, tt := range []struct{ plain, wiki, want string }{
		{"/oauth/initiate", "/wiki/Special:OAuth/initiate", "initiate"},
		{"/oauth/authorize?oauth_token=x", "/w/index.php?title=Special:OAuth/authorize&oauth_token=x", "authorize"},
		{"/oauth/authenticate", "/w/index.php/Spezial:OAuth/authenticate", "authenticate"},
		{"/oauth/verified", "/wiki/special:OAuth/verified", "verified"},
		{"/oauth/token", "/wiki/Special:MWOAuth/token", "token"},
		{"/oauth/identify", "/w/index.php?title=Special%3AOAuth%2Fidentify", "identify"},
		{"/oauth/nonsense", "/wiki/Special:OAuth/nonsense", "unknown_page"},
		{"/oauth/Initiate", "/wiki/Special:OAuth/Initiate", "unknown_page"},
		{"/oauth2/authorize?a=b", "/w/rest.php/oauth2/authorize?a=b", "oauth2_authorize /oauth2/authorize"},
		{"/oauth2/access_token", "/w/rest.php/oauth2/access_token", "access_token /oauth2/access_token"},
		{"/oauth2/resource/profile", "/w/rest.php/oauth2/resource/profile", "profile /oauth2/resource/profile"},
		{"/oauth2/resource/scopes", "/w/rest.php/oauth2/resource/scopes", "scopes /oauth2/resource/scopes"},
		{"/oauth2/resource/x", "/w/rest.php/oauth2/resource/x", "unknown_type x"},
		{"/oauth2/apps", "/w/rest.php/oauth2/apps", "apps /oauth2/apps"},
		{"http://wiki.example/oauth/token", "http://wiki.example/wiki/Special:OAuth/token", "token"},
		{"/oauth2/client", "/w/rest.php/oauth2/client", "next"},
		{"/oauth2/client/x/reset_secret", "/w/rest.php/oauth2/client/x/reset_secret", "next"},
	} {
		for _, got := range []struct {
			of           *paths
			target, want string
		}{
			{plain, tt.plain, tt.want},
			{plain, tt.wiki, "next"},
			{wiki, tt.wiki, tt.want},
			{wiki, tt.plain, "next"},
			{both, tt.plain, tt.want},
			{both, tt.wiki, tt.want},
		} {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodOptions} {
				if found := where(got.of, method, got.target, "", ""); found != got.want {
					t.Errorf("%s %s: %s, want %s", method, got.target, found, got.want)
				}
			}
		}
	}
}

// What MediaWiki could take for its handshake never reaches it, and everything else
// does.
func TestNoSecondIssuer(t *testing.T) {
	p := testPaths(t, false, true)
	multipart := "multipart/form-data; boundary=x"
	for _, tt := range []struct{ method, target, contentType, body, want string }{
		{"GET", "/wiki/Special:OAuth", "", "", "unknown_page"},
		{"GET", "/wiki/Special:OAuth/approve", "", "", "unknown_page"},
		{"GET", "/wiki/Special:OAuth/rest_redirect", "", "", "unknown_page"},
		{"GET", "/wiki/Special:OAuth/initiate/", "", "", "unknown_page"},
		{"GET", "/w/rest.php/oauth2", "", "", "unknown_route /w/rest.php/oauth2"},
		{"GET", "/w/rest.php/oauth2/", "", "", "unknown_route /w/rest.php/oauth2/"},
		{"GET", "/w/rest.php/oauth2/x", "", "", "unknown_route /oauth2/x"},
		{"GET", "/w/rest.php/oauth2/authorize/", "", "", "unknown_route /oauth2/authorize/"},
		{"GET", "/w//rest.php/oauth2/authorize", "", "", "unknown_route /w//rest.php/oauth2/authorize"},
		{"GET", "/w/rest.php/%6fauth2/authorize", "", "", "unknown_route /w/rest.php/%6fauth2/authorize"},
		{"GET", "/w/?title=Special:OAuth/authorize", "", "", "unknown_route /w/"},
		{"GET", "/wiki/Main_Page?title=Special:OAuth/authorize", "", "", "unknown_route /wiki/Main_Page"},
		{"GET", "/wiki/Special:OAuth/authorize?title=Main_Page", "", "", "unknown_route /wiki/Special:OAuth/authorize"},
		{"POST", "/w/index.php?title=Main_Page", formType, "title=Special:OAuth/token", "unknown_route /w/index.php"},
		{"POST", "/w/index.php", formType, "title=Special:OAuth/token", "token"},
		{"POST", "/w/index.php?title=Special:OAuth/token", formType, "title=Special:OAuth/initiate", "initiate"},
		{"POST", "/w/index.php?title=Special:OAuth/token", formType, "oauth_verifier=x", "token"},
		{"POST", "/w/index.php?title=Special:OAuth/token", multipart, "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--", "token"},
		{"POST", "/w/index.php?title=Special:OAuth/token", multipart, "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nb\r\n--x--", "unknown_route /w/index.php"},
		{"POST", "/w/index.php?title=Special:OAuth/token", "application/json", `{"title":"x"}`, "token"},
		{"PUT", "/w/index.php?title=Special:OAuth/token", formType, "title=Main_Page", "token"},

		{"POST", "/w/index.php", formType + ", x", "title=Special:OAuth/token", "token"},
		{"POST", "/w/index.php", formType + "; charset", "title=Special:OAuth/token", "token"},
		{"POST", "/w/index.php", "text/plain, " + formType, "title=Special:OAuth/token", "unknown_route /w/index.php"},
		{"POST", "/w/index.php", formType, strings.Repeat("a=b&", 1<<15) + "title=Special:OAuth/token", "unknown_route /w/index.php"},
		{"POST", "/w/index.php?oauth_token=x", multipart, "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nb\r\n--x--", "unknown_route /w/index.php"},

		{"GET", "/wiki/Special:OAuth/authorize2", "", "", "oauth2_authorize"},
		{"GET", "/wiki/Special:OAuth/apps", "", "", "apps"},

		{"GET", "/", "", "", "next"},
		{"GET", "/wiki/Main_Page", "", "", "next"},
		{"GET", "/wiki/Special:OAuthListConsumers", "", "", "next"},
		{"GET", "/wiki/Special:OAuthConsumerRegistration/propose", "", "", "next"},
		{"GET", "/wiki/Special:OAuthManageMyGrants", "", "", "next"},
		{"GET", "/w/api.php?action=query", "", "", "next"},
		{"POST", "/w/index.php?title=Main_Page&action=submit", multipart, "--x\r\n\r\nSpecial:OAuth/initiate", "next"},
		{"POST", "/w/api.php", formType, "title=Special:OAuth/initiate", "next"},
		{"GET", "/w/rest.php/v1/page/X", "", "", "next"},
		{"OPTIONS", "*", "", "", "next"},
	} {
		if got := where(p, tt.method, tt.target, tt.contentType, tt.body); got != tt.want {
			t.Errorf("%s %s %q: %s, want %s", tt.method, tt.target, tt.body, got, tt.want)
		}
	}
}

// What is not exactly a plain endpoint is not ours.
func TestPlainPathsAreExact(t *testing.T) {
	p := testPaths(t, true, false)
	for _, target := range []string{
		"/oauth", "/oauth/", "/oauth//initiate", "/oauth/initiate/", "/oauth/a/b", "/oauth2", "/oauth2/", "/oauth2/x", "/oauth2/authorize/",
		"/oauth2/resource", "/oauth2/resource/", "/oauth2/resource/a/b", "/x/oauth/initiate", "/OAUTH/initiate", "/%6fauth/initiate", "", "*",
	} {
		if got := where(p, http.MethodGet, target, "", ""); got != "next" {
			t.Errorf("%q: %s", target, got)
		}
	}
}

// Reading a form to find its title leaves the body as it was.
func TestFormIsPutBack(t *testing.T) {
	const body = "title=Main_Page&text=x"
	r := httptest.NewRequest(http.MethodPost, "/w/index.php", strings.NewReader(body))
	r.Header.Set("Content-Type", formType)
	if _, ok := testPaths(t, false, true).find(httptest.NewRecorder(), r); ok {
		t.Fatal("it is ours")
	}
	got := make([]byte, len(body))
	if n, _ := r.Body.Read(got); string(got[:n]) != body {
		t.Errorf("the next handler reads %q", got[:n])
	}
}

// The addresses of our own pages are found again as the endpoint that they are of,
// whatever a client has put into the fields.
func TestAddresses(t *testing.T) {
	evil := "x&title=Main_Page#f\r\nA: b//evil.example/ü"
	for _, p := range []*paths{testPaths(t, true, true), testPaths(t, false, true)} {
		for _, e := range []authserver.Endpoint{authserver.Authorize, authserver.Authenticate, authserver.Authorize2, authserver.Apps} {
			address := p.address(e, []authserver.Field{{Name: "oauth_token", Value: evil}, {Name: "b", Value: ""}})
			u, err := url.Parse(address)
			if err != nil || u.Scheme != "https" || u.Host != "wiki.example" || u.Query().Get("oauth_token") != evil || u.Fragment != "" {
				t.Errorf("%v: %q", e, address)
				continue
			}
			if got, _, _ := strings.Cut(where(p, http.MethodGet, u.RequestURI(), "", ""), " "); got != e.String() {
				t.Errorf("%q is found as %s, not as %v", address, got, e)
			}
		}
	}
}

func FuzzPaths(f *testing.F) {
	for _, target := range []string{"/oauth/initiate", "/oauth2/resource/x", "/w/index.php?title=Special:OAuth/x", "/w/rest.php/oauth2/client"} {
		f.Add("POST", target, formType, "title=Special:OAuth/x")
	}
	p := testPaths(f, true, true)
	f.Fuzz(func(t *testing.T, method, target, contentType, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Method, r.RequestURI = method, target
		r.Header["Content-Type"] = []string{contentType}
		if got, ok := p.find(httptest.NewRecorder(), r); ok == (got.endpoint == authserver.NoEndpoint) {
			t.Errorf("%v, %v", got, ok)
		}
	})
}
