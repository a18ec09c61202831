package parity_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorded is one case of cases.json, as far as the comparison needs it.
type recorded struct {
	ID      string
	Group   string
	Variant string
	Build   json.RawMessage
	noted   bool // from noted.json: built after the notes of the recording
}

// result is what replay.py found for one case.
type result struct {
	ID       string
	Mismatch []string // what differs: verdict, user, user_id, consumer_key
	Expect   struct{ Verdict string }
	Got      struct {
		Verdict string
		User    string
		UserID  uint64 `json:"user_id"`
		Status  int    `json:"http_status"`
		Text    string `json:"mw_error_text"`
	}
}

// variants are the site configurations that the gateway is built for.
var variants = []string{"main", "blockdisables", "cdn", "http80", "nosecret"}

// applicationGroup holds the cases that ask about MediaWiki's entry points, not about a gateway.
const applicationGroup = "entrypoints"

// severalLines says whether a case sends several Authorization lines. What MediaWiki sees of them depends on its
// web server; the gateway refuses them, whatever they hold.
func severalLines(id string) bool {
	_, name, _ := strings.Cut(id, "/")
	return strings.HasPrefix(name, "two_headers_") || strings.HasPrefix(name, "two_auth_headers_") ||
		name == "oauth1_and_bearer" || name == "bearer_and_oauth1"
}

// leftToAPI says whether MediaWiki's answer comes from its API after the credential was accepted.
func (c recorded) leftToAPI() bool {
	return strings.Contains(string(c.Build), "origin=") || strings.Contains(string(c.Build), "callback=")
}

// inTime says whether the case is about a second: it waits for one to begin.
func (c recorded) inTime() bool { return strings.Contains(string(c.Build), `"align"`) }

// TestParity replays the recorded requests, signed afresh, against a gateway with `rules standard` and compares
// its verdicts with MediaWiki's. Where they differ, a row of docs/differences.md says why.
func TestParity(t *testing.T) {
	cases := compared(t)
	explanations, _ := explained(t)
	gateways := startGateways(t)
	results := replay(t, gateways, "--cases", "testdata/cases.json")
	maps.Copy(results, replay(t, gateways, "--cases", "testdata/noted.json"))
	for range 5 {
		// Some must arrive in the second that they were signed in, which a busy machine may not manage.
		late := slices.Clone(cases)
		late = slices.DeleteFunc(late, func(c recorded) bool { return !c.inTime() || len(results[c.ID].Mismatch) == 0 })
		for _, c := range late {
			maps.Copy(results, replay(t, gateways, "--cases", "testdata/cases.json", "--ids", c.ID))
		}
	}

	var agree, differ tally
	perRow := map[string]int{}
	for _, c := range cases {
		r, replayed := results[c.ID]
		d, listed := explanations[c.ID]
		delete(explanations, c.ID)
		switch {
		case !replayed:
			t.Errorf("%s: not replayed", c.ID)
		case severalLines(c.ID):
			if r.Got.Verdict != "reject" || r.Got.Status != http.StatusBadRequest {
				t.Errorf("%s: several Authorization lines: got %s with status %d, want reject with 400", c.ID, r.Got.Verdict, r.Got.Status)
			}
		case r.Got.Verdict == "user" && (r.Got.User == "" || r.Got.UserID == 0):
			t.Errorf("%s: passed as user %q with id %d", c.ID, r.Got.User, r.Got.UserID)
		case len(r.Mismatch) == 0 && listed:
			t.Errorf("%s: agrees with MediaWiki, though %s is to explain why it does not", c.ID, d.row)
		case len(r.Mismatch) == 0:
			agree.count(c)
		case !listed:
			t.Errorf("%s: %s differs and no row explains it: MediaWiki says %s, the gateway %s (%d %.120q)",
				c.ID, strings.Join(r.Mismatch, ", "), r.Expect.Verdict, r.Got.Verdict, r.Got.Status, r.Got.Text)
		case !slices.Equal(r.Mismatch, []string{"verdict"}):
			// Another user than MediaWiki's is nothing that a rule could explain.
			t.Errorf("%s: %s differs, not the verdict alone", c.ID, strings.Join(r.Mismatch, ", "))
		case r.Got.Verdict != d.verdict:
			t.Errorf("%s: the gateway says %s (%d %.120q), %s explains %s", c.ID, r.Got.Verdict, r.Got.Status, r.Got.Text, d.row, d.verdict)
		default:
			differ.count(c)
			perRow[d.row]++
			t.Logf("%-45s MediaWiki %-9s gateway %-9s %s", c.ID, r.Expect.Verdict, r.Got.Verdict, d.row)
		}
	}
	for id, d := range explanations {
		t.Errorf("%s: listed under %s, but no such case is compared", id, d.row)
	}
	for _, row := range documented(t) {
		t.Logf("%-20s %3d cases", row, perRow[row])
	}
	t.Logf("recorded cases: %d agree, %d differ by a row of the table", agree.recorded, differ.recorded)
	t.Logf("noted cases: %d agree, %d differ by a row of the table", agree.noted, differ.noted)
}

// tally counts cases by where they come from.
type tally struct{ recorded, noted int }

func (n *tally) count(c recorded) {
	if c.noted {
		n.noted++
	} else {
		n.recorded++
	}
}

// compared returns the cases that are a gateway's question: the recorded ones, and those of noted.json.
func compared(t *testing.T) []recorded {
	t.Helper()
	all := readCases(t, "testdata/cases.json")
	count, several := len(all), 0
	all = slices.DeleteFunc(all, func(c recorded) bool {
		return !slices.Contains(variants, c.Variant) || c.Group == applicationGroup || c.leftToAPI()
	})
	for _, c := range all {
		if severalLines(c.ID) {
			several++
		}
	}
	if len(all) < 400 {
		t.Fatalf("%d of %d cases are compared: the recording has more than 400", len(all), count)
	}
	noted := readCases(t, "testdata/noted.json")
	for i := range noted {
		noted[i].noted = true
	}
	t.Logf("%d recorded cases, %d of them compared, %d more with several Authorization lines; %d noted cases",
		count, len(all)-several, several, len(noted))
	return append(all, noted...)
}

func readCases(t *testing.T, path string) (cases []recorded) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// replay runs replay.py against the gateways, given by variant.
func replay(t *testing.T, gateways map[string]string, choice ...string) map[string]result {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatalf("replay.py needs Python 3, its standard library alone: apt-get install python3: %v", err)
	}
	file := filepath.Join(t.TempDir(), "results.json")
	args := append([]string{
		"testdata/replay.py", "--mode", "gateway", "--json", file, "--show", "none", "-j", "8",
		"--name-header", "X-OAuth-User-Name", "--id-header", "X-OAuth-User-Id",
		"--consumer-header", "X-OAuth-Consumer-Key", "--name-encoding", "percent",
		"--variants", strings.Join(variants, ","), "--exclude", applicationGroup,
	}, choice...)
	for variant, url := range gateways {
		args = append(args, "--map", variant+"="+url)
	}
	// Its exit status only says whether any case differs.
	output, runErr := exec.CommandContext(t.Context(), python, args...).CombinedOutput()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("replay.py: %v: %v\n%s", runErr, err, output)
	}
	var all []result
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	results := map[string]result{}
	for _, r := range all {
		results[r.ID] = r
	}
	return results
}
