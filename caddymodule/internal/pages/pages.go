// Package pages renders the pages of the authorization server for people. They
// need no script and no other file: everything stands in the page itself.
package pages

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
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
		return nil, "", err
	}
	return out.Bytes(), t.tag, nil
}

// T returns the text of a key. In it, $1 and $2 stand for the values.
func (v view) T(key string, values ...string) string {
	text := v.text.get(key)
	for i, value := range values {
		text = strings.ReplaceAll(text, "$"+string(rune('1'+i)), value)
	}
	return text
}

// Title is the title of the page.
func (v view) Title() string {
	return v.T([...]string{
		authserver.ErrorPage:     "error.title",
		authserver.ConsentPage:   "consent.title",
		authserver.CancelledPage: "cancelled.title",
		authserver.VerifierPage:  "verifier.title",
		authserver.TokenPage:     "token.title",
		authserver.AppsPage:      "apps.title",
		authserver.WithdrawnPage: "withdrawn.title",
	}[v.Kind])
}

// Is reports whether the page is of a kind.
func (v view) Is(kind string) bool {
	return kind == [...]string{"error", "consent", "cancelled", "verifier", "token", "apps", "withdrawn"}[v.Kind]
}

// ErrorText is what an error page tells.
func (v view) ErrorText() string {
	name := ""
	if v.Refusal.App != nil {
		name = v.Refusal.App.Name
	}
	return v.T("error."+v.Refusal.Reason.String(), name)
}

// Describe is what a grant allows, in words.
func (v view) Describe(g authserver.PageGrant) string {
	if g.Describe != "" {
		return g.Describe
	}
	if text, known := v.text.lookup("grant." + g.Name); known {
		return text
	}
	return g.Name
}

// OnlyIdentity reports whether the app only learns who the user is.
func (v view) OnlyIdentity() bool {
	for _, g := range v.Consent.Grants {
		if g.Name != "mwoauth-authonly" && g.Name != "mwoauth-authonlyprivate" {
			return false
		}
	}
	return true
}
