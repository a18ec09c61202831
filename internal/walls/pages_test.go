package walls

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pathsIn finds files and packages of the module in a page: all that stands in
// backticks or in the labels of a diagram, and looks like a path.
var pathsIn = regexp.MustCompile("[`\"]([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.*-]+)*)(?:[`\"]|: | \\()")

var testsIn = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)

// packageRoots are the directories and files at the top that a page may name.
var packageRoots = []string{"authserver", "cache", "caddymodule", "cmd", "docs", "internal", "store", "validator"}

// namedPaths returns the files and packages that a page names.
func namedPaths(text string) (paths []string) {
	for _, found := range pathsIn.FindAllStringSubmatch(text, -1) {
		first, _, _ := strings.Cut(found[1], "/")
		if slices.Contains(packageRoots, first) || strings.HasSuffix(found[1], ".go") || strings.HasSuffix(found[1], ".md") {
			paths = append(paths, found[1])
		}
	}
	return paths
}

// TestPagesNameWhatExists holds the pages for contributors to the source: each
// file, package and test that they name exists, and docs/architecture.md names
// each package.
func TestPagesNameWhatExists(t *testing.T) {
	tests := map[string]bool{}
	eachGoFile(t, func(_ string, _ *token.FileSet, file *ast.File) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				tests[f.Name.Name] = true
			}
		}
	})
	for page, least := range map[string]int{"docs/architecture.md": 80, "CONTRIBUTING.md": 40} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		paths := namedPaths(string(text))
		if len(paths) < least {
			t.Errorf("%s: only %d paths found", page, len(paths))
		}
		for _, path := range paths {
			if found, err := filepath.Glob(filepath.Join(root, path)); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which does not exist", page, path)
			}
		}
		for _, name := range testsIn.FindAllString(string(text), -1) {
			if !tests[name] {
				t.Errorf("%s names %s, which does not exist", page, name)
			}
		}
		if page != "docs/architecture.md" {
			continue
		}
		list, err := packages()
		if err != nil {
			t.Fatal(err)
		}
		for path := range list {
			if own, ok := strings.CutPrefix(path, module+"/"); ok && !slices.Contains(paths, own) {
				t.Errorf("%s does not name package %s", page, own)
			}
		}
	}
}

func TestNamedPaths(t *testing.T) {
	text := "`validator/rules.go`, `store/mysql`, `Special:OAuth`, `require grant`, root[\"mwoauth.go (what)\"], x[\"cache/nonces\"], `validator.Store`"
	want := []string{"validator/rules.go", "store/mysql", "mwoauth.go", "cache/nonces"}
	if got := namedPaths(text); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
