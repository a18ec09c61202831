package sign

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

type param struct{ name, value string }

// baseString is RFC 5849 section 3.4.1.
func baseString(method, rawURL string, form []byte, protocol []param) (string, error) {
	uri, query, err := splitURL(rawURL)
	if err != nil {
		return "", err
	}
	params := slices.Clone(protocol)
	for _, text := range []string{query, string(form)} {
		if params, err = appendForm(params, text); err != nil {
			return "", err
		}
	}
	return Escape(strings.ToUpper(method)) + "&" + Escape(uri) + "&" + Escape(normalize(params)), nil
}

// splitURL gives a URL's base string URI (section 3.4.1.2) and its query.
func splitURL(rawURL string) (uri, query string, err error) {
	if strings.ContainsFunc(rawURL, func(r rune) bool { return r <= 0x20 || r > 0x7e }) {
		return "", "", errors.New("url: blanks, control and non-ASCII characters must be percent-encoded")
	}
	rest, _, _ := strings.Cut(rawURL, "#")
	rest, query, _ = strings.Cut(rest, "?")
	scheme, rest, found := strings.Cut(rest, "://")
	scheme = strings.ToLower(scheme)
	if !found || scheme != "http" && scheme != "https" {
		return "", "", errors.New("url: want http:// or https://")
	}
	host, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	host = strings.ToLower(host)
	if strings.Contains(host, "@") {
		return "", "", errors.New("url: user information is not allowed")
	}
	host = strings.TrimSuffix(host, ":")
	switch scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	if host == "" {
		return "", "", errors.New("url: no host")
	}
	return scheme + "://" + host + path, query, nil
}

// appendForm appends the parameters of a query or form (section 3.4.1.3.1),
// decoded.
func appendForm(params []param, text string) ([]param, error) {
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := unescape(name)
		if err != nil {
			return nil, err
		}
		if value, err = unescape(value); err != nil {
			return nil, err
		}
		params = append(params, param{name, value})
	}
	return params, nil
}

// normalize is section 3.4.1.3.2: encoded, sorted by name and then by value, as
// bytes.
func normalize(params []param) string {
	encoded := make([]param, len(params))
	for i, p := range params {
		encoded[i] = param{Escape(p.name), Escape(p.value)}
	}
	slices.SortFunc(encoded, func(a, b param) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	pairs := make([]string, len(encoded))
	for i, p := range encoded {
		pairs[i] = p.name + "=" + p.value
	}
	return strings.Join(pairs, "&")
}

// Escape is the percent-encoding of RFC 5849 section 3.6, which neither of
// package net/url is.
func Escape(s string) string {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			out = append(out, c)
		default:
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

// unescape decodes one name or value of a form.
func unescape(s string) (string, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			out = append(out, ' ')
		case '%':
			if len(s) < i+3 {
				return "", fmt.Errorf("incomplete percent-encoding at byte %d of a parameter", i)
			}
			decoded, err := hex.DecodeString(s[i+1 : i+3])
			if err != nil {
				return "", fmt.Errorf("malformed percent-encoding %q in a parameter", s[i:i+3])
			}
			out = append(out, decoded...)
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return string(out), nil
}
