package parity_test

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
)

// difference is one rule by which the gateway departs from MediaWiki: a row of
// docs/differences.md.
type difference struct {
	row     string
	verdict string // what the gateway says
}

// explained reads which cases of the release each row explains: a line with the
// row's name, then an indented line for each case, with the gateway's verdict
// under the rules.
func explained(t *testing.T, release string, rules string) (cases map[string]difference, rows map[string]bool) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + release + "/" + rules + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	cases, rows = map[string]difference{}, map[string]bool{}
	row := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case len(fields) == 1 && line == fields[0]:
			if row = line; rows[row] {
				t.Errorf("%s.txt: row %s stands there twice", rules, row)
			}
			rows[row] = true
		case len(fields) == 2 && strings.HasPrefix(line, "\t") && row != "":
			if other, twice := cases[fields[0]]; twice {
				t.Errorf("%s.txt: case %s is explained by %s and by %s", rules, fields[0], other.row, row)
			}
			cases[fields[0]] = difference{row, fields[1]}
		default:
			t.Errorf("%s.txt: cannot read %q", rules, line)
		}
	}
	return cases, rows
}

// explainedBefore returns what the releases recorded before have explained.
func explainedBefore(t *testing.T, release, rules string) map[string]difference {
	t.Helper()
	all := map[string]difference{}
	for _, r := range parity.Releases(t) {
		if r < release {
			cases, _ := explained(t, r, rules)
			maps.Copy(all, cases)
		}
	}
	return all
}

// documented returns the names of the rows that docs/differences.md has for the
// rules, in their order.
func documented(t *testing.T, rules string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	here := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "# ") {
			here = strings.HasPrefix(line, "# Where `rules "+rules+"` differs")
		}
		if rest, found := strings.CutPrefix(line, "| `"); found && here {
			name, _, _ := strings.Cut(rest, "`")
			rows = append(rows, name)
		}
	}
	return rows
}

// TestDifferencesTable holds the tables that operators read against the cases
// that they explain.
func TestDifferencesTable(t *testing.T) {
	for _, rules := range ruleSets {
		used, rows := map[string]bool{}, map[string]bool{}
		for _, release := range parity.Releases(t) {
			cases, theirs := explained(t, release, rules)
			maps.Copy(rows, theirs)
			for _, d := range cases {
				used[d.row] = true
			}
		}
		inDocs := map[string]bool{}
		for _, row := range documented(t, rules) {
			if inDocs[row] {
				t.Errorf("docs/differences.md, rules %s: row %s stands there twice", rules, row)
			}
			inDocs[row] = true
			if !used[row] {
				t.Errorf("docs/differences.md, rules %s: row %s explains no case", rules, row)
			}
		}
		if len(inDocs) == 0 {
			t.Errorf("docs/differences.md has no rows for rules %s", rules)
		}
		for row := range rows {
			if !inDocs[row] {
				t.Errorf("%s.txt: row %s is not in docs/differences.md", rules, row)
			}
		}
	}
}
