package store

import (
	"strings"
	"sync"
)

// place is where something is put into the text of a statement: what stands before the names of tables, and values.
// A farm's wikis share the text.
type place int

const (
	placeWiki place = iota
	placeOAuth
	placeCentral
	placeUser    // id of a user: digits
	placeSubject // likewise
	placeConsumer
	placeToken
	placeWikiID
	placeUserName
	placeSubjectName
	places
)

const noPlace place = -1

// firstValue is the first place of a value that the driver puts into the statement.
const firstValue = placeConsumer

// placeMark begins a place in a statement's text. No name of a table or column has it.
const placeMark = "\x00"

func (p place) String() string { return placeMark + "ABCDEFGHIJ"[p:p+1] }

// statement is the text of a statement, cut at its places: a piece, then pieces that each follow a place.
type statement struct {
	pieces []string
	places []place // places[i] is between pieces[i] and pieces[i+1]
	used   [places]bool
}

func parse(text string) *statement {
	pieces := strings.Split(text, placeMark)
	s := &statement{pieces: pieces}
	for i, piece := range pieces[1:] {
		p := place(piece[0] - 'A')
		s.places = append(s.places, p)
		s.used[p] = true
		s.pieces[i+1] = piece[1:]
	}
	return s
}

// fill puts names and values into their places.
func (s *statement) fill(d Dialect, values [places]string) (text string, args []any) {
	var bound []string
	for p := firstValue; p < places; p++ {
		if s.used[p] {
			bound = append(bound, values[p])
		}
	}
	bound, args = d.Bind(bound)
	for p := firstValue; p < places; p++ {
		if s.used[p] {
			values[p], bound = bound[0], bound[1:]
		}
	}
	var b strings.Builder
	b.Grow(8192)
	b.WriteString(s.pieces[0])
	for i, p := range s.places {
		b.WriteString(values[p])
		b.WriteString(s.pieces[i+1])
	}
	return b.String(), args
}

// statements holds every form that was asked for: some dozens at most, whatever the number of wikis.
var statements sync.Map // of *statement by form

func (f form) statement() *statement {
	if s, ok := statements.Load(f); ok {
		return s.(*statement)
	}
	s, _ := statements.LoadOrStore(f, parse(f.text()))
	return s.(*statement)
}
