package e2e_test

import (
	"regexp"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

// TestErrorsInTheFormatAskedFor lets the whole gateway refuse at api.php as
// MediaWiki does, with the parameters in query and form.
func TestErrorsInTheFormatAskedFor(t *testing.T) {
	g := harness.New(t, harness.Options{Settings: []string{"errors mediawiki"}})
	const (
		stale = `OAuth oauth_consumer_key="k", oauth_token="t", oauth_signature_method="HMAC-SHA1", oauth_timestamp="1400000000", oauth_nonce="n", oauth_signature="x"`
		clock = `The authorization headers in your request are not valid: Expired timestamp, yours 1400000000, ours 1\d{9}`
		token = `The authorization headers in your request are not valid: Invalid access token`
		help  = `See https://www\.mediawiki\.org/wiki/OAuth for how requests are authorized\.`
	)
	for _, tt := range []struct {
		method, query, form, authorization, mediaType, want string
	}{
		{"GET", "?action=query&format=xml", "", "Bearer x.y.z", "text/xml; charset=utf-8", `<\?xml version="1\.0"\?><api><error code="mwoauth-invalid-authorization" info="` + token + `" xml:space="preserve">` + help + `</error></api>`},
		{"GET", "?action=query&format=json&errorformat=raw", "", "Bearer x.y.z", "application/json; charset=utf-8", `\{"errors":\[\{"code":"mwoauth-invalid-authorization","key":"mwoauth-invalid-authorization","params":\["Invalid access token"\]\}\],"\*":"` + help + `"\}`},
		{"POST", "", "action=edit&format=json&formatversion=2", stale, "application/json; charset=utf-8", `\{"error":\{"code":"mwoauth-invalid-authorization","info":"` + clock + `","docref":"` + help + `"\}\}`},
		{"GET", "?format=json&callback=f", "", stale, "text/javascript; charset=utf-8", `/\*\*/f\(\{"error":\{"code":"mwoauth-invalid-authorization","info":"` + clock + `","\*":"` + help + `"\}\}\)`},
	} {
		headers := []string{"Authorization", tt.authorization}
		if tt.form != "" {
			headers = append(headers, "Content-Type", "application/x-www-form-urlencoded")
		}
		answer := g.Do(t, g.Request(t, tt.method, g.URL("/w/api.php"+tt.query), tt.form, headers...))
		if answer.Status != 200 || answer.Header.Get("Content-Type") != tt.mediaType || !regexp.MustCompile("^"+tt.want+"$").Match(answer.Body) {
			t.Errorf("%s %s %s: %d %v %s", tt.method, tt.query, tt.form, answer.Status, answer.Header, answer.Body)
		}
		if answer.Header.Get("MediaWiki-API-Error") != "mwoauth-invalid-authorization" || answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %v", tt.method, tt.query, answer.Header)
		}
	}
}
