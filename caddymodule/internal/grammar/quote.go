// Package grammar reads the lines and blocks of a directive, and puts mistakes
// into words without quoting what may be secret.
package grammar

import "strings"

// Quoted returns a value for a message: in quotes if it is a plain word, and
// otherwise a description, because a DSN or a key may stand where it does not
// belong.
func Quoted(value string) string {
	odd := func(r rune) bool { return !IsAlphanumeric(r) && !strings.ContainsRune("_-.", r) }
	if value != "" && len(value) <= 32 && !strings.ContainsFunc(value, odd) {
		return `"` + value + `"`
	}
	return "the value given"
}

// Shown is Quoted without the quotes, for what a setting is called by.
func Shown(value string) string { return strings.Trim(Quoted(value), `"`) }

// Named returns a word of unknown meaning for a message: in quotes if it looks
// like the name of a setting, and otherwise a description. A setting whose value
// stands on a line of its own makes such a word of a key.
func Named(word string) string {
	odd := func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }
	if word == "{" || word == "}" || word != "" && len(word) <= 32 && !strings.ContainsFunc(word, odd) {
		return `"` + word + `"`
	}
	return "argument"
}

// After returns what a message shows of a value, after a text that leads to it,
// or nothing if the value is not shown.
func After(lead, shown string) string {
	if strings.HasPrefix(shown, `"`) {
		return lead + shown
	}
	return ""
}

// IsAlphanumeric reports whether a character is an ASCII letter or digit.
func IsAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// OneOf joins words as a message lists alternatives: "a, b or c".
func OneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
