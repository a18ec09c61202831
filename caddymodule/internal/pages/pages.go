// Package pages renders the pages of the authorization server for people. They
// need no script and no other file: everything stands in the page itself.
package pages

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
)

//go:embed page.html
var pageText string

//go:embed page.css
var styleText string

// Site is what the pages say of the site besides what an answer holds.
type Site struct {
	// Wiki is the name of the wiki, as people know it.
	Wiki string
	// Apps is the path of the page of apps, or empty.
	Apps string
}

// view is what the template sees.
type view struct {
	*authserver.Page
	Site     Site
	Language string
	RTL      bool
	Style    template.CSS
	Code     string // E001 to E012, or empty
	text     *texts
}

var page = template.Must(template.New("page").Parse(pageText))

// styleSource is the source of the page's own style in its policy.
var styleSource = func() string {
	sum := sha256.Sum256([]byte(styleText))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// SetHeaders sets the header fields of every page. There is no form-action,
// because browsers hold the whole chain of redirects after a form to it, and apps
// have callbacks of every kind.
func SetHeaders(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+styleSource+"; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

// Render writes a page in the language that the request asks for. Its form is sent
// to the page's own address.
func Render(p *authserver.Page, site Site, r *http.Request) (body []byte, language string, err error) {
	t := textsFor(r)
	key, same := errorPageOf(p, site, t)
	if same {
		if body, known := errorPages.get(key); known {
			return body, t.tag, nil
		}
	}
	if body, err = render(p, site, t); err != nil {
		return nil, "", err
	}
	if same {
		errorPages.add(key, body)
	}
	return body, t.tag, nil
}

func render(p *authserver.Page, site Site, t *texts) ([]byte, error) {
	v := view{
		Page: p, Site: site, Language: t.tag, RTL: t.rtl,
		Style: template.CSS(styleText), //nolint:gosec // embedded
		text:  t,
	}
	if p.Refusal != nil {
		v.Code = p.Refusal.Code()
	}
	var out bytes.Buffer
	if err := page.Execute(&out, v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// T returns the text of a key. In it, $1 and $2 stand for the values.
func (v view) T(key string, values ...string) string { return fill(v.text.get(key), values) }

// M returns the text of a key as markup. Each value stands in a bdi element, so
// that a name which is written in the other direction does not reorder the text.
func (v view) M(key string, values ...string) template.HTML {
	marked := make([]string, len(values))
	for i, value := range values {
		marked[i] = "<bdi>" + template.HTMLEscapeString(value) + "</bdi>"
	}
	return template.HTML(fill(template.HTMLEscapeString(v.text.get(key)), marked)) //nolint:gosec // escaped
}

// fill puts values in the places of $1 and $2. What stands in a value is left alone.
func fill(text string, values []string) string {
	places := make([]string, 0, 2*len(values))
	for i, value := range values {
		places = append(places, "$"+strconv.Itoa(i+1), value)
	}
	return strings.NewReplacer(places...).Replace(text)
}

// Title is the title of the page.
func (v view) Title() string {
	if v.Refusal != nil {
		if title, ok := v.text.lookup("title." + v.Refusal.Reason.String()); ok {
			return title
		}
	}
	return v.T(kindNames[v.Kind] + ".title")
}

// kindNames are the names of the kinds of pages.
var kindNames = [...]string{
	authserver.ErrorPage:     "error",
	authserver.ConsentPage:   "consent",
	authserver.CancelledPage: "cancelled",
	authserver.VerifierPage:  "verifier",
	authserver.TokenPage:     "token",
	authserver.AppsPage:      "apps",
	authserver.WithdrawnPage: "withdrawn",
}

// Is reports whether the page is of a kind.
func (v view) Is(kind string) bool { return kind == kindNames[v.Kind] }

// ErrorText is what an error page tells.
func (v view) ErrorText() template.HTML {
	name := ""
	if v.Refusal.App != nil {
		name = v.Refusal.App.Name
	}
	return v.M("error."+v.Refusal.Reason.String(), name)
}

// Asks is what the app wants, in a sentence. The grants are listed behind it.
func (v view) Asks() template.HTML {
	key := "consent.asks"
	switch grants := v.Consent.Grants; {
	case len(grants) == 0:
		key = "consent.basic"
	case !slices.ContainsFunc(grants, func(g authserver.PageGrant) bool {
		return g.Name != "mwoauth-authonly" && g.Name != "mwoauth-authonlyprivate"
	}):
		key = "consent.identity"
	}
	return v.M(key, v.App.Name, v.Site.Wiki)
}

// Describe is what a grant allows, in words.
func (v view) Describe(g authserver.PageGrant) template.HTML {
	if text, known := v.text.lookup("grant." + g.Name); known && g.Describe == "" {
		return template.HTML(template.HTMLEscapeString(text)) //nolint:gosec // escaped
	}
	return template.HTML("<bdi>" + template.HTMLEscapeString(cmp.Or(g.Describe, g.Name)) + "</bdi>") //nolint:gosec // escaped
}
