package issuing_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// recorded is a case: what was done, and what MediaWiki did.
type recorded struct {
	ID, Group, Variant string
	Quirk              string
	Needs              []string
	MediaWikiOnly      bool `json:"mediawiki_only"`
	Slow               bool
	Steps              []step

	text json.RawMessage
}

// step is one step of a case, as far as the rules of differences look at it.
type step struct {
	Do, Page, URL, SQL, Press, Body string
	RawQuery                        string `json:"raw_query"`
	Form, Query, Headers            [][2]string
	OAuth                           map[string]*string
	Save                            map[string]string
	Tamper                          map[string]*string
	Browser, User                   string
	ThenAs                          string `json:"then_as"`

	text string // without blanks between its parts
}

func (c *recorded) UnmarshalJSON(text []byte) error {
	type plain recorded // without this method
	var raw struct {
		plain
		Steps []json.RawMessage
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	*c = recorded(raw.plain)
	c.text = slices.Clone(text)
	if c.Variant == "" {
		c.Variant = "main"
	}
	for _, text := range raw.Steps {
		var compact bytes.Buffer // however the file is written
		if err := json.Compact(&compact, text); err != nil {
			return err
		}
		s := step{text: compact.String()}
		if err := json.Unmarshal(text, &s); err != nil {
			return err
		}
		c.Steps = append(c.Steps, s)
	}
	return nil
}

// form returns the values of a field of the step's form.
func (s *step) form(name string) (values []string) {
	for _, pair := range s.Form {
		if pair[0] == name {
			values = append(values, pair[1])
		}
	}
	return values
}

// sent returns a parameter of the step's query or form.
func (s *step) sent(name string) (value string, sent bool) {
	if values := s.form(name); len(values) > 0 {
		return values[0], true
	}
	return s.param(name)
}

// signed returns a parameter of a signed request, wherever it stands.
func (s *step) signed(name string) (value string, sent bool) {
	if value := s.OAuth[name]; value != nil {
		return *value, true
	}
	return s.sent(name)
}

// param returns a parameter of the step's query, however it is written.
func (s *step) param(name string) (value string, sent bool) {
	for _, pair := range s.Query {
		if pair[0] == name {
			value, sent = pair[1], true
		}
	}
	for pair := range strings.SplitSeq(s.RawQuery, "&") {
		if n, v, _ := strings.Cut(pair, "="); n == name {
			value, sent = v, true
		}
	}
	return value, sent
}

func (s *step) header(name string) string {
	for _, pair := range s.Headers {
		if strings.EqualFold(pair[0], name) {
			return pair[1]
		}
	}
	return ""
}

// uses reports whether the step is made of one of the variables.
func (s *step) uses(variables map[string]bool) bool {
	for _, use := range variableUse.FindAllStringSubmatch(s.text, -1) {
		for part := range strings.SplitSeq(use[1], "|") {
			if variables[part[strings.LastIndexByte(part, ':')+1:]] {
				return true
			}
		}
	}
	return false
}

var variableUse = regexp.MustCompile(`\{\{([^{}]+)\}\}`)

// difference is one field of one step that differs, as replay.py tells it.
type difference struct {
	step      int // from 0
	field     string
	want, got string
}

var toldDifference = regexp.MustCompile(`(?s)^step (\d+) \(\w+\): ([^:]+): expected (.*?), got (.*)$`)

// parseDifference reads a difference. ok is false for another text, such as an
// exception in replay.py.
func parseDifference(text string) (d difference, ok bool) {
	m := toldDifference.FindStringSubmatch(text)
	if m == nil {
		return d, false
	}
	n, err := strconv.Atoi(m[1])
	return difference{n - 1, m[2], m[3], m[4]}, err == nil
}

// replayable returns the cases that can be replayed, and how many are left out for
// each reason. A case of another kind that is not known here is replayed.
func replayable(all []recorded, slow bool) (cases []recorded, left map[string]int) {
	left = map[string]int{}
	for _, c := range all {
		var why string
		switch {
		case c.MediaWikiOnly:
			why = "MediaWiki's own pages and forms"
		case c.Variant == "nomanage":
			why = "a right that only MediaWiki's code asks for"
		case c.Group == "o2-client":
			why = "the registration of apps, which is not built"
		case c.Slow && !slow:
			why = "slow"
		case slow && !c.Slow:
			why = "not slow"
		default:
			cases = append(cases, c)
			continue
		}
		left[why]++
	}
	return cases, left
}

// A case of a kind that is not known is replayed, and found to be one.
func TestReplayable(t *testing.T) {
	all := []recorded{
		{ID: "a", Group: "new", Variant: "main"},
		{ID: "b", Group: "o1-token", Variant: "new"},
		{ID: "c", Group: "o1-token", Variant: "nomanage"},
		{ID: "d", Group: "o2-client", Variant: "main"},
		{ID: "e", Group: "o1-pages", Variant: "main", MediaWikiOnly: true},
		{ID: "f", Group: "slow", Variant: "main", Slow: true},
	}
	for slow, want := range map[bool]string{false: "ab", true: "f"} {
		got, total := "", 0
		cases, left := replayable(all, slow)
		for _, c := range cases {
			got += c.ID
		}
		for _, n := range left {
			total += n
		}
		if got != want || total != len(all)-len(cases) {
			t.Errorf("slow %t: %s, and %v left out", slow, got, left)
		}
	}
}

func TestParseDifference(t *testing.T) {
	d, ok := parseDifference(`step 2 (http): json: expected {"a": "x"}, got {"error": "a, got b"}`)
	if want := (difference{1, "json", `{"a": "x"}`, `{"error": "a, got b"}`}); !ok || d != want {
		t.Errorf("%+v, %t", d, ok)
	}
	if _, ok := parseDifference("KeyError: 'x'"); ok {
		t.Error("an exception is taken for a difference")
	}
}
