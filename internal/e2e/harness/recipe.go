package harness

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Recipe returns the Caddyfile of a page of the documentation that holds the
// text, whole, for Options.Recipe.
func Recipe(tb testing.TB, page, holds string) string {
	tb.Helper()
	text, err := os.ReadFile(page) //nolint:gosec // a page of the documentation
	if err != nil {
		tb.Fatal(err)
	}
	var found []string
	for _, block := range regexp.MustCompile("(?s)```caddyfile\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(block[1], holds) {
			found = append(found, block[1])
		}
	}
	if len(found) != 1 {
		tb.Fatalf("%d Caddyfiles in %s hold %q", len(found), page, holds)
	}
	return found[0]
}

// recipeFrame is what a test needs besides the recipe.
const recipeFrame = `{
	admin off
	persist_config off
	grace_period 1s
	default_bind 127.0.0.1
	auto_https off
	log default {
		output file {$LOG} {
			roll_disabled
		}
		level DEBUG
	}
`

// recipe replaces what a recipe cannot have: the address of its site and of the
// backend, and the files with the keys.
func (g *Gateway) recipe(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	text := g.options.Recipe
	for _, part := range []struct{ old, with string }{
		{"{\n\toauth {", strings.ReplaceAll(recipeFrame, "{$LOG}", g.log) + "\toauth {"},
		{"/run/secrets/oauth-dsn", file("dsn", g.Wiki.DSN)},
		{"/run/secrets/oauth-secret-key", file("key", g.Wiki.SiteKey)},
		{"/etc/mediawiki/oauth2-public.pem", file("issuer.pem", PublicPEM(&g.Wiki.IssuerKey.PublicKey))},
		{"mediawiki 1.43", "mediawiki " + g.Wiki.Release.String()},
		{"https://wiki.example.org", "http://" + g.HTTP},
		{"\nwiki.example.org {", "\nhttp://:" + ports().http + " {"},
		{"127.0.0.1:8081", g.Backend.Addr},
	} {
		if !strings.Contains(text, part.old) {
			tb.Fatalf("the recipe has no %q", part.old)
		}
		text = strings.ReplaceAll(text, part.old, part.with)
	}
	return text
}
