package pages

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/browser"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

var update = flag.Bool("update", false, "write the pictures in docs/images")

func TestMain(m *testing.M) { browser.Main(m) }

// gallery has a page of each kind, as people see them, and with the longest names
// that MediaWiki stores.
func gallery() map[string]*authserver.Page {
	app := &authserver.PageApp{
		Name: "Map Maker", Version: "2.1", Owner: "Amina", Wiki: "*", CallbackHost: "https://maps.example.org",
		Description: "Draws maps of the places in articles, and adds them to the pages that you choose.",
	}
	long := &authserver.PageApp{
		Name: strings.Repeat("Long", 32), Version: strings.Repeat("1.", 16), Owner: strings.Repeat("W", 85), Wiki: strings.Repeat("w", 32),
		CallbackHost: "https://" + strings.Repeat("a-very-long-name.", 14) + "example.org", Description: strings.Repeat("word ", 50) + strings.Repeat("x", 300),
	}
	grants := []authserver.PageGrant{{Name: "editpage"}, {Name: "createeditmovepage"}, {Name: "uploadfile"}, {Name: "viewmywatchlist"}}
	unknown := []authserver.PageGrant{{Name: "editpage"}, {Name: strings.Repeat("frobnicate", 12), Unknown: true}, {Name: "x", Describe: "Feed the cat"}}
	fields := []authserver.Field{{Name: "oauth_token", Value: "0123456789abcdef"}, {Name: "csrf", Value: "x"}}
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hex := strings.Repeat("0123456789abcdef", 2)
	refused := func(reason authserver.Reason) *authserver.Page {
		return &authserver.Page{Kind: authserver.ErrorPage, Refusal: &authserver.Refusal{
			Reason: reason, App: &authserver.Consumer{Consumer: validator.Consumer{Name: app.Name}},
		}}
	}
	return map[string]*authserver.Page{
		"consent": {Kind: authserver.ConsentPage, Visitor: "Alice", App: app, Consent: &authserver.ConsentForm{Fields: fields, Grants: grants}},
		"consent-identity": {Kind: authserver.ConsentPage, Visitor: "Alice", App: app, Consent: &authserver.ConsentForm{
			Fields: fields, Grants: []authserver.PageGrant{{Name: "mwoauth-authonly"}}, Update: true,
		}},
		"consent-basic": {Kind: authserver.ConsentPage, Visitor: "علي", App: app, Consent: &authserver.ConsentForm{Fields: fields}},
		"consent-long":  {Kind: authserver.ConsentPage, Visitor: long.Owner, App: long, Consent: &authserver.ConsentForm{Fields: fields, Grants: unknown, Update: true}},
		"consent-again": {Kind: authserver.ConsentPage, Visitor: "Alice", App: app, Consent: &authserver.ConsentForm{Fields: fields, Grants: grants}, Again: true},
		"cancelled":     {Kind: authserver.CancelledPage, Visitor: "Alice", App: app},
		"verifier":      {Kind: authserver.VerifierPage, Visitor: "Alice", Verifier: hex},
		"token":         {Kind: authserver.TokenPage, Token: hex, Secret: hex},
		"apps": {Kind: authserver.AppsPage, Visitor: "Alice", Apps: []authserver.PageAccepted{
			{App: *app, Grants: grants, Since: since, Fields: fields},
			{App: authserver.PageApp{Name: "خرائط"}, Grants: grants[:1], Since: since.AddDate(-3, 2, 10), Fields: fields},
		}},
		"apps-long":     {Kind: authserver.AppsPage, Visitor: long.Owner, Apps: []authserver.PageAccepted{{App: *long, Grants: unknown, Since: since, Fields: fields}}},
		"apps-none":     {Kind: authserver.AppsPage, Visitor: "Alice"},
		"withdrawn":     {Kind: authserver.WithdrawnPage, Visitor: "Alice", App: app},
		"error":         refused(authserver.OwnerOnlyApp),
		"not-signed-in": refused(authserver.NotSignedIn),
	}
}

// exhibit serves the gallery.
func exhibit(t *testing.T) (base string, pages map[string]*authserver.Page) {
	t.Helper()
	pages = gallery()
	kinds := map[authserver.PageKind]bool{}
	for _, p := range pages {
		kinds[p.Kind] = true
	}
	if len(kinds) != len(kindNames) {
		t.Fatalf("the gallery has %d of %d kinds of pages", len(kinds), len(kindNames))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := pages[strings.TrimPrefix(r.URL.Path, "/")]
		if p == nil {
			http.NotFound(w, r)
			return
		}
		body, _, err := Render(p, Site{Wiki: "Example Wiki", Apps: "/apps"}, r)
		if err != nil {
			t.Error(err)
		}
		SetHeaders(w.Header())
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	return server.URL, pages
}

// axe-core finds nothing on a page of any kind, in any language and theme.
func TestBarriers(t *testing.T) {
	base, pages := exhibit(t)
	for _, lang := range languages {
		for _, dark := range []bool{false, true} {
			tab := browser.NewTab(t, browser.Options{Dark: dark, Language: lang})
			for name := range pages {
				if status := tab.Open(t, base+"/"+name); status != http.StatusOK {
					t.Fatalf("%s: status %d", name, status)
				}
				for _, found := range tab.Barriers(t) {
					t.Errorf("%s, %s, dark %t: %s", name, lang, dark, found)
				}
			}
		}
	}
}

// layout is what a page looks like.
type layout struct {
	Lang, Dir, Title, Heading, Align string
	Headings, Overflow               int
	Text                             string
	Wide                             []string
}

const readLayout = `({
	lang: document.documentElement.lang, dir: document.documentElement.dir, title: document.title,
	heading: document.querySelector("h1").innerText, headings: document.querySelectorAll("h1").length,
	align: document.querySelector("h1").getBoundingClientRect().left > innerWidth - document.querySelector("h1").getBoundingClientRect().right ? "right" : "left",
	overflow: document.scrollingElement.scrollWidth - innerWidth,
	wide: [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 0.5 || e.getBoundingClientRect().left < -0.5).map(e => e.outerHTML.slice(0, 80)),
	text: document.body.innerText,
})`

// At 320 pixels nothing has to be scrolled sideways, in any language, however long
// the names are (WCAG 1.4.10).
func TestNarrowScreens(t *testing.T) {
	base, pages := exhibit(t)
	for _, lang := range languages {
		tab := browser.NewTab(t, browser.Options{Width: 320, Language: lang})
		for name := range pages {
			tab.Open(t, base+"/"+name)
			var l layout
			tab.Eval(t, readLayout, &l)
			if l.Overflow > 0 || len(l.Wide) > 0 {
				t.Errorf("%s, %s: %d pixels too wide: %q", name, lang, l.Overflow, l.Wide)
			}
			dir := "ltr"
			if lang == "ar" {
				dir = "rtl"
			}
			if l.Lang != lang || l.Dir != dir || l.Headings != 1 || !strings.HasPrefix(l.Title, l.Heading+" – ") {
				t.Errorf("%s, %s: %+v", name, lang, l)
			}
		}
	}
}

// pictures are the pictures of the documentation.
var pictures = []struct {
	file, page string
	options    browser.Options
}{
	{"consent-light", "consent", browser.Options{}},
	{"consent-dark", "consent", browser.Options{Dark: true}},
	{"consent-320", "consent", browser.Options{Width: 320}},
	{"consent-ar", "consent", browser.Options{Language: "ar"}},
	{"apps", "apps", browser.Options{}},
	{"verifier", "verifier", browser.Options{}},
}

const maxPicture = 60 << 10

// TestScreenshots writes the pictures of the documentation with -update, and
// otherwise looks whether they are there.
func TestScreenshots(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "docs", "images")
	var base string
	if *update {
		base, _ = exhibit(t)
	}
	for _, p := range pictures {
		file := filepath.Join(dir, p.file+".png")
		if *update {
			tab := browser.NewTab(t, p.options)
			tab.Open(t, base+"/"+p.page)
			if err := os.WriteFile(file, smaller(t, tab.Screenshot(t)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if info, err := os.Stat(file); err != nil || info.Size() > maxPicture {
			t.Errorf("%s is missing or has more than %d bytes: %v", file, maxPicture, err)
		}
	}
}
