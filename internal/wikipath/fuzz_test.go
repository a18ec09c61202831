package wikipath

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
)

// The expressions by which MediaWiki 1.39 splits a title, and the signs that no
// title has.
var (
	directionMarks = regexp.MustCompile(`[\x{200E}\x{200F}\x{202A}-\x{202E}]+`)
	whiteSpace     = regexp.MustCompile(`[ _\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]+`)
	prefix         = regexp.MustCompile(`^(.+?)_*:_*(.*)$`)
	notInTitles    = regexp.MustCompile("[\x00-\x1f#<>\\[\\]{|}\x7f]|%[0-9A-Fa-f]{2}|&[A-Za-z0-9\u0080-\U0010FFFF]+;")
)

// isSpecialOAuth reports whether MediaWiki takes a title for Special:OAuth. It
// is written another way than the package.
func isSpecialOAuth(title string) bool {
	key := strings.Trim(whiteSpace.ReplaceAllString(directionMarks.ReplaceAllString(title, ""), "_"), "_")
	key = strings.Trim(strings.TrimPrefix(key, ":"), "_")
	parts := prefix.FindStringSubmatch(key)
	if parts == nil {
		return false
	}
	switch strings.ToLower(parts[1]) {
	case "special", "spezial":
	case "служебная":
		return strings.ToLower(strings.TrimRight(firstOf(parts[2], "#/"), "_")) == "вход"
	default:
		return false
	}
	key = firstOf(parts[2], "#")
	if key != parts[2] {
		key = strings.TrimRight(key, "_")
	}
	page := strings.ToUpper(firstOf(key, "/"))
	return (page == "OAUTH" || page == "MWOAUTH") && !notInTitles.MatchString(key)
}

func firstOf(s, signs string) string {
	if i := strings.IndexAny(s, signs); i >= 0 {
		return s[:i]
	}
	return s
}

// effectiveTitle returns the title that MediaWiki acts on: that of the path
// before that of the form, and that before that of the query. Of several in one
// place the last counts.
func effectiveTitle(r *Request, body string) string {
	target, query, _ := strings.Cut(r.Target, "?")
	for _, before := range []string{"/w/index.php/", "/wiki/", "/index.php/"} {
		if title, ok := strings.CutPrefix(target, before); ok {
			title, _ = url.PathUnescape(title)
			return title
		}
	}
	found := ""
	for _, text := range []string{query, body} {
		for pair := range strings.SplitSeq(text, "&") {
			name, value, _ := strings.Cut(pair, "=")
			if phpUnescape(name) == "title" && (text == query || r.Method == http.MethodPost) {
				found = phpUnescape(value)
			}
		}
	}
	return found
}

// checkEndpoint holds one request against the properties that every request has.
func checkEndpoint(t *testing.T, w *Wiki, r *Request, body string) bool {
	t.Helper()
	got, ok := w.Endpoint(r)
	if !ok {
		return false
	}
	target, _, _ := strings.Cut(r.Target, "?")
	if plain, err := url.PathUnescape(target); err != nil || path.Clean(plain) != strings.TrimSuffix(plain, "/") || strings.ContainsAny(plain, `\;?#&`) {
		t.Fatalf("%s %q: a path that others could read otherwise", r.Method, r.Target)
	}
	if got.Kind == REST {
		if !strings.HasPrefix(target, "/w/rest.php/oauth2/") {
			t.Fatalf("%q is taken for an endpoint", r.Target)
		}
		return true
	}
	if title := effectiveTitle(r, body); !isSpecialOAuth(title) {
		t.Fatalf("%s %q %q: the title %q is taken for the page", r.Method, r.Target, body, title)
	}
	separator := "?"
	if strings.Contains(r.Target, "?") {
		separator = "&"
	}
	for what, other := range map[string]string{
		"another title": r.Target + separator + "title=Main_Page", "the id of a page": r.Target + separator + "curid=1",
		"another script": strings.Replace(r.Target, "index.php", "api.php", 1), "another place": "/service" + r.Target,
		"an absolute target": "http://wiki.example.org" + r.Target,
	} {
		changed := *r
		changed.Target = other
		if _, ok := w.Endpoint(&changed); ok && other != r.Target {
			t.Fatalf("%s, %q: still taken for the page", what, other)
		}
	}
	return true
}

// TestEndpointProperties puts requests together at random.
func TestEndpointProperties(t *testing.T) {
	places := []string{"/w/index.php", "/w/index.php/", "/wiki/", "/index.php/", "/w/rest.php/oauth2/", "/w/api.php", "/", "/w/"}
	pieces := []string{
		"title=", "Special", "special", "Spezial", ":", "%3A", "OAuth", "MWOAuth", "oauth", "/", "%2F", "_", "+", "%20", "?", "&", ";", "#", "%23", "=", "initiate",
		"..", ".", "%2e", "%00", "%C2%A0", "%E2%80%8E", "[]", "curid=1", "Main_Page", "action=ajax", "%", "%25", "\\", "ſ", "K", "ü", "{", "~~~",
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same requests each time
	text := func(from string) string {
		for range random.IntN(7) {
			from += pieces[random.IntN(len(pieces))]
		}
		return from
	}
	w := newWiki(t, localNames())
	found := 0
	for range 200_000 {
		target := places[random.IntN(len(places))]
		switch random.IntN(4) {
		case 0:
			target += "?title=" + text("Special:OAuth")
		case 1:
			target = text(target + "Special:OAuth")
		case 2:
			target = text(target + "?title=Special")
		default:
			target = text(target)
		}
		r, body := get(target), ""
		if random.IntN(2) == 0 {
			body = text([]string{"", "title=Special:OAuth", "title=Special:"}[random.IntN(3)])
			r = post(target, body)
		}
		if checkEndpoint(t, w, r, body) {
			found++
		}
	}
	if found < 1000 {
		t.Errorf("only %d requests are for the page: the test is blind", found)
	}
}

func FuzzEndpoint(f *testing.F) {
	for _, table := range [][]*Request{requests(handshake), requests(elsewhere)} {
		for _, r := range table {
			body := ""
			if r.Form != nil {
				if read, err := r.Form(MaxForm); err == nil {
					body = string(read)
				}
			}
			f.Add(r.Method, r.Target, r.Header.Get("Content-Type"), body)
		}
	}
	w := newWiki(f, localNames())
	f.Fuzz(func(t *testing.T, method, target, contentType, body string) {
		r := &Request{Method: method, Target: target, Header: http.Header{"Content-Type": {contentType}}, Form: form(body)}
		checkEndpoint(t, w, r, body)
	})
}
