package config

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Requirement holds when the identity has one of the values.
type Requirement struct {
	// `grant`, `group` or `consumer` (its key).
	Kind string `json:"kind,omitempty"`

	// Any one of them will do.
	Values []string `json:"values,omitempty"`
}

// ReadRequire reads one line of require.
func ReadRequire(to *[]Requirement) grammar.Subdirective {
	return func(line *caddyfile.Dispenser) error {
		args := line.RemainingArgs()
		if len(args) < 2 {
			return line.Errf("require takes %s, and at least one value", grammar.OneOf(requireWords.Built))
		}
		r := Requirement{Kind: args[0], Values: args[1:]}
		*to = append(*to, r)
		return errors.Join(grammar.Wrap(line, r.check()), grammar.NoBlock(line))
	}
}

// requirementWords are the words of all kinds of requirements.
func requirementWords() (words []string) {
	for _, kind := range validator.RequirementKinds() {
		words = append(words, kind.String())
	}
	return words
}

func (r Requirement) check() error {
	if err := requireWords.Check(r.Kind); err != nil {
		return err
	}
	if len(r.Values) == 0 {
		return fmt.Errorf("require %s: value missing", r.Kind)
	}
	var mistakes []error
	for _, value := range r.Values {
		if !hasPlaceholder(value) { // otherwise it can only be checked once it is known
			mistakes = append(mistakes, r.checkValue(value))
		}
	}
	return errors.Join(mistakes...)
}

// kind returns what the word stands for, or the zero kind, which refuses every
// request.
func (r Requirement) kind() validator.RequirementKind {
	for _, kind := range validator.RequirementKinds() {
		if kind.String() == r.Kind {
			return kind
		}
	}
	return 0
}

// checkValue finds a value that no identity can have.
func (r Requirement) checkValue(value string) error {
	if value == "" {
		return fmt.Errorf("require %s: value missing", r.Kind)
	}
	if err := r.kind().Check(value); err != nil {
		return fmt.Errorf("require %s: %s %w", r.Kind, grammar.Quoted(value), err)
	}
	return nil
}

// Require resolves the requirements of a site.
func (r *Resolver) Require(from []Requirement) (all []validator.Requirement) {
	for _, required := range from {
		if err := required.check(); err != nil {
			r.Check(err)
			continue
		}
		line := validator.Requirement{Kind: required.kind()}
		for _, value := range required.Values {
			line.Values = append(line.Values, r.Checked("require "+required.Kind, value, required.checkValue))
		}
		all = append(all, line)
	}
	return all
}
