package walls

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// importers has every module of others that our packages import, and the
// packages that may import it. A module that is not here may not be imported, so
// that a new dependency is allowed on purpose. Tests are not bound.
var importers = map[string][]string{
	// Database drivers: the settings that make a connection safe are made in
	// one place for each driver, and a build holds the drivers that it asked
	// for. The private servers for tests connect as their own administrators.
	"github.com/go-sql-driver/mysql": {"store/mysql", "internal/mariadb"},
	"github.com/jackc/pgx/v5":        {"store/postgres", "internal/postgres"},
	"modernc.org/sqlite":             {"store/sqlite"},

	"github.com/caddyserver/caddy/v2":     {"caddymodule/...", "cmd/caddy", "internal/e2e/harness", "internal/golden"},
	"github.com/dgraph-io/ristretto/v2":   {"cache"},
	"github.com/google/go-cmp":            {"internal/golden"},
	"github.com/prometheus/client_golang": {"caddymodule/internal/pools", "caddymodule/server"},
	"github.com/rs/cors":                  {"caddymodule/gateway", "caddymodule/server"},
	"github.com/spf13/cobra":              {"caddymodule/cli"},
	"go.uber.org/zap":                     {"caddymodule/..."},
	"golang.org/x/crypto":                 {"caddymodule/cli"},
	"golang.org/x/text":                   {"caddymodule/internal/pages", "internal/wikipath"},
	"github.com/chromedp/cdproto":         {"internal/browser"},
	"github.com/chromedp/chromedp":        {"internal/browser"},
}

// TestModules holds each import of another module to the list.
func TestModules(t *testing.T) {
	list, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, p := range list {
		if !within(p.ImportPath, module+"/...") {
			continue
		}
		for _, dep := range p.Imports {
			if list[dep].Standard || within(dep, module+"/...") {
				continue
			}
			of, allowed := mayImport(p.ImportPath, dep)
			used[of] = true
			switch {
			case of == "":
				t.Errorf("%s imports %s, which is not on the list of modules", p.ImportPath, dep)
			case !allowed:
				t.Errorf("%s imports %s, which only %q may", p.ImportPath, dep, importers[of])
			}
		}
	}
	for of := range importers {
		if !used[of] {
			t.Errorf("no package imports %s: take it off the list", of)
		}
	}
}

// mayImport returns the module of an imported package, if the list has it, and
// whether the importer may import it.
func mayImport(importer, dep string) (of string, allowed bool) {
	for _, of := range slices.Sorted(maps.Keys(importers)) {
		if within(dep, of+"/...") {
			return of, slices.ContainsFunc(importers[of], func(pattern string) bool {
				return within(importer, path.Join(module, pattern))
			})
		}
	}
	return "", false
}

// TestModulesCanBeRefused holds the list to imports that it must refuse.
func TestModulesCanBeRefused(t *testing.T) {
	for of, allowed := range importers {
		for _, importer := range []string{"validator", "store", "store/storetest", "authserver"} {
			if _, ok := mayImport(module+"/"+importer, of+"/sub"); ok {
				t.Errorf("%s may import %s", importer, of)
			}
		}
		importer := strings.TrimSuffix(allowed[0], "/...")
		if found, ok := mayImport(module+"/"+importer, of); !ok || found != of {
			t.Errorf("%s may not import %s", importer, of)
		}
	}
	if _, ok := mayImport(module+"/store/mysql", "example.com/driver"); ok {
		t.Error("a module that is not on the list may be imported")
	}
}
