package parity_test

import (
	"os"
	"strings"
	"testing"
)

// difference is one rule by which `rules standard` departs from MediaWiki: a row of docs/differences.md.
type difference struct {
	row     string
	verdict string // what the gateway says
}

// explained reads which cases each row explains: a line with the row's name, then an indented line for each
// case, with the gateway's verdict.
func explained(t *testing.T) (cases map[string]difference, rows map[string]bool) {
	t.Helper()
	text, err := os.ReadFile("testdata/differences.txt")
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
				t.Errorf("differences.txt: row %s stands there twice", row)
			}
			rows[row] = true
		case len(fields) == 2 && strings.HasPrefix(line, "\t") && row != "":
			if other, twice := cases[fields[0]]; twice {
				t.Errorf("differences.txt: case %s is explained by %s and by %s", fields[0], other.row, row)
			}
			cases[fields[0]] = difference{row, fields[1]}
		default:
			t.Errorf("differences.txt: cannot read %q", line)
		}
	}
	return cases, rows
}

// documented returns the names of the rows of docs/differences.md, in their order.
func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "| `"); found {
			name, _, _ := strings.Cut(rest, "`")
			rows = append(rows, name)
		}
	}
	return rows
}

// TestDifferencesTable holds the table that operators read against the cases that it explains.
func TestDifferencesTable(t *testing.T) {
	cases, rows := explained(t)
	used := map[string]bool{}
	for _, d := range cases {
		used[d.row] = true
	}
	inDocs := map[string]bool{}
	for _, row := range documented(t) {
		if inDocs[row] {
			t.Errorf("docs/differences.md: row %s stands there twice", row)
		}
		inDocs[row] = true
		if !used[row] {
			t.Errorf("docs/differences.md: row %s explains no case", row)
		}
	}
	if len(inDocs) == 0 {
		t.Error("docs/differences.md has no rows")
	}
	for row := range rows {
		if !inDocs[row] {
			t.Errorf("differences.txt: row %s is not in docs/differences.md", row)
		}
	}
}
