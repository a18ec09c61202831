package wikipath

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// titles are what the places of one request name.
type titles struct {
	found   bool
	inPath  bool   // the path names one, which counts before all others
	subpage string // of the one that counts
}

// add takes a title of one place, and reports whether it names the special page.
// Of a query and a form, in this order, the last title counts.
func (t *titles) add(title string, pages *pageNames) bool {
	subpage, ok := pages.subpage(title)
	if ok && !t.inPath {
		t.found, t.subpage = true, subpage
	}
	return ok
}

// addPath takes the escaped title of a path. A web server may put it into a
// query, or read segments otherwise than MediaWiki, so that signs which mean
// something there are refused, escaped or not.
func (t *titles) addPath(escaped string, pages *pageNames) bool {
	if strings.Count(escaped, "%2F")+strings.Count(escaped, "%2f") > 0 {
		return false
	}
	title, err := url.PathUnescape(escaped)
	if err != nil || hasOddSegment("/"+title) {
		return false
	}
	for i := range len(title) {
		if c := title[i]; c < utf8.RuneSelf && !isNameByte(c) && strings.IndexByte(" ./:", c) < 0 {
			return false
		}
	}
	t.inPath = t.add(title, pages)
	return t.inPath
}

// maxPairs bounds the parameters of a query or form. PHP drops those over a
// limit of its own, which is a thousand by default.
const maxPairs = 100

// addPairs takes the titles of a query or form, as PHP reads it. It fails for
// any other title, and for a parameter that index.php prefers to a title.
func (t *titles) addPairs(text string, pages *pageNames) bool {
	if strings.Count(text, "&")+strings.Count(text, ";") >= maxPairs {
		return false
	}
	for pair := range strings.SplitSeq(text, "&") {
		// PHP can be told to split at semicolons too.
		for part := range strings.SplitSeq(pair, ";") {
			if !t.addPair(part, part != pair, pages) {
				return false
			}
		}
	}
	return true
}

func (t *titles) addPair(pair string, split bool, pages *pageNames) bool {
	escapedName, escapedValue, _ := strings.Cut(pair, "=")
	switch name := phpUnescape(escapedName); phpName(name) {
	case "title":
		return !split && name == "title" && t.add(phpUnescape(escapedValue), pages)
	case "curid":
		return false // the id of a page, which counts before a title
	case "action":
		// Up to 1.40, this ran functions that extensions have registered.
		return !strings.EqualFold(phpUnescape(escapedValue), "ajax")
	}
	return true
}

// addForm takes the titles of the body. PHP reads a multipart form too, in a
// way of its own, so that every body but a short, plain form fails.
func (t *titles) addForm(r *Request, pages *pageNames) bool {
	post := r.Method == http.MethodPost
	switch {
	case !post && r.Method != http.MethodGet && r.Method != http.MethodHead:
		return false
	case r.Form == nil:
		return true
	case post && isPlainForm(r.Header):
		form, err := r.Form(MaxForm)
		return err == nil && t.addPairs(string(form), pages)
	case !t.found:
		return false // no other body names a title
	default:
		// The length of an empty body may be unknown.
		_, err := r.Form(0)
		return err == nil
	}
}

// isPlainForm reports whether a body is a form as PHP and others read it.
func isPlainForm(h http.Header) bool {
	types := h["Content-Type"]
	return len(types) == 1 && isForm(types[0]) && len(h["Content-Encoding"]) == 0
}

// isForm reports whether PHP parses a body of a content type as URL-encoded.
func isForm(contentType string) bool {
	if end := strings.IndexAny(contentType, ";, "); end >= 0 {
		contentType = contentType[:end]
	}
	return strings.EqualFold(contentType, "application/x-www-form-urlencoded")
}

// phpUnescape decodes as PHP does: an escape that is not one stays as it is.
func phpUnescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	return unescapeLeniently(strings.ReplaceAll(s, "+", " "))
}

func unescapeLeniently(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			out = append(out, hexValue(s[i+1])<<4|hexValue(s[i+2]))
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return lowerASCII(c) - 'a' + 10
}

// phpName returns the name under which PHP keeps a variable: without leading
// blanks, and without what follows a bracket or a NUL byte.
func phpName(name string) string {
	name = strings.TrimLeft(name, " \t\r\n\v\f")
	if end := strings.IndexAny(name, "[\x00"); end >= 0 {
		name = name[:end]
	}
	return name
}

// hasDotSegment reports whether a path has a segment . or ..
func hasDotSegment(path string) bool {
	if strings.IndexByte(path, '.') < 0 {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// hasOddSegment reports whether a path has an empty segment within, or a dot
// segment.
func hasOddSegment(path string) bool {
	return strings.Contains(path, "//") || hasDotSegment(path)
}
