package storetest

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// What a column of a typed database cannot hold.
const (
	WordAsTime = "a word, or another number than 14 digits, as a time"
	NUL        = "NUL in a text"
	NotUTF8    = "a text that is not UTF-8"
)

// leftOut is what the suite leaves out of the tables, by driver. Keys of that
// kind are asked for all the same.
var leftOut = map[string][]string{
	wikidb.Postgres: {WordAsTime, NUL, NotUTF8},
}

// Holds reports whether columns of this kind of wiki can hold such a value.
func (b Backend) Holds(what string) bool { return !slices.Contains(leftOut[b.Driver], what) }

func (b Backend) holdsText(text string) bool {
	return (b.Holds(NUL) || !strings.Contains(text, "\x00")) && (b.Holds(NotUTF8) || utf8.ValidString(text))
}

func (b Backend) holdsTime(text string) bool {
	_, err := time.Parse("20060102150405", text)
	return b.Holds(WordAsTime) || text == "" || text == wikidb.Infinity || err == nil
}

// holdsRow reports whether it can hold the expiry of a group or of a block.
func (b Backend) holdsRow(row wikidb.Row) bool {
	switch row := row.(type) {
	case wikidb.Group:
		return b.holdsTime(row.Expiry)
	case wikidb.Block:
		return b.holdsTime(row.Expiry)
	}
	return true
}
