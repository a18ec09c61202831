package e2e_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// classes are those of docs/security.md: a row that goes is missed.
var classes = []string{
	"Header alias smuggling", "Header kept when the claim is absent", "Trailers", "Hop-by-hop removal", "Several credentials",
	"Cache key confusion", "Cached past expiry", "Negative flooding", "Strangers take all lookups", "Refusals load the database", "One query each", "A revoked entry returns",
	"First waiter hangs up", "Algorithm confusion", "JWT parser denial of service", "Keys of app owners", "Restrictions that are dropped",
	"Wrong kind of token",
	"Empty secret", "Path normalisation", "Bypass lists", "Trust in X-Forwarded headers", "Host header chooses the wiki", "Malformed input allowed",
	"Form bodies", "Checked, then waited for", "Memory of bodies", "A body that is bound by its hash", "Standard-library parsers", "Nonce ignored or raced", "Nonce scope and exhaustion",
	"Nonces that are costly to keep", "A step of the clock", "Timing", "Secret leak",
	"Response caching", "Leak per reload; reload under load", "One failure stops all", "Strangers' lookups", "A denial taken for absence",
	"Configuration tied to the store", "Bytes that the database refuses", "Password given to whoever answers", "Values in headers",
	"CORS preflights", "CORS headers", "Reflected input", "Signed over the rewritten URL", "Upgrades and other protocols", "Clients that sign otherwise",
	"Clickjacking", "Forged consent", "One use too many",
	"A failure taken for an answer", "Withdrawal or revocation overtaken", "An approval that is given again", "A write whose outcome is not known", "The password of the account that writes is stolen", "Names that deceive",
	"Open redirect",
	"Mix-up of issuers",
	"Code injection and interception",
	"PKCE downgrade",
	"Refresh replay",
	"Token substitution between apps",
	"Request-token fixation",
	"Header and HTML injection",
	"A credential as a session",
	"A user of another wiki",
	"Two issuers side by side",
	"Guessing verifiers",
	"Exhaustion of state",
	"A flood at the issuer",
}

var (
	className = regexp.MustCompile(`^\*\*([^*]+)\*\*`)
	testName  = regexp.MustCompile("`([a-z0-9/]+)/((?:Test|Fuzz)[A-Za-z0-9]+)`")
)

// TestEveryAttackRow holds docs/security.md to the tests that it names: they
// exist, and no end-to-end test of an attack is missing.
func TestEveryAttackRow(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	named := map[string]bool{"TestEveryAttackRow": true}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 2 || !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.Contains(cells[0], "What went wrong") {
			continue
		}
		class := className.FindStringSubmatch(strings.TrimSpace(cells[0]))
		if len(cells) != 3 || class == nil {
			t.Errorf("row of %d cells: %s", len(cells), line)
			continue
		}
		found = append(found, class[1])
		tests := testName.FindAllStringSubmatch(cells[2], -1)
		if len(tests) == 0 || len(tests) != strings.Count(cells[2], "`")/2 {
			t.Errorf("%s: tests %q", class[1], cells[2])
		}
		for _, test := range tests {
			dir := test[1]
			if dir == "e2e" {
				named[test[2]] = true
			}
			if dir == "e2e" || dir == "wikipath" {
				dir = "internal/" + dir
			}
			if !slices.Contains(testsIn(t, dir), test[2]) {
				t.Errorf("%s: there is no %s in %s", class[1], test[2], dir)
			}
		}
	}
	if !slices.Equal(found, classes) {
		t.Errorf("rows %q, want %q", found, classes)
	}
	for _, file := range attackFiles {
		for _, name := range testsInFile(t, filepath.Join(root, "internal", "e2e", file+"_test.go")) {
			if !named[name] {
				t.Errorf("no row of docs/security.md names %s", name)
			}
		}
	}
}

// attackFiles hold tests of attacks and of nothing else.
var attackFiles = []string{
	"answers", "cache", "credentials", "forms", "headers", "leak", "nonces", "outage", "rows", "target", "tokens", "trailers", "upgrades",
}

var testsByDir = map[string][]string{}

// testsIn lists the test functions of a directory.
func testsIn(t *testing.T, dir string) []string {
	t.Helper()
	if known, ok := testsByDir[dir]; ok {
		return known
	}
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d test files, %v", dir, len(files), err)
	}
	var names []string
	for _, file := range files {
		names = append(names, testsInFile(t, file)...)
	}
	testsByDir[dir] = names
	return names
}

func testsInFile(t *testing.T, file string) (names []string) {
	t.Helper()
	for _, f := range functions(t, file) {
		if name := f.Name.Name; f.Recv == nil && (strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz")) {
			names = append(names, name)
		}
	}
	return names
}

func functions(t *testing.T, file string) (all []*ast.FuncDecl) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			all = append(all, f)
		}
	}
	return all
}

// secrets are what a client could guess, by package: signatures, and secrets of
// apps, verifiers and tokens of forms.
var secrets = map[string]func(ast.Node) bool{
	"validator":  mentionsSignature,
	"authserver": mentionsSecret,
}

// TestConstantTimeCompare looks at the source: how long a comparison takes
// cannot be measured without a flaw on a machine that does other things too.
// Secrets are compared in constant time and in no other way.
func TestConstantTimeCompare(t *testing.T) {
	for dir, mentions := range secrets {
		checks := 0
		for _, f := range functionsOf(t, dir) {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					name := selector(n.Fun)
					if own, ok := n.Fun.(*ast.Ident); ok {
						name = own.Name
					}
					switch {
					case slices.Contains([]string{"hmac.Equal", "sameSecret"}, name) && mentions(n):
						checks++
					case slices.Contains([]string{"bytes.Equal", "bytes.Compare", "strings.Compare", "strings.EqualFold", "slices.Equal"}, name) && mentions(n):
						t.Errorf("%s: %s compares a secret in %s", dir, name, f.Name.Name)
					}
				case *ast.BinaryExpr:
					if (n.Op == token.EQL || n.Op == token.NEQ) && (mentions(n.X) || mentions(n.Y)) && !isNone(n.Y) {
						t.Errorf("%s: %s compares a secret in %s", dir, n.Op, f.Name.Name)
					}
				}
				return true
			})
		}
		if want := map[string]int{"validator": 1, "authserver": 4}[dir]; checks < want {
			t.Errorf("%s: secrets are compared in constant time at %d places, want %d", dir, checks, want)
		}
	}
}

// isNone reports whether an expression is nil or an empty text: whether there is a
// secret may be asked.
func isNone(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Value == `""`
	case *ast.Ident:
		return e.Name == "nil"
	default:
		return false
	}
}

// functionsOf are the functions of a package, without its tests.
func functionsOf(t *testing.T, dir string) (all []*ast.FuncDecl) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			all = append(all, functions(t, file)...)
		}
	}
	return all
}

// mentionsSecret reports whether an expression reads a variable or a field that is
// named like a secret.
func mentionsSecret(e ast.Node) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && secretName.MatchString(id.Name) {
			found = true
		}
		return !found
	})
	return found
}

var secretName = regexp.MustCompile(`^(?i:secret|verifier|challenge|mac|signature|[a-z]+Secret)$`)

func selector(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return x.Name + "." + s.Sel.Name
}

// mentionsSignature reports whether an expression reads the signature of a
// claim.
func mentionsSignature(e ast.Node) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		index, ok := n.(*ast.IndexExpr)
		if ok {
			name, isName := index.Index.(*ast.Ident)
			found = found || isName && name.Name == "fieldSignature"
		}
		return true
	})
	return found
}
