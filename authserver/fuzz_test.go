package authserver

import (
	"encoding/base64"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Whatever a client sends as HTTP Basic is read as it was written, or not at all.
func FuzzBasic(f *testing.F) {
	for _, line := range []string{"Basic YTpi", "Basic YTpiOmM=", "Basic Og==", "Basic YQ==", "basic YTpi", "Basic  YTpi", "Basic", "Bearer x", "Basic /wo6/w=="} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		id, secret, ok := parseBasic([]string{line})
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "Basic ")); ok && (strings.Contains(id, ":") || err != nil || id+":"+secret != string(raw)) {
			t.Errorf("%q is read as %q and %q", line, id, secret)
		}
		if _, _, ok := parseBasic([]string{line, line}); ok {
			t.Error("two lines are read")
		}
	})
}

// browserValue is what a browser makes of the value of a hidden field.
func browserValue(value string) string {
	value = strings.ReplaceAll(strings.ToValidUTF8(value, "\uFFFD"), "\x00", "\uFFFD")
	return strings.ReplaceAll(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(value), "\n", "\r\n")
}

// A field comes back from a form as it was, whatever browsers do to it.
func FuzzFormFields(f *testing.F) {
	for _, value := range []string{"", "a b+c&d=e", "a\nb", "\r", "\x00", "\xff\xfe", "é\u202E", "escaped.", "%41", "[]"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		form := url.Values{}
		for _, field := range formFields([]Field{{"state", value}, {"client_id", "x"}}) {
			form.Set(field.Name, browserValue(field.Value))
		}
		p, err := parseParams(form.Encode())
		if err != nil || p.unescape() != nil || len(p) != 2 || p["state"] != value || p["client_id"] != "x" {
			t.Errorf("%q comes back as %q, %v", value, p, err)
		}
	})
}

// A redirect URI is the registered one, or differs from it in the port on loopback.
func FuzzRedirectURI(f *testing.F) {
	for _, pair := range [][2]string{
		{"https://app.example/cb", "https://app.example/cb"},
		{"http://127.0.0.1/cb?a=b", "http://127.0.0.1:8080/cb?a=b"},
		{"http://[::1]:1/", "http://[::1]:2/"},
		{"http://127.0.0.1/", "http://127.0.0.1:1@evil.example/"},
		{"http://127.0.0.1/", "http://[127.0.0.1]/"},
		{"http://[::1]/", "http://::1/"},
		{"http://127.0.0.1", "http://127.0.0.1:"},
		{"http://127.0.0.1", "http://127.0.0.1:99999"},
		{"http://localhost/", "http://localhost:1/"},
		{"javascript:x", "javascript:x"},
	} {
		f.Add(pair[0], pair[1])
	}
	s := newScene(f, func(c *Config) { c.LoopbackPort = true })
	f.Fuzz(func(t *testing.T, registered, uri string) {
		if !s.redirectAllowed(&Consumer{CallbackURL: registered}, uri) {
			return
		}
		if !redirectable(registered) || !redirectable(uri) {
			t.Errorf("%q at %q, which a browser may not be sent to", uri, registered)
		}
		if uri == registered {
			return
		}
		host, rest, _ := strings.Cut(strings.TrimPrefix(uri, "http://"), "/")
		host, _, _ = strings.Cut(host, "?")
		host, _, _ = strings.Cut(host, "#")
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if host = strings.Trim(host, "[]"); host != "127.0.0.1" && host != "::1" || !strings.HasSuffix(registered, rest) {
			t.Errorf("%q is allowed for %q", uri, registered)
		}
	})
}

// A list of grants that can be read is stored as it was read.
func FuzzGrantList(f *testing.F) {
	for _, raw := range []string{`["useoauth","editpage"]`, `{"0":"useoauth","2":"editpage"}`, `{"a":"basic"}`, `[]`, `{}`, `null`, `"x"`, `[1]`, `{"a":{"b":1}}`, ``} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, ok := ParseGrantList(raw)
		if !ok {
			return
		}
		again, ok := ParseGrantList([]byte(g.Stored()))
		if !ok || !slices.Equal(again.Names, g.Names) || !g.Equal(again) {
			t.Errorf("%q is %q, and stored as %q", raw, g.Names, g.Stored())
		}
	})
}

// What a page says of an app is text that can be seen, in UTF-8, and the host of a
// callback is ASCII.
func FuzzShownTexts(f *testing.F) {
	for _, text := range []string{"Map Maker", "\u202Egpj.exe", "a\x00b", "\xff", "https://app.example/cb", "https://аpple.example/", "x:\r\n", "می\u200cخواهم", "\u2066\u2069"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shown := (&Consumer{Consumer: validator.Consumer{Name: text, Key: "k"}}).ShownName()
		unseen := func(r rune) bool {
			return unicode.IsControl(r) || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 || r == 0x200E || r == 0x200F
		}
		if shown == "" || !utf8.ValidString(shown) || strings.ContainsFunc(shown, unseen) || plainText(shown) != shown {
			t.Errorf("%q is shown as %q", text, shown)
		}
		if host := callbackHost(text); strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7F }) {
			t.Errorf("%q takes the browser to %q", text, host)
		}
	})
}

// No other text is the token of a form.
func FuzzFormToken(f *testing.F) {
	s := newScene(f)
	c := &consentRequest{endpoint: Authorize2, client: s.tables.consumers[0], user: s.tables.users[0], fields: []Field{{"a", "b"}}}
	right := s.csrfToken(c)
	for _, token := range []string{right, "", ".", "1.", "-1.x", right + ".", right[1:], "99999999999999999999.x", strings.Replace(right, ".", "..", 1)} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if s.validCSRF(token, c) != (token == right) {
			t.Errorf("%q: %v", token, token != right)
		}
	})
}
