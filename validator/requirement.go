package validator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Requirement holds if the identity has one of the values.
type Requirement struct {
	Kind   RequirementKind
	Values []string
}

// RequirementKind is the property that a Requirement looks at. The zero value
// is not a kind, and a requirement of it refuses every request.
type RequirementKind uint8

// The kinds of requirements.
const (
	// RequireGrant is a grant that the user gave to the app.
	RequireGrant RequirementKind = iota + 1
	// RequireGroup is a stored group of the user.
	RequireGroup
	// RequireConsumer is the key of the app.
	RequireConsumer

	numRequirementKinds
)

// requirementKind is everything that is known of a kind.
type requirementKind struct {
	// word names the kind in configurations.
	word string
	// reason is that of a refusal.
	reason Reason
	// check returns what is wrong with a value that no identity can have.
	check func(value string) error
	met   func(r Requirement, in *ruleInput) bool
}

var requirementKinds = [numRequirementKinds]requirementKind{
	RequireGrant: {
		word: "grant", reason: MissingGrant, check: checkRequiredGrant,
		met: func(r Requirement, in *ruleInput) bool { return slices.ContainsFunc(in.grants, r.has) },
	},
	RequireGroup: {
		word: "group", reason: MissingGroup, check: checkRequiredGroup,
		met: func(r Requirement, in *ruleInput) bool {
			return in.user != nil && slices.ContainsFunc(in.groups(), r.has)
		},
	},
	RequireConsumer: {
		word: "consumer", reason: OtherConsumer, check: checkRequiredConsumer,
		met: func(r Requirement, in *ruleInput) bool { return r.has(in.consumer.Key) },
	},
}

// RequirementKinds returns all kinds.
func RequirementKinds() []RequirementKind {
	var all []RequirementKind
	for k := RequirementKind(1); k < numRequirementKinds; k++ {
		all = append(all, k)
	}
	return all
}

// String returns the word that configurations have for the kind.
func (k RequirementKind) String() string {
	if k >= numRequirementKinds {
		return ""
	}
	return requirementKinds[k].word
}

// Check returns what is wrong with a value that no identity can have, as the
// rest of a sentence that begins with the value. It does not quote the value.
func (k RequirementKind) Check(value string) error {
	switch {
	case k >= numRequirementKinds || requirementKinds[k].check == nil:
		return errors.New("is of an unknown kind")
	case value != strings.TrimSpace(value):
		return errors.New("begins or ends with white space, so nothing can match it: leave that out")
	case value == "" || len(value) > maxRequiredValue:
		return fmt.Errorf("has %d bytes and matches nothing: MediaWiki's values have 1 to %d", len(value), maxRequiredValue)
	}
	return requirementKinds[k].check(value)
}

// maxRequiredValue is the size of MediaWiki's columns, in bytes.
const maxRequiredValue = 255

func checkRequiredGrant(value string) error {
	if instead, renamed := renamedGrants[value]; renamed {
		return fmt.Errorf("is a grant that no identity has: write %s", instead)
	}
	return nil
}

// implicitGroups are groups that MediaWiki makes of other things. It stores no
// user as a member.
var implicitGroups = []string{"*", "user", "autoconfirmed"}

func checkRequiredGroup(value string) error {
	if slices.Contains(implicitGroups, value) {
		return errors.New("is a group that no user is stored as a member of: " +
			"write a group that is given to users, such as sysop, or leave the line out")
	}
	return nil
}

func checkRequiredConsumer(value string) error {
	if !IsConsumerKey(value) {
		return errors.New("is not a key: use 32 of 0-9 and a-f")
	}
	return nil
}

// IsConsumerKey reports whether a text has the form of a consumer key.
func IsConsumerKey(s string) bool { return isKey(s) }

// meetsRequirements checks what the operator requires in addition to
// MediaWiki's rules. A requirement of an unknown kind refuses, because no
// identity can meet it.
func meetsRequirements(in *ruleInput) Reason {
	for _, r := range in.policy.Require {
		if r.Kind >= numRequirementKinds || requirementKinds[r.Kind].met == nil {
			return OtherConsumer
		}
		if kind := &requirementKinds[r.Kind]; !kind.met(r, in) {
			return kind.reason
		}
	}
	return OK
}

func (r Requirement) has(value string) bool { return slices.Contains(r.Values, value) }
