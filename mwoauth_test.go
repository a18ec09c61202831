package mwoauth_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mwoauth/caddy-mwoauth"
)

// adapt turns a Caddyfile into JSON, with no warning.
func adapt(t *testing.T, name, text string) string {
	t.Helper()
	out, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": name})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, w := range warnings {
		t.Errorf("%s: %v", name, w)
	}
	return string(out)
}

func TestExampleAdapts(t *testing.T) {
	text, err := os.ReadFile("Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	out := adapt(t, "Caddyfile.example", string(text))
	if n := strings.Count(out, `"handler":"oauth"`); n != 5 {
		t.Errorf("%d oauth handlers, want 5", n)
	}
	if n := strings.Count(out, `"handler":"oauth_server"`); n != 1 {
		t.Errorf("%d oauth_server handlers, want 1", n)
	}
	// It explains every subdirective: those that the module's own documentation
	// lists.
	source, err := os.ReadFile(filepath.Join("caddymodule", "gateway", "caddyfile.go"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^//\t {4,}([a-z_]+)\b`).FindAllStringSubmatch(string(source), -1)
	if len(lines) < 25 {
		t.Fatalf("only %d subdirectives found in the documentation of UnmarshalCaddyfile", len(lines))
	}
	for _, line := range lines {
		if !regexp.MustCompile(`(?m)^\s*` + line[1] + `\b|\b` + line[1] + ` [0-9]`).Match(text) {
			t.Errorf("Caddyfile.example does not show %s", line[1])
		}
	}
}

// TestDocumentedCaddyfilesAdapt adapts every Caddyfile in README and docs.
func TestDocumentedCaddyfilesAdapt(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```caddyfile\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			found++
			config := block[1]
			if strings.HasPrefix(strings.TrimSpace(config), "@") { // a part of a site
				config = "wiki.example.org {\n" + config + "\trespond @browser 401\n}\n"
			}
			if !strings.HasPrefix(config, "{") && !strings.Contains(config, "store ") { // it leans on the settings before it
				config = "{\n\toauth {\n\t\tstore mysql x@/y\n\t\twiki enwiki\n\t\tmediawiki 1.39\n\t\tsecret_key none\n\t}\n}\n" + config
			}
			adapt(t, page, config)
		}
	}
	if found < 4 {
		t.Errorf("%d Caddyfiles found in the pages", found)
	}
}
