package php

import (
	"strings"
	"testing"
)

func TestLeadingNumber(t *testing.T) {
	for text, want := range map[string]float64{
		"1700000000": 1.7e9, "+1700000000": 1.7e9, " 1700000000": 1.7e9, "1700000000 ": 1.7e9, "001700000000": 1.7e9,
		"1.7e9": 1.7e9, "1700000000.5": 1700000000.5, "1700000000abc": 1.7e9, "1700000000,000": 1.7e9, "1700000000\n": 1.7e9,
		"17e8x": 1.7e9, "-1": -1, ".5": .5, "5.": 5, "1e": 1, "1e+": 1, "1e1": 10, "0x1A": 0,
	} {
		if got, ok := LeadingNumber(text); !ok || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"abc", "INF", "NAN", "", ".", "+", "e5", "- 1", "\x001"} {
		if got, ok := LeadingNumber(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestSplitTarget(t *testing.T) {
	for target, want := range map[string]string{
		"/api.php?a=1":               "/api.php ? a=1",
		"///api.php":                 "/api.php ? ",
		"/x/../api.php":              "/x/../api.php ? ",
		"/api.php?a=1#b?c":           "",
		"/api.php#":                  "",
		"http://h:80//w/api.php?a=b": "/w/api.php ? a=b",
		"/?":                         "/ ? ",
		"/api.php?a?b":               "/api.php ? a?b",
		"*":                          "",
		"http://h":                   "",
		"http:///x":                  "",
		"http://h?b=c&d=/w/api.php":  "", // its path is empty, and what is behind the slash its query
		"http://h?b=/":               "",
		"http:/x?b=://h/w/api.php":   "",
	} {
		path, query, ok := SplitTarget(target)
		if got := strings.TrimLeft(path+" ? "+query, "?"); ok && got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", target, got, ok, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for text, want := range map[string]float64{"1": 1, " 1": 1, "1 ": 1, "1e3": 1000, "-.5": -.5, "\v1\f": 1} {
		if got, ok := Number(text); !ok || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", " ", "1x", "x1", "1 2", "0x1", "1e999", "INF"} {
		if got, ok := Number(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestURLDecode(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "a", "a+b": "a b", "%2B": "+", "%2b": "+", "%": "%", "%2": "%2", "%zz": "%zz", "%%41": "%A", "%0g": "%0g", "%g0": "%g0", "%e9%00": "\xe9\x00",
	} {
		if got := URLDecode(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestDecodeJSON(t *testing.T) {
	deep := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
	for _, text := range []string{`"\ud83d\ude00"`, `{"EXP":1}`, "null", " 1 ", deep(511)} {
		if _, err := DecodeJSON([]byte(text)); err != nil {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	for _, text := range []string{`"\ud83d"`, `"\ud83dx"`, `"\ude00\ud83d"`, "\"\xff\"", "", "1 2", "[1,]", "{1:2}", deep(512)} {
		if v, err := DecodeJSON([]byte(text)); err == nil {
			t.Errorf("%.40q: %v", text, v)
		}
	}
	v, err := DecodeJSON([]byte(`{"b":1,"a":2,"b":3}`))
	if o, ok := v.(Object); err != nil || !ok || len(o) != 2 || o["b"] != o.Values()[1] {
		t.Errorf("%v, %v", v, err)
	}
}

func TestBase64Decode(t *testing.T) {
	for text, want := range map[string]string{"YWI=": "ab", "YWI": "ab", " Y!W\nI=": "ab", "YWJjZ": "abc", "": ""} {
		if got, ok := Base64Decode(text); !ok || string(got) != want {
			t.Errorf("%q: %q, %v; want %q", text, got, ok, want)
		}
	}
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{"Bearer x": "x", "Bearer\tx ": "x", "Bearer  x\x00": "x", "Bearerx": "Bearerx", "Bearer": "Bearer"} {
		if got := Bearer(header); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}
