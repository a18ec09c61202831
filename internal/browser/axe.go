package browser

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

//go:embed testdata/axe/package.json testdata/axe/package-lock.json
var axeFiles embed.FS

// axeSource installs axe-core as the lock file names it, by its digest.
var axeSource = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "axe")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := axeFiles.ReadFile("testdata/axe/" + name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	source, err := os.ReadFile(filepath.Join(dir, "node_modules/axe-core/axe.min.js")) //nolint:gosec // a temporary directory
	return string(source), err
})

// axeRun runs the rules of WCAG 2.1, levels A and AA, and the best practices. It
// returns what was found and the number of rules that the page passed.
const axeRun = `axe.run(document, {
	preload: false,
	resultTypes: ["violations", "incomplete"],
	runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
}).then(r => ({
	passes: r.passes.length,
	found: r.violations.concat(r.incomplete).map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; ")),
}))`

// Barriers returns what axe-core finds on the page, one line each. What axe-core
// cannot decide counts as found.
func (tab *Tab) Barriers(t testing.TB) []string {
	t.Helper()
	source, err := axeSource()
	if err != nil {
		t.Fatal(err)
	}
	var loaded bool
	if tab.Eval(t, "typeof axe === 'object'", &loaded); !loaded {
		tab.Eval(t, source+"\n;0", nil)
	}
	var result struct {
		Passes int
		Found  []string
	}
	tab.Eval(t, axeRun, &result)
	if result.Passes+len(result.Found) < 10 {
		t.Errorf("axe-core has looked at %d rules only:\n%s", result.Passes+len(result.Found), strings.Join(result.Found, "\n"))
	}
	return result.Found
}
