package wikipath

import (
	"net/http"
	"path"
	"strings"
)

// Mentions reports whether some reader could take a request for one for a page or
// an endpoint of the extension. It is true for each request that Endpoint finds,
// and for those that it leaves out because programs read them differently: paths
// that a web server cleans, directories that stand for index.php, and titles that
// contradict each other.
func (w *Wiki) Mentions(r *Request) bool {
	target, query, _ := strings.Cut(WithoutOrigin(r.Target), "?")
	raw := unescapeLeniently(target)
	clean := path.Clean(raw)
	if isBelow(clean, w.rest) || w.titleIn(raw) || w.titleIn(clean) || w.titleAmong(query) {
		return true
	}
	if r.Method != http.MethodPost || r.Form == nil || !isPlainForm(r.Header) || !w.takesTitles(clean) {
		return false
	}
	form, err := r.Form(MaxForm)
	return err == nil && w.titleAmong(string(form))
}

// isBelow reports whether a cleaned path is a directory, which is written with a
// slash at its end, or below it.
func isBelow(clean, directory string) bool {
	return strings.HasPrefix(clean, directory) || clean == directory[:len(directory)-1]
}

// WithoutOrigin returns a target without the scheme and host that a target in
// absolute form begins with.
func WithoutOrigin(target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	if _, rest, found := strings.Cut(target, "://"); found {
		if start := strings.IndexAny(rest, "/?"); start >= 0 {
			return rest[start:]
		}
	}
	return target
}

// titleIn reports whether the title that a decoded path ends in names the page.
func (w *Wiki) titleIn(decoded string) bool {
	title, found := w.titleInPath(decoded)
	if !found {
		return false
	}
	_, named := w.pages.subpage(strings.Trim(title, "/"))
	return named
}

// titleAmong reports whether a title in a query or form names the page.
func (w *Wiki) titleAmong(pairs string) bool {
	split := func(r rune) bool { return r == '&' || r == ';' }
	for pair := range strings.FieldsFuncSeq(pairs, split) {
		name, value, _ := strings.Cut(pair, "=")
		if phpName(phpUnescape(name)) != "title" {
			continue
		}
		if _, named := w.pages.subpage(phpUnescape(value)); named {
			return true
		}
	}
	return false
}

// takesTitles reports whether a form that is sent to a cleaned path can name a
// title: index.php by its name, by its directory or by a title.
func (w *Wiki) takesTitles(clean string) bool {
	_, titled := w.titleInPath(clean)
	script := strings.TrimSuffix(w.index, "/index.php")
	return titled || clean == w.index || clean == script || clean == "/" || clean == "/index.php"
}
