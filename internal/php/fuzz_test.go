package php

import (
	"encoding/json"
	"math"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
)

// minSeeds is how many seeds each target has at least, from the recorded
// requests.
const minSeeds = 100

func addSeeds(f *testing.F, seeds []string) {
	f.Helper()
	if len(seeds) < minSeeds {
		f.Fatalf("%d seeds, want %d", len(seeds), minSeeds)
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
}

// headerPattern is the expression by which the extension reads the header.
var headerPattern = regexp.MustCompile(`(oauth_[a-z_-]*)=(:?"([^"]*)"|([^,]*))`)

// FuzzHeaderParameters: a header is read as by the expression of the extension.
func FuzzHeaderParameters(f *testing.F) {
	addSeeds(f, parity.AuthorizationValues(f))
	f.Fuzz(func(t *testing.T, header string) {
		want := map[string]string{}
		for _, m := range headerPattern.FindAllStringSubmatch(header, -1) {
			value := m[3]
			if Empty(value) {
				value = m[4]
			}
			want[m[1]] = URLDecode(value)
		}
		got := HeaderParameters(header)
		if len(got.Entries) != len(want) {
			t.Fatalf("%q: %d parameters, want %q", header, len(got.Entries), want)
		}
		for _, e := range got.Entries {
			if value, found := want[e.Key.Name]; !found || value != e.Value.Text || e.Value.List != nil {
				t.Fatalf("%q: %s is %q, want %q", header, e.Key.Name, e.Value.Text, value)
			}
		}
	})
}

// FuzzVariables: there are no more parameters and variables than pieces of the
// text, and reading it twice gives the same ones.
func FuzzVariables(f *testing.F) {
	addSeeds(f, parity.Forms(f))
	f.Fuzz(func(t *testing.T, text string) {
		pieces := strings.Count(text, "&") + 1
		parameters, variables := SplitParameters(text), Variables(text)
		if n := size(parameters); n > pieces {
			t.Fatalf("%q: %d parameters of %d pieces", text, n, pieces)
		}
		if n := size(variables); n > min(pieces, maxVariables) {
			t.Fatalf("%q: %d variables of %d pieces", text, n, pieces)
		}
		if !reflect.DeepEqual(variables, Variables(text)) || !reflect.DeepEqual(parameters, SplitParameters(text)) {
			t.Fatalf("%q: read differently the second time", text)
		}
		var merged Array
		merged.Append(parameters)
		merged.Append(variables)
		if n := size(&merged); n > size(parameters)+size(variables) {
			t.Fatalf("%q: %d merged parameters", text, n)
		}
		for _, e := range merged.Entries {
			if value, found := merged.find(e.Key); !found || !reflect.DeepEqual(*value, e.Value) {
				t.Fatalf("%q: the key %v does not lead to its value", text, e.Key)
			}
		}
	})
}

// size counts the values of an array, and of each list its items.
func size(a *Array) (n int) {
	for _, e := range a.Entries {
		n += max(1, len(e.Value.List))
	}
	return n
}

// FuzzMultipartVariables: a part makes at most one variable.
func FuzzMultipartVariables(f *testing.F) {
	seeds := parity.Forms(f)
	for i, text := range seeds {
		seeds[i] = "--b\r\nContent-Disposition: form-data; name=\"" + text + "\"\r\n\r\n" + text + "\r\n--b--\r\n"
	}
	addSeeds(f, seeds)
	f.Fuzz(func(t *testing.T, body string) {
		variables, _ := MultipartVariables([]byte(body), "b")
		if n, parts := size(variables), strings.Count(body, "--b"); n > parts {
			t.Fatalf("%q: %d variables of %d parts", body, n, parts)
		}
	})
}

// FuzzURLDecode: an escaped text decodes to itself, and where Go's decoder finds
// no mistake, both agree.
func FuzzURLDecode(f *testing.F) {
	addSeeds(f, parity.Forms(f))
	f.Fuzz(func(t *testing.T, text string) {
		if got := URLDecode(url.QueryEscape(text)); got != text {
			t.Fatalf("%q comes back as %q", text, got)
		}
		if want, err := url.QueryUnescape(text); err == nil && URLDecode(text) != want {
			t.Fatalf("%q: %q, want %q", text, URLDecode(text), want)
		}
	})
}

// FuzzNumber: a text that is a number begins with that number, and neither
// function returns what cannot be compared.
func FuzzNumber(f *testing.F) {
	for _, text := range []string{"0", " 1", "1 ", "-1.5e3x", "1e999", ".5", "5.", "+", "e1", "0x1", "NAN", "INF", "1_0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		leading, begins := LeadingNumber(text)
		number, is := Number(text)
		if math.IsNaN(leading) || math.IsNaN(number) {
			t.Fatalf("%q is not a number", text)
		}
		if is && (!begins || leading != number) {
			t.Fatalf("%q: %v, and begins with %v", text, number, leading)
		}
	})
}

// FuzzDecodeJSON: what is read is what encoding/json reads, apart from names that
// differ in case and from texts that PHP refuses.
func FuzzDecodeJSON(f *testing.F) {
	addSeeds(f, parity.Restrictions(f))
	for _, text := range []string{`"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `{"a":1,"a":2}`, "1e999", " 1 ", "1 2", "[1,]", "\"\xff\""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := DecodeJSON([]byte(text))
		if err != nil {
			if got != nil {
				t.Fatalf("%q: %v and an error", text, got)
			}
			return
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !reflect.DeepEqual(plain(got), want) {
			t.Fatalf("%q: %v, want %v", text, got, want)
		}
	})
}

// plain returns the value with maps for its objects.
func plain(v any) any {
	switch v := v.(type) {
	case Object:
		m := map[string]any{}
		for name, value := range v {
			m[name] = plain(value)
		}
		return m
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}
