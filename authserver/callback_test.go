package authserver

import (
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// The registered callback of an app, what it asks for, and whether it may. The
// rows but the last group were recorded from MediaWiki 1.39.
var callbackCases = []struct {
	registered string
	prefix     bool
	asked      string
	allowed    bool
}{
	{"https://app.example/cb", false, "oob", true},
	{"https://app.example/cb", false, "https://app.example/cb", false},
	{"https://app.example/cb", false, "OOB", false},
	{"https://app.example/cb", false, "", false},
	{"https://app.example/cb", true, "https://app.example/cb", true},
	{"https://app.example/cb", true, "", false},
	{"https://app.example/cb", true, "https://app.example/cbx", true},
	{"https://app.example/cb", true, "https://app.example/cb/sub?a=1", true},
	{"https://app.example/cb", true, "https://app.example/cb?a=b c", true},
	{"https://app.example/cb", true, "https://app.example/cb#f", true},
	{"https://app.example/cb", true, "https://app.example/c", false},
	{"https://app.example/cb", true, "https://app.example/other", false},
	{"https://app.example/cb", true, "https://evil.example/cb", false},
	{"https://app.example/cb", true, "https://app.example.evil.example/cb", false},
	{"https://app.example/cb", true, "https://APP.example/cb", false},
	{"https://app.example/cb", true, "https://app.example:8443/cb", false},
	{"https://app.example/cb", true, "https://app.example:443/cb", false},
	{"https://app.example/cb", true, "https://app.example@evil.example/cb", false},
	{"https://app.example/cb", true, `https://app.example\@evil.example/cb`, false},
	{"https://app.example/cb", true, "//app.example/cb", false},
	{"https://app.example/cb", true, "not a url", false},
	{"https://app.example/cb", true, "ftp://app.example/cb", false},
	{"https://app.example/cb", true, "https://app.example/CB", false},
	{"https://app.example/cb", true, "https://app.example/%63b", false},
	{"https://app.example/cb", true, "https://app.example/cb/é", true},
	{"https://app.example/cb", true, "https://app.example?/cb", false},
	{"https://app.example/cb", true, "HTTPS://app.example/cb", true},
	{"http://app.example/cb", true, "https://app.example/cb", true},
	{"http://app.example/cb", true, "https://app.example:443/cb", false},
	{"https://app.example", true, "https://app.example/any?x#y", true},
	{"https://app.example", true, "https://app.example", true},
	{"https://app.example:8443/cb", true, "https://app.example:8443/cb", true},
	{"https://app.example:8443/cb", true, "https://app.example:08443/cb", true},
	{"https://app.example:8443/cb", true, "https://app.example:8444/cb", false},
	{"https://app.example:8443/cb", true, "https://app.example:008443/cb", false},
	{"https://app.example:8443/cb", true, "https://app.example:/cb", false},
	{"https://app.example/cb", true, "https://app.example:/cb", true},
	{"https://app.example/cb", true, "https://app.example:0/cb", false},
	{"http://localhost:1/cb", true, "http://localhost:7777/cb", true},
	{"http://localhost:1/cb", true, "https://localhost/cb", true},
	{"http://localhost:1/cb", true, "http://localhost:99999/cb", false},
	{"http://localhost:1/cb", true, "http://127.0.0.1:7777/cb", false},
	{"https://app.example/cb?x=1", true, "https://app.example/cb?x=12", true},
	{"https://app.example/cb?x=1", true, "https://app.example/cb?y=2&x=1", false},
	{"https://app.example/cb?x=1", true, "https://app.example/cbx?x=1", false},
	{"https://app.example/cb?x=1", true, "https://app.example/cb", false},
	{"https://app.example/cb#frag", true, "https://app.example/cb", true},
	{"https://app.example/cb/", true, "https://app.example/cb", false},
	{"https://app.example/cb/", true, "https://app.example/cb/a", true},
	{"", true, "oob", true},
	{"", true, "https://app.example/", false},
	{"myapp://done", true, "myapp://done", false},

	// What MediaWiki 1.39 allows, and this server does not.
	{"https://app.example/cb", true, "https://app.example/cb/../other", false},
	{"https://app.example/cb", true, "https://app.example/cb/%2e%2e/other", false},
	{"https://app.example/cb", true, `https://app.example/cb\..\other`, false},
	{"https://app.example/cb", true, "https://u:p@app.example/cb", false},
	{"https://app.example/cb", true, "https://user@app.example/cb", false},
}

func TestCallbackAllowed(t *testing.T) {
	s := newScene(t)
	for _, tt := range callbackCases {
		c := &Consumer{CallbackURL: tt.registered, CallbackIsPrefix: tt.prefix}
		if got := s.callbackAllowed(c, tt.asked); got != tt.allowed {
			t.Errorf("registered %q (prefix %t), asked %q: %t, want %t", tt.registered, tt.prefix, tt.asked, got, tt.allowed)
		}
	}
}

// Where any scheme can be a callback, those that a browser runs still cannot.
func TestCallbackIsNoScript(t *testing.T) {
	s := newScene(t, func(c *Config) { c.Policy.Release = validator.Release147 })
	c := &Consumer{CallbackURL: "javascript://x", CallbackIsPrefix: true}
	if s.callbackAllowed(c, "javascript://x%0aalert(1)") {
		t.Error("a script is a callback")
	}
}

func TestRedirectable(t *testing.T) {
	for callback, want := range map[string]bool{
		"https://app.example/cb":           true,
		"http://127.0.0.1:7777/cb":         true,
		"myapp://done":                     true,
		"com.example.app:/cb":              true,
		"":                                 false,
		"oob":                              false,
		"/cb":                              false,
		"//app.example/cb":                 false,
		"https:app.example":                false,
		"https:///cb":                      false,
		`https:\\app.example`:              false,
		"https://u:p@app.example/":         false,
		"https://app.example/a/../b":       false,
		"https://app.example/a/%2E./b":     false,
		"https://app.example/?a=../b":      true,
		"javascript:alert(1)":              false,
		"JavaScript://x%0aalert(1)":        false,
		"data:text/html,x":                 false,
		"vbscript:x":                       false,
		"file:///etc/passwd":               false,
		"blob:https://app.example/x":       false,
		"about:blank":                      false,
		" https://app.example/":            false,
		"java\tscript:alert(1)":            false,
		"view-source:https://app.example/": false,
	} {
		if got := redirectable(callback); got != want {
			t.Errorf("%q: %t, want %t", callback, got, want)
		}
	}
}

func TestLocation(t *testing.T) {
	for in, want := range map[string]string{
		"HTTPS://app.example/cb":                "https://app.example/cb",
		"https://app.example:08443/cb":          "https://app.example:8443/cb",
		"https://app.example:/cb?a=:01":         "https://app.example/cb?a=:01",
		"http://[::1]:0080?x":                   "http://[::1]:80?x",
		"http://[::0001]/cb":                    "http://[::0001]/cb",
		"https://app.example:0/cb":              "https://app.example:0/cb",
		"https://app.example/a:007":             "https://app.example/a:007",
		"myapp://host:007/cb":                   "myapp://host:007/cb",
		"https://app.example/cb?a=b c":          "https://app.example/cb?a=b%20c",
		"https://app.example/cb/é":              "https://app.example/cb/%C3%A9",
		"https://app.example/cb\r\nX-Evil: 1":   "https://app.example/cb%0D%0AX-Evil:%201",
		"https://app.example/cb?a=\"'<>":        "https://app.example/cb?a=%22'%3C%3E",
		"https://app.example/cb?a=%20%zz":       "https://app.example/cb?a=%20%zz",
		"https://app.example/\\evil.example/cb": "https://app.example/%5Cevil.example/cb",
	} {
		if got := location(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestAddParams(t *testing.T) {
	fields := []Field{{"a", "1"}, {"b", "x y~"}}
	for in, want := range map[string]string{
		"https://app.example/cb":           "https://app.example/cb?a=1&b=x+y%7E",
		"https://app.example/cb?":          "https://app.example/cb?&a=1&b=x+y%7E",
		"https://app.example/cb?x=1&":      "https://app.example/cb?x=1&&a=1&b=x+y%7E",
		"https://app.example/cb?x=1#f?g=1": "https://app.example/cb?x=1&a=1&b=x+y%7E#f?g=1",
		"https://app.example/cb#":          "https://app.example/cb?a=1&b=x+y%7E#",
	} {
		if got := addParams(in, true, fields); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got, want := addParams("https://app.example/cb#frag", false, fields[:1]), "https://app.example/cb#frag?a=1"; got != want {
		t.Errorf("behind the fragment: %q, want %q", got, want)
	}
}

func TestLoopbackPort(t *testing.T) {
	s := newScene(t, func(c *Config) { c.LoopbackPort = true })
	for _, tt := range []struct {
		registered, uri string
		want            bool
	}{
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1:1234/cb", true},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1234/cb", true},
		{"http://[::1]/cb", "http://[::1]:1234/cb", true},
		{"http://127.0.0.1/cb", "http://[::1]/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1234/other", false},
		{"https://127.0.0.1/cb", "https://127.0.0.1:1234/cb", false},
		{"http://localhost/cb", "http://localhost:1234/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1:x/cb", false},
		{"http://127.0.0.1/cb", "http://127.0.0.1@evil.example/cb", false},
	} {
		if got := s.redirectAllowed(&Consumer{CallbackURL: tt.registered}, tt.uri); got != tt.want {
			t.Errorf("registered %q, asked %q: %t, want %t", tt.registered, tt.uri, got, tt.want)
		}
	}
	s = newScene(t)
	if s.redirectAllowed(&Consumer{CallbackURL: "http://127.0.0.1/cb"}, "http://127.0.0.1:1/cb") {
		t.Error("the port may differ although the setting is off")
	}
}

// No callback makes a Location that a browser or a proxy could read as more than
// one line, or as another host than was checked.
func FuzzCallback(f *testing.F) {
	for _, tt := range callbackCases {
		f.Add(tt.registered, tt.asked)
	}
	f.Add("https://app.example/cb", "https://app.example/cb\x00\r\n")
	s := newScene(f)
	f.Fuzz(func(t *testing.T, registered, asked string) {
		if !s.callbackAllowed(&Consumer{CallbackURL: registered, CallbackIsPrefix: true}, asked) || asked == outOfBand {
			return
		}
		out := location(addParams(asked, true, []Field{{"oauth_verifier", "x"}}))
		if strings.ContainsFunc(out, func(r rune) bool { return r <= ' ' || r >= 0x7F || r == '\\' }) {
			t.Errorf("%q: Location %q", asked, out)
		}
		scheme, rest, _ := strings.Cut(out, "://")
		host := rest[:min(len(rest), strings.IndexAny(rest+"/", "/?#"))]
		want, _ := parseCallback(registered, false)
		if strings.Contains(host, "@") || !strings.HasPrefix(host, want.host) || scheme != want.scheme && scheme != "https" {
			t.Errorf("registered %q, asked %q: Location %q", registered, asked, out)
		}
	})
}

// A page names where the browser goes, and nothing where it stays.
func TestCallbackHost(t *testing.T) {
	for callback, want := range map[string]string{
		"oob":                        "",
		"https://app.example/cb?a=b": "https://app.example",
		"http://127.0.0.1:8080/":     "http://127.0.0.1:8080",
		"myapp://done":               "myapp://done",
		"com.example.app:/done":      "com.example.app:",
		"myapp:///x":                 "myapp:",
		"https://app.example/%zz":    "https://app.example",
		"https://app.example?x#y":    "https://app.example",
		"https://аpple.example/":     "https://%D0%B0pple.example",
		"HTTPS://app.example /":      "https://app.example%20",
		"":                           "",
	} {
		if got := callbackHost(callback); got != want {
			t.Errorf("%s: %q, want %q", callback, got, want)
		}
	}
}
