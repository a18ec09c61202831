package gateway

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
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew, to be read before they are committed")

const goldenMark = "----------\n"

// golden reads the pairs of Caddyfile and JSON, or of Caddyfile and error.
func golden(tb testing.TB) map[string][2]string {
	tb.Helper()
	paths, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no golden files: %v", err)
	}
	all := make(map[string][2]string)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		input, want, _ := strings.Cut(string(content), goldenMark)
		all[path] = [2]string{input, want}
	}
	return all
}

// adapt gives the JSON that a Caddyfile becomes, or the error that it is
// refused with.
func adapt(input string) (config []byte, text string) {
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

func TestCaddyfile(t *testing.T) {
	for path, pair := range golden(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".caddyfiletest"), func(t *testing.T) {
			config, got := adapt(pair[0])
			if *update {
				if err := os.WriteFile(path, []byte(pair[0]+goldenMark+got), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if got != pair[1] {
				t.Errorf("- golden file, + now:\n%s", cmp.Diff(strings.Split(pair[1], "\n"), strings.Split(got, "\n")))
			}
			if isError := strings.HasPrefix(filepath.Base(path), "error_"); isError != (config == nil) {
				t.Errorf("error: %v, but the file's name says %v", config == nil, isError)
			}
			if strings.Contains(got, "hunter") {
				t.Errorf("a secret is quoted:\n%s", got)
			}
		})
	}
}

// handlersIn decodes the oauth handlers of an adapted configuration, strictly,
// as Caddy does.
func handlersIn(tb testing.TB, config []byte) []*Handler {
	tb.Helper()
	var found []*Handler
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if v["handler"] == "oauth" {
				delete(v, "handler")
				raw, _ := json.Marshal(v)
				found = append(found, decodeHandler(tb, raw))
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

func decodeHandler(tb testing.TB, raw []byte) *Handler {
	tb.Helper()
	h := new(Handler)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(h); err != nil {
		tb.Fatalf("%v in %s", err, raw)
	}
	return h
}

func TestJSONRoundTrip(t *testing.T) {
	seen := 0
	for path, pair := range golden(t) {
		config, _ := adapt(pair[0])
		if config == nil {
			continue
		}
		for _, h := range handlersIn(t, config) {
			seen++
			raw, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			if again := decodeHandler(t, raw); !reflect.DeepEqual(again, h) {
				t.Errorf("%s: %s came back as something else", path, raw)
			}
		}
	}
	if seen < 5 {
		t.Errorf("%d handlers seen", seen)
	}
}

func FuzzCaddyfile(f *testing.F) {
	for _, pair := range golden(f) {
		f.Add(pair[0])
		// Each directive with one line taken out, or cut off, is a seed too.
		lines := strings.SplitAfter(pair[0], "\n")
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
		h := new(Handler)
		if err := h.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)); err == nil {
			raw, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			if again := decodeHandler(t, raw); !reflect.DeepEqual(again, h) {
				t.Fatalf("%s came back as something else", raw)
			}
		}
		if strings.Contains(input, "import") {
			return // reads files
		}
		config, text := adapt(input)
		if config == nil {
			return
		}
		if _, again := adapt(input); again != text {
			t.Fatalf("adapted twice:\n%s\n%s", text, again)
		}
		for _, h := range handlersIn(t, config) {
			raw, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			if again := decodeHandler(t, raw); !reflect.DeepEqual(again, h) {
				t.Fatalf("%s came back as something else", raw)
			}
		}
	})
}
