package wikipath

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// pageNames are the names of the special page.
type pageNames struct {
	namespaces []string    // folded
	pages      []string    // folded, in every namespace of namespaces
	whole      [][2]string // folded namespace and page
}

func newPageNames(local []string) (pageNames, error) {
	n := pageNames{namespaces: []string{"special"}, pages: []string{"oauth", "mwoauth"}}
	var mistakes []error
	for _, name := range local {
		mistakes = append(mistakes, CheckSpecialPage(name))
		key, _ := cleanTitle(norm.NFC.String(name)) // as MediaWiki has it
		namespace, page, whole := cutNamespace(key)
		if whole {
			n.whole = append(n.whole, [2]string{foldName(namespace), foldName(page)})
		} else {
			n.namespaces = append(n.namespaces, foldName(key))
		}
	}
	return n, errors.Join(mistakes...)
}

// CheckSpecialPage reports what is wrong with a local name of the namespace
// Special, or of the whole special page.
func CheckSpecialPage(name string) error {
	key, ok := cleanTitle(name)
	namespace, page, whole := cutNamespace(key)
	if !ok || key == "" || whole && (namespace == "" || page == "" || strings.Contains(page, ":")) || strings.ContainsAny(key, "/#") {
		return errors.New("special_page: not a name: write the wiki's own name of Special, such as Spezial, or of the whole page, such as Spezial:OAuth")
	}
	return nil
}

// cutNamespace cuts a title at the colon after its namespace.
func cutNamespace(key string) (namespace, page string, found bool) {
	namespace, page, found = strings.Cut(key, ":")
	return strings.TrimRight(namespace, "_"), strings.TrimLeft(page, "_"), found
}

// has reports whether a namespace and a page name the special page.
func (n *pageNames) has(namespace, page string) bool {
	for _, known := range n.namespaces {
		if !sameName(known, namespace) {
			continue
		}
		for _, p := range n.pages {
			if sameName(p, page) {
				return true
			}
		}
	}
	for _, known := range n.whole {
		if sameName(known[0], namespace) && sameName(known[1], page) {
			return true
		}
	}
	return false
}

// subpage returns the subpage of the special page that a title names, if it
// names that page. MediaWiki normalises titles in this order.
func (n *pageNames) subpage(title string) (string, bool) {
	key, ok := cleanTitle(title)
	if !ok {
		return "", false
	}
	if rest, found := strings.CutPrefix(key, ":"); found {
		key = strings.Trim(rest, "_")
	}
	namespace, key, found := cutNamespace(key)
	if !found {
		return "", false
	}
	key, _, fragment := strings.Cut(key, "#")
	if fragment {
		key = strings.TrimRight(key, "_")
	}
	page, subpage, _ := strings.Cut(key, "/")
	return subpage, n.has(namespace, page) && isValidKey(key)
}

// cleanTitle turns white space into single underscores, and takes it away at
// both ends, with the marks of writing direction. It reports whether the title
// is valid UTF-8.
func cleanTitle(title string) (string, bool) {
	if strings.ContainsRune(title, utf8.RuneError) { // which it finds in what is not UTF-8, too
		return "", false
	}
	if !strings.Contains(title, "__") && !strings.ContainsFunc(title, isUnclean) {
		return strings.Trim(title, "_"), true
	}
	var key strings.Builder
	blank := false
	for _, r := range title {
		switch {
		case isDirectionMark(r):
		case r == '_' || isTitleSpace(r):
			blank = true
		default:
			if blank && key.Len() > 0 {
				key.WriteByte('_')
			}
			blank = false
			key.WriteRune(r)
		}
	}
	return key.String(), true
}

func isUnclean(r rune) bool { return isTitleSpace(r) || isDirectionMark(r) }

func isDirectionMark(r rune) bool {
	return r == 0x200E || r == 0x200F || 0x202A <= r && r <= 0x202E
}

func isTitleSpace(r rune) bool {
	switch {
	case r == ' ', r == 0xA0, r == 0x1680, r == 0x180E, 0x2000 <= r && r <= 0x200A,
		r == 0x2028, r == 0x2029, r == 0x202F, r == 0x205F, r == 0x3000:
		return true
	}
	return false
}

// isValidKey reports whether MediaWiki takes a title for one that a page can
// have. Others lead to an error page.
func isValidKey(key string) bool {
	const maxSpecial = 512
	if len(key) > maxSpecial || strings.Contains(key, "~~~") || hasDotSegment(key) {
		return false
	}
	for i := range len(key) {
		switch c := key[i]; {
		case c < ' ' || c == 0x7F || strings.IndexByte("#<>[]{|}", c) >= 0:
			return false
		case c == '%' && i+2 < len(key) && isHex(key[i+1]) && isHex(key[i+2]):
			return false
		case c == '&' && startsEntity(key[i+1:]):
			return false
		}
	}
	return true
}

// startsEntity reports whether what follows an ampersand is letters and a
// semicolon.
func startsEntity(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == ';' {
			return i > 0
		} else if c < 0x80 && !isAlphanumeric(c) {
			return false
		}
	}
	return false
}

// sameName compares a folded name with one of a title. Non-ASCII letters whose
// other case is an ASCII letter, such as the Kelvin sign, are not equal to it.
func sameName(folded, name string) bool {
	if len(folded) != len(name) && isASCII(folded) {
		return false
	}
	if !isASCII(name) {
		return !isASCII(folded) && foldName(name) == folded
	}
	for i := range len(name) {
		if i >= len(folded) || lowerASCII(name[i]) != folded[i] {
			return false
		}
	}
	return len(name) == len(folded)
}

// foldName folds the letter case of a name.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		if lower := []rune(strings.ToLower(string(r))); len(lower) == 1 && (r < utf8.RuneSelf) == (lower[0] < utf8.RuneSelf) {
			return lower[0]
		}
		return r
	}, name)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= lowerASCII(c) && lowerASCII(c) <= 'z'
}

func isNameByte(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' || c == '~' }

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= lowerASCII(c) && lowerASCII(c) <= 'f' }
