package walls

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
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

// pageRules are patterns of the pages, with what to write instead.
var pageRules = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\bsays? whether\b`), `"tells whether"`},
	{regexp.MustCompile(`\bwhat is none\b`), `a noun for what it is`},
	{regexp.MustCompile(`\b(is|are) no (credential|parameter|address|list|number|separator|session|token|key|id)\b`), `"is not a"`},
	{regexp.MustCompile(`\b[Bb]eside\b`), `"besides", "apart from" or "in addition to"`},
	{regexp.MustCompile(`(^|[.:;|] )(Who|Whoever|whoever) [a-z]|\b[Nn]obody\b`), `a noun as the subject: "a client that"`},
}

const pageWidth = 100 // columns

// TestPageWords holds the pages for users to what a reader with another first
// language can read at once. Code, tables and long links may be wider.
func TestPageWords(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 8 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range checkPage(string(text)) {
			t.Errorf("%s: %s", page, finding)
		}
	}
}

func checkPage(text string) (findings []string) {
	code := false
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
			continue
		}
		if code || strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t") {
			continue
		}
		for _, rule := range pageRules {
			if found := rule.pattern.FindString(line); found != "" && !strings.Contains(line, "**Password given to whoever") {
				findings = append(findings, fmt.Sprintf("%q in %q: write %s", found, line, rule.instead))
			}
		}
		if utf8.RuneCountInString(line) > pageWidth && !strings.HasPrefix(line, "|") && strings.Contains(strings.TrimSpace(line), " ") {
			findings = append(findings, fmt.Sprintf("more than %d columns: %s", pageWidth, line))
		}
	}
	return findings
}

func TestCheckPage(t *testing.T) {
	for text, want := range map[string]int{
		"It says whether it is there.":                          1,
		"A timestamp that is no number":                         1,
		"What to know beside it. Nobody knows.":                 2,
		strings.Repeat("word ", 21):                             1,
		"| " + strings.Repeat("word ", 21) + " |":               0,
		"```\n" + strings.Repeat("beside ", 21) + "\n```\nfine": 0,
		"It is no longer there, besides the store.":             0,
	} {
		if got := checkPage(text); len(got) != want {
			t.Errorf("%s: %q, want %d", text, got, want)
		}
	}
}
