package store

import (
	"strings"
	"sync"
)

// slot is where something is put into the text of a statement: what stands
// before the names of tables, and values. A farm's wikis share the text.
type slot int

const (
	slotWiki slot = iota
	slotOAuth
	slotCentral
	slotUser    // id of a user: digits
	slotSubject // likewise
	slotConsumer
	slotToken
	slotWikiID
	slotUserName
	slotSubjectName
	slots
)

const noSlot slot = -1

// firstValue is the first slot of a value that the driver puts into the
// statement.
const firstValue = slotConsumer

// slotMark begins a slot in a statement's text. No name of a table or column
// has it.
const slotMark = "\x00"

func (p slot) String() string { return slotMark + "ABCDEFGHIJ"[p:p+1] }

// statement is the text of a statement, cut at its slots: a piece, then pieces
// that each follow a slot.
type statement struct {
	pieces []string
	slots  []slot // places[i] is between pieces[i] and pieces[i+1]
	used   [slots]bool
}

func parse(text string) *statement {
	pieces := strings.Split(text, slotMark)
	s := &statement{pieces: pieces}
	for i, piece := range pieces[1:] {
		p := slot(piece[0] - 'A')
		s.slots = append(s.slots, p)
		s.used[p] = true
		s.pieces[i+1] = piece[1:]
	}
	return s
}

// fill puts names and values into their slots.
func (s *statement) fill(d Dialect, values [slots]string) (text string, args []any) {
	var bound []string
	for p := firstValue; p < slots; p++ {
		if s.used[p] {
			bound = append(bound, values[p])
		}
	}
	bound, args = d.Bind(bound)
	for p := firstValue; p < slots; p++ {
		if s.used[p] {
			values[p], bound = bound[0], bound[1:]
		}
	}
	var b strings.Builder
	b.Grow(8192)
	b.WriteString(s.pieces[0])
	for i, p := range s.slots {
		b.WriteString(values[p])
		b.WriteString(s.pieces[i+1])
	}
	return b.String(), args
}

// statements holds every statement that was asked for: some dozens at most,
// whatever the number of wikis.
var statements sync.Map // of *statement by statementKind

func (k statementKind) statement() *statement {
	if s, ok := statements.Load(k); ok {
		return s.(*statement)
	}
	s, _ := statements.LoadOrStore(k, parse(k.text()))
	return s.(*statement)
}
