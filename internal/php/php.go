// Package php reads texts as PHP 8 does, and as the OAuth extension of MediaWiki
// does on top of it: URL encoding, numbers, query parameters, forms, JSON. Its
// functions are pure, and any input is allowed.
package php

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
)

// Blanks is the white space that PHP skips around a number.
const Blanks = " \t\n\r\v\f"

// Empty reports whether a text is empty to PHP's empty().
func Empty(text string) bool { return text == "" || text == "0" }

// URLDecode returns what urldecode returns: "+" is a blank, and a "%" that two
// hex digits do not follow stands for itself.
func URLDecode(text string) string {
	start := strings.IndexAny(text, "+%")
	if start < 0 {
		return text
	}
	out := make([]byte, start, len(text))
	copy(out, text)
	for i := start; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			c = unhex(text[i+1])<<4 | unhex(text[i+2])
			i += 2
		}
		out = append(out, c)
	}
	return string(out)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// LeadingNumber reads the number that a text begins with, as arithmetic in PHP 8
// does: after blanks, a sign, a fraction and an exponent are allowed, and anything
// may follow. ok is false for a text that does not begin with a number. A number
// beyond every float is infinite.
func LeadingNumber(text string) (f float64, ok bool) {
	text = strings.TrimLeft(text, Blanks)
	n := numberLength(text)
	if n == 0 {
		return 0, false
	}
	f, _ = strconv.ParseFloat(text[:n], 64)
	return f, true
}

// Number reads a text for which is_numeric is true: a number with blanks around
// it, and nothing else. ok is false for other texts and for numbers beyond every
// float.
func Number(text string) (f float64, ok bool) {
	text = strings.Trim(text, Blanks)
	if n := numberLength(text); n == 0 || n != len(text) {
		return 0, false
	}
	f, _ = strconv.ParseFloat(text, 64)
	return f, !math.IsInf(f, 0)
}

// numberLength returns the length of the number that a text begins with.
func numberLength(s string) int {
	digits := func(i int) int {
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		return i
	}
	start := 0
	if s != "" && (s[0] == '+' || s[0] == '-') {
		start = 1
	}
	end := digits(start)
	whole := end - start
	if end < len(s) && s[end] == '.' {
		if fraction := digits(end+1) - end - 1; whole+fraction > 0 {
			end += 1 + fraction
			whole += fraction
		}
	}
	if whole == 0 {
		return 0
	}
	if end < len(s) && (s[end] == 'e' || s[end] == 'E') {
		i := end + 1
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if j := digits(i); j > i {
			end = j
		}
	}
	return end
}

// Base64Decode returns what base64_decode returns: it skips bytes outside of the
// alphabet, padding included.
func Base64Decode(text string) (raw []byte, ok bool) {
	kept := make([]byte, 0, len(text))
	for i := range len(text) {
		c := text[i]
		if 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/' {
			kept = append(kept, c)
		}
	}
	if len(kept)%4 == 1 {
		kept = kept[:len(kept)-1]
	}
	raw, err := base64.RawStdEncoding.AppendDecode(nil, kept)
	return raw, err == nil
}
