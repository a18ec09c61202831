package wikipath

import (
	"net/http"
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
