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
var handshake = []struct {
	name string
	r    *Request
	want Endpoint
}{
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
	{"twice", get("/w/index.php?title=Special:OAuth/token&title=Special:MWOAuth"), Endpoint{SpecialPage, "token"}},
	{"HEAD", &Request{Method: "HEAD", Target: "/w/index.php?title=Special:OAuth"}, Endpoint{SpecialPage, ""}},
	{"POST without a body", &Request{Method: "POST", Target: "/w/index.php?title=Special:OAuth/initiate"}, Endpoint{SpecialPage, "initiate"}},
	{"form", post("/w/index.php", "title=Special:MWOAuth/initiate&oauth_callback=oob"), Endpoint{SpecialPage, "initiate"}},
	{"form with a charset", post("/w/index.php", "title=Special%3AOAuth", "Content-Type", "Application/X-WWW-form-urlencoded; charset=UTF-8"), Endpoint{SpecialPage, ""}},
	{"query and form", post("/w/index.php?title=Special:OAuth/a", "title=Special:OAuth/b"), Endpoint{SpecialPage, "a"}},
	{"form without a title", post("/w/index.php?title=Special:OAuth/a", "a=b"), Endpoint{SpecialPage, "a"}},
	{"an empty form", post("/w/index.php?title=Special:OAuth/a", ""), Endpoint{SpecialPage, "a"}},
	{"the largest form", post("/w/index.php", "title=Special:OAuth&x="+strings.Repeat("x", MaxForm-22)), Endpoint{SpecialPage, ""}},
	{"behind index.php", get("/w/index.php/Special:OAuth/initiate"), Endpoint{SpecialPage, "initiate"}},
	{"behind index.php of the root", get("/index.php/Special:OAuth/initiate?oauth_callback=oob"), Endpoint{SpecialPage, "initiate"}},
	{"at the article path", get("/wiki/Special:OAuth/initiate"), Endpoint{SpecialPage, "initiate"}},
	{"at the article path, escaped", get("/wiki/%53pecial%3aMWOAuth/initiate?title=Special:OAuth"), Endpoint{SpecialPage, "initiate"}},
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
var elsewhere = []struct {
	name string
	r    *Request
}{
	{"api.php", get("/w/api.php?title=Special:OAuth/initiate")},
	{"another script", get("/w/load.php?title=Special:OAuth/initiate")},
	{"another script path", get("/x/index.php?title=Special:OAuth/initiate")},
	{"index.php of the root, with a query", get("/index.php?title=Special:OAuth/initiate")},
	{"the root", get("/?title=Special:OAuth/initiate")},
	{"the article path itself", get("/wiki/?title=Special:OAuth/initiate")},
	{"letter case of the script", get("/w/INDEX.php?title=Special:OAuth/initiate")},
	{"letter case of the article path", get("/Wiki/Special:OAuth/initiate")},
	{"an escape in the script", get("/w/index%2Ephp?title=Special:OAuth/initiate")},
	{"an empty title behind index.php", get("/w/index.php/?title=Special:OAuth/initiate")},
	{"text after the script", get("/w/index.phpx?title=Special:OAuth/initiate")},
	{"no title", get("/w/index.php")},
	{"no title but elsewhere", get("/w/index.php?x=title%3DSpecial:OAuth")},
	{"another page", get("/w/index.php?title=Main_Page")},
	{"another special page", get("/w/index.php?title=Special:OAuthListConsumers")},
	{"the page of its name", get("/w/index.php?title=OAuth/initiate")},
	{"another namespace", get("/w/index.php?title=Talk:Special:OAuth/initiate")},
	{"a namespace that is not known", get("/w/index.php?title=Spécial:OAuth/initiate")},
	{"a whole name, by halves", get("/w/index.php?title=Special:%D0%92%D1%85%D0%BE%D0%B4")},
	{"two colons before it", get("/w/index.php?title=::Special:OAuth")},
	{"two colons within", get("/w/index.php?title=Special::OAuth")},
	{"an underscore after the name", get("/w/index.php?title=Special:OAuth_/initiate")},
	{"an underscore within the name", get("/w/index.php?title=Special:O_Auth/initiate")},
	{"a fragment before the name", get("/w/index.php?title=Special:%23OAuth")},
	{"escaped twice", get("/w/index.php?title=Special%253AOAuth")},
	{"a sign that folds to a letter", get("/w/index.php?title=%C5%BFpecial:OAuth")},
	{"full-width letters", get("/w/index.php?title=%EF%BC%B3pecial:OAuth")},
	{"a full-width colon", get("/w/index.php?title=Special%EF%BC%9AOAuth")},
	{"not UTF-8", get("/w/index.php?title=Special:OAuth/%FF")},
	{"a replacement character", get("/w/index.php?title=Special:OAuth/%EF%BF%BD")},
	{"NUL", get("/w/index.php?title=Special:OAuth%00")},
	{"a line break", get("/w/index.php?title=Special:OAuth%0A")},
	{"a tab", get("/w/index.php?title=Special:%09OAuth")},
	{"a sign that no title has", get("/w/index.php?title=Special:OAuth/%7B")},
	{"an entity", get("/w/index.php?title=Special:OAuth/%26amp;")},
	{"an entity, escaped", get("/w/index.php?title=Special:OAuth/%26amp%3B")},
	{"an escape in the title", get("/w/index.php?title=Special:OAuth/%2541")},
	{"dots in the title", get("/w/index.php?title=Special:OAuth/../x")},
	{"tildes", get("/w/index.php?title=Special:OAuth/~~~~")},
	{"a long title", get("/w/index.php?title=Special:OAuth/" + strings.Repeat("x", 512))},
	{"another title last", get("/w/index.php?title=Special:OAuth/initiate&title=Main_Page")},
	{"another title first", get("/w/index.php?title=Main_Page&title=Special:OAuth/initiate")},
	{"an empty title", get("/w/index.php?title=Special:OAuth/initiate&title")},
	{"a list of titles", get("/w/index.php?title=Special:OAuth&title[]=Main_Page")},
	{"a list, escaped", get("/w/index.php?title=Special:OAuth&title%5Bx%5D=Main_Page")},
	{"only a list", get("/w/index.php?title[]=Special:OAuth")},
	{"a blank before the name", get("/w/index.php?title=Special:OAuth&+title=Main_Page")},
	{"NUL after the name", get("/w/index.php?title=Special:OAuth&title%00x=Main_Page")},
	{"a semicolon between", get("/w/index.php?title=Special:OAuth;title=Main_Page")},
	{"a semicolon before", get("/w/index.php?x=y;title=Special:OAuth")},
	{"another title after a semicolon", get("/w/index.php?title=Special:OAuth&x=y;title=Main_Page")},
	{"the id of a page", get("/w/index.php?title=Special:OAuth&curid=1")},
	{"the id of a page, in the form", post("/w/index.php?title=Special:OAuth", "curid=1")},
	{"the id of a page, in a list", get("/w/index.php?title=Special:OAuth&curid[]=1")},
	{"a function call", get("/w/index.php?title=Special:OAuth&action=ajax&rs=x")},
	{"many parameters", get("/w/index.php?title=Special:OAuth" + strings.Repeat("&x", maxPairs))},
	{"a fragment of the target", get("/w/index.php?title=Special:OAuth#x")},
	{"another title in the path", get("/w/index.php/Main_Page?title=Special:OAuth")},
	{"another title in the query", get("/w/index.php/Special:OAuth?title=Main_Page")},
	{"another title at the article path", get("/wiki/Main_Page?title=Special:OAuth")},
	{"another title in the form", post("/w/index.php?title=Special:OAuth", "title=Main_Page")},
	{"another title in the form, of an article path", post("/wiki/Special:OAuth", "title=Main_Page")},
	{"form and another title in the query", post("/w/index.php?title=Main_Page", "title=Special:OAuth")},
	{"a form that is too large", post("/w/index.php", "title=Special:OAuth&x="+strings.Repeat("x", MaxForm))},
	{"a large form of an article path", post("/wiki/Special:OAuth", strings.Repeat("x", MaxForm+1))},
	{"a form that cannot be read", &Request{
		Method: "POST", Target: "/wiki/Special:OAuth", Header: http.Header{"Content-Type": {formType}},
		Form: func(int64) ([]byte, error) { return nil, errors.New("the client hung up") },
	}},
	{"a multipart form", post("/w/index.php?title=Special:OAuth", "--x", "Content-Type", "multipart/form-data; boundary=x")},
	{"a body of another type", post("/w/index.php?title=Special:OAuth", "{}", "Content-Type", "application/json")},
	{"a body of no type", post("/w/index.php?title=Special:OAuth", "title=Main_Page", "Content-Type", "")},
	{"a compressed form", post("/w/index.php?title=Special:OAuth", "a=b", "Content-Encoding", "gzip")},
	{"two content types", &Request{
		Method: "POST", Target: "/w/index.php?title=Special:OAuth", Header: http.Header{"Content-Type": {formType, "multipart/form-data"}}, Form: form(""),
	}},
	{"GET with a body", &Request{Method: "GET", Target: "/w/index.php?title=Special:OAuth", Header: http.Header{"Content-Type": {formType}}, Form: form("")}},
	{"another method", &Request{Method: "PUT", Target: "/w/index.php?title=Special:OAuth"}},
	{"a method in lower case", &Request{Method: "post", Target: "/w/index.php?title=Special:OAuth"}},
	{"CONNECT", &Request{Method: "CONNECT", Target: "/w/index.php?title=Special:OAuth"}},
	{"dot segments", get("/w/x/../index.php?title=Special:OAuth")},
	{"dot segments behind index.php", get("/w/index.php/../api.php/Special:OAuth")},
	{"dot segments after the title", get("/wiki/Special:OAuth/../../w/api.php")},
	{"escaped dot segments", get("/wiki/Special:OAuth/%2e%2E/Main_Page")},
	{"a dot segment at the end", get("/wiki/Special:OAuth/..")},
	{"a single dot", get("/wiki/./Special:OAuth")},
	{"two slashes at the start", get("//wiki/Special:OAuth")},
	{"two slashes", get("/wiki//Special:OAuth")},
	{"two slashes after the title", get("/wiki/Special:OAuth//Main_Page")},
	{"an escaped slash", get("/wiki/Special:OAuth%2Finitiate")},
	{"an escaped slash in lower case", get("/wiki/Special:OAuth/a%2fb")},
	{"a backslash", get(`/wiki/Special:OAuth/\..\x`)},
	{"an escaped backslash", get("/wiki/Special:OAuth/%5c..%5Cx")},
	{"path parameters", get("/wiki/Special:OAuth;/x")},
	{"path parameters behind a segment", get("/wiki/Special:OAuth/..;/x")},
	{"a question mark in the path", get("/wiki/Special:OAuth/%3Fcurid=1")},
	{"an ampersand in the path", get("/wiki/Special:OAuth/x&curid=1")},
	{"an escaped ampersand in the path", get("/wiki/Special:OAuth/x%26title=Main_Page")},
	{"a number sign in the path", get("/wiki/Special:OAuth%23x")},
	{"a number sign, not escaped", get("/wiki/Special:OAuth#x")},
	{"a plus sign in the path", get("/wiki/Special:OAuth/a+b")},
	{"an escape twice in the path", get("/wiki/Special:OAuth/%252e%252e/x")},
	{"a broken escape in the path", get("/wiki/Special:OAuth/%2")},
	{"NUL in the path", get("/wiki/Special:OAuth%00.png")},
	{"an absolute target", get("http://wiki.example.org/wiki/Special:OAuth")},
	{"another endpoint of REST", get("/w/rest.php/v1/page/Special:OAuth?title=Special:OAuth")},
	{"REST, letter case", get("/w/rest.php/OAuth2/access_token")},
	{"REST of the root", get("/rest.php/oauth2/access_token")},
	{"REST, nothing behind it", get("/w/rest.php/oauth2/")},
	{"REST, dot segments", get("/w/rest.php/oauth2/../v1/page")},
	{"REST, escaped dot segments", get("/w/rest.php/oauth2/%2e%2e/v1/page")},
	{"REST, an escaped slash", get("/w/rest.php/oauth2/..%2fv1")},
	{"REST, two slashes", get("/w/rest.php/oauth2//v1")},
	{"REST, path parameters", get("/w/rest.php/oauth2/..;/v1")},
	{"REST before it", get("/w/rest.php//oauth2/access_token")},
	{"REST, an absolute target", get("http://x/w/rest.php/oauth2/access_token")},
	{"another target in a header", &Request{Method: "GET", Target: "/wiki/Special:OAuth", Header: http.Header{"X-Original-Url": {"/w/api.php"}}}},
	{"another target in a header, spelled otherwise", &Request{Method: "GET", Target: "/wiki/Special:OAuth", Header: http.Header{"X_rewrite.URL": {"/w/api.php"}}}},
	{"REST, another target in a header", &Request{Method: "GET", Target: "/w/rest.php/oauth2/x", Header: http.Header{"X-Rewrite-Url": {"/w/api.php"}}}},
	{"another protocol", &Request{Method: "GET", Target: "/wiki/Special:OAuth", Header: http.Header{"Upgrade": {"websocket"}}}},
	{"no target", get("")},
	{"an asterisk", &Request{Method: "OPTIONS", Target: "*"}},
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
		{ScriptPath: "w"}, {ScriptPath: "/w/"}, {ScriptPath: "/w/../x"}, {ScriptPath: "//w"}, {ScriptPath: "/w*"}, {ScriptPath: "/w?x"}, {ScriptPath: "/%77"},
		{ArticlePath: "wiki/"}, {ArticlePath: "/wiki"}, {ArticlePath: "/wiki/$1"}, {ArticlePath: "/./"}, {ArticlePath: "/w;/"}, {ArticlePath: "/ö/"},
		{SpecialPages: []string{""}}, {SpecialPages: []string{"Spezial", "Spezial:"}}, {SpecialPages: []string{":OAuth"}},
		{SpecialPages: []string{"Spezial/OAuth"}}, {SpecialPages: []string{"Spezial:OAuth/initiate"}}, {SpecialPages: []string{"\xff"}}, {SpecialPages: []string{"a:b:c"}},
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
