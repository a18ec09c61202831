package pages

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Every language has every text, and no other one.
func TestLanguagesAreComplete(t *testing.T) {
	for _, lang := range all[1:] {
		for key, english := range all[0].texts {
			text, ok := lang.texts[key]
			if !ok || text == "" {
				t.Errorf("%s: %s is missing", lang.tag, key)
			}
			for _, slot := range []string{"$1", "$2"} {
				if strings.Contains(english, slot) != strings.Contains(text, slot) {
					t.Errorf("%s: %s: %s is not where English has it", lang.tag, key, slot)
				}
			}
		}
		for key := range lang.texts {
			if _, ok := all[0].texts[key]; !ok {
				t.Errorf("%s: %s is not in English", lang.tag, key)
			}
		}
	}
}

// Each grant of MediaWiki has words in English.
func TestGrantsHaveWords(t *testing.T) {
	for name := range authserver.CoreGrants(validator.Release147) {
		if _, ok := all[0].texts["grant."+name]; !ok {
			t.Errorf("grant %s has no words", name)
		}
	}
}

func TestLanguage(t *testing.T) {
	for _, tt := range []struct{ query, header, want string }{
		{"", "", "en"},
		{"", "de-AT,en;q=0.5", "de"},
		{"", "fr,ar;q=0.8,en;q=0.1", "ar"},
		{"", "xx", "en"},
		{"uselang=ar", "de", "ar"},
		{"uselang=%00%ff", "de", "de"},
		{"uselang=" + strings.Repeat("x", 100), "de", "de"},
		{"", strings.Repeat("de,", 10_000), "de"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?"+tt.query, nil)
		r.Header.Set("Accept-Language", tt.header)
		if got := textsFor(r).tag; got != tt.want {
			t.Errorf("uselang %q, Accept-Language %.40q: %s, want %s", tt.query, tt.header, got, tt.want)
		}
	}
}

// Whatever a browser asks for, a page has one of the languages.
func FuzzLanguage(f *testing.F) {
	for _, seed := range [][2]string{{"de", ""}, {"", "de-AT,en;q=0.5"}, {"x-ar", "*;q=0"}, {"%", "\xff"}, {strings.Repeat("-", 64), strings.Repeat("a-", 500)}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, lang, accept string) {
		r := httptest.NewRequest(http.MethodGet, "/?"+url.Values{"uselang": {lang}}.Encode(), nil)
		r.Header["Accept-Language"] = []string{accept}
		if tag := textsFor(r).tag; !slices.Contains(languages, tag) {
			t.Errorf("%q, %q: %s", lang, accept, tag)
		}
	})
}

const hostile = `"><script>alert(1)</script>&'`

// samples has a page of each kind, with texts that an attacker may choose.
func samples() []*authserver.Page {
	app := &authserver.PageApp{Name: hostile, Version: hostile, Description: hostile, Owner: hostile, Wiki: hostile, CallbackHost: hostile}
	grants := []authserver.PageGrant{{Name: "editpage"}, {Name: hostile, Unknown: true}, {Name: "x", Describe: hostile}}
	fields := []authserver.Field{{Name: hostile, Value: hostile}}
	return []*authserver.Page{
		{Kind: authserver.ErrorPage, Refusal: &authserver.Refusal{Reason: authserver.OwnerOnlyApp, App: &authserver.Consumer{Consumer: validator.Consumer{Name: hostile}}}},
		{Kind: authserver.ErrorPage, Refusal: &authserver.Refusal{Reason: authserver.InvalidParameter, Detail: hostile}},
		{Kind: authserver.ConsentPage, Visitor: hostile, App: app, Consent: &authserver.ConsentForm{Fields: fields, Grants: grants, Update: true}},
		{Kind: authserver.CancelledPage, Visitor: hostile, App: app},
		{Kind: authserver.VerifierPage, Verifier: hostile},
		{Kind: authserver.TokenPage, Token: hostile, Secret: hostile},
		{Kind: authserver.AppsPage, Visitor: hostile, Apps: []authserver.PageAccepted{{App: *app, Grants: grants, Since: time.Unix(0, 0), Fields: fields}}},
		{Kind: authserver.AppsPage, Visitor: hostile},
		{Kind: authserver.WithdrawnPage, Visitor: hostile, App: app},
	}
}

// Nothing that an app's owner, a user or a client can choose becomes markup.
func TestTextsAreEscaped(t *testing.T) {
	for _, p := range samples() {
		for _, lang := range languages {
			r := httptest.NewRequest(http.MethodGet, "/?uselang="+lang, nil)
			body, tag, err := Render(p, Site{Wiki: hostile, Apps: "/apps"}, r)
			if err != nil || tag != lang {
				t.Fatalf("kind %d: %s, %v", p.Kind, tag, err)
			}
			if text := string(body); strings.Contains(text, "<script") || strings.Contains(text, `value=""`) {
				t.Errorf("kind %d, %s: %s", p.Kind, lang, text)
			}
		}
	}
}

// A page that is shown again, because the form that was sent does not count, tells so
// in each language.
func TestShownAgain(t *testing.T) {
	for _, lang := range all {
		for _, p := range samples() {
			for _, again := range []bool{false, true} {
				p.Again = again
				body, _, err := Render(p, Site{}, httptest.NewRequest(http.MethodGet, "/?uselang="+lang.tag, nil))
				if err != nil {
					t.Fatal(err)
				}
				if told := strings.Contains(string(body), `role="alert" class="warn">`+lang.texts["page.again"]+"<"); told != again {
					t.Errorf("%s, kind %d, shown again %v: %s", lang.tag, p.Kind, again, body)
				}
			}
		}
	}
}

func TestPolicy(t *testing.T) {
	h := http.Header{}
	SetHeaders(h)
	policy := h.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "form-action") {
		t.Errorf("policy %q", policy)
	}
	body, _, err := Render(&authserver.Page{Kind: authserver.VerifierPage}, Site{}, httptest.NewRequest(http.MethodGet, "/", nil))
	if err != nil || !strings.Contains(string(body), "<style>"+styleText+"</style>") {
		t.Errorf("the style is not what its hash in the policy is of: %v", err)
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
		if h.Get(name) != want {
			t.Errorf("%s: %q", name, h.Get(name))
		}
	}
	if _, err := json.Marshal(all[2].texts); err != nil || !all[2].rtl {
		t.Error("Arabic is not right to left")
	}
}
