package validator

import "strings"

// maxHeader bounds one Authorization field line, in bytes.
const maxHeader = 16 << 10

// scheme returns the protocol of an Authorization value, and the text after the
// name of the scheme. Names of schemes have no case (RFC 9110 section 11.1). A
// value that begins with "Bearer" belongs to OAuth 2 even if no blank follows,
// because a token glued to that word is a broken credential and not another
// scheme.
func scheme(value string) (p Protocol, rest string) {
	if rest, ok := cutPrefixFold(value, "Bearer"); ok {
		return OAuth2, rest
	}
	if rest, ok := cutPrefixFold(value, "OAuth"); ok && (rest == "" || !tokenChars[rest[0]]) {
		return OAuth1, rest
	}
	return NoProtocol, ""
}

func cutPrefixFold(s, prefix string) (after string, found bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// bearerToken reads the text after "Bearer": blanks and one token68 (RFC 6750
// section 2.1).
func bearerToken(rest string) (string, Reason) {
	token := strings.TrimLeft(rest, " ")
	if len(token) == len(rest) || token == "" {
		return "", MalformedHeader
	}
	for i := range len(token) {
		c := token[i]
		if !unreserved[c] && c != '+' && c != '/' && c != '=' {
			return "", MalformedHeader
		}
	}
	return token, OK
}

// authParams reads the text after "OAuth": a list of name="value" (RFC 5849
// section 3.5.1). It accepts empty list elements and unquoted values too,
// because RFC 9110 sections 5.6.1 and 11.2 ask recipients to. Names and values
// are passed to each in the encoding that is signed.
func authParams(rest string, each func(name, value string)) Reason {
	if rest != "" && rest[0] != ' ' {
		return MalformedHeader
	}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			return OK
		}
		n := tokenLength(rest)
		if n == 0 || n == len(rest) || rest[n] != '=' {
			return MalformedHeader
		}
		name := rest[:n]
		value, left, ok := paramValue(rest[n+1:])
		if !ok {
			return MalformedHeader
		}
		rest = strings.TrimLeft(left, " \t")
		if rest != "" && rest[0] != ',' {
			return MalformedHeader
		}
		each(recode(name, false), recode(value, false))
	}
}

// paramValue reads a quoted-string or a token.
func paramValue(text string) (value, rest string, ok bool) {
	if text == "" || text[0] != '"' {
		n := tokenLength(text)
		return text[:n], text[n:], n > 0
	}
	text = text[1:]
	end := strings.IndexAny(text, `"\`)
	if end >= 0 && text[end] == '"' {
		return text[:end], text[end+1:], true
	}
	var out []byte
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return string(out), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		out = append(out, text[i])
	}
	return "", "", false
}

func tokenLength(s string) int {
	n := 0
	for n < len(s) && tokenChars[s[n]] {
		n++
	}
	return n
}
