package idheaders

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestEncoding(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "",
		"Example user":            "Example user",
		"Özdemir":                 "%C3%96zdemir",
		"100%":                    "100%25",
		"a,b":                     "a,b",
		" a  b  ":                 "%20a  b%20%20",
		"   ":                     "%20%20%20",
		"a\r\nX-OAuth-User-Id: 1": "a%0D%0AX-OAuth-User-Id: 1",
		"\x00\t\x7f\xff~":         "%00%09%7F%FF~",
	} {
		if got := Encode(in); got != want {
			t.Errorf("Encode(%q) is %q, want %q", in, got, want)
		}
		if want := strings.ReplaceAll(want, ",", "%2C"); EncodeList([]string{in}) != want {
			t.Errorf("EncodeList of %q is %q, want %q", in, EncodeList([]string{in}), want)
		}
	}
	if got := EncodeList([]string{"a,sysop", " b", "c"}); got != "a%2Csysop,%20b,c" {
		t.Errorf("got %q", got)
	}
}

func TestStrippingAllocatesNothing(t *testing.T) {
	h := New("X-OAuth-", true)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{
		"Accept": {"*/*"}, "Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}, "User-Agent": {"x"}, "X-Forwarded-For": {"10.0.0.1"}, "Authorization": {"x"},
	}
	if allocs := testing.AllocsPerRun(100, func() { h.Strip(r) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
