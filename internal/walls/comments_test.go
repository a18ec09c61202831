package walls

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// wordRules are patterns of comments and of error texts, with what to write
// instead.
var wordRules = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\bsays? whether\b`), `"reports whether"`},
	{regexp.MustCompile(`\bin case that\b`), `"if"`},
	{regexp.MustCompile(`\bwhat is none\b`), `a noun for what it is`},
	{regexp.MustCompile(`%[qvs]"? (is|are) no [a-z]`), `"is not a" in an error`},
	{regexp.MustCompile(`(^|[.:;] )(Who|Nobody|nobody) [a-z]`), `a noun as the subject: "a client that"`},
	{regexp.MustCompile(`\b(the server|the store|the key|the request|the token|itself|themselves) beside\b|\bbeside (the|it|them|its|those) (store|key|request|facts|credentials)\b`), `"besides", "apart from" or "in addition to"`},
	{regexp.MustCompile(`\bthe whole house\b|\bsentence of the house\b`), `"the gateway"`},
}

// nameRule finds names of one metaphor that was given up.
var nameRule = regexp.MustCompile(`(?i)^(trials?|hearings?|objections?|judged\w*|verdictOf\w*)$`)

const (
	wideComment  = 100 // columns
	maxWideShare = 0.03
	// minComments makes a walk fail that finds no files.
	minComments = 1000
)

// pending are directories that are yet to be rewritten. One that satisfies the
// rules must leave the list.
var pending []string

// directory is what was found in one directory.
type directory struct {
	comments, wide int // lines
	findings       []string
}

// TestWords holds comments, error texts and names to what a newcomer can read at
// once.
func TestWords(t *testing.T) {
	directories := map[string]*directory{}
	eachGoFile(t, func(name string, fset *token.FileSet, file *ast.File) {
		path, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			t.Fatal(err)
		}
		d := directories[path]
		if d == nil {
			d = &directory{}
			directories[path] = d
		}
		d.readComments(fset, file)
		d.readCode(fset, file, strings.HasSuffix(name, "_test.go"))
	})
	var all directory
	for path, d := range directories {
		share := float64(d.wide) / float64(max(d.comments, 1))
		if slices.Contains(pending, filepath.ToSlash(path)) {
			if len(d.findings) == 0 && share <= maxWideShare {
				t.Errorf("%s satisfies the rules: take it off the list of pending ones", path)
			}
			continue
		}
		for _, finding := range d.findings {
			t.Error(finding)
		}
		all.comments += d.comments
		all.wide += d.wide
		if share > maxWideShare {
			t.Logf("%s: %d of %d comment lines are wide", path, d.wide, d.comments)
		}
	}
	if all.comments < minComments {
		t.Fatalf("%d comment lines found", all.comments)
	}
	if share := float64(all.wide) / float64(all.comments); share > maxWideShare {
		t.Errorf("%d of %d comment lines have more than %d columns, want at most %.0f %%: wrap them at 80",
			all.wide, all.comments, wideComment, 100*maxWideShare)
	}
}

func (d *directory) readComments(fset *token.FileSet, file *ast.File) {
	for _, group := range file.Comments {
		for _, c := range group.List {
			if !aloneInLine(fset, file, c) {
				continue
			}
			column := fset.Position(c.Pos()).Column - 1
			for line := range strings.SplitSeq(c.Text, "\n") {
				d.comments++
				if column+utf8.RuneCountInString(line) > wideComment {
					d.wide++
				}
				column = 0
			}
		}
		d.check(fset.Position(group.Pos()), strings.Join(strings.Fields(group.Text()), " "))
	}
}

func (d *directory) readCode(fset *token.FileSet, file *ast.File, test bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind == token.STRING && !test {
				d.check(fset.Position(n.Pos()), n.Value)
			}
		case *ast.Ident:
			if nameRule.MatchString(n.Name) {
				d.findings = append(d.findings, fmt.Sprintf("%s: the name %s is a metaphor: use a noun of the domain", fset.Position(n.Pos()), n.Name))
			}
		}
		return true
	})
}

func (d *directory) check(at token.Position, text string) {
	for _, rule := range wordRules {
		if found := rule.pattern.FindString(text); found != "" {
			d.findings = append(d.findings, fmt.Sprintf("%s: %q: write %s", at, found, rule.instead))
		}
	}
}

// TestWordRules holds the rules to sentences that they must find, and to some
// that they must not.
func TestWordRules(t *testing.T) {
	for text, want := range map[string]bool{
		"ok says whether it is there.":          true,
		"Both say whether it is there.":         true,
		"It says why. Nobody waits.":            true,
		"Who asks for one is answered without.": true,
		`"%q is no wiki id"`:                    true,
		"in case that it fails":                 true,
		"beside the store itself":               true,
		"f drops what is none.":                 true,
		"ok reports whether it is there.":       false,
		"a client who asks":                     false,
		"it is no longer there":                 false,
		"besides the store itself":              false,
	} {
		var d directory
		d.check(token.Position{}, text)
		if got := len(d.findings) > 0; got != want {
			t.Errorf("%s: found %v, want %v: %v", text, got, want, d.findings)
		}
	}
}

// aloneInLine reports whether a comment has no code before it.
func aloneInLine(fset *token.FileSet, file *ast.File, c *ast.Comment) bool {
	line := fset.Position(c.Pos()).Line
	alone := true
	ast.Inspect(file, func(n ast.Node) bool {
		switch n.(type) {
		case nil, *ast.Comment, *ast.CommentGroup, *ast.File:
			return true
		}
		if n.Pos() < c.Pos() && fset.Position(n.End()).Line == line && n.End() <= c.Pos() {
			alone = false
		}
		return alone && fset.Position(n.Pos()).Line <= line && fset.Position(n.End()).Line >= line
	})
	return alone
}

// eachGoFile parses each Go file of the module.
func eachGoFile(t *testing.T, f func(name string, fset *token.FileSet, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != root {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		f(name, fset, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
