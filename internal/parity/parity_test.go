package parity_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
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
	Mismatch []string // what differs: verdict, user, user_id, consumer_key; and grants, which compare adds
	Expect   struct {
		Verdict string
		Grants  []string
	}
	Got struct {
		Verdict string
		User    string
		UserID  uint64 `json:"user_id"`
		Grants  string
		Status  int    `json:"http_status"`
		Text    string `json:"mw_error_text"`
	}
}

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

// TestParity replays the recorded requests, signed afresh, against gateways with either set of rules and compares
// their verdicts with MediaWiki's. Where they differ, a row of docs/differences.md says why.
func TestParity(t *testing.T) {
	cases := compared(t)
	gateways := startGateways(t)
	for _, rules := range ruleSets {
		t.Run(rules, func(t *testing.T) {
			compare(t, rules, cases, replayAll(t, gateways[rules], cases))
		})
	}
}

// replayAll replays the recorded and the noted cases.
func replayAll(t *testing.T, gateways map[string]string, cases []recorded) map[string]result {
	t.Helper()
	results := replay(t, gateways, "--cases", "testdata/cases.json")
	maps.Copy(results, replay(t, gateways, "--cases", "testdata/noted.json"))
	for range 5 {
		// Some must arrive in the second that they were signed in, which a busy machine may not manage.
		for _, c := range cases {
			if c.inTime() && len(results[c.ID].Mismatch) > 0 {
				maps.Copy(results, replay(t, gateways, "--cases", "testdata/cases.json", "--ids", c.ID))
			}
		}
	}
	return results
}

func compare(t *testing.T, rules string, cases []recorded, results map[string]result) {
	explanations, _ := explained(t, rules)
	centralIDs := readCentralIDs(t)
	counts := map[string]*tally{}
	var agree, differ tally
	perRow := map[string]int{}
	for _, c := range cases {
		if counts[c.Variant] == nil {
			counts[c.Variant] = &tally{}
		}
		r, replayed := results[c.ID]
		r.compareIDs(c, centralIDs)
		r.compareGrants()
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
			counts[c.Variant].count(c)
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
	for _, row := range documented(t, rules) {
		t.Logf("%-20s %3d cases", row, perRow[row])
	}
	for _, variant := range variants {
		t.Logf("%-15s %3d recorded and %3d noted cases agree", variant, counts[variant].recorded, counts[variant].noted)
	}
	t.Logf("rules %s: recorded cases: %d agree, %d differ by a row of the table", rules, agree.recorded, differ.recorded)
	t.Logf("rules %s: noted cases: %d agree, %d differ by a row of the table", rules, agree.noted, differ.noted)
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

// compareIDs puts the id right that is expected with CentralAuth: MediaWiki showed the wiki's own, and the gateway tells
// the central one.
func (r *result) compareIDs(c recorded, centralIDs map[string]uint64) {
	if !strings.HasPrefix(c.Variant, "centralauth") || r.Got.Verdict != "user" {
		return
	}
	r.Mismatch = slices.DeleteFunc(slices.Clone(r.Mismatch), func(what string) bool { return what == "user_id" })
	if r.Got.UserID != centralIDs[r.Got.User] {
		r.Mismatch = append(r.Mismatch, "user_id")
	}
}

// compareGrants compares the grants where they were recorded: as they are stored, or as the token has them.
func (r *result) compareGrants() {
	if r.Expect.Grants == nil || r.Got.Verdict != "user" || r.Expect.Verdict != "user" {
		return
	}
	stored, err := json.Marshal(r.Expect.Grants)
	want, ok := validator.ParseGrants(stored)
	var got []string
	for grant := range strings.SplitSeq(r.Got.Grants, ",") {
		if grant, err = url.PathUnescape(strings.TrimSpace(grant)); grant != "" {
			got = append(got, grant)
		}
	}
	if err != nil || !ok || !slices.Equal(got, want) {
		r.Mismatch = append(slices.Clone(r.Mismatch), "grants")
	}
}

var globalAccount = regexp.MustCompile(`(?m)^\((\d+), '([^']*)', '\w+', \d, \d, `)

// readCentralIDs returns the central ids of CentralAuth's accounts.
func readCentralIDs(t *testing.T) map[string]uint64 {
	t.Helper()
	ids := map[string]uint64{}
	for _, account := range globalAccount.FindAllStringSubmatch(strings.Join(parity.Rows(t, "centralauth"), ""), -1) {
		id, err := strconv.ParseUint(account[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ids[account[2]] = id
	}
	if ids["Alice"] == 0 || ids["Judy"] != 1 {
		t.Fatalf("accounts of centralauth.sql: %v", ids)
	}
	return ids
}

// compared returns the cases that are a gateway's question: the recorded ones, and those of noted.json.
func compared(t *testing.T) []recorded {
	t.Helper()
	all := readCases(t, "testdata/cases.json")
	count, several := len(all), 0
	all = slices.DeleteFunc(all, func(c recorded) bool {
		return !slices.Contains(variants, c.Variant) || c.Group == applicationGroup || c.leftToAPI()
	})
	seen := map[string]bool{}
	for _, c := range all {
		seen[c.ID] = true
		if severalLines(c.ID) {
			several++
		}
	}
	if len(all) < 450 {
		t.Fatalf("%d of %d cases are compared: the recording has more than 450", len(all), count)
	}
	noted := readCases(t, "testdata/noted.json")
	for i, c := range noted {
		if seen[c.ID] || !slices.Contains(variants, c.Variant) {
			t.Errorf("noted.json: %s of variant %q: twice, or of no such variant", c.ID, c.Variant)
		}
		seen[c.ID] = true
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
		"--consumer-header", "X-OAuth-Consumer-Key", "--grants-header", "X-OAuth-Grants", "--name-encoding", "percent",
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
