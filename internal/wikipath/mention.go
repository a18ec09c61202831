package wikipath

import (
	"bytes"
	"net/http"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Mentions reports whether some reader could take a request for one for a page or
// an endpoint of the extension. It is true for each request that Endpoint finds,
// and for those that it leaves out because programs read them differently: paths
// that a web server cleans, directories that stand for index.php, titles that
// contradict each other, and forms that cannot be read.
func (w *Wiki) Mentions(r *Request) bool {
	target, query, _ := strings.Cut(WithoutOrigin(r.Target), "?")
	raw := unescapeLeniently(target)
	clean := path.Clean(raw)
	if isBelow(raw, w.rest) || isBelow(clean, w.rest) || w.titleIn(raw) || w.titleIn(clean) || w.titleAmong(query) {
		return true
	}
	return r.Method == http.MethodPost && r.Form != nil && w.takesTitles(clean) && w.titleInForm(r, query)
}

// maxMentioned is the number of bytes of a form that are read to find a title that
// must not be overlooked: as many as PHP takes by default.
const maxMentioned = 8 << 20

// titleInForm reports whether a form could name the page to PHP. PHP reads the
// body as it came, whatever Content-Encoding says, and a server before it may read
// another line of Content-Type, or decode the body. A multipart form is looked
// into if the request is signed, because no other one is a step that issues.
func (w *Wiki) titleInForm(r *Request, query string) bool {
	plain, multipart := formKinds(r.Header["Content-Type"])
	if !plain && (!multipart || !isSigned(r.Header, query)) {
		return false
	}
	form, err := r.Form(maxMentioned)
	return err != nil || isCoded(r.Header) || w.titleAmong(string(form)) || multipart && bytes.Contains(form, []byte("title"))
}

// formKinds reports which kinds of forms some reader could take a body for.
func formKinds(contentType []string) (plain, multipart bool) {
	kinds := strings.ToLower(strings.Join(contentType, "\n"))
	return strings.Contains(kinds, "x-www-form-urlencoded"), strings.Contains(kinds, "multipart/form-data")
}

// isCoded reports whether a reader could decode a body before it reads it.
func isCoded(h http.Header) bool {
	return slices.ContainsFunc(h["Content-Encoding"], func(coding string) bool {
		return !strings.EqualFold(strings.TrimSpace(coding), "identity")
	})
}

// isSigned reports whether the extension could find parameters of OAuth 1.0a in
// the header or the query. It does not look for them in a multipart form.
func isSigned(h http.Header, query string) bool {
	return strings.Contains(unescapeLeniently(query), "oauth_") || slices.ContainsFunc(h["Authorization"], func(line string) bool {
		return strings.Contains(strings.ToLower(line), "oauth")
	})
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
	return w.isNamedBy(strings.Trim(title, "/"))
}

// titleAmong reports whether a title in a query or form names the page.
func (w *Wiki) titleAmong(pairs string) bool {
	split := func(r rune) bool { return r == '&' || r == ';' }
	for pair := range strings.FieldsFuncSeq(pairs, split) {
		name, value, _ := strings.Cut(pair, "=")
		if phpName(phpUnescape(name)) != "title" {
			continue
		}
		if w.isNamedBy(phpUnescape(value)) {
			return true
		}
	}
	return false
}

// isNamedBy reports whether MediaWiki could take a title for one of the page: it
// normalises Unicode, and passes over the wiki's own interwiki prefixes.
func (w *Wiki) isNamedBy(title string) bool {
	for _, form := range [...]norm.Form{norm.NFC, norm.NFKC} {
		rest, more := form.String(title), true
		for more {
			if _, named := w.pages.subpage(rest); named {
				return true
			}
			_, rest, more = strings.Cut(rest, ":")
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
