package server

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

	_ "github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/gateway" // registers oauth and its global option
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/mysql"         // registers the driver
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

// adapt returns the JSON that a Caddyfile becomes, or the error that it is refused
// with.
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
				t.Errorf("got:\n%s\nwant:\n%s", got, pair[1])
			}
			if isError := strings.HasPrefix(filepath.Base(path), "error_"); isError != (config == nil) {
				t.Errorf("error: %v, but the file's name says %v", config == nil, isError)
			}
			if strings.HasPrefix(filepath.Base(path), "error_") && strings.Contains(got, "hunter") {
				t.Errorf("a secret is quoted:\n%s", got)
			}
		})
	}
}

// decode reads the JSON of a handler, strictly, as Caddy does.
func decode(tb testing.TB, raw []byte) *Handler {
	tb.Helper()
	h := new(Handler)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(h); err != nil {
		tb.Fatalf("%v in %s", err, raw)
	}
	return h
}

// handlersIn decodes the oauth_server handlers of an adapted configuration.
func handlersIn(tb testing.TB, config []byte) (found []*Handler) {
	tb.Helper()
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if v["handler"] == "oauth_server" {
				delete(v, "handler")
				raw, _ := json.Marshal(v)
				found = append(found, decode(tb, raw))
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

// A configuration that holds everything sets every field of JSON, and comes back as
// it was.
func TestEverySettingHasAField(t *testing.T) {
	config, text := adapt(golden(t)["testdata/everything.caddyfiletest"][0])
	if config == nil {
		t.Fatal(text)
	}
	all := handlersIn(t, config)
	if len(all) != 1 {
		t.Fatalf("%d handlers", len(all))
	}
	v := reflect.ValueOf(all[0]).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && v.Field(i).IsZero() && f.Name != "Wikis" {
			t.Errorf("%s is not set", f.Name)
		}
	}
	raw, err := json.Marshal(all[0])
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(decode(t, raw), all[0]) {
		t.Errorf("%s came back as something else", raw)
	}
}

// Whatever the directive takes is in the comment of its grammar, in
// Caddyfile.example and, as a field, in the godoc.
func TestGrammarIsDocumented(t *testing.T) {
	source, err := os.ReadFile("caddyfile.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, _, _ := strings.Cut(string(source), "func (h *Handler) UnmarshalCaddyfile")
	example, err := os.ReadFile("../../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	_, own, found := strings.Cut(string(example), "oauth_server")
	if !found {
		t.Fatal("Caddyfile.example has no oauth_server")
	}
	all := new(Handler).subdirectives()
	for name := range all {
		line := "//\t    " + name
		if !strings.Contains(comment, line+" ") && !strings.Contains(comment, line+"\n") && name != "messages" {
			t.Errorf("%s is not in the comment of UnmarshalCaddyfile", name)
		}
	}
	for name := range new(Handler).issuingSubdirectives() {
		if !strings.Contains(own, "\t"+name+" ") && !strings.Contains(own, "\t"+name+"\n") && name != "messages" {
			t.Errorf("%s is not in Caddyfile.example", name)
		}
	}
}

func FuzzCaddyfile(f *testing.F) {
	for _, pair := range golden(f) {
		f.Add(pair[0])
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
		// By itself, without Caddy's own parser before it, the directive sees blocks that do not end.
		h := new(Handler)
		if err := h.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)); err == nil {
			raw, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(decode(t, raw), h) {
				t.Fatalf("%s came back as something else", raw)
			}
		}
	})
}
