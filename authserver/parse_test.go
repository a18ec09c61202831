package authserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSeal(t *testing.T) {
	key := func(c string) []byte { return []byte(strings.Repeat(c, sealKeySize)) }
	old, err := newSealer([][]byte{key("a")}, "x")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := old.seal(sealCode, code{Client: "c", UserID: 7})
	if err != nil {
		t.Fatal(err)
	}
	rotated, _ := newSealer([][]byte{key("b"), key("a")}, "x")
	var c code
	if err := rotated.open(sealCode, sealed, &c); err != nil || c.UserID != 7 {
		t.Errorf("after a rotation: %+v, %v", c, err)
	}
	other, _ := newSealer([][]byte{key("a")}, "y")
	stranger, _ := newSealer([][]byte{key("b")}, "x")
	for name, err := range map[string]error{
		"another purpose": old.open(sealRefresh, sealed, &c),
		"another scope":   other.open(sealCode, sealed, &c),
		"another key":     stranger.open(sealCode, sealed, &c),
		"cut off":         old.open(sealCode, sealed[:len(sealed)-1], &c),
		"empty":           old.open(sealCode, "", &c),
		"huge":            old.open(sealCode, strings.Repeat("A", maxSealed+1), &c),
	} {
		if !errors.Is(err, errSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range len(sealed) {
		flipped := []byte(sealed)
		flipped[i] ^= 1
		if old.open(sealCode, string(flipped), &c) == nil {
			t.Fatalf("opened with byte %d changed", i)
		}
	}
	if again, _ := old.seal(sealCode, code{Client: "c", UserID: 7}); again == sealed {
		t.Error("two seals of one value are the same")
	}
	if _, err := newSealer([][]byte{key("a")[:31]}, ""); err == nil {
		t.Error("a short key is taken")
	}
}

func FuzzOpen(f *testing.F) {
	s, err := newSealer([][]byte{[]byte(strings.Repeat("k", sealKeySize))}, "x")
	if err != nil {
		f.Fatal(err)
	}
	ours := code{Client: "sealed here", UserID: 7} // other processes of the fuzzer seal it otherwise
	sealed, _ := s.seal(sealCode, ours)
	for _, seed := range []string{"", "xyz", sealed, sealed[1:], strings.ToUpper(sealed), sealed + "\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c code
		if s.open(sealCode, text, &c) == nil && (c.Client != ours.Client || c.UserID != ours.UserID || strings.ContainsAny(text, "\r\n")) {
			t.Errorf("opened %q", text)
		}
	})
}

func FuzzParams(f *testing.F) {
	for _, seed := range []string{"", "a=1&b=2", "a=1&a=2", "a[]=1", "a=%zz", "=x", "&&&", "a", "a=b=c", "a=+%2B", "a%5B%5D=1", "%61=1&a=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseParams(raw)
		if err != nil {
			return
		}
		if len(p) > strings.Count(raw, "&")+1 {
			t.Errorf("%q: %d parameters", raw, len(p))
		}
		for name := range p {
			if strings.Contains(name, "[") {
				t.Errorf("%q: the list %q was taken", raw, name)
			}
		}
	})
}

func TestParams(t *testing.T) {
	for raw, repeated := range map[string]string{
		"code=1&code=2": "code", "c%6fde=1&code=2": "code", "state[]=x": "state", "state[a]=x": "state", "scope=%zz": "scope",
	} {
		_, err := parseParams(raw)
		if e, ok := errors.AsType[*paramError](err); !ok || e.name != repeated {
			t.Errorf("%q: %v", raw, err)
		}
	}
	if p, err := parseParams("a=1&a=2&b[]=x&c=%zz&state=s"); err != nil || len(p) != 1 || p["state"] != "s" {
		t.Errorf("what nothing here reads is not left out: %v, %v", p, err)
	}
	var many strings.Builder
	for i := range maxParams + 1 {
		fmt.Fprintf(&many, "p%d=&", i)
	}
	if _, err := parseParams(many.String()); !errors.Is(err, errTooManyParams) {
		t.Errorf("%v", err)
	}
}

func TestGrantList(t *testing.T) {
	for raw, want := range map[string][2]string{
		`["useoauth","editpage"]`:         {`["basic","editpage"]`, `["useoauth","editpage"]`},
		`{"0":"useoauth","2":"editpage"}`: {`{"0":"basic","2":"editpage"}`, `{"0":"useoauth","2":"editpage"}`},
		`{"0":"authonly"}`:                {`["mwoauth-authonly"]`, `["authonly"]`},
		`[]`:                              {`[]`, `[]`},
	} {
		g, ok := ParseGrantList([]byte(raw))
		shown, err := g.MarshalJSON()
		if !ok || err != nil || string(shown) != want[0] || g.Stored() != want[1] {
			t.Errorf("%s: %t, %s, %s", raw, ok, shown, g.Stored())
		}
	}
	if _, ok := ParseGrantList([]byte(`"useoauth"`)); ok {
		t.Error("a text is taken for a list")
	}
}

func TestMicroseconds(t *testing.T) {
	for nano, want := range map[int]rawJSON{123456789: "7.123456", 100_000_000: "7.1", 0: "7.000001", 999: "7.000001"} {
		if got := microseconds(time.Unix(7, int64(nano))); got != want {
			t.Errorf("%d ns: %s, want %s", nano, got, want)
		}
	}
}

// Each parameter that the package reads is known as its own.
func TestOwnParams(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range paramUse.FindAllStringSubmatch(string(text), -1) {
			if found++; !slices.Contains(ownParams, m[1]) {
				t.Errorf("%s reads %q, which is left out of every query and form", file, m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d uses were found", found)
	}
}

var paramUse = regexp.MustCompile(`\b(?:p|form)(?:\[|\.get\()"(\w+)"`)
