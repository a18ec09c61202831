package pages

import (
	"bytes"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
)

// An error page is the same whether it was rendered before or not, for each reason,
// site, language, user and app. A remembered page never shows what another request
// was told.
func TestErrorPagesAreNotMixedUp(t *testing.T) {
	app := func(name string) *authserver.Consumer {
		c := &authserver.Consumer{}
		c.Name = name
		return c
	}
	var asked []*authserver.Page
	for _, reason := range authserver.Reasons() {
		for _, refusal := range []authserver.Refusal{
			{Reason: reason},
			{Reason: reason, Detail: "<detail>", UserID: 7},
			{Reason: reason, App: app("App A")},
			{Reason: reason, App: app("App B")},
		} {
			for _, visitor := range []string{"", "Alice", "Bob"} {
				asked = append(asked, &authserver.Page{Refusal: &refusal, Visitor: visitor})
			}
		}
		asked = append(asked, &authserver.Page{Refusal: &authserver.Refusal{Reason: reason}, App: &authserver.PageApp{Name: "App C"}})
	}
	for range 2 { // the second time they are remembered
		for _, site := range []Site{{Wiki: "one.example"}, {Wiki: "two.example"}, {Wiki: "one.example", Apps: "/apps"}} {
			for _, language := range languages {
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Accept-Language", language)
				for _, p := range asked {
					got, tag, err := Render(p, site, r)
					if err != nil {
						t.Fatal(err)
					}
					want, err := render(p, site, textsFor(r))
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, want) || tag != language {
						t.Fatalf("%+v of %+v in %s: %s\nwant %s", p, site, tag, got, want)
					}
				}
			}
		}
	}
}

// Many sites do not fill the memory with their error pages.
func TestErrorPagesAreBounded(t *testing.T) {
	p := &authserver.Page{Refusal: &authserver.Refusal{Reason: authserver.NotSignedIn}}
	for n := range 3 * maxErrorPages {
		if _, _, err := Render(p, Site{Wiki: strconv.Itoa(n)}, httptest.NewRequest("GET", "/", nil)); err != nil {
			t.Fatal(err)
		}
		if n := len(errorPages.bodies); n > maxErrorPages {
			t.Fatalf("%d pages are remembered", n)
		}
	}
}

// BenchmarkErrorPage is what a stranger is shown.
func BenchmarkErrorPage(b *testing.B) {
	p := &authserver.Page{Refusal: &authserver.Refusal{Reason: authserver.NotSignedIn}}
	for name, language := range map[string]string{"without a language": "", "of a browser": "de-AT,de;q=0.9,en-US;q=0.8,en;q=0.7"} {
		r := httptest.NewRequest("GET", "/oauth/authorize?oauth_token=x", nil)
		if language != "" {
			r.Header.Set("Accept-Language", language)
		}
		for kind, f := range map[string]func() error{
			"remembered": func() error { _, _, err := Render(p, Site{Wiki: "wiki.example"}, r); return err },
			"rendered":   func() error { _, err := render(p, Site{Wiki: "wiki.example"}, textsFor(r)); return err },
		} {
			b.Run(kind+", "+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
