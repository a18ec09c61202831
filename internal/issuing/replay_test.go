package issuing_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/process"
)

func TestMain(m *testing.M) { process.Main(m) }

// recordedAddress is where the recorded wiki was. An app has it as its callback.
const recordedAddress = "http://127.0.0.1:8046"

// variants are the configurations that are replayed.
var variants = []string{"main", "blockdisables", "secure", "secure_rel", "readonly", "short", "loose"}

// TestReplayProgram holds the program that compares to the one that recorded.
func TestReplayProgram(t *testing.T) {
	text, err := os.ReadFile("testdata/replay.py")
	if err != nil {
		t.Fatal(err)
	}
	const want = "91b181c71d082a2edfbb8b98b34ebe5f6908088c12be77f7c96fc087b2b4abd7"
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != want {
		t.Errorf("testdata/replay.py was changed: its SHA-256 is %x", sum)
	}
}

// TestIssuing replays the recorded flows on each database and compares answers and
// rows with MediaWiki's. Where they differ, a row of docs/differences.md says why.
// Then it replays those of made.json, which we made after the notes of the
// recording, and those of refusals.json.
//
// The recording is of MariaDB. There its own client reads the rows; on the others
// it is ours (see serveSQL).
//
// ISSUING_CASES names a file of other cases, of the same form and with the same
// fixtures. ISSUING_SLOW=1 replays the cases that wait instead, all at once: up to
// 17 minutes.
func TestIssuing(t *testing.T) {
	f := readFixtures(t)
	slow := os.Getenv("ISSUING_SLOW") == "1"
	file, named := os.LookupEnv("ISSUING_CASES")
	if !named {
		file = "testdata/cases.json"
	} else if _, err := os.Stat(file); err != nil && !filepath.IsAbs(file) {
		file = filepath.Join("../..", file) // as seen from the module's directory
	}
	kinds := slices.Sorted(maps.Keys(kindsOfDatabase))
	all := startSites(t, f, kinds...)
	if !named && !slow {
		t.Cleanup(func() { all.compareReached(t) }) // when all have ended
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := all.on[kind]
			rows := s.compare(t, f, "mediawiki", file, slow)
			if named || slow {
				return
			}
			for _, row := range documented(t) {
				if rows[row] == 0 {
					t.Errorf("docs/differences.md: row %s excuses no case", row)
				}
			}
			s.compare(t, f, "plain", "testdata/made.json", false)
			s.fillNonces(t, f.Consumers["plain"])
			s.compare(t, f, "plain", "testdata/refusals.json", false)
			s.crowd(t)
			s.compareCodes(t, f)
		})
	}
}

// compare replays the cases of a file at one kind of endpoints, and returns how
// many of them each row excuses.
func (s site) compare(t *testing.T, f fixtures, endpoints, file string, slow bool) map[string]int {
	t.Helper()
	var all []recorded
	readJSON(t, file, &all)
	cases, left := replayable(all, slow)
	if len(cases) == 0 {
		t.Fatalf("%s has no case to replay", file)
	}
	c := comparison{t: t, f: f, rows: map[string]int{}, perVariant: map[string][3]int{}}
	for _, variant := range variants {
		c.perVariant[variant] = [3]int{}
	}
	results := s.replay(t, endpoints, cases)
	for i := range cases {
		c.compare(&cases[i], results)
	}
	for _, variant := range slices.Sorted(maps.Keys(c.perVariant)) {
		n := c.perVariant[variant]
		t.Logf("%-14s %4d cases, %4d agree, %3d differ as quirks", variant, n[0], n[1], n[2])
	}
	for _, row := range slices.Sorted(maps.Keys(c.rows)) {
		t.Logf("%-28s %3d cases", row, c.rows[row])
	}
	for _, why := range slices.Sorted(maps.Keys(left)) {
		t.Logf("left out: %d (%s)", left[why], why)
	}
	t.Logf("%d cases, %d agree, %d differ as quirks", len(cases), c.agree, c.quirks)
	return c.rows
}

// documented returns the rows of docs/differences.md about issuing.
func documented(t *testing.T) (rows []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n# Where issuing differs from MediaWiki\n")
	if !found {
		t.Fatal("docs/differences.md has no section about issuing")
	}
	section, _, _ = strings.Cut(section, "\n# ")
	for line := range strings.Lines(section) {
		if rest, found := strings.CutPrefix(line, "| `"); found {
			row, _, _ := strings.Cut(rest, "`")
			rows = append(rows, row)
		}
	}
	return rows
}

// TestRulesAreDocumented holds the rules against the table that operators read.
func TestRulesAreDocumented(t *testing.T) {
	inDocs := map[string]int{}
	for _, row := range documented(t) {
		inDocs[row]++
	}
	known := map[string]bool{}
	for _, r := range rules {
		known[r.row] = true
		if inDocs[r.row] != 1 {
			t.Errorf("row %s stands %d times in docs/differences.md", r.row, inDocs[r.row])
		}
	}
	for row := range inDocs {
		if !known[row] {
			t.Errorf("docs/differences.md: no rule is called %s", row)
		}
	}
}

// result is what replay.py found for a case.
type result struct {
	ID    string
	Agree bool
	Diffs []string
}

// replay runs replay.py over the cases.
func (s site) replay(t *testing.T, endpoints string, cases []recorded) map[string]result {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatalf("replay.py needs Python 3, its standard library alone: apt-get install python3: %v", err)
	}
	dir := t.TempDir()
	todo, found := filepath.Join(dir, "cases.json"), filepath.Join(dir, "results.json")
	texts := make([]json.RawMessage, len(cases))
	for i := range cases {
		texts[i] = cases[i].text
	}
	text, err := json.Marshal(texts)
	if err == nil {
		err = os.WriteFile(todo, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"testdata/replay.py", "--cases", todo, "--json", found, "--show", "none", "--slow",
		"--oauth1-url", pathsOf[endpoints][0], "--rest-url", pathsOf[endpoints][1], "--login", "basic",
		"--accept", "approve", "--cancel", "cancel", "--csrf-field", "csrf", "--sql", s.command,
	}
	for variant, url := range s.urls {
		args = append(args, "--base", variant+"="+url)
	}
	// Its exit status only tells whether a case differs.
	output, runErr := exec.CommandContext(t.Context(), python, args...).CombinedOutput()
	if text, err = os.ReadFile(found); err != nil {
		t.Fatalf("replay.py: %v: %v\n%s", runErr, err, output)
	}
	var list []result
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	results := map[string]result{}
	for _, r := range list {
		if _, twice := results[r.ID]; twice {
			t.Errorf("two cases are called %s", r.ID)
		}
		results[r.ID] = r
	}
	return results
}

// comparison counts what was found.
type comparison struct {
	t             *testing.T
	f             fixtures
	agree, quirks int
	rows          map[string]int
	perVariant    map[string][3]int // cases, those that agree, those that differ by a row
}

func (c *comparison) compare(r *recorded, results map[string]result) {
	n := c.perVariant[r.Variant]
	defer func() { c.perVariant[r.Variant] = n }()
	n[0]++
	found, replayed := results[r.ID]
	switch {
	case !replayed:
		c.t.Errorf("%s: not replayed", r.ID)
		return
	case found.Agree:
		c.agree++
		n[1]++
		return
	}
	rows, unexcused := excuse(c.f, r, found.Diffs)
	for _, d := range unexcused {
		c.t.Errorf("%s: no row of docs/differences.md excuses this: %s", r.ID, d)
	}
	if len(unexcused) > 0 {
		return
	}
	c.quirks++
	n[2]++
	for row := range rows {
		c.rows[row]++
	}
}

// excuse returns the rows that excuse the differences of a case, and the
// differences that none does.
func excuse(f fixtures, r *recorded, told []string) (rows map[string]bool, unexcused []string) {
	steps := make([]map[string]difference, len(r.Steps))
	for _, text := range told {
		d, ok := parseDifference(text)
		if !ok || d.step >= len(steps) {
			unexcused = append(unexcused, text)
			continue
		}
		if steps[d.step] == nil {
			steps[d.step] = map[string]difference{}
		}
		steps[d.step][d.field] = d
	}
	rows = map[string]bool{}
	ended, missing := false, map[string]bool{} // what a refusal has not brought about
	for i, fields := range steps {
		a := &asked{&r.Steps[i], r, f, i, fields}
		follows := ended && (a.Do == "rows" || a.uses(missing))
		ends := follows
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			d := fields[field]
			if follows && isRefused(d) {
				continue
			}
			rule := ruleFor(a, d)
			if rule == nil {
				unexcused = append(unexcused, fmt.Sprintf("step %d (%s): %s: want %s, got %s", i+1, a.Do, d.field, d.want, d.got))
				continue
			}
			rows[rule.row] = true
			ends = ends || rule.ends
		}
		if ends {
			ended = true
			for name := range a.Save {
				missing[name] = true
			}
		}
	}
	return rows, unexcused
}

func ruleFor(a *asked, d difference) *rule {
	for i := range rules {
		if instead := rules[i].instead[d.field]; instead != nil && instead(d) && rules[i].when(a) {
			return &rules[i]
		}
	}
	return nil
}

// isRefused reports whether a step failed because an earlier one was refused.
func isRefused(d difference) bool {
	switch d.field {
	case "status":
		return d.got == "400" || d.got == "401" || d.got == "403"
	case "json":
		return strings.HasPrefix(d.got, `{"error": "`)
	case "jwt":
		return strings.HasPrefix(d.got, `{"not_a_jwt": `)
	case "rows":
		return d.got == `{"rows": []}`
	case "outcome":
		return strings.HasPrefix(d.got, `{"outcome": "page"`)
	case "body":
		return strings.HasPrefix(d.got, `"Error: `) || d.got == `""` // the error is JSON
	case "content-type", "www-authenticate", "cache-control", "same":
		return true
	default:
		return false
	}
}
