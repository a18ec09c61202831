package parity_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
)

// recorded is one case: a request, and what MediaWiki answered to it.
type recorded struct {
	ID      string
	Group   string
	Variant string // of the site; "main" where the case names none
	Release string // of the recording; 1.39 where the case names none
	Build   json.RawMessage
	Expect  expectation

	text  json.RawMessage // the whole case, for replay.py
	noted bool            // from noted.json: built after the notes of the recording
}

// expectation is MediaWiki's answer, as far as the comparison needs it.
type expectation struct {
	Verdict string
	Grants  []string
	// Same is in answers of a later release to the requests of an earlier one.
	Same *bool `json:"same_as_1_39"`
}

// severalLines reports whether a case sends several Authorization lines. What
// MediaWiki sees of them depends on its web server; the gateway refuses them,
// whatever they hold.
func (c recorded) severalLines() bool {
	_, name, _ := strings.Cut(c.ID, "/")
	return strings.HasPrefix(name, "two_headers_") || strings.HasPrefix(name, "two_auth_headers_") ||
		name == "oauth1_and_bearer" || name == "bearer_and_oauth1"
}

// isGateways reports whether the case is a gateway's question. It is not when
// it asks about MediaWiki's entry points, or when the answer comes from
// MediaWiki's API after the credential was accepted.
func (c recorded) isGateways() bool {
	build := string(c.Build)
	return !strings.HasSuffix(c.Group, "entrypoints") && !strings.Contains(build, "origin=") && !strings.Contains(build, "callback=")
}

// inTime reports whether the case is about a second: replay.py waits for one to
// begin.
func (c recorded) inTime() bool { return strings.Contains(string(c.Build), `"align"`) }

// release returns the release that gave the expected answer. A case that does
// not name it may still tell by its answer. PARITY_RELEASE decides about the
// others.
func (c recorded) release() string {
	switch {
	case c.Release != "":
		return c.Release
	case c.Expect.Same != nil:
		return "1.43"
	default:
		return cmp.Or(os.Getenv("PARITY_RELEASE"), "1.39")
	}
}

func readCases(t *testing.T, path string) []recorded {
	t.Helper()
	var texts []json.RawMessage
	readJSON(t, path, &texts)
	cases := make([]recorded, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal(text, &cases[i]); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		cases[i].text = text
		cases[i].Variant = cmp.Or(cases[i].Variant, "main")
	}
	return cases
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// answers reads what another release answered to cases: a file of case ids and
// answers.
func answers(t *testing.T, path string) map[string]json.RawMessage {
	t.Helper()
	var all map[string]json.RawMessage
	readJSON(t, path, &all)
	return all
}

// answeredBy returns the cases that another release has answered, with its answers.
func answeredBy(t *testing.T, cases []recorded, answers map[string]json.RawMessage) []recorded {
	t.Helper()
	var out []recorded
	for _, c := range cases {
		answer, found := answers[c.ID]
		if !found {
			continue
		}
		c.Expect = expectation{}
		whole := map[string]json.RawMessage{}
		for _, err := range []error{json.Unmarshal(answer, &c.Expect), json.Unmarshal(c.text, &whole)} {
			if err != nil {
				t.Fatalf("%s: %v", c.ID, err)
			}
		}
		whole["expect"] = answer
		text, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		c.text = text
		out = append(out, c)
	}
	return out
}

// casesOf returns the cases of a release: its own, recorded and noted, and
// those of the releases before it that it has answered too.
func casesOf(t *testing.T, release string) []recorded {
	t.Helper()
	var all []recorded
	for _, r := range parity.Releases(t) {
		dir := filepath.Join("testdata", r)
		switch {
		case r < release:
			all = append(all, answeredBy(t, readCases(t, dir+"/cases.json"), answers(t, "testdata/"+release+"/expect.json"))...)
		case r == release:
			all = append(all, readCases(t, dir+"/cases.json")...)
			for _, c := range readCases(t, dir+"/noted.json") {
				c.noted = true
				all = append(all, c)
			}
		}
	}
	seen := map[string]bool{}
	for _, c := range all {
		if seen[c.ID] {
			t.Errorf("%v: case %s stands there twice", release, c.ID)
		}
		seen[c.ID] = true
	}
	return all
}

// casesNamed returns the cases of the file that PARITY_CASES names, by release.
func casesNamed(t *testing.T, path string) map[string][]recorded {
	t.Helper()
	cases := readCases(t, path)
	if other := os.Getenv("PARITY_EXPECT"); other != "" {
		cases = answeredBy(t, cases, answers(t, other))
	}
	byRelease := map[string][]recorded{}
	for _, c := range cases {
		byRelease[c.release()] = append(byRelease[c.release()], c)
	}
	return byRelease
}

// askable leaves out requests that a gateway does not get, and variants that
// have no site.
func askable(t *testing.T, cases []recorded, sites map[string]site) []recorded {
	t.Helper()
	count := len(cases)
	cases = slices.DeleteFunc(cases, func(c recorded) bool {
		_, built := sites[c.Variant]
		return !built || !c.isGateways()
	})
	t.Logf("%d cases, %d of them a gateway's question", count, len(cases))
	return cases
}

// TestCasesNamed holds the release that a case of another file is compared with.
func TestCasesNamed(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cases := write("cases.json", `[{"id": "a", "build": {}, "expect": {"verdict": "user"}},
		{"id": "b", "variant": "cdn", "release": "1.43", "build": {}, "expect": {"verdict": "reject"}},
		{"id": "c", "build": {}, "expect": {"verdict": "reject", "same_as_1_39": false}}]`)
	other := write("expect.json", `{"a": {"verdict": "anonymous", "same_as_1_39": true}}`)
	for _, test := range []struct{ release, expect, want string }{
		{"", "", "1.39: a main user; 1.43: b cdn reject, c main reject; "},
		{"1.43", "", "1.43: a main user, b cdn reject, c main reject; "},
		{"", other, "1.43: a main anonymous; "},
	} {
		t.Setenv("PARITY_RELEASE", test.release)
		t.Setenv("PARITY_EXPECT", test.expect)
		got, byRelease := "", casesNamed(t, cases)
		for _, release := range slices.Sorted(maps.Keys(byRelease)) {
			var names []string
			for _, c := range byRelease[release] {
				names = append(names, c.ID+" "+c.Variant+" "+c.Expect.Verdict)
			}
			got += release + ": " + strings.Join(names, ", ") + "; "
		}
		if got != test.want {
			t.Errorf("PARITY_RELEASE=%s PARITY_EXPECT=%s: %s, want %s", test.release, test.expect, got, test.want)
		}
	}
}
