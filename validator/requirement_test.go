package validator

import (
	"strings"
	"testing"
)

// required has, for each kind, a value that the scene's identity has and one
// that it does not have.
var required = map[RequirementKind]struct{ has, lacks string }{
	RequireGrant:    {"editpage", "delete"},
	RequireGroup:    {"sysop", "bureaucrat"},
	RequireConsumer: {consumerKey, "ffffffffffffffffffffffffffffffff"},
}

// TestEveryRequirement holds each kind to its word, its check and its rule. A
// kind without a rule refuses.
func TestEveryRequirement(t *testing.T) {
	words, reasons := map[string]bool{"": true}, map[Reason]bool{OK: true}
	for _, kind := range RequirementKinds() {
		row := requirementKinds[kind]
		if words[row.word] || row.word != kind.String() {
			t.Errorf("kind %d: word %q is empty or that of another kind", kind, row.word)
		}
		words[row.word] = true
		values, known := required[kind]
		if !known {
			t.Errorf("kind %q has no values in this test", row.word)
			continue
		}
		if reasons[row.reason] {
			t.Errorf("%s: reason %v is that of another kind", kind, row.reason)
		}
		reasons[row.reason] = true
		for _, value := range []string{values.has, values.lacks} {
			if err := kind.Check(value); err != nil {
				t.Errorf("%s %s: %v", kind, value, err)
			}
		}
		if got := decideRequiring(t, kind, values.has); got != OK {
			t.Errorf("require %s %s, which the identity has: %v", kind, values.has, got)
		}
		if got := decideRequiring(t, kind, values.lacks); got != row.reason || got == OK {
			t.Errorf("require %s %s, which the identity lacks: %v, want %v", kind, values.lacks, got, row.reason)
		}
	}
	for _, unknown := range []RequirementKind{0, numRequirementKinds, 255} {
		if got := decideRequiring(t, unknown, "sysop"); got != OtherConsumer {
			t.Errorf("a requirement of kind %d: %v", unknown, got)
		}
		if unknown.String() != "" || unknown.Check("sysop") == nil {
			t.Errorf("kind %d has a word, or takes a value", unknown)
		}
	}
}

func decideRequiring(t *testing.T, kind RequirementKind, value string) Reason {
	t.Helper()
	s := newScene()
	s.policy.Require = []Requirement{{kind, []string{value}}}
	return s.run(t).Reason
}

func TestRequiredValues(t *testing.T) {
	for _, test := range []struct {
		kind  RequirementKind
		value string
		want  string // in the error; empty: none
	}{
		{RequireGrant, "basic", ""},
		{RequireGrant, "mwoauth-authonly", ""},
		{RequireGrant, "useoauth", "write basic"},
		{RequireGrant, "authonly", "write mwoauth-authonly"},
		{RequireGrant, "authonlyprivate", "write mwoauth-authonlyprivate"},
		{RequireGrant, "basic ", "white space"},
		{RequireGrant, "", "0 bytes"},
		{RequireGroup, "sysop", ""},
		{RequireGroup, "Sysop", ""},
		{RequireGroup, "*", "such as sysop"},
		{RequireGroup, "user", "such as sysop"},
		{RequireGroup, "autoconfirmed", "such as sysop"},
		{RequireGroup, " sysop", "white space"},
		{RequireGroup, strings.Repeat("g", 256), "256 bytes"},
		{RequireConsumer, consumerKey, ""},
		{RequireConsumer, strings.Repeat("A", 32), "use 32 of"},
		{RequireConsumer, "hunter2/", "is not a key"},
	} {
		err := test.kind.Check(test.value)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %q: %v, want %q", test.kind, test.value, err, test.want)
		}
		if err != nil && test.kind == RequireConsumer && strings.Contains(err.Error(), test.value) {
			t.Errorf("%s quotes the value: %v", test.kind, err)
		}
	}
}
