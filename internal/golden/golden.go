// Package golden holds the Caddyfiles of a module to the JSON that they become,
// or to the error that they are refused with.
//
// Each file testdata/x.caddyfiletest of the package under test has a Caddyfile, a
// line of ten hyphens, and the JSON or the error. The name of a file with an error
// begins with "error_". The flag -update writes what stands behind the line anew.
package golden

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // registers the adapter and the handlers of the files
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew, to be read before they are committed")

const (
	line = "----------\n"
	end  = ".caddyfiletest"
	// Secret is a part of every secret in the files. No error may quote it.
	Secret = "hunter"
)

// Pair is what a file holds.
type Pair struct{ Caddyfile, Want string }

// Files returns the pairs by the names of their files, without directory and
// ending.
func Files(tb testing.TB) map[string]Pair {
	tb.Helper()
	paths, err := filepath.Glob("testdata/*" + end)
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no golden files: %v", err)
	}
	all := make(map[string]Pair)
	for _, path := range paths {
		content, err := os.ReadFile(path) //nolint:gosec // a file of the test's own
		if err != nil {
			tb.Fatal(err)
		}
		input, want, _ := strings.Cut(string(content), line)
		all[strings.TrimSuffix(filepath.Base(path), end)] = Pair{input, want}
	}
	return all
}

// Adapt returns the JSON that a Caddyfile becomes, and its indented text, or nil
// and the error that it is refused with.
func Adapt(input string) (config []byte, text string) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, err.Error() + "\n"
	}
	var out bytes.Buffer
	if err := json.Indent(&out, config, "", "\t"); err != nil {
		return nil, err.Error()
	}
	return config, out.String() + "\n"
}

// Test adapts the Caddyfile of each file and compares.
func Test(t *testing.T) {
	t.Helper()
	for name, pair := range Files(t) {
		t.Run(name, func(t *testing.T) {
			config, got := Adapt(pair.Caddyfile)
			if *update {
				if err := os.WriteFile("testdata/"+name+end, []byte(pair.Caddyfile+line+got), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if got != pair.Want {
				t.Errorf("- golden file, + now:\n%s", cmp.Diff(strings.Split(pair.Want, "\n"), strings.Split(got, "\n")))
			}
			isError := strings.HasPrefix(name, "error_")
			if isError != (config == nil) {
				t.Errorf("error: %v, but the file's name says %v", config == nil, isError)
			}
			if isError && strings.Contains(got, Secret) {
				t.Errorf("a secret is quoted:\n%s", got)
			}
		})
	}
}

// Decode reads the JSON of a handler, strictly, as Caddy does.
func Decode[H any](tb testing.TB, raw []byte) *H {
	tb.Helper()
	h := new(H)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(h); err != nil {
		tb.Fatalf("%v in %s", err, raw)
	}
	return h
}

// Handlers decodes the handlers of a name in an adapted configuration.
func Handlers[H any](tb testing.TB, config []byte, name string) (found []*H) {
	tb.Helper()
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if v["handler"] == name {
				delete(v, "handler")
				raw, err := json.Marshal(v)
				if err != nil {
					tb.Fatal(err)
				}
				found = append(found, Decode[H](tb, raw))
			}
			for _, item := range v {
				walk(item)
			}
		}
	}
	var v any
	if err := json.Unmarshal(config, &v); err != nil {
		tb.Fatal(err)
	}
	walk(v)
	return found
}

// RoundTrip fails if a handler does not come back from its JSON as it was.
func RoundTrip[H any](tb testing.TB, h *H) {
	tb.Helper()
	raw, err := json.Marshal(h)
	if err != nil {
		tb.Fatal(err)
	}
	if again := Decode[H](tb, raw); !reflect.DeepEqual(again, h) {
		tb.Fatalf("%s came back as something else", raw)
	}
}

// TestRoundTrips takes the handlers of all files through their JSON. It fails if
// there are fewer of them than least.
func TestRoundTrips[H any](t *testing.T, name string, least int) {
	t.Helper()
	seen := 0
	for _, pair := range Files(t) {
		config, _ := Adapt(pair.Caddyfile)
		if config == nil {
			continue
		}
		for _, h := range Handlers[H](t, config, name) {
			seen++
			RoundTrip(t, h)
		}
	}
	if seen < least {
		t.Errorf("%d handlers seen, want %d", seen, least)
	}
}

// Fuzz reads Caddyfiles, with those of the files as seeds: each as it is, and with
// one line taken out.
func Fuzz[H any, P interface {
	*H
	caddyfile.Unmarshaler
}](f *testing.F, name string) {
	for _, pair := range Files(f) {
		f.Add(pair.Caddyfile)
		lines := strings.SplitAfter(pair.Caddyfile, "\n")
		for i := range lines {
			f.Add(strings.Join(lines[:i], "") + strings.Join(lines[i+1:], ""))
		}
	}
	f.Fuzz(func(t *testing.T, input string) {
		tokens, err := caddyfile.Tokenize([]byte(input), "Caddyfile")
		if err != nil || len(tokens) == 0 {
			return
		}
		// By itself, without Caddy's own parser before it, the directive sees
		// blocks that do not end.
		h := new(H)
		if err := P(h).UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)); err == nil {
			RoundTrip(t, h)
		}
		if strings.Contains(input, "import") {
			return // reads files
		}
		config, text := Adapt(input)
		if config == nil {
			return
		}
		if _, again := Adapt(input); again != text {
			t.Fatalf("adapted twice:\n%s\n%s", text, again)
		}
		for _, h := range Handlers[H](t, config, name) {
			RoundTrip(t, h)
		}
	})
}
