package wikipath

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

const formType = "application/x-www-form-urlencoded"

// form is a Request.Form that holds a text.
func form(text string) func(int64) ([]byte, error) {
	return func(limit int64) ([]byte, error) {
		if int64(len(text)) > limit {
			return nil, errors.New("too large")
		}
		return []byte(text), nil
	}
}

func post(target, body string, header ...string) *Request {
	r := &Request{Method: http.MethodPost, Target: target, Header: http.Header{"Content-Type": {formType}}, Form: form(body)}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header.Add(header[i], header[i+1])
		}
	}
	return r
}

func get(target string) *Request {
	return &Request{Method: http.MethodGet, Target: target, Header: http.Header{}}
}

// example is a request with what it is taken for.
type example struct {
	name string
	r    *Request
	want Endpoint
}

func requests(examples []example) []*Request {
	var all []*Request
	for _, e := range examples {
		all = append(all, e.r)
	}
	return all
}

func newWiki(tb testing.TB, c Config) *Wiki {
	tb.Helper()
	w, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

// handshake are spellings of a page or an endpoint of the extension, for a wiki
// with the names Spezial and Служебная:Вход of the special page.
var handshake = []example{
	{"title in the query", get("/w/index.php?title=Special:OAuth/initiate&oauth_callback=oob"), Endpoint{SpecialPage, "initiate"}},
	{"escaped", get("/w/index.php?title=Special%3AOAuth%2Finitiate"), Endpoint{SpecialPage, "initiate"}},
	{"every byte escaped", get("/w/index.php?%74itle=%53pecial%3a%4fAuth%2ftoken"), Endpoint{SpecialPage, "token"}},
	{"the other alias", get("/w/index.php?title=Special%3AMWOAuth%2Finitiate"), Endpoint{SpecialPage, "initiate"}},
	{"letter case", get("/w/index.php?title=sPECIAL:oauth/identify"), Endpoint{SpecialPage, "identify"}},
	{"underscores", get("/w/index.php?title=__Special__:__OAuth"), Endpoint{SpecialPage, ""}},
	{"blanks", get("/w/index.php?title=+Special+:%20OAuth/x+"), Endpoint{SpecialPage, "x"}},
	{"other white space", get("/w/index.php?title=%C2%A0Special%E3%80%80:%E2%80%83OAuth/x%E2%80%A8"), Endpoint{SpecialPage, "x"}},
	{"marks of direction", get("/w/index.php?title=%E2%80%8ESpe%E2%80%AAcial:OAuth"), Endpoint{SpecialPage, ""}},
	{"a colon before it", get("/w/index.php?title=:Special:OAuth"), Endpoint{SpecialPage, ""}},
	{"a fragment", get("/w/index.php?title=Special:OAuth/token_%23x"), Endpoint{SpecialPage, "token"}},
	{"a slash at the end", get("/w/index.php?title=Special:OAuth/"), Endpoint{SpecialPage, ""}},
	{"no subpage", get("/w/index.php?title=Special:OAuth"), Endpoint{SpecialPage, ""}},
	{"several subpages", get("/w/index.php?title=Special:OAuth/a/b"), Endpoint{SpecialPage, "a/b"}},
	{"a local name", get("/w/index.php?title=SPEZIAL:MwOAuth/token"), Endpoint{SpecialPage, "token"}},
	{"a local name of the page", get("/w/index.php?title=%D1%81%D0%9B%D0%A3%D0%96%D0%95%D0%91%D0%9D%D0%90%D0%AF:%D0%B2%D0%A5%D0%9E%D0%94/token"), Endpoint{SpecialPage, "token"}},
	{"twice", get("/w/index.php?title=Special:OAuth/token&title=Special:MWOAuth/identify"), Endpoint{SpecialPage, "identify"}},
	{"HEAD", &Request{Method: "HEAD", Target: "/w/index.php?title=Special:OAuth"}, Endpoint{SpecialPage, ""}},
	{"POST without a body", &Request{Method: "POST", Target: "/w/index.php?title=Special:OAuth/initiate"}, Endpoint{SpecialPage, "initiate"}},
	{"form", post("/w/index.php", "title=Special:MWOAuth/initiate&oauth_callback=oob"), Endpoint{SpecialPage, "initiate"}},
	{"form with a charset", post("/w/index.php", "title=Special%3AOAuth", "Content-Type", "Application/X-WWW-form-urlencoded; charset=UTF-8"), Endpoint{SpecialPage, ""}},
	{"query and form", post("/w/index.php?title=Special:OAuth/a", "title=Special:OAuth/b"), Endpoint{SpecialPage, "b"}},
	{"form without a title", post("/w/index.php?title=Special:OAuth/a", "a=b"), Endpoint{SpecialPage, "a"}},
	{"an empty form", post("/w/index.php?title=Special:OAuth/a", ""), Endpoint{SpecialPage, "a"}},
	{"the largest form", post("/w/index.php", "title=Special:OAuth&x="+strings.Repeat("x", MaxForm-22)), Endpoint{SpecialPage, ""}},
	{"GET with an empty body", &Request{Method: "GET", Target: "/w/index.php?title=Special:OAuth", Form: form("")}, Endpoint{SpecialPage, ""}},
	{"an empty body of no type", post("/w/index.php?title=Special:OAuth/a", "", "Content-Type", ""), Endpoint{SpecialPage, "a"}},
	{"behind index.php", get("/w/index.php/Special:OAuth/initiate"), Endpoint{SpecialPage, "initiate"}},
	{"behind index.php of the root", get("/index.php/Special:OAuth/initiate?oauth_callback=oob"), Endpoint{SpecialPage, "initiate"}},
	{"at the article path", get("/wiki/Special:OAuth/initiate"), Endpoint{SpecialPage, "initiate"}},
	{"at the article path, escaped", get("/wiki/%53pecial%3aMWOAuth/initiate?title=Special:OAuth"), Endpoint{SpecialPage, "initiate"}},
	{"path, query and form", post("/wiki/Special:OAuth/a?title=Special:OAuth/b", "title=Special:OAuth/c"), Endpoint{SpecialPage, "a"}},
	{"at the article path, with blanks", get("/wiki/_Special:%20OAuth"), Endpoint{SpecialPage, ""}},
	{"at the article path, by POST", post("/wiki/Spezial:OAuth/token", "a=b"), Endpoint{SpecialPage, "token"}},
	{"access token", post("/w/rest.php/oauth2/access_token", "title=Main_Page"), Endpoint{REST, "access_token"}},
	{"access token, as JSON", post("/w/rest.php/oauth2/access_token", "{}", "Content-Type", "application/json"), Endpoint{REST, "access_token"}},
	{"another endpoint", get("/w/rest.php/oauth2/resource/profile?title=Main_Page"), Endpoint{REST, "resource/profile"}},
}

func localNames() Config {
	return Config{SpecialPages: []string{"Spezial", "Служебная:Вход"}}
}

func TestEndpoint(t *testing.T) {
	w := newWiki(t, localNames())
	for _, tt := range handshake {
		if got, ok := w.Endpoint(tt.r); !ok || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, got, ok)
		}
	}
}

// elsewhere are requests that lead to another page, or that some program could
// take for others.
var elsewhere = []example{
	{name: "api.php", r: get("/w/api.php?title=Special:OAuth/initiate")},
	{name: "another script", r: get("/w/load.php?title=Special:OAuth/initiate")},
	{name: "another script path", r: get("/x/index.php?title=Special:OAuth/initiate")},
	{name: "index.php of the root, with a query", r: get("/index.php?title=Special:OAuth/initiate")},
	{name: "the root", r: get("/?title=Special:OAuth/initiate")},
	{name: "the article path itself", r: get("/wiki/?title=Special:OAuth/initiate")},
	{name: "letter case of the script", r: get("/w/INDEX.php?title=Special:OAuth/initiate")},
	{name: "letter case of the article path", r: get("/Wiki/Special:OAuth/initiate")},
	{name: "an escape in the script", r: get("/w/index%2Ephp?title=Special:OAuth/initiate")},
	{name: "an empty title behind index.php", r: get("/w/index.php/?title=Special:OAuth/initiate")},
	{name: "text after the script", r: get("/w/index.phpx?title=Special:OAuth/initiate")},
	{name: "no title", r: get("/w/index.php")},
	{name: "no title but elsewhere", r: get("/w/index.php?x=title%3DSpecial:OAuth")},
	{name: "another page", r: get("/w/index.php?title=Main_Page")},
	{name: "another special page", r: get("/w/index.php?title=Special:OAuthListConsumers")},
	{name: "the page of its name", r: get("/w/index.php?title=OAuth/initiate")},
	{name: "another namespace", r: get("/w/index.php?title=Talk:Special:OAuth/initiate")},
	{name: "a namespace that is not known", r: get("/w/index.php?title=Spécial:OAuth/initiate")},
	{name: "a whole name, by halves", r: get("/w/index.php?title=Special:%D0%92%D1%85%D0%BE%D0%B4")},
	{name: "two colons before it", r: get("/w/index.php?title=::Special:OAuth")},
	{name: "two colons within", r: get("/w/index.php?title=Special::OAuth")},
	{name: "an underscore after the name", r: get("/w/index.php?title=Special:OAuth_/initiate")},
	{name: "an underscore within the name", r: get("/w/index.php?title=Special:O_Auth/initiate")},
	{name: "a fragment before the name", r: get("/w/index.php?title=Special:%23OAuth")},
	{name: "escaped twice", r: get("/w/index.php?title=Special%253AOAuth")},
	{name: "a sign that folds to a letter", r: get("/w/index.php?title=%C5%BFpecial:OAuth")},
	{name: "full-width letters", r: get("/w/index.php?title=%EF%BC%B3pecial:OAuth")},
	{name: "a full-width colon", r: get("/w/index.php?title=Special%EF%BC%9AOAuth")},
	{name: "not UTF-8", r: get("/w/index.php?title=Special:OAuth/%FF")},
	{name: "a replacement character", r: get("/w/index.php?title=Special:OAuth/%EF%BF%BD")},
	{name: "NUL", r: get("/w/index.php?title=Special:OAuth%00")},
	{name: "a line break", r: get("/w/index.php?title=Special:OAuth%0A")},
	{name: "a tab", r: get("/w/index.php?title=Special:%09OAuth")},
	{name: "a sign that no title has", r: get("/w/index.php?title=Special:OAuth/%7B")},
	{name: "an entity", r: get("/w/index.php?title=Special:OAuth/%26amp;")},
	{name: "an entity, escaped", r: get("/w/index.php?title=Special:OAuth/%26amp%3B")},
	{name: "an escape in the title", r: get("/w/index.php?title=Special:OAuth/%2541")},
	{name: "dots in the title", r: get("/w/index.php?title=Special:OAuth/../x")},
	{name: "tildes", r: get("/w/index.php?title=Special:OAuth/~~~~")},
	{name: "a long title", r: get("/w/index.php?title=Special:OAuth/" + strings.Repeat("x", 512))},
	{name: "another title last", r: get("/w/index.php?title=Special:OAuth/initiate&title=Main_Page")},
	{name: "another title first", r: get("/w/index.php?title=Main_Page&title=Special:OAuth/initiate")},
	{name: "an empty title", r: get("/w/index.php?title=Special:OAuth/initiate&title")},
	{name: "a list of titles", r: get("/w/index.php?title=Special:OAuth&title[]=Main_Page")},
	{name: "a list, escaped", r: get("/w/index.php?title=Special:OAuth&title%5Bx%5D=Main_Page")},
	{name: "only a list", r: get("/w/index.php?title[]=Special:OAuth")},
	{name: "a blank before the name", r: get("/w/index.php?title=Special:OAuth&+title=Main_Page")},
	{name: "NUL after the name", r: get("/w/index.php?title=Special:OAuth&title%00x=Main_Page")},
	{name: "a semicolon between", r: get("/w/index.php?title=Special:OAuth;title=Main_Page")},
	{name: "a semicolon before", r: get("/w/index.php?x=y;title=Special:OAuth")},
	{name: "another title after a semicolon", r: get("/w/index.php?title=Special:OAuth&x=y;title=Main_Page")},
	{name: "the id of a page", r: get("/w/index.php?title=Special:OAuth&curid=1")},
	{name: "the id of a page, in the form", r: post("/w/index.php?title=Special:OAuth", "curid=1")},
	{name: "the id of a page, in a list", r: get("/w/index.php?title=Special:OAuth&curid[]=1")},
	{name: "a function call", r: get("/w/index.php?title=Special:OAuth&action=ajax&rs=x")},
	{name: "many parameters", r: get("/w/index.php?title=Special:OAuth" + strings.Repeat("&x", maxPairs))},
	{name: "a fragment of the target", r: get("/w/index.php?title=Special:OAuth#x")},
	{name: "another title in the path", r: get("/w/index.php/Main_Page?title=Special:OAuth")},
	{name: "another title in the query", r: get("/w/index.php/Special:OAuth?title=Main_Page")},
	{name: "another title at the article path", r: get("/wiki/Main_Page?title=Special:OAuth")},
	{name: "another title in the form", r: post("/w/index.php?title=Special:OAuth", "title=Main_Page")},
	{name: "another title in the form, of an article path", r: post("/wiki/Special:OAuth", "title=Main_Page")},
	{name: "form and another title in the query", r: post("/w/index.php?title=Main_Page", "title=Special:OAuth")},
	{name: "a form that is too large", r: post("/w/index.php", "title=Special:OAuth&x="+strings.Repeat("x", MaxForm))},
	{name: "a large form of an article path", r: post("/wiki/Special:OAuth", strings.Repeat("x", MaxForm+1))},
	{name: "a form that cannot be read", r: &Request{
		Method: "POST", Target: "/wiki/Special:OAuth", Header: http.Header{"Content-Type": {formType}},
		Form: func(int64) ([]byte, error) { return nil, errors.New("the client hung up") },
	}},
	{name: "a multipart form", r: post("/w/index.php?title=Special:OAuth", "--x", "Content-Type", "multipart/form-data; boundary=x")},
	{name: "a body of another type", r: post("/w/index.php?title=Special:OAuth", "{}", "Content-Type", "application/json")},
	{name: "a body of no type", r: post("/w/index.php?title=Special:OAuth", "title=Main_Page", "Content-Type", "")},
	{name: "a compressed form", r: post("/w/index.php?title=Special:OAuth", "a=b", "Content-Encoding", "gzip")},
	{name: "two content types", r: &Request{
		Method: "POST", Target: "/w/index.php?title=Special:OAuth", Header: http.Header{"Content-Type": {formType, "multipart/form-data"}}, Form: form("x"),
	}},
	{name: "GET with a body", r: &Request{Method: "GET", Target: "/w/index.php?title=Special:OAuth", Header: http.Header{"Content-Type": {formType}}, Form: form("x")}},
	{name: "another method", r: &Request{Method: "PUT", Target: "/w/index.php?title=Special:OAuth"}},
	{name: "a method in lower case", r: &Request{Method: "post", Target: "/w/index.php?title=Special:OAuth"}},
	{name: "CONNECT", r: &Request{Method: "CONNECT", Target: "/w/index.php?title=Special:OAuth"}},
	{name: "dot segments", r: get("/w/x/../index.php?title=Special:OAuth")},
	{name: "dot segments behind index.php", r: get("/w/index.php/../api.php/Special:OAuth")},
	{name: "dot segments after the title", r: get("/wiki/Special:OAuth/../../w/api.php")},
	{name: "escaped dot segments", r: get("/wiki/Special:OAuth/%2e%2E/Main_Page")},
	{name: "a dot segment at the end", r: get("/wiki/Special:OAuth/..")},
	{name: "a single dot", r: get("/wiki/./Special:OAuth")},
	{name: "two slashes at the start", r: get("//wiki/Special:OAuth")},
	{name: "two slashes", r: get("/wiki//Special:OAuth")},
	{name: "two slashes after the title", r: get("/wiki/Special:OAuth//Main_Page")},
	{name: "an escaped slash", r: get("/wiki/Special:OAuth%2Finitiate")},
	{name: "an escaped slash in lower case", r: get("/wiki/Special:OAuth/a%2fb")},
	{name: "a backslash", r: get(`/wiki/Special:OAuth/\..\x`)},
	{name: "an escaped backslash", r: get("/wiki/Special:OAuth/%5c..%5Cx")},
	{name: "path parameters", r: get("/wiki/Special:OAuth;/x")},
	{name: "path parameters behind a segment", r: get("/wiki/Special:OAuth/..;/x")},
	{name: "a question mark in the path", r: get("/wiki/Special:OAuth/%3Fcurid=1")},
	{name: "an ampersand in the path", r: get("/wiki/Special:OAuth/x&curid=1")},
	{name: "an escaped ampersand in the path", r: get("/wiki/Special:OAuth/x%26title=Main_Page")},
	{name: "a number sign in the path", r: get("/wiki/Special:OAuth%23x")},
	{name: "a number sign, not escaped", r: get("/wiki/Special:OAuth#x")},
	{name: "a plus sign in the path", r: get("/wiki/Special:OAuth/a+b")},
	{name: "an escape twice in the path", r: get("/wiki/Special:OAuth/%252e%252e/x")},
	{name: "a broken escape in the path", r: get("/wiki/Special:OAuth/%2")},
	{name: "NUL in the path", r: get("/wiki/Special:OAuth%00.png")},
	{name: "an absolute target", r: get("http://wiki.example.org/wiki/Special:OAuth")},
	{name: "another endpoint of REST", r: get("/w/rest.php/v1/page/Special:OAuth?title=Special:OAuth")},
	{name: "REST, letter case", r: get("/w/rest.php/OAuth2/access_token")},
	{name: "REST of the root", r: get("/rest.php/oauth2/access_token")},
	{name: "REST, nothing behind it", r: get("/w/rest.php/oauth2/")},
	{name: "REST, dot segments", r: get("/w/rest.php/oauth2/../v1/page")},
	{name: "REST, escaped dot segments", r: get("/w/rest.php/oauth2/%2e%2e/v1/page")},
	{name: "REST, an escaped slash", r: get("/w/rest.php/oauth2/..%2fv1")},
	{name: "REST, two slashes", r: get("/w/rest.php/oauth2//v1")},
	{name: "REST, path parameters", r: get("/w/rest.php/oauth2/..;/v1")},
	{name: "REST before it", r: get("/w/rest.php//oauth2/access_token")},
	{name: "REST, an absolute target", r: get("http://x/w/rest.php/oauth2/access_token")},
	{name: "another target in a header", r: &Request{Method: "GET", Target: "/wiki/Special:OAuth", Header: http.Header{"X-Original-Url": {"/w/api.php"}}}},
	{name: "another target in a header, spelled otherwise", r: &Request{Method: "GET", Target: "/wiki/Special:OAuth", Header: http.Header{"X_rewrite.URL": {"/w/api.php"}}}},
	{name: "REST, another target in a header", r: &Request{Method: "GET", Target: "/w/rest.php/oauth2/x", Header: http.Header{"X-Rewrite-Url": {"/w/api.php"}}}},
	{name: "another protocol", r: &Request{Method: "GET", Target: "/wiki/Special:OAuth", Header: http.Header{"Upgrade": {"websocket"}}}},
	{name: "no target", r: get("")},
	{name: "an asterisk", r: &Request{Method: "OPTIONS", Target: "*"}},
}

func TestElsewhere(t *testing.T) {
	w := newWiki(t, localNames())
	for _, tt := range elsewhere {
		if got, ok := w.Endpoint(tt.r); ok {
			t.Errorf("%s: taken for %+v", tt.name, got)
		}
	}
}

// TestNoFormIsReadElsewhere shows that a stranger's form is read at index.php
// and for a page of the extension, and nowhere else.
func TestNoFormIsReadElsewhere(t *testing.T) {
	w := newWiki(t, Config{})
	for _, target := range []string{
		"/w/api.php", "/w/index.php?title=Main_Page&action=submit", "/wiki/Main_Page", "/w/rest.php/oauth2/access_token", "/index.php", "/",
	} {
		r := post(target, "")
		r.Form = func(int64) ([]byte, error) {
			t.Errorf("%s: the form is read", target)
			return nil, nil
		}
		w.Endpoint(r)
	}
	r := post("/w/index.php", "", "Content-Type", "multipart/form-data; boundary=x")
	r.Form = func(int64) ([]byte, error) {
		t.Error("a body is read that cannot name the page")
		return nil, nil
	}
	w.Endpoint(r)
}

// TestOtherPlaces shows that the settings say where the wiki is.
func TestOtherPlaces(t *testing.T) {
	w := newWiki(t, Config{ScriptPath: "/", ArticlePath: "/"})
	for target, want := range map[string]bool{
		"/index.php?title=Special:OAuth": true, "/index.php/Special:OAuth": true, "/Special:OAuth/token": true,
		"/rest.php/oauth2/access_token": true, "/w/index.php?title=Special:OAuth": false, "/wiki/Special:OAuth": false,
		"/w/rest.php/oauth2/access_token": false, "//Special:OAuth": false, "/index.phpx/Special:OAuth": false,
	} {
		if _, ok := w.Endpoint(get(target)); ok != want {
			t.Errorf("%s: %v", target, ok)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []Config{
		{ScriptPath: "w"},
		{ScriptPath: "/w/"},
		{ScriptPath: "/w/../x"},
		{ScriptPath: "//w"},
		{ScriptPath: "/w*"},
		{ScriptPath: "/w?x"},
		{ScriptPath: "/%77"},
		{ArticlePath: "wiki/"},
		{ArticlePath: "/wiki"},
		{ArticlePath: "/wiki/$1"},
		{ArticlePath: "/./"},
		{ArticlePath: "/w;/"},
		{ArticlePath: "/ö/"},
		{SpecialPages: []string{""}},
		{SpecialPages: []string{"Spezial", "Spezial:"}},
		{SpecialPages: []string{":OAuth"}},
		{SpecialPages: []string{"Spezial/OAuth"}},
		{SpecialPages: []string{"Spezial:OAuth/initiate"}},
		{SpecialPages: []string{"\xff"}},
		{SpecialPages: []string{"a:b:c"}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func TestResembles(t *testing.T) {
	for _, tt := range []struct {
		method, target, contentType string
		want                        bool
	}{
		{"GET", "/mediawiki/index.php?title=Special%3AOAuth%2Finitiate", "", true},
		{"GET", "/x/sPECIAL:MWOAuth/Token", "", true},
		{"POST", "/w/index.php", formType, true},
		{"POST", "/w/index.php?title=Main_Page", formType, false},
		{"POST", "/w/index.php", "application/json", false},
		{"POST", "/w/api.php", formType, false},
		{"GET", "/w/index.php?title=Special:OAuth/identify", "", false},
	} {
		if got := Resembles(tt.method, tt.target, []string{tt.contentType}); got != tt.want {
			t.Errorf("%s %s: %v", tt.method, tt.target, got)
		}
	}
}

func BenchmarkElsewhere(b *testing.B) {
	w := newWiki(b, Config{})
	for _, target := range []string{"/w/api.php?action=query&meta=userinfo", "/w/index.php?title=Main_Page&action=history", "/wiki/Main_Page"} {
		b.Run(target, func(b *testing.B) {
			r := get(target)
			b.ReportAllocs()
			for b.Loop() {
				w.Endpoint(r)
			}
		})
	}
}
