package recording

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// tokenKind is what a token of a statement is.
type tokenKind int

const (
	word    tokenKind = iota // a keyword or a name
	name                     // a name in backticks, without them
	literal                  // a text in quotes or in hexadecimal: its value
	digits                   // a number
	sign                     // an operator or a bracket
)

type token struct {
	kind tokenKind
	text string
}

// is reports whether a token is one of the keywords.
func (t token) is(keywords ...string) bool {
	for _, k := range keywords {
		if t.kind == word && strings.EqualFold(t.text, k) {
			return true
		}
	}
	return false
}

// isSign reports whether a token is the sign.
func (t token) isSign(s string) bool { return t.kind == sign && t.text == s }

// isName reports whether a token may be the name of a table or a column.
func (t token) isName() bool { return t.kind == word || t.kind == name }

// tokenize reads statements as MariaDB does in its default mode. Comments and empty
// statements are left out.
func tokenize(s string) (statements [][]token, err error) {
	var tokens []token
	for len(s) > 0 {
		var t token
		var n int
		switch c := s[0]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			s = s[1:]
			continue
		case c == ';':
			s = s[1:]
			if len(tokens) > 0 {
				statements, tokens = append(statements, tokens), nil
			}
			continue
		case c == '#' || s == "--" || strings.HasPrefix(s, "-- ") || strings.HasPrefix(s, "--\n"):
			_, s, _ = strings.Cut(s, "\n")
			continue
		case strings.HasPrefix(s, "/*"):
			if n = strings.Index(s, "*/"); n < 0 || s[2] == '!' {
				return nil, errors.New("a comment has no end, or is for MariaDB alone")
			}
			s = s[n+2:]
			continue
		default:
			if t, n, err = next(s); err != nil {
				return nil, err
			}
		}
		tokens, s = append(tokens, t), s[n:]
	}
	if len(tokens) > 0 {
		statements = append(statements, tokens)
	}
	return statements, nil
}

// next reads one token and returns its length.
func next(s string) (token, int, error) {
	switch c := s[0]; {
	case c == '\'' || c == '"':
		value, n, err := quoted(s)
		return token{literal, value}, n, err
	case c == '`':
		end := strings.IndexByte(s[1:], '`')
		if end < 1 {
			return token{}, 0, errors.New("a name in backticks has no end, or no letter")
		}
		return token{name, s[1 : end+1]}, end + 2, nil
	case (c == 'x' || c == 'X') && strings.HasPrefix(s[1:], "'"):
		end := strings.IndexByte(s[2:], '\'')
		if end < 0 {
			return token{}, 0, errors.New("a text in hexadecimal has no end")
		}
		value, err := hex.DecodeString(s[2 : end+2])
		return token{literal, string(value)}, end + 3, err
	case isWordByte(c):
		n := 1
		for n < len(s) && (isWordByte(s[n]) || s[n] == '.' && isDigits(s[:n])) {
			n++
		}
		return wordToken(s[:n], n)
	}
	for _, op := range []string{"<=>", "<>", "<=", ">=", "!=", "||", "&&", ":="} {
		if strings.HasPrefix(s, op) {
			return token{sign, op}, len(op), nil
		}
	}
	if strings.IndexByte("()=<>,.*+-/%!", s[0]) < 0 {
		return token{}, 0, fmt.Errorf("%q is not expected outside of a text", s[0])
	}
	return token{sign, s[:1]}, 1, nil
}

// wordToken is a number, a text that is written as a number in hexadecimal, or a
// word.
func wordToken(s string, n int) (token, int, error) {
	if raw, found := strings.CutPrefix(s, "0x"); found {
		value, err := hex.DecodeString(raw)
		return token{literal, string(value)}, n, err
	}
	if isDigits(strings.ReplaceAll(s, ".", "")) {
		return token{digits, s}, n, nil
	}
	if s[0] >= '0' && s[0] <= '9' {
		return token{}, 0, fmt.Errorf("%q is neither a number nor a name", s)
	}
	return token{word, s}, n, nil
}

// escapes are what stands behind a backslash. Any other byte stands for itself.
var escapes = map[byte]string{
	'0': "\x00", 'b': "\b", 'n': "\n", 'r': "\r", 't': "\t", 'Z': "\x1a", '%': `\%`, '_': `\_`,
}

// quoted reads a text in quotes and returns its value and its length.
func quoted(s string) (value string, n int, err error) {
	var b strings.Builder
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			if e, found := escapes[s[i]]; found {
				b.WriteString(e)
			} else {
				b.WriteByte(s[i])
			}
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
			b.WriteByte(quote)
		case s[i] == quote:
			return b.String(), i + 1, nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", 0, errors.New("a text in quotes has no end")
}

func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$' || c == '@'
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
