package authserver

import (
	"cmp"
	"strings"
	"time"
	"unicode"
)

// PageKind is what a page for a person shows. The zero value is an error.
type PageKind uint8

// The pages.
const (
	ErrorPage     PageKind = iota
	ConsentPage            // asks whether an app may act for the user
	CancelledPage          // the user did not allow it, and the app is not told
	VerifierPage           // shows the verifier to copy (oob)
	TokenPage              // format=html of /initiate and /token
	AppsPage               // what each app may do
	WithdrawnPage          // an app's access was withdrawn
	numPageKinds
)

// Page is a page for a person, as data. Every text in it may come from an app's
// owner or a user: it is to be escaped.
type Page struct {
	Kind PageKind
	// Visitor is the name of the user, or empty.
	Visitor string
	// Again reports whether the page is shown again because the form that was sent
	// does not count: it has ended, or is not of this page.
	Again bool
	// Refusal is what an ErrorPage tells.
	Refusal *Refusal
	// App is the app that the page is about.
	App *PageApp
	// Consent is the form of a ConsentPage.
	Consent *ConsentForm
	// Verifier is what a VerifierPage shows.
	Verifier string
	// Token and Secret are what a TokenPage shows.
	Token, Secret string
	// Apps are the rows of an AppsPage.
	Apps []PageAccepted
}

// PageApp is an app as a page shows it.
type PageApp struct {
	Name, Version, Description string
	Owner                      string // name of the user who registered it
	Wiki                       string // the only wiki that it may be used on, or "*"
	CallbackHost               string // where the browser goes afterwards
}

// ConsentForm is the form of a consent page.
type ConsentForm struct {
	// Fields are hidden fields in their order, the CSRF token among them.
	Fields []Field
	// Grants are what the app asks for, hidden ones left out.
	Grants []PageGrant
	// Update reports whether the user has allowed the app something before.
	Update bool
}

// ShownName is the name of an app for people. A suppressed one has no name.
func (c *Consumer) ShownName() string {
	if c.Deleted {
		return c.Key
	}
	return cmp.Or(plainText(c.Name), c.Key)
}

// plainText takes controls, and marks of the direction of writing and others that
// are not seen, out of a text of somebody else. Joiners stay: some scripts need
// them.
func plainText(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp):
			return ' '
		case unicode.Is(unicode.Cf, r) && r != '\u200C' && r != '\u200D':
			return -1
		}
		return r
	}, text))
}

// Field is a field of a form.
type Field struct{ Name, Value string }

// PageGrant is a grant as a page shows it.
type PageGrant struct {
	Name     string
	Describe string // the operator's own text, or empty
	Unknown  bool   // the wiki does not know it
}

// PageAccepted is a row of an AppsPage.
type PageAccepted struct {
	App    PageApp
	Grants []PageGrant
	Since  time.Time
	Wiki   string
	Fields []Field // of the form that withdraws it
}
