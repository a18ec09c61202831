package php

import "strings"

// SplitParameters splits a query or a form as OAuthUtil::parse_parameters of the
// extension does: an empty piece is a parameter with an empty name, and a
// repeated name makes a list.
func SplitParameters(text string) *Array {
	var a Array
	if Empty(text) {
		return &a
	}
	for piece := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(piece, "=")
		key, text := keyOf(URLDecode(name)), URLDecode(value)
		old, found := a.find(key)
		switch {
		case !found:
			a.set(key, Value{Text: text})
		case old.List == nil:
			first := old.Text
			*old = Value{List: []*string{&first, &text}}
		default:
			old.List = append(old.List, &text)
		}
	}
	return &a
}

// HeaderParameters returns the parameters of an Authorization header as
// OAuthUtil::split_header does: every oauth_name=value wherever it stands, quoted
// or up to the next comma. The last value of a name counts.
func HeaderParameters(line string) *Array {
	var a Array
	for {
		start := strings.Index(line, "oauth_")
		if start < 0 {
			return &a
		}
		end := start
		for end < len(line) && ('a' <= line[end] && line[end] <= 'z' || line[end] == '_' || line[end] == '-') {
			end++
		}
		name := line[start:end]
		if end == len(line) || line[end] != '=' {
			line = line[end:] // a name that begins within these letters ends with them too
			continue
		}
		value := line[end+1:]
		quoted := strings.TrimPrefix(value, ":")
		if strings.HasPrefix(quoted, `"`) && strings.Contains(quoted[1:], `"`) {
			value, line, _ = strings.Cut(quoted[1:], `"`)
			if Empty(value) {
				value = ""
			}
		} else {
			value, _, _ = strings.Cut(value, ",")
			line = line[end+1+len(value):]
		}
		a.set(Key{Name: name}, Value{Text: URLDecode(value)})
	}
}

// Bearer returns the token of an Authorization header that begins with "Bearer":
// one white-space byte after that word is taken off, and the rest is trimmed.
// Without that byte the word stays, so that the token cannot be read.
func Bearer(header string) string {
	rest := strings.TrimPrefix(header, "Bearer")
	if rest == "" || !strings.Contains(Blanks, rest[:1]) {
		rest = header
	}
	return strings.Trim(rest, " \t\n\r\x00\v")
}

// SplitTarget splits a request target into path and query as MediaWiki does. The
// path begins with one slash, and an absolute-form target loses scheme and host.
// ok is false for a target that others read in another way: an absolute form
// without a path, because MediaWiki would search the query for one, and a target
// with "#", because MediaWiki would cut there, but Apache answers 400 before.
func SplitTarget(target string) (path, query string, ok bool) {
	if !strings.HasPrefix(target, "/") {
		scheme, rest, found := strings.Cut(target, "://")
		slash := strings.IndexAny(rest, "/?")
		if !found || strings.Contains(scheme, ":") || slash <= 0 || rest[slash] != '/' {
			return "", "", false
		}
		target = rest[slash:]
	}
	path, query, _ = strings.Cut("/"+strings.TrimLeft(target, "/"), "?")
	return path, query, !strings.Contains(target, "#")
}
