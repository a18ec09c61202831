package validator

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRestrictions(t *testing.T) {
	const inside, v6 = "192.0.2.1", "2001:db8::1"
	for _, tt := range []struct {
		name, text string
		strict     string // 1.39: "broken", or the addresses of the two that may
		lenient    string // from 1.43 on
	}{
		{"everywhere", `{"IPAddresses":["0.0.0.0/0","::/0"]}`, "4 6", "4 6"},
		{"only IPv4", `{"IPAddresses":["0.0.0.0/0"]}`, "4", "4"},
		{"only IPv6", `{"IPAddresses":["::/0"]}`, "6", "6"},
		{"an address", `{"IPAddresses":["192.0.2.1"]}`, "4", "4"},
		{"a network with host bits", `{"IPAddresses":["192.0.2.99/24"]}`, "4", "4"},
		{"an IPv6 network", `{"IPAddresses":["2001:DB8:0::/32"]}`, "6", "6"},
		{"mapped", `{"IPAddresses":["::ffff:192.0.2.1"]}`, "", ""},
		{"nowhere", `{"IPAddresses":[]}`, "", ""},
		{"repeated, last one counts", `{"IPAddresses":["0.0.0.0/0"],"IPAddresses":["::/0"]}`, "6", "6"},
		{"another member", `{"IPAddresses":["0.0.0.0/0"],"Pages":["A"]}`, "broken", "4"},
		{"another member alike", `{"IPAddresses":["192.0.2.1"],"ipaddresses":["::/0"]}`, "broken", "4"},
		{"bad mask", `{"IPAddresses":["192.0.2.0/99","::/0"]}`, "broken", "6"},
		{"a range", `{"IPAddresses":["192.0.2.0-192.0.2.9","::/0"]}`, "broken", "6"},
		{"a zone", `{"IPAddresses":["fe80::1%eth0","::/0"]}`, "broken", "6"},
		{"a number", `{"IPAddresses":[1,"::/0"]}`, "broken", "6"},
		{"a fraction", `{"IPAddresses":[192.0,"::/0"]}`, "broken", "6"},
		{"null among them", `{"IPAddresses":[null,"::/0"]}`, "broken", "6"},
		{"true and false", `{"IPAddresses":[true,"::/0",false]}`, "broken", "6"},
		{"an empty entry", `{"IPAddresses":["::/0",""]}`, "broken", "6"},
		{"only a bad one", `{"IPAddresses":["bogus"]}`, "broken", ""},
		{"a list among them", `{"IPAddresses":[["192.0.2.1"],"::/0"]}`, "broken", "broken"},
		{"an empty list behind", `{"IPAddresses":["::/0",[]]}`, "broken", "broken"},
		{"an object among them", `{"IPAddresses":["::/0",{"a":"192.0.2.1"}]}`, "broken", "broken"},
		{"an object for the list", `{"IPAddresses":{"x":"::/0","y":7}}`, "broken", "6"},
		{"an empty object for the list", `{"IPAddresses":{}}`, "broken", ""},
		{"no bits", `{"IPAddresses":["9.9.9.9/0"]}`, "4", "4"},
		{"a zero before the mask", `{"IPAddresses":["192.0.2.0/024"]}`, "broken", "4"},
		{"zeros for a mask", `{"IPAddresses":["::/000"]}`, "broken", "6"},
		{"a zero before a wrong mask", `{"IPAddresses":["192.0.2.1/033"]}`, "broken", ""},
		{"a zero before the mask, IPv6", `{"IPAddresses":["2001:DB8:0::/032"]}`, "broken", "6"},
		{"a mask of IPv6 beyond it", `{"IPAddresses":["2001:db8::/129"]}`, "broken", ""},
		{"an empty mask", `{"IPAddresses":["192.0.2.1/"]}`, "broken", ""},
		{"a mask beyond numbers", `{"IPAddresses":["192.0.2.1/99999999999999999999"]}`, "broken", ""},
		{"a signed mask", `{"IPAddresses":["192.0.2.1/+8","192.0.2.1/-8"]}`, "broken", ""},
		{"a mask with blanks", `{"IPAddresses":["192.0.2.1/ 8","192.0.2.1/8 "]}`, "broken", ""},
		{"a fraction for a mask", `{"IPAddresses":["192.0.2.1/8.0"]}`, "broken", ""},
		{"a netmask", `{"IPAddresses":["192.0.2.1/255.0.0.0"]}`, "broken", ""},
		{"two slashes", `{"IPAddresses":["192.0.2.1/8/9","192.0.2.1//8"]}`, "broken", ""},
		{"zeros in an octet", `{"IPAddresses":["192.000.002.001"]}`, "broken", ""},
		{"blanks around", `{"IPAddresses":[" 192.0.2.1","192.0.2.1 ","192.0.2.1\n"]}`, "broken", ""},
		{"a short form", `{"IPAddresses":["192.2"]}`, "broken", ""},
		{"a zone with a mask", `{"IPAddresses":["2001:db8::%eth0/32"]}`, "broken", ""},
		{"mapped, with a mask", `{"IPAddresses":["::ffff:192.0.2.0/120","::ffff:0:0/96"]}`, "", ""},
		{"IPv4 at the end of IPv6", `{"IPAddresses":["2001:db8::0.0.0.1"]}`, "6", "6"},
		{"an escaped slash", `{"IPAddresses":["192.0.2.0\/24"]}`, "4", "4"},
		{"a line break behind", `{"IPAddresses":["192.0.2.1"]}` + "\n", "4", "4"},
		{"unknown members of all types", `{"IPAddresses":["192.0.2.1"],"a":1e999,"b":{"c":[null]},"\u0000d":"e"}`, "broken", "4"},
		{"no pages", `{"IPAddresses":["192.0.2.1"],"Pages":[]}`, "broken", "4"},
		{"null for pages", `{"IPAddresses":["192.0.2.1"],"Pages":null}`, "broken", "4"},
		{"an object of pages", `{"IPAddresses":["192.0.2.1"],"Pages":{"x":"Main Page"}}`, "broken", "4"},
		{"a bad title", `{"IPAddresses":["192.0.2.1"],"Pages":["<>"]}`, "broken", "4"},
		{"pages alike", `{"IPAddresses":["192.0.2.1"],"pages":"A"}`, "broken", "4"},
		{"a text for pages", `{"IPAddresses":["192.0.2.1"],"Pages":"A"}`, "broken", "broken"},
		{"an empty text for pages", `{"IPAddresses":["192.0.2.1"],"Pages":""}`, "broken", "broken"},
		{"false for pages", `{"IPAddresses":["192.0.2.1"],"Pages":false}`, "broken", "broken"},
		{"a number for pages", `{"IPAddresses":["192.0.2.1"],"Pages":0}`, "broken", "broken"},
		{"a page that is a number", `{"IPAddresses":["192.0.2.1"],"Pages":["A",1]}`, "broken", "broken"},
		{"a page that is null", `{"IPAddresses":["192.0.2.1"],"Pages":[null]}`, "broken", "broken"},
		{"a page that is a list", `{"IPAddresses":["192.0.2.1"],"Pages":[["A"]]}`, "broken", "broken"},
		{"pages twice, last one counts", `{"IPAddresses":["192.0.2.1"],"Pages":"A","Pages":["A"]}`, "broken", "4"},
		{"pages twice, last one broken", `{"IPAddresses":["192.0.2.1"],"Pages":["A"],"Pages":"A"}`, "broken", "broken"},
		{"a comma behind", `{"IPAddresses":["192.0.2.1"],}`, "broken", "broken"},
		{"a comma behind the last", `{"IPAddresses":["192.0.2.1",]}`, "broken", "broken"},
		{"NULL", `{"IPAddresses":["192.0.2.1"],"Pages":NULL}`, "broken", "broken"},
		{"half a pair", `{"IPAddresses":["192.0.2.1"],"Note":"\ud800"}`, "broken", "broken"},
		{"half a pair in a page", `{"IPAddresses":["192.0.2.1"],"Pages":["\udc00"]}`, "broken", "broken"},
		{"half a pair in a name", `{"IPAddresses":["192.0.2.1"],"\ud800":1}`, "broken", "broken"},
		{"bytes that are not UTF-8", `{"IPAddresses":["192.0.2.1"],"Note":"` + "\xff" + `"}`, "broken", "broken"},
		{"a number with a zero before", `{"IPAddresses":["192.0.2.1"],"Note":01}`, "broken", "broken"},
		{"a form feed", "\f" + `{"IPAddresses":["192.0.2.1"]}`, "broken", "broken"},
		{"a byte order mark", "\ufeff" + `{"IPAddresses":["192.0.2.1"]}`, "broken", "broken"},
		{"512 levels", `{"IPAddresses":["192.0.2.1"],"Note":` + strings.Repeat("[", 510) + strings.Repeat("]", 510) + `}`, "broken", "4"},
		{"600 levels", `{"IPAddresses":["192.0.2.1"],"Note":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, "broken", "broken"},
		{"no list", `{"IPAddresses":"0.0.0.0/0"}`, "broken", "broken"},
		{"null", `{"IPAddresses":null}`, "broken", "broken"},
		{"other letters", `{"ipaddresses":["0.0.0.0/0"]}`, "broken", "broken"},
		{"empty object", `{}`, "broken", "broken"},
		{"list", `[]`, "broken", "broken"},
		{"nothing", ``, "broken", "broken"},
		{"cut off", `{"IPAddresses":["0.0.0.0/0"`, "broken", "broken"},
		{"something after it", `{"IPAddresses":["0.0.0.0/0"]} x`, "broken", "broken"},
	} {
		for release, want := range map[Release]string{Release139: tt.strict, Release143: tt.lenient, Release147: tt.lenient} {
			t.Run(tt.name+", "+release.String(), func(t *testing.T) {
				r := ParseRestrictions([]byte(tt.text), release)
				var may []string
				if r.allows(netip.MustParseAddr(inside)) {
					may = append(may, "4")
				}
				if r.allows(netip.MustParseAddr(v6)) {
					may = append(may, "6")
				}
				got := strings.Join(may, " ")
				if r.Broken {
					got = strings.TrimSpace("broken " + got)
				}
				if got != want || r.Everywhere() != (want == "4 6") {
					t.Errorf("got %q, everywhere %v; want %q", got, r.Everywhere(), want)
				}
			})
		}
	}
}

// TestPages has what each release makes of a list of pages.
func TestPages(t *testing.T) {
	for text, want := range map[string][]string{
		`["Main Page","Talk:A"]`: {"Main Page", "Talk:A"},
		`{"b":"B","a":"A"}`:      {"A", "B"},
		`[""]`:                   {""},
		`[]`:                     nil,
		`{}`:                     nil,
		`null`:                   nil,
	} {
		for _, release := range []Release{42, 43, 47} {
			r := ParseRestrictions([]byte(`{"IPAddresses":["::/0"],"Pages":`+text+`}`), release)
			if r.Broken || !slices.Equal(r.Pages, want) || (r.Pages == nil) != (want == nil) {
				t.Errorf("%s, %v: %q, broken %v; want %q", text, release, r.Pages, r.Broken, want)
			}
		}
	}
}

func TestParseGrants(t *testing.T) {
	for text, want := range map[string][]string{
		`["useoauth","editpage"]`:           {"basic", "editpage"},
		`["authonly","authonlyprivate"]`:    {"mwoauth-authonly", "mwoauth-authonlyprivate"},
		`["basic"]`:                         {"basic"},
		`{"0":"useoauth","2":"delete"}`:     {"basic", "delete"},
		`{"a":"x"}`:                         {"x"},
		`["a,sysop"]`:                       {"a,sysop"},
		`["editpage",1,null,["x"],{"a":1}]`: {"editpage"},
		`[]`:                                {},
		`{}`:                                {},
		`null`:                              nil,
		``:                                  nil,
		`"useoauth"`:                        nil,
		`["useoauth"`:                       nil,
		`7`:                                 nil,
	} {
		got, ok := ParseGrants([]byte(text))
		if ok != (want != nil) || !slices.Equal(got, want) || ok && got == nil {
			t.Errorf("%s: %q, %v; want %q", text, got, ok, want)
		}
	}
}

func TestParseExpiry(t *testing.T) {
	for text, want := range map[string]Expiry{
		"infinity":       Never,
		"20231114221320": 1_700_000_000,
		"19700101000000": 0,
	} {
		if got, ok := ParseExpiry([]byte(text)); !ok || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "Infinity", "2023-11-14", "20231314221320", "202311142213200"} {
		if got, ok := ParseExpiry([]byte(text)); ok {
			t.Errorf("%q: %d", text, got)
		}
	}
	if e := Expiry(1_700_000_000); e.After(time.Unix(1_700_000_000, 0)) || !e.After(time.Unix(1_699_999_999, 0)) || !Never.After(time.Unix(1<<40, 0)) {
		t.Error("After is off")
	}
}

func TestParseRelease(t *testing.T) {
	for r := Release135; r <= Release147; r++ {
		if got, err := ParseRelease(r.String()); err != nil || got != r {
			t.Errorf("%v: %v, %v", r, got, err)
		}
	}
	for _, s := range []string{"", "1.", "1.4", "1.039", "1.34", "1.48", "39", "2.39", "1.-39"} {
		if got, err := ParseRelease(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestParseBaseURL(t *testing.T) {
	for s, want := range map[string]string{
		"https://Wiki.example.org":       "https wiki.example.org",
		"https://wiki.example.org:443":   "https wiki.example.org",
		"http://wiki.example.org:80":     "http wiki.example.org",
		"http://wiki.example.org:443":    "http wiki.example.org:443",
		"http://[2001:DB8::80]":          "http [2001:db8::80]",
		"//Wiki.example.org":             "wiki.example.org",
		"///wiki.example.org":            "",
		"wiki.example.org":               "",
		"ftp://wiki.example.org":         "",
		"https://":                       "",
		"https://wiki.example.org/":      "",
		"https://wiki.example.org?":      "",
		"https://user@wiki.example.org":  "",
		"https://wiki.example.org#":      "",
		"https://wiki.example.org:x":     "",
		"https://wiki.example.org/w?a#b": "",

		"https://Api.example.org/Svc":        "https api.example.org /Svc",
		"//api.example.org:80/a/b.c-d_e~":    "api.example.org:80 /a/b.c-d_e~",
		"https://api.example.org:443/%C3%A9": "https api.example.org /%C3%A9",
		"https://api.example.org/svc/":       "",
		"https://api.example.org//svc":       "",
		"https://api.example.org/a/../svc":   "",
		"https://api.example.org/.":          "",
		"https://api.example.org/a b":        "",
		"https://api.example.org/é":          "",
		"https://api.example.org/a\\b":       "",
		"https://api.example.org/%zz":        "",
		"https://user:hunter2@a.example/svc": "",
		"https://a.example/hunter2?":         "",
	} {
		scheme, host, path, err := ParseBaseURL(s)
		if err != nil && strings.Contains(err.Error(), "hunter") {
			t.Errorf("%v quotes", err)
		}
		if got := strings.TrimSpace(scheme + " " + host + " " + path); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", s, got, err, want)
		}
	}
}

func TestRecode(t *testing.T) {
	for _, tt := range []struct{ text, form, plain string }{
		{"abc-._~09AZ", "abc-._~09AZ", "abc-._~09AZ"},
		{"a+b", "a%20b", "a%2Bb"},
		{"%7e%41%2f%c3%a9", "~A%2F%C3%A9", "~A%2F%C3%A9"},
		{"%zz%2", "%25zz%252", "%25zz%252"},
		{"%", "%25", "%25"},
		{"\xff\x00", "%FF%00", "%FF%00"},
		{"%00%2B", "%00%2B", "%00%2B"},
		{"", "", ""},
	} {
		if got := recode(tt.text, true); got != tt.form {
			t.Errorf("form %q: %q, want %q", tt.text, got, tt.form)
		}
		if got := recode(tt.text, false); got != tt.plain {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.plain)
		}
	}
}
