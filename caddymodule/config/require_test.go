package config

import (
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestRequireKinds holds each word of require to a kind of the validator, and
// refuses every other word.
func TestRequireKinds(t *testing.T) {
	for _, kind := range validator.RequirementKinds() {
		from := Requirement{Kind: kind.String(), Values: []string{"0123456789abcdef0123456789abcdef"}}
		if got := from.kind(); got != kind || from.check() != nil {
			t.Errorf("require %s: kind %d, %v", from.Kind, got, from.check())
		}
		r := NewResolver("oauth")
		if got := r.Require([]Requirement{from}); r.Err() != nil || len(got) != 1 || got[0].Kind != kind {
			t.Errorf("require %s became %v, %v", from.Kind, got, r.Err())
		}
	}
	for _, word := range append(requireWords.Built, "wiki", "") {
		from := Requirement{Kind: word, Values: []string{"sysop"}}
		if (from.kind() == 0) != (requireWords.Check(word) != nil) {
			t.Errorf("require %q is accepted without a kind", word)
		}
	}
	r := NewResolver("oauth")
	r.Require([]Requirement{{Kind: "consumer", Values: []string{"hunter2/"}}})
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "require consumer: the value given is not a key: use 32 of") {
		t.Errorf("a value that may be secret: %v", err)
	}
}
