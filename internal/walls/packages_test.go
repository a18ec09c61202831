package walls

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayUse has every package that is shipped, and those of our packages that it may
// import. A package that is not here may import none, so that a new dependency is
// allowed on purpose. Tests and test helpers are not bound.
var mayUse = map[string][]string{
	// What embedders take in, and what decides. It grows by no accident.
	"internal/php":      {},
	"internal/wikipath": {},
	"validator":         {"internal/php"},
	"authserver":        {"validator", "internal/php", "internal/wikipath"},
	"cache":             {"validator"},
	"cache/nonces":      {"validator"},

	// store reads. store/grants writes, so only the issuer imports it: no
	// mistake in the directive oauth may reach the tables.
	"store":          {"validator"},
	"store/grants":   {"authserver", "store", "validator"},
	"store/mysql":    {"store", "validator"},
	"store/postgres": {"store", "validator"},
	"store/sqlite":   {"store", "validator"},

	// What knows Caddy. The helpers are below config and pools, and those below
	// the directives and the command, which do not import each other.
	"caddymodule/internal/grammar":   {},
	"caddymodule/internal/logs":      {},
	"caddymodule/internal/idheaders": {"validator"},
	"caddymodule/internal/outcome":   {"caddymodule/internal/idheaders", "caddymodule/internal/logs", "store", "validator"},
	"caddymodule/internal/pages":     {"authserver"},
	"caddymodule/internal/sent":      {"validator"},
	"caddymodule/config":             {"cache", "caddymodule/internal/grammar", "store", "validator"},
	"caddymodule/internal/pools":     {"cache", "cache/nonces", "caddymodule/config", "store", "validator"},
	"caddymodule/gateway":            {"caddymodule/config", "caddymodule/internal/...", "internal/wikipath", "validator"},
	"caddymodule/server": {
		"authserver", "cache", "caddymodule/config", "caddymodule/internal/...", "internal/wikipath", "store", "store/grants", "validator",
	},
	"caddymodule/cli": {"caddymodule/internal/grammar", "internal/sign", "internal/wikidb", "validator"},
	"caddymodule":     {"caddymodule/cli", "caddymodule/gateway", "caddymodule/server"},

	"internal/sign":   {},
	"internal/wikidb": {"validator"},
	"":                {"caddymodule", "store/mysql"},
	"cmd/caddy":       {"", "store/postgres", "store/sqlite"},
}

// helpers are packages of tests and their support.
var helpers = []string{"internal/...", "store/storetest"}

// TestPackages holds the imports of our own packages to the list.
func TestPackages(t *testing.T) {
	list, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range list {
		name, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		name = strings.TrimPrefix(name, "/")
		allowed, bound := mayUse[name]
		if !bound {
			if !matches(name, helpers) {
				t.Errorf("%s is not on the list of what packages may import", p.ImportPath)
			}
			continue
		}
		seen[name] = true
		for _, dep := range p.Imports {
			if !within(dep, module+"/...") {
				continue
			}
			if used := strings.TrimPrefix(strings.TrimPrefix(dep, module), "/"); !matches(used, allowed) {
				t.Errorf("%s imports %s, which it may not: allow it on purpose, or move what it needs", p.ImportPath, dep)
			}
		}
	}
	for name := range mayUse {
		if !seen[name] {
			t.Errorf("there is no package %q", name)
		}
	}
}

func matches(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return within(name, pattern) })
}

// TestDrivers holds the list of importers to the source: whoever calls
// store.Register, and no other package that is shipped, imports a driver.
func TestDrivers(t *testing.T) {
	var registering []string
	for _, name := range slices.Sorted(maps.Keys(mayUse)) {
		files, err := filepath.Glob(filepath.Join(root, name, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") && callsRegister(t, file) {
				registering = append(registering, name)
				break
			}
		}
	}
	var importing []string
	for _, of := range []string{"github.com/go-sql-driver/mysql", "github.com/jackc/pgx/v5", "modernc.org/sqlite"} {
		for _, name := range importers[of] {
			if !matches(name, helpers) {
				importing = append(importing, path.Clean(name))
			}
		}
	}
	slices.Sort(importing)
	if !slices.Equal(registering, importing) || len(registering) < 3 {
		t.Errorf("%q register a driver, and %q may import one", registering, importing)
	}
}

func callsRegister(t *testing.T, file string) (found bool) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if of, ok := call.Fun.(*ast.SelectorExpr); ok && of.Sel.Name == "Register" {
				if name, ok := of.X.(*ast.Ident); ok && name.Name == "store" {
					found = true
				}
			}
		}
		return true
	})
	return found
}
