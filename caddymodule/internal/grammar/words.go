package grammar

import (
	"fmt"
	"slices"
)

// Words are the words that one setting can be.
type Words struct {
	Setting string
	Built   []string // the first is the default
	Later   []string // part of the grammar, but not built yet
	// Unquoted keeps a wrong word out of messages, because it may be a DSN or
	// URL with its password, out of place.
	Unquoted bool
}

// Check returns what is wrong with a word.
func (w Words) Check(word string) error {
	switch {
	case slices.Contains(w.Built, word):
		return nil
	case slices.Contains(w.Later, word):
		return fmt.Errorf("%s %s is not built yet", w.Setting, word)
	case w.Unquoted:
		return fmt.Errorf("%s: unknown value: use %s", w.Setting, OneOf(w.Built))
	default:
		return fmt.Errorf("%s: unknown value%s: use %s", w.Setting, After(" ", Quoted(word)), OneOf(w.Built))
	}
}
