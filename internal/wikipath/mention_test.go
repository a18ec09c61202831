package wikipath

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// What Endpoint leaves out because programs differ is mentioned all the same.
func TestMentions(t *testing.T) {
	w, err := New(Config{SpecialPages: []string{"Spezial"}})
	if err != nil {
		t.Fatal(err)
	}
	form := "application/x-www-form-urlencoded"
	for _, tt := range []struct {
		method, target, contentType, body string
		want                              bool
	}{
		{"GET", "/wiki/Special:OAuth/initiate", "", "", true},
		{"PUT", "/wiki/Special:OAuth/initiate", "", "", true},
		{"GET", "/wiki//Special:OAuth/initiate", "", "", true},
		{"GET", "/wiki/./Special:OAuth/initiate", "", "", true},
		{"GET", "/wiki/x/../Spezial:OAuth/initiate", "", "", true},
		{"GET", "/wiki/Special%3AOAuth%2Finitiate", "", "", true},
		{"GET", "/wiki/Special:OAuth/initiate?title=Main_Page", "", "", true},
		{"GET", "/w/index.php?title=Special:OAuth/initiate", "", "", true},
		{"GET", "/w//index.php?title=Special:OAuth/initiate", "", "", true},
		{"GET", "/w/?title=Special:OAuth/initiate", "", "", true},
		{"GET", "/?title=special:mwoauth", "", "", true},
		{"GET", "/w/index.php?a;title=Special:OAuth/initiate", "", "", true},
		{"GET", "/w/index.php?title=Special:OAuth/initiate&title=Main_Page", "", "", true},
		{"GET", "/w/index.php?+title=Special:OAuth/initiate", "", "", true},
		{"GET", "http://wiki.example/w/index.php?title=Special:OAuth/initiate", "", "", true},
		{"GET", "/w/rest.php/oauth2/authorize", "", "", true},
		{"GET", "/w//rest.php/oauth2/authorize", "", "", true},
		{"GET", "/w/rest.php/%6Fauth2/authorize", "", "", true},
		{"GET", "/w/rest.php/x/../oauth2/authorize", "", "", true},
		{"GET", "/w/rest.php/oauth2", "", "", true},
		{"GET", "/w/rest.php/oauth2/%2e%2e/x", "", "", true},
		{"POST", "/w/index.php?title=Main_Page", form, "title=Special:OAuth/authorize", true},
		{"POST", "/w/", form + "; charset=utf-8", "a=b&title=Special%3AOAuth/authorize", true},

		{"GET", "/w/rest.php/v1/page/oauth2", "", "", false},
		{"GET", "/w/rest.php/oauth2x", "", "", false},
		{"GET", "/wiki/OAuth/initiate", "", "", false},
		{"GET", "/wiki/Special:OAuthListConsumers", "", "", false},
		{"GET", "/wiki/Special:OAuthManageMyGrants", "", "", false},
		{"GET", "/w/index.php?title=Main_Page&x=Special:OAuth/initiate", "", "", false},
		{"GET", "/w/api.php?titles=Special:OAuth", "", "", false},
		{"POST", "/other", form, "title=Special:OAuth/authorize", false},
		{"POST", "/w/index.php", "application/json", "title=Special:OAuth/authorize", false},
		{"GET", "*", "", "", false},
		{"GET", "", "", "", false},
	} {
		r := &Request{Method: tt.method, Target: tt.target, Header: http.Header{}}
		if tt.contentType != "" {
			r.Header.Set("Content-Type", tt.contentType)
			r.Form = func(int64) ([]byte, error) { return []byte(tt.body), nil }
		}
		if got := w.Mentions(r); got != tt.want {
			t.Errorf("%s %s %q: %v", tt.method, tt.target, tt.body, got)
		}
	}
}

// What PHP or a server before it could read as the page is mentioned, however it is
// sent: MediaWiki's own normalisation and its own interwiki prefixes count, and a
// form that cannot be read may hold anything.
func TestMentionsWhatPHPReads(t *testing.T) {
	w, err := New(Config{SpecialPages: []string{"Spe\u0301cial", "\u062e\u0627\u0635", "Служебная:Вход"}})
	if err != nil {
		t.Fatal(err)
	}
	const plain, parts, page = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "title=Special:OAuth/initiate"
	part := "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nSpecial:OAuth/initiate\r\n--x--"
	signed := http.Header{"Authorization": {`OAuth oauth_consumer_key="k"`}}
	for _, tt := range []struct {
		name, target string
		header       http.Header
		body         string
		fails        bool
		want         bool
	}{
		{"two types", "/w/index.php", http.Header{"Content-Type": {"text/plain", plain}}, page, false, true},
		{"types in one line", "/w/index.php", http.Header{"Content-Type": {"text/plain, " + plain}}, page, false, true},
		{"a sign behind the type", "/w/index.php", http.Header{"Content-Type": {plain + ", x"}}, page, false, true},
		{"words behind the type", "/w/index.php", http.Header{"Content-Type": {plain + " x"}}, page, false, true},
		{"capitals", "/w/index.php", http.Header{"Content-Type": {strings.ToUpper(plain)}}, page, false, true},
		{"a coding that PHP overlooks", "/w/index.php", http.Header{"Content-Type": {plain}, "Content-Encoding": {"identity"}}, page, false, true},
		{"a coding that a server may decode", "/w/index.php", http.Header{"Content-Type": {plain}, "Content-Encoding": {"gzip"}}, "\x1f\x8b", false, true},
		{"a form that cannot be read", "/w/index.php", http.Header{"Content-Type": {plain}}, "", true, true},
		{"behind 64 KiB", "/w/", http.Header{"Content-Type": {plain}}, "a=" + strings.Repeat("x", 1<<17) + "&" + page, false, true},
		{"a name with a NUL byte", "/w/index.php", http.Header{"Content-Type": {plain}}, "title%00x=Special:OAuth/initiate", false, true},
		{"signed parts", "/w/index.php", http.Header{"Content-Type": {parts}, "Authorization": signed["Authorization"]}, part, false, true},
		{"parts signed in the query", "/w/index.php?oauth%5Fconsumer_key=k", http.Header{"Content-Type": {parts}}, part, false, true},
		{"signed parts that cannot be read", "/w/index.php", http.Header{"Content-Type": {parts}, "Authorization": signed["Authorization"]}, "", true, true},
		{"decomposed", "/w/index.php?title=Spe%CC%81cial:OAuth/initiate", nil, "", false, true},
		{"composed", "/wiki/Sp%C3%A9cial:OAuth/initiate", nil, "", false, true},
		{"presentation forms", "/w/index.php?title=%EF%BA%A7%EF%BA%8E%EF%BA%B9:OAuth/initiate", nil, "", false, true},
		{"decomposed Cyrillic", "/w/index.php?title=%D0%A1%D0%BB%D1%83%D0%B6%D0%B5%D0%B1%D0%BD%D0%B0%D1%8F:%D0%92%D1%85%D0%BE%D0%B4/token", nil, "", false, true},
		{"the wiki's own prefix", "/w/index.php?title=en:Special:OAuth/initiate", nil, "", false, true},
		{"two prefixes in the path", "/wiki/w:en:Special:OAuth/initiate", nil, "", false, true},

		{"parts that nobody has signed", "/w/index.php?title=Main_Page", http.Header{"Content-Type": {parts}}, part, false, false},
		{"signed parts without a title", "/w/index.php", http.Header{"Content-Type": {parts}, "Authorization": signed["Authorization"]}, "--x--", false, false},
		{"a long form for another page", "/w/index.php", http.Header{"Content-Type": {plain}}, "title=Main_Page&text=" + strings.Repeat("x", 1<<17), false, false},
		{"a form elsewhere", "/upload", http.Header{"Content-Type": {plain}}, "", true, false},
		{"JSON", "/w/index.php", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, page, false, false},
		{"a page with colons", "/wiki/Talk:A:B", nil, "", false, false},
	} {
		r := &Request{Method: http.MethodPost, Target: tt.target, Header: tt.header}
		r.Form = func(limit int64) ([]byte, error) {
			if tt.fails || int64(len(tt.body)) > limit {
				return nil, errors.New("cannot be read")
			}
			return []byte(tt.body), nil
		}
		if got := w.Mentions(r); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
		r.Method = http.MethodGet
		if got := w.Mentions(r); got != (tt.want && strings.Contains(tt.target, "OAuth") || strings.Contains(tt.target, "token")) {
			t.Errorf("%s, with GET: %v", tt.name, got)
		}
	}
}

// Each request that Endpoint finds is mentioned.
func FuzzMentions(f *testing.F) {
	for _, target := range []string{
		"/wiki/Special:OAuth/initiate", "/w/index.php?title=Special:OAuth", "/w/rest.php/oauth2/authorize", "/w/index.php/Special:OAuth/token",
		"/index.php/Special:MWOAuth/x?a=b", "http://h/w/?title=special%3Aoauth", "/w/index.php?title=_Special:_OAuth_/x#y",
	} {
		f.Add("POST", target, "title=Special:OAuth/x")
	}
	w, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r := &Request{
			Method: method, Target: target, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			Form: func(int64) ([]byte, error) { return []byte(body), nil },
		}
		if e, found := w.Endpoint(r); found && !w.Mentions(r) {
			t.Errorf("%s %q %q is %+v, and not mentioned", method, target, body, e)
		}
	})
}
