package wikipath

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// Config says where a wiki is.
type Config struct {
	ScriptPath  string // $wgScriptPath, "/" for the root; default: /w
	ArticlePath string // $wgArticlePath without $1; default: /wiki/

	// SpecialPages are local names of the namespace Special, or, with a colon,
	// whole local names of the special page.
	SpecialPages []string
}

// The defaults of Config.
const (
	DefaultScriptPath  = "/w"
	DefaultArticlePath = "/wiki/"
)

// MaxForm is the number of bytes of a form that are read to find titles in it.
const MaxForm = 64 << 10

// Wiki finds the pages and endpoints of the OAuth extension of one wiki.
type Wiki struct {
	index, rest, article string
	pages                pageNames
}

// New returns the Wiki of a configuration.
func New(c Config) (*Wiki, error) {
	script, article := c.ScriptPath, c.ArticlePath
	if script == "" {
		script = DefaultScriptPath
	}
	if article == "" {
		article = DefaultArticlePath
	}
	pages, mistakes := newPageNames(c.SpecialPages)
	if err := errors.Join(CheckScriptPath(script), CheckArticlePath(article), mistakes); err != nil {
		return nil, err
	}
	script = strings.TrimSuffix(script, "/")
	return &Wiki{script + "/index.php", script + "/rest.php/oauth2/", article, pages}, nil
}

// CheckScriptPath reports what is wrong with a script path.
func CheckScriptPath(path string) error {
	if !isPlainPath(path) || path != "/" && strings.HasSuffix(path, "/") {
		return errors.New("script_path: not a path: write $wgScriptPath, such as /w, or / for the root")
	}
	return nil
}

// CheckArticlePath reports what is wrong with an article path.
func CheckArticlePath(path string) error {
	if !isPlainPath(path) || !strings.HasSuffix(path, "/") {
		return errors.New("article_path: not a path that ends in /: write $wgArticlePath without $1, such as /wiki/")
	}
	return nil
}

// isPlainPath reports whether every program reads a path alike: it has no
// escapes, no empty segments, no dot segments and no parameters.
func isPlainPath(path string) bool {
	if !strings.HasPrefix(path, "/") {
		return false
	}
	for i := range len(path) {
		if c := path[i]; c != '/' && c != '.' && !isNameByte(c) {
			return false
		}
	}
	return !hasOddSegment(path)
}

// Kind is a kind of page or endpoint.
type Kind int

// The kinds.
const (
	SpecialPage Kind = iota + 1 // Special:OAuth
	REST                        // rest.php/oauth2/
)

// Endpoint is a page or an endpoint of the extension.
type Endpoint struct {
	Kind Kind
	// Name is the subpage of the special page, such as initiate, in MediaWiki's
	// spelling of titles, or what follows rest.php/oauth2/.
	Name string
}

// Request is what decides which page MediaWiki shows.
type Request struct {
	Method string
	Target string // as the client sent it: path and query, escaped
	Header http.Header

	// Form reads at most limit bytes of the body, and fails if there are more.
	// It is nil if there is no body.
	Form func(limit int64) ([]byte, error)
}

// Endpoint returns the page or endpoint of the extension that a request is for.
// If several places name a title, all must name the special page. The form is
// read only if it could be one that names a title, at a path where titles count.
func (w *Wiki) Endpoint(r *Request) (Endpoint, bool) {
	path, query, _ := strings.Cut(r.Target, "?")
	if name, ok := strings.CutPrefix(path, w.rest); ok {
		return Endpoint{REST, name}, name != "" && isPlainPath(path) && !replacesTarget(r.Header)
	}
	var t titles
	if path != w.index {
		title, ok := w.titleInPath(path)
		if !ok || !t.addPath(title, &w.pages) {
			return Endpoint{}, false
		}
	}
	if strings.Contains(query, "#") || !t.addPairs(query, &w.pages) || replacesTarget(r.Header) || !t.addForm(r, &w.pages) {
		return Endpoint{}, false
	}
	return Endpoint{SpecialPage, t.subpage}, t.found
}

// titleInPath returns the title that follows a path where titles count, escaped.
func (w *Wiki) titleInPath(path string) (string, bool) {
	for _, before := range [...]string{w.index + "/", w.article, "/index.php/"} {
		if title, ok := strings.CutPrefix(path, before); ok {
			return title, true
		}
	}
	return "", false
}

// replacesTarget reports whether a header asks the backend to take another
// target than that of the request line, or another protocol.
func replacesTarget(h http.Header) bool {
	for name := range h {
		switch strings.Map(foldSign, name) {
		case "x-original-url", "x-rewrite-url", "upgrade":
			return true
		}
	}
	return false
}

// foldSign folds letters and signs of a header name as careless backends do.
func foldSign(r rune) rune {
	switch {
	case 'A' <= r && r <= 'Z':
		return r + 'a' - 'A'
	case r == '_' || r == '.':
		return '-'
	}
	return r
}

// Resembles reports whether a target or a method and content type look like a
// step of the handshake to a reader of a log. It decides nothing.
func Resembles(method, target string, contentType []string) bool {
	path, _, _ := strings.Cut(target, "?")
	folded := strings.ToLower(unescapeLeniently(target))
	inForm := method == http.MethodPost && strings.HasSuffix(path, "/index.php") && !strings.Contains(folded, "title=") &&
		slices.ContainsFunc(contentType, isForm)
	return inForm || strings.Contains(folded, "oauth/initiate") || strings.Contains(folded, "oauth/token")
}
