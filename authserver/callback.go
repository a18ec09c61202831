package authserver

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// unsafeSchemes are never redirected to, whatever an app has registered: a browser
// would run what follows, or show it as its own.
var unsafeSchemes = []string{"javascript", "data", "vbscript", "file", "blob", "about", "filesystem", "view-source"}

// redirectable reports whether a browser may be sent to a callback: an absolute
// URL with a scheme that is not unsafe, without user, password and dot segments.
func redirectable(callback string) bool {
	scheme, rest, found := strings.Cut(callback, ":")
	if !found || !isScheme(scheme) || slices.Contains(unsafeSchemes, strings.ToLower(scheme)) {
		return false
	}
	authority, path := "", rest
	if strings.HasPrefix(rest, "//") {
		end := authorityEnd(rest)
		authority, path = rest[2:end], rest[end:]
	} else if isWebScheme(scheme) {
		return false
	}
	switch {
	case isWebScheme(scheme) && authority == "", strings.Contains(authority, "@"):
		return false
	case strings.HasPrefix(path, `\`):
		return false
	}
	path, _, _ = strings.Cut(path, "#")
	path, _, _ = strings.Cut(path, "?")
	return !hasDotSegments(path)
}

func isWebScheme(scheme string) bool {
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}

// isScheme reports whether a text is a scheme (RFC 3986 section 3.1).
func isScheme(s string) bool {
	return s != "" && (s[0]|0x20) >= 'a' && (s[0]|0x20) <= 'z' && !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune("+-.", r)
	})
}

// hasDotSegments reports whether a path holds "." or ".." as a segment, also
// percent-encoded or between backslashes, which browsers take for slashes.
func hasDotSegments(path string) bool {
	path = strings.NewReplacer(`\`, "/", "%5c", "/", "%5C", "/", "%2e", ".", "%2E", ".").Replace(path)
	return slices.ContainsFunc(strings.Split(path, "/"), func(segment string) bool {
		return segment == "." || segment == ".."
	})
}

// location returns what stands in a Location header: the scheme in lower case, the
// port without leading zeros, and each byte that a URL may not hold
// percent-encoded.
func location(callback string) string {
	scheme, rest, _ := strings.Cut(callback, ":")
	if isWebScheme(scheme) {
		rest = plainPort(rest)
	}
	var out strings.Builder
	out.WriteString(strings.ToLower(scheme))
	out.WriteByte(':')
	for i := range len(rest) {
		if c := rest[i]; c <= ' ' || c >= 0x7F || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			const hex = "0123456789ABCDEF"
			out.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

// plainPort writes the port in what follows "http:" as a number. A port of no digits
// is none (RFC 3986 section 3.2.3).
func plainPort(rest string) string {
	end := authorityEnd(rest)
	authority, behind := rest[:end], rest[end:]
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || colon < strings.LastIndexByte(authority, ']') {
		return rest
	}
	host, port := authority[:colon], authority[colon+1:]
	if port == "" {
		return host + behind
	}
	return host + ":" + strings.TrimLeft(port[:len(port)-1], "0") + port[len(port)-1:] + behind
}

// authorityEnd returns where the authority ends in what follows a scheme and ":".
func authorityEnd(rest string) int {
	slashes := len(rest) - len(strings.TrimPrefix(rest, "//"))
	if end := strings.IndexAny(rest[slashes:], `/?#\`); end >= 0 {
		return slashes + end
	}
	return len(rest)
}

// addParams appends parameters to a callback, in front of its fragment or behind
// all of it. A callback that has a "?" gets a "&", whatever stands behind it.
func addParams(callback string, beforeFragment bool, fields []Field) string {
	fragment := ""
	if i := strings.IndexByte(callback, '#'); i >= 0 && beforeFragment {
		callback, fragment = callback[:i], callback[i:]
	}
	var out strings.Builder
	out.WriteString(callback)
	separator := byte('?')
	if strings.Contains(callback, "?") {
		separator = '&'
	}
	for _, f := range fields {
		out.WriteByte(separator)
		out.WriteString(f.Name)
		out.WriteByte('=')
		out.WriteString(queryEscape(f.Value))
		separator = '&'
	}
	out.WriteString(fragment)
	return out.String()
}

// queryEscape escapes a value as PHP's urlencode does: "~" too, and a blank as "+".
func queryEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "~", "%7E") }

// redirectAllowed reports whether an OAuth 2 redirect URI is the registered one.
// The prefix flag is not looked at. On loopback the port may differ, where the
// operator or the release says so (RFC 8252 section 7.3).
func (s *Server) redirectAllowed(client *Consumer, uri string) bool {
	registered := client.CallbackURL
	if registered == "" || !redirectable(registered) {
		return false
	}
	if uri == registered {
		return true
	}
	if !s.cfg.LoopbackPort {
		return false
	}
	a, okA := withoutLoopbackPort(uri)
	b, okB := withoutLoopbackPort(registered)
	return okA && okB && a == b
}

// withoutLoopbackPort takes the port out of an http URL on 127.0.0.1 or [::1].
func withoutLoopbackPort(uri string) (string, bool) {
	rest, found := strings.CutPrefix(uri, "http://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		port, of := strings.CutPrefix(authority, host)
		if found && of && (port == "" || isPort(port)) {
			return host + path, true
		}
	}
	return "", false
}

// isPort reports whether a text is a colon with a port behind it.
func isPort(text string) bool {
	digits, found := strings.CutPrefix(text, ":")
	port, err := strconv.ParseUint(digits, 10, 16)
	return found && err == nil && port > 0
}
