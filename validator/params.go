package validator

import "strings"

const formType = "application/x-www-form-urlencoded"

// maxParameters bounds the work for one request. A form of 1 MiB can hold
// 176,000 parameters.
const maxParameters = 8192

// param is a parameter as it stands in the signature base string, with name and
// value percent-encoded as in RFC 5849 section 3.6.
type param struct{ name, value string }

// appendForm reads the parameters of a query or of a form. ok is false if there
// are more than maxParameters. An empty piece between two "&" is not a
// parameter.
func appendForm(params []param, text string) (_ []param, ok bool) {
	for text != "" {
		var piece string
		piece, text, _ = strings.Cut(text, "&")
		if piece == "" {
			continue
		}
		if len(params) == maxParameters {
			return params, false
		}
		name, value, _ := strings.Cut(piece, "=")
		params = append(params, param{recode(name, true), recode(value, true)})
	}
	return params, true
}

// recode returns the text in the one encoding that RFC 5849 section 3.6 signs:
// every byte that is not unreserved becomes %XX in upper case. With form, "+"
// is a blank. A "%" that two hex digits do not follow stands for itself, as in
// PHP. Text that is in that encoding already is returned as it is.
func recode(text string, form bool) string {
	length, same := recodedLength(text, form)
	if same {
		return text
	}
	out := make([]byte, 0, length)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '+' && form:
			c = ' '
		case c == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			c = unhex(text[i+1])<<4 | unhex(text[i+2])
			i += 2
		}
		out = appendEncoded(out, c)
	}
	return string(out)
}

// recodedLength returns the length of what recode returns, and reports whether
// that is the text itself.
func recodedLength(text string, form bool) (length int, same bool) {
	same = true
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case unreserved[c]:
			length++
			continue
		case c == '+' && form:
			c = ' '
		case c == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			high, low := text[i+1], text[i+2]
			c = unhex(high)<<4 | unhex(low)
			i += 2
			if high < 'a' && low < 'a' && !unreserved[c] {
				length += 3
				continue
			}
		}
		same = false
		if length++; !unreserved[c] {
			length += 2
		}
	}
	return length, same
}

// decode undoes recode.
func decode(encoded string) string {
	if strings.IndexByte(encoded, '%') < 0 {
		return encoded
	}
	out := make([]byte, 0, len(encoded))
	for i := 0; i < len(encoded); i++ {
		c := encoded[i]
		if c == '%' {
			c = unhex(encoded[i+1])<<4 | unhex(encoded[i+2])
			i += 2
		}
		out = append(out, c)
	}
	return string(out)
}

// StripQuery removes the parameters of OAuth 1 from a query, in any spelling of
// their names. It leaves the rest as it is, byte for byte.
func StripQuery(query string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		name = recode(name, true)
		for strings.HasPrefix(name, "%20") { // PHP passes over blanks before a name
			name = name[len("%20"):]
		}
		if !strings.HasPrefix(name, "oauth_") {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// appendEncoded appends one byte, percent-encoded as in RFC 5849 section 3.6.
func appendEncoded(out []byte, c byte) []byte {
	if unreserved[c] {
		return append(out, c)
	}
	const digits = "0123456789ABCDEF"
	return append(out, '%', digits[c>>4], digits[c&15])
}

// encode returns s, percent-encoded as in RFC 5849 section 3.6.
func encode(s string) string {
	length := 0
	for i := range len(s) {
		if length++; !unreserved[s[i]] {
			length += 2
		}
	}
	if length == len(s) {
		return s
	}
	return string(appendEncodedString(make([]byte, 0, length), s))
}

func appendEncodedString(out []byte, s string) []byte {
	for i := range len(s) {
		out = appendEncoded(out, s[i])
	}
	return out
}

// The unreserved characters of RFC 3986, and the tchars of RFC 9110 section 5.6.2.
var (
	unreserved = alphanumericAnd("-._~")
	tokenChars = alphanumericAnd("!#$%&'*+-.^_`|~")
)

func alphanumericAnd(others string) (t [256]bool) {
	for c := range 256 {
		t[c] = isAlphanumeric(byte(c)) || strings.IndexByte(others, byte(c)) >= 0
	}
	return t
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
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
