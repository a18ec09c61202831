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

// result is what replay.py found for one case.
type result struct {
	ID       string
	Mismatch []string // what differs: verdict, user, user_id, consumer_key; and grants, which compare adds
	Expect   expectation
	Got      struct {
		Verdict string
		User    string
		UserID  uint64 `json:"user_id"`
		Grants  string
		Status  int    `json:"http_status"`
		Text    string `json:"mw_error_text"`
	}
}

// TestParity replays the recorded requests, signed afresh, against gateways
// with either set of rules and compares their verdicts with MediaWiki's, for
// each recorded release. Where they differ, a row of docs/differences.md says
// why.
//
// PARITY_CASES names a file of other cases to compare instead, with the same
// fixtures and rows, in the form of cases.json. A case is of the release that
// it names as "release"; or of 1.43, when its answer has "same_as_1_39"; or of
// the release that PARITY_RELEASE names; or of 1.39. PARITY_EXPECT names a file
// of answers, in the form of expect.json, that stand for those of the cases.
// The lists of testdata name cases by id. A case that they do not know, and
// that differs, fails under rules mediawiki; under rules standard it is told,
// and fails when the gateway acts for another user than MediaWiki.
func TestParity(t *testing.T) {
	var named map[string][]recorded
	file := os.Getenv("PARITY_CASES")
	if file != "" {
		named = casesNamed(t, file)
	}
	for _, release := range parity.Releases(t) {
		t.Run(release, func(t *testing.T) {
			sites := readSites(t, release)
			cases := named[release]
			if file == "" {
				cases = casesOf(t, release)
			}
			delete(named, release)
			if cases = askable(t, cases, sites); len(cases) == 0 && file != "" {
				t.Logf("%v: no case in %s", release, file)
				return
			}
			gateways := startGateways(t, release, sites)
			for _, rules := range ruleSets {
				t.Run(rules, func(t *testing.T) {
					c := comparison{release: release, rules: rules, named: file != ""}
					c.compare(t, cases, replayAll(t, release, gateways[rules], cases))
				})
			}
		})
	}
	for release, cases := range named {
		t.Errorf("%d cases are of MediaWiki %s, which was not recorded", len(cases), release)
	}
}

// replayAll replays the cases.
func replayAll(t *testing.T, release string, gateways map[string]string, cases []recorded) map[string]result {
	t.Helper()
	results := replay(t, release, gateways, cases)
	for range 5 {
		// Some must arrive in the second that they were signed in, which a busy
		// machine may not manage.
		for _, c := range cases {
			if c.inTime() && len(results[c.ID].Mismatch) > 0 {
				maps.Copy(results, replay(t, release, gateways, []recorded{c}))
			}
		}
	}
	return results
}

// comparison compares the verdicts of one release with those of gateways with
// one set of rules.
type comparison struct {
	release string
	rules   string
	named   bool // the cases are those of PARITY_CASES
}

func (of comparison) compare(t *testing.T, cases []recorded, results map[string]result) {
	explanations, _ := explained(t, of.release, of.rules)
	earlier := map[string]difference{}
	if of.named {
		earlier = explainedBefore(t, of.release, of.rules)
	}
	centralIDs := readCentralIDs(t, of.release)
	perVariant, perRow := map[string]int{}, map[string]int{}
	var agree, differ, unlisted, several int
	for _, c := range cases {
		r, replayed := results[c.ID]
		r.compareIDs(c, centralIDs)
		r.compareGrants()
		d, listed := explanations[c.ID]
		delete(explanations, c.ID)
		if !listed && len(r.Mismatch) > 0 {
			d, listed = earlier[c.ID]
		}
		switch {
		case !replayed:
			t.Errorf("%s: not replayed", c.ID)
		case c.severalLines():
			several++
			if r.Got.Verdict != "reject" || r.Got.Status != http.StatusBadRequest {
				t.Errorf("%s: several Authorization lines: got %s with status %d, want reject with 400", c.ID, r.Got.Verdict, r.Got.Status)
			}
		case r.Got.Verdict == "user" && (r.Got.User == "" || r.Got.UserID == 0):
			t.Errorf("%s: passed as user %q with id %d", c.ID, r.Got.User, r.Got.UserID)
		case len(r.Mismatch) == 0 && listed:
			t.Errorf("%s: agrees with MediaWiki, though %s is to explain why it does not", c.ID, d.row)
		case len(r.Mismatch) == 0:
			agree++
			perVariant[c.Variant]++
		case !slices.Equal(r.Mismatch, []string{"verdict"}):
			// Another user than MediaWiki's is nothing that a rule could explain.
			t.Errorf("%s: %s differs, not the verdict alone", c.ID, strings.Join(r.Mismatch, ", "))
		case !listed:
			unlisted++
			tell := t.Errorf
			if of.named && of.rules == "standard" {
				tell = t.Logf
			}
			tell("%s: the verdict differs and no row explains it: MediaWiki says %s, the gateway %s (%d %.120q)",
				c.ID, r.Expect.Verdict, r.Got.Verdict, r.Got.Status, r.Got.Text)
		case r.Got.Verdict != d.verdict:
			t.Errorf("%s: the gateway says %s (%d %.120q), %s explains %s", c.ID, r.Got.Verdict, r.Got.Status, r.Got.Text, d.row, d.verdict)
		default:
			differ++
			perRow[d.row]++
			t.Logf("%-45s MediaWiki %-9s gateway %-9s %s", c.ID, r.Expect.Verdict, r.Got.Verdict, d.row)
		}
	}
	for id, d := range explanations {
		if !of.named {
			t.Errorf("%s: listed under %s, but no such case is compared", id, d.row)
		}
	}
	for _, row := range documented(t, of.rules) {
		t.Logf("%-20s %3d cases", row, perRow[row])
	}
	for _, variant := range slices.Sorted(maps.Keys(perVariant)) {
		t.Logf("%-18s %4d cases agree", variant, perVariant[variant])
	}
	t.Logf("MediaWiki %v, rules %s: %d cases, %d agree, %d differ by a row of docs/differences.md, %d differ without one; %d more with several Authorization lines",
		of.release, of.rules, len(cases)-several, agree, differ, unlisted, several)
}

// compareIDs puts the id right that is expected with CentralAuth: MediaWiki
// showed the wiki's own, and the gateway tells the central one.
func (r *result) compareIDs(c recorded, centralIDs map[string]uint64) {
	if !strings.HasPrefix(c.Variant, "centralauth") || r.Got.Verdict != "user" {
		return
	}
	r.Mismatch = slices.DeleteFunc(slices.Clone(r.Mismatch), func(what string) bool { return what == "user_id" })
	if r.Got.UserID != centralIDs[r.Got.User] {
		r.Mismatch = append(r.Mismatch, "user_id")
	}
}

// compareGrants compares the grants where they were recorded: as they are
// stored, or as the token has them.
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
func readCentralIDs(t *testing.T, release string) map[string]uint64 {
	t.Helper()
	ids := map[string]uint64{}
	for _, account := range globalAccount.FindAllStringSubmatch(strings.Join(parity.Rows(t, release, "centralauth"), ""), -1) {
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

// replay runs replay.py against the gateways, given by variant.
func replay(t *testing.T, release string, gateways map[string]string, cases []recorded) map[string]result {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatalf("replay.py needs Python 3, its standard library alone: apt-get install python3: %v", err)
	}
	dir := t.TempDir()
	file, todo := filepath.Join(dir, "results.json"), filepath.Join(dir, "cases.json")
	texts := make([]json.RawMessage, len(cases))
	for i, c := range cases {
		texts[i] = c.text
	}
	text, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(todo, text, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"testdata/replay.py", "--mode", "gateway", "--cases", todo, "--fixtures", parity.Path(t, release, "fixtures.json"),
		"--json", file, "--show", "none", "-j", "8",
		"--name-header", "X-OAuth-User-Name", "--id-header", "X-OAuth-User-Id",
		"--consumer-header", "X-OAuth-Consumer-Key", "--grants-header", "X-OAuth-Grants", "--name-encoding", "percent",
	}
	for variant, url := range gateways {
		args = append(args, "--map", variant+"="+url)
	}
	// Its exit status only tells whether any case differs.
	output, runErr := exec.CommandContext(t.Context(), python, args...).CombinedOutput()
	if text, err = os.ReadFile(file); err != nil {
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
