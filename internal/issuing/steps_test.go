package issuing_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
)

var inCode = regexp.MustCompile("`([^`]+)`")

// TestStepsTable holds the tables of docs/issuing-steps.md against the catalogue of
// refusals and the tests.
func TestStepsTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/issuing-steps.md")
	if err != nil {
		t.Fatal(err)
	}
	known, told := map[string]bool{}, map[string]bool{}
	for _, r := range authserver.Reasons() {
		known[r.String()] = true
	}
	tests := testNames(t)
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 3 || cells[0] == "| Rule" {
			continue
		}
		rows++
		for _, m := range inCode.FindAllStringSubmatch(cells[1], -1) {
			if told[m[1]] = true; !known[m[1]] {
				t.Errorf("%s is no refusal of the catalogue", m[1])
			}
		}
		named := inCode.FindAllStringSubmatch(cells[2], -1)
		if len(named) == 0 {
			t.Errorf("no test: %s", cells[0])
		}
		for _, m := range named {
			if !tests[m[1]] {
				t.Errorf("there is no test %s", m[1])
			}
		}
	}
	if rows < 40 {
		t.Errorf("only %d rows were read", rows)
	}
	for name := range known {
		if !told[name] && name != authserver.NoReason.String() {
			t.Errorf("the catalogue's %s stands in no table", name)
		}
	}
}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)

// testNames are the tests of the packages that the tables name.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, dir := range []string{".", "../../authserver"} {
		files, err := filepath.Glob(dir + "/*_test.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
				names[m[1]] = true
			}
		}
	}
	return names
}
