package walls

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/caddy-mwoauth/caddy-mwoauth"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath   string
	Standard     bool
	Imports      []string // by its own files
	Deps         []string // by any package that it needs
	TestImports  []string
	XTestImports []string
}

// packages lists the packages of the module and all that they need, by import path.
var packages = sync.OnceValues(func() (map[string]pkg, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps,TestImports,XTestImports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(err, errors.New(stderr.String()))
	}
	list := map[string]pkg{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		list[p.ImportPath] = p
	}
})

// wall is one rule about imports.
type wall struct {
	name    string
	of      string   // packages that it binds: paths in the module; "x/..." is x and all below it
	direct  bool     // only their own imports count, not what these import in turn
	forbid  []string // import paths; "x/..." is x and all below it, "..." is everything outside the standard library
	but     []string // allowed all the same
	because string
}

const (
	caddyTree = "github.com/caddyserver/..."
	ristretto = "github.com/dgraph-io/ristretto/..."
	mysql     = "github.com/go-sql-driver/mysql"
	sqlite    = "modernc.org/..."
	postgres  = "github.com/jackc/..."
	php       = module + "/internal/php"

	testSupport = "of " + module + "/store/storetest" // a conformance suite, for tests to import
)

var walls = []wall{
	{
		name: "validator imports the standard library and internal/php only", of: "validator/...",
		forbid: []string{"..."}, but: []string{module + "/validator/...", php},
		because: "whoever embeds the core takes in nothing else, and whoever reviews it reads nothing else",
	},
	{
		name: "internal/php imports the standard library only", of: "internal/php",
		forbid: []string{"..."}, but: []string{php},
		because: "it is a part of the validator that others may use too",
	},
	{
		name: "validator knows no SQL", of: "validator/...",
		forbid:  []string{"database/sql/..."},
		because: "the core decides on facts; where they come from is the store's to know",
	},
	{
		name: "validator does not log", of: "validator/...", direct: true,
		forbid:  []string{"log", "log/slog/..."},
		because: "the core returns what it found out; a logger next to secrets leaks them one day",
	},
	{
		name: "cache knows neither store nor Caddy", of: "cache/...",
		forbid: []string{module + "/store/...", module + "/caddymodule/...", module + "/internal/...", caddyTree, "database/sql/..."}, but: []string{php},
		because: "it decorates any validator.Store, and must work without the rest",
	},
	{
		name: "store knows neither cache nor Caddy", of: "store/...",
		forbid: []string{module + "/cache/...", module + "/caddymodule/...", module + "/internal/...", caddyTree, ristretto}, but: []string{testSupport, php},
		because: "it answers what the tables say now; who remembers the answer is not its business",
	},
	{
		name: "store has no driver of its own", of: "store",
		forbid:  []string{mysql, sqlite, postgres},
		because: "a driver comes in by its own sub-package, so that a build holds only those it asked for",
	},
	{
		name: "only the issuer can write", of: "...", direct: true,
		forbid: []string{module + "/store/grants/..."}, but: []string{"of " + module + "/caddymodule/server"},
		because: "`oauth` reads: no mistake in it may reach the tables, or ask for an account that writes",
	},
	{
		name: "caddymodule is imported by mwoauth.go only", of: "...", direct: true,
		forbid: []string{module + "/caddymodule/..."}, but: []string{"of " + module, "of " + module + "/caddymodule/..."},
		because: "what only Caddy needs stays where Caddy is known",
	},
	{
		name: "xcaddy's package holds the driver of MySQL only", of: "",
		forbid:  []string{sqlite, module + "/store/sqlite", module + "/store/postgres"},
		because: "other databases come by their own --with, and an embedded one has several megabytes",
	},
	{
		name: "what is shipped holds no test code", of: "cmd/...",
		forbid:  []string{"testing/...", module + "/internal/mariadb/...", module + "/internal/postgres/...", module + "/internal/process/...", module + "/internal/parity/...", module + "/internal/recording/...", module + "/internal/walls/...", module + "/store/storetest/..."},
		because: "test helpers are not written for hostile input",
	},
	{
		name: "the signing client shares nothing with the validator", of: "internal/sign",
		forbid: []string{module + "/..."}, but: []string{module + "/internal/sign"},
		because: "two that share code share their mistakes, and agree in them",
	},
}

func TestWalls(t *testing.T) {
	list, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range walls {
		t.Run(w.name, func(t *testing.T) {
			bound := 0
			for _, p := range list {
				if !within(p.ImportPath, path.Join(module, w.of)) {
					continue
				}
				bound++
				for _, breach := range w.breaches(list, p) {
					t.Errorf("%s imports %s: %s", p.ImportPath, breach, w.because)
				}
			}
			if bound == 0 {
				t.Errorf("no package is %q", w.of)
			}
		})
	}
}

func (w wall) breaches(list map[string]pkg, p pkg) (found []string) {
	if slices.ContainsFunc(w.but, func(but string) bool {
		of, excepted := strings.CutPrefix(but, "of ")
		return excepted && within(p.ImportPath, of)
	}) {
		return nil
	}
	imports := p.Deps
	if w.direct {
		imports = p.Imports
	}
	for _, dep := range imports {
		forbidden := slices.ContainsFunc(w.forbid, func(pattern string) bool {
			if pattern == "..." {
				return !list[dep].Standard
			}
			return within(dep, pattern)
		})
		if forbidden && !slices.ContainsFunc(w.but, func(but string) bool { return within(dep, but) }) {
			found = append(found, dep)
		}
	}
	return found
}

// TestWallsCanBeBreached holds each wall against a package that does what it
// forbids.
func TestWallsCanBeBreached(t *testing.T) {
	for _, w := range walls {
		for _, forbidden := range w.forbid {
			dep := strings.TrimSuffix(forbidden, "/...")
			if forbidden == "..." {
				dep = "example.com/anything"
			}
			if dep == module {
				dep += "/validator"
			}
			p := pkg{ImportPath: "example.com/importer", Imports: []string{dep}, Deps: []string{dep}}
			if got := w.breaches(map[string]pkg{}, p); !slices.Equal(got, []string{dep}) {
				t.Errorf("%s: import of %s: found %q", w.name, dep, got)
			}
		}
	}
	list, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	// The list sees through imports of imports: the binary with the
	// demonstration holds SQLite.
	if deps := list[module+"/cmd/caddy"].Deps; !slices.Contains(deps, "modernc.org/sqlite") {
		t.Error("cmd/caddy does not hold modernc.org/sqlite, or go list does not say so")
	}
	if deps := list[module+"/cmd/caddy"].Deps; !slices.Contains(deps, module+"/store/postgres") {
		t.Error("cmd/caddy does not hold store/postgres, or go list does not say so")
	}
}

// TestTestsUseTheRegisteredModule holds tests to the same wall: those of other
// packages drive Caddy with the module registered, as a user does.
func TestTestsUseTheRegisteredModule(t *testing.T) {
	list, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	tree := module + "/caddymodule/..."
	for _, p := range list {
		for _, dep := range slices.Concat(p.TestImports, p.XTestImports) {
			if within(dep, tree) && !within(p.ImportPath, tree) {
				t.Errorf("tests of %s import %s", p.ImportPath, dep)
			}
		}
	}
}

// within reports whether an import path matches a pattern.
func within(importPath, pattern string) bool {
	if tree, found := strings.CutSuffix(pattern, "/..."); found {
		return importPath == tree || strings.HasPrefix(importPath, tree+"/")
	}
	return importPath == pattern
}
