package gateway

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestRefusals(t *testing.T) {
	for _, reason := range validator.Reasons()[1:] {
		t.Run(reason.String(), func(t *testing.T) {
			d := deny(reason)
			if reason.Status() == http.StatusServiceUnavailable {
				d.Verdict, d.Err = validator.Unavailable, errors.New("names a table")
			}
			for _, how := range []string{errorsProblem, errorsCaddy, errorsMediaWiki} {
				s := newShell(t, &Handler{Errors: how}, d)
				response, err := s.serve(t, get("/"))
				if s.passed != nil {
					t.Fatal("passed")
				}
				if got := status(response, err); got != reason.Status() {
					t.Errorf("%s: status %d, want %d", how, got, reason.Status())
				}
				checkRefusal(t, reason, response)
				if how == errorsCaddy && reason.Status() < http.StatusInternalServerError {
					returned := new(caddyhttp.HandlerError)
					if !errors.As(err, returned) || returned.Err.Error() != reason.String() {
						t.Errorf("returned %v", err)
					}
					continue
				}
				if err != nil {
					t.Errorf("returned %v", err)
				}
				want := problem{"about:blank", cmp.Or(http.StatusText(reason.Status()), "Client Closed Request"), reason.Status(), reason.Detail(), reason.String()}
				if got := problemIn(t, response); got != want {
					t.Errorf("got %+v", got)
				}
				if got := response.Header.Get("Content-Type"); got != "application/problem+json" {
					t.Errorf("Content-Type %q", got)
				}
			}
		})
	}
}

// checkRefusal looks at the headers of a refusal.
func checkRefusal(t *testing.T, reason validator.Reason, response *http.Response) {
	t.Helper()
	if got := response.Header["Cache-Control"]; !slices.Equal(got, []string{"no-store"}) {
		t.Errorf("Cache-Control %q", got)
	}
	if got := response.Header["Vary"]; !slices.Equal(got, []string{"Authorization"}) {
		t.Errorf("Vary %q", got)
	}
	bearer := `Bearer realm="MediaWiki"`
	if code := reason.BearerError(); code != "" {
		bearer += `, error="` + code + `", error_description="` + reason.Detail() + `"`
	}
	var want []string
	switch {
	case reason.Status() == http.StatusUnauthorized:
		want = []string{`OAuth realm="MediaWiki"`, bearer}
	case reason.Status() == http.StatusBadRequest, reason == validator.MissingGrant:
		want = []string{bearer}
	}
	if got := response.Header["Www-Authenticate"]; !slices.Equal(got, want) {
		t.Errorf("challenges %q, want %q", got, want)
	}
	retry := reason.Status() == http.StatusServiceUnavailable || reason.Status() == http.StatusTooManyRequests
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); retry != (err == nil && seconds > 0) {
		t.Errorf("Retry-After %q", response.Header.Get("Retry-After"))
	}
	if allow := response.Header.Get("Allow"); (allow != "") != (reason == validator.MethodNotAllowed) {
		t.Errorf("Allow %q", allow)
	}
}

func TestRefusalOfHead(t *testing.T) {
	s := newShell(t, &Handler{}, deny(validator.BadSignature))
	response, err := s.serve(t, httptest.NewRequest(http.MethodHead, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || len(body) != 0 || response.StatusCode != http.StatusUnauthorized || response.Header.Get("Content-Length") == "" {
		t.Errorf("status %d, body %q, Content-Length %q", response.StatusCode, body, response.Header.Get("Content-Length"))
	}
}

func TestScopeAndRealm(t *testing.T) {
	h := &Handler{
		Realm:   `a "quoted\" realm`,
		Require: []config.Requirement{{Kind: "grant", Values: []string{"editpage", "createeditmovepage"}}, {Kind: "group", Values: []string{"sysop"}}, {Kind: "grant", Values: []string{"basic"}}},
	}
	s := newShell(t, h, deny(validator.MissingGrant))
	response, _ := s.serve(t, get("/"))
	want := `Bearer realm="a \"quoted\\\" realm", error="insufficient_scope", error_description="A required grant is missing.", scope="editpage createeditmovepage basic"`
	if got := response.Header["Www-Authenticate"]; !slices.Equal(got, []string{want}) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s = newShell(t, &Handler{Require: []config.Requirement{{Kind: "grant", Values: []string{"a\"b"}}}}, deny(validator.MissingGrant))
	response, _ = s.serve(t, get("/"))
	if got := response.Header.Get("Www-Authenticate"); strings.Contains(got, "scope=") {
		t.Errorf("got %s", got)
	}
}

// The client asked for api.php, whatever a rewrite has made of it; and its
// wiki's release words the answer.
func TestRefusalsOfMediaWiki(t *testing.T) {
	h := farm(map[string]config.Wiki{"enwiki": {MediaWiki: "1.43"}, "dewiki": {MediaWiki: "1.44"}})
	h.Errors = errorsMediaWiki
	s := newShell(t, h, deny(validator.WrongWiki))
	outer := newShell(t, &Handler{Mode: modeStrip}, validator.Decision{})
	outer.next = func(w http.ResponseWriter, r *http.Request) error {
		rewritten := *r.URL
		rewritten.Path, rewritten.RawQuery = "/backend", ""
		r.URL = &rewritten
		return s.ServeHTTP(w, r, s.next)
	}
	for _, test := range []struct {
		target, wiki string
		status       int
		code, want   string
	}{
		{"/w/%61pi.php?format=json&formatversion=2", "enwiki", 200, "mwoauth-invalid-authorization-wrong-wiki", `not valid for enwiki","docref":`},
		{"/w/api.php?format=json", "dewiki", 200, "mwoauth-invalid-authorization-wrong-wiki", `not valid for dewiki","*":`},
		{"/w/rest.php/v1/page", "enwiki", 403, "", `{"error":"rest-read-denied"`},
		{"/w/rest.php/v1/page", "dewiki", 403, "", `{"errorKey":"mwoauth-invalid-authorization-wrong-wiki","messageTranslations":{"en":"The authorization headers in your request are not valid for dewiki"}`},
		{"/w/index.php", "dewiki", 403, "", `"reason":"wrong_wiki"`},
		{"/w/api.php", "frwiki", 200, "mwoauth-invalid-authorization", "The request is for a wiki that is not served here"},
	} {
		r := get(test.target)
		r.Host = test.wiki
		response, err := outer.serve(t, r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != test.status || response.Header.Get("MediaWiki-API-Error") != test.code || !strings.Contains(string(body), test.want) {
			t.Errorf("%s of %s: %d %q %s %v", test.target, test.wiki, response.StatusCode, response.Header.Get("MediaWiki-API-Error"), body, err)
		}
		if response.Header.Get("Cache-Control") != "no-store" || !slices.Contains(response.Header["Vary"], "Authorization") || strings.Contains(string(body), "frwiki") {
			t.Errorf("%s: %v %s", test.target, response.Header, body)
		}
	}
}

// TestRefusalsInTheFormatAskedFor reads the format of a refusal from query and
// form, as MediaWiki does.
func TestRefusalsInTheFormatAskedFor(t *testing.T) {
	const (
		urlencoded = "application/x-www-form-urlencoded"
		multipart  = "multipart/form-data; boundary=b"
		part       = "--b\r\nContent-Disposition: form-data; name=\"format\"\r\n\r\nxml\r\n--b--\r\n"
		info       = "The authorization headers in your request are not valid: Nonce already used: n1"
		help       = "See https://www.mediawiki.org/wiki/OAuth for how requests are authorized."
		xml        = `<?xml version="1.0"?><api><error code="mwoauth-invalid-authorization" info="` + info + `" xml:space="preserve">` + help + `</error></api>`
	)
	for _, test := range []struct{ method, query, contentType, body, wantType, want string }{
		{"GET", "?format=xml", "", "", "text/xml; charset=utf-8", xml},
		{"POST", "", urlencoded, "action=edit&format=xml", "text/xml; charset=utf-8", xml},
		{"POST", "?format=json", multipart, part, "text/xml; charset=utf-8", xml},
		{"POST", "?format=json", urlencoded, "formatversion=2", "application/json; charset=utf-8", `{"error":{"code":"mwoauth-invalid-authorization","info":"` + info + `","docref":"` + help + `"}}`},
		{"GET", "?format=none", "", "", "text/plain; charset=utf-8", ""},
	} {
		d := deny(validator.NonceUsed)
		d.Sent = "n1"
		s := newShell(t, &Handler{Errors: errorsMediaWiki}, d)
		r := httptest.NewRequest(test.method, "/w/api.php"+test.query, strings.NewReader(test.body))
		if test.contentType != "" {
			r.Header.Set("Content-Type", test.contentType)
		}
		response, err := s.serve(t, r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != test.wantType || string(body) != test.want {
			t.Errorf("%s %s %s: %d %q %s %v", test.method, test.query, test.body, response.StatusCode, response.Header.Get("Content-Type"), body, err)
		}
	}
}

// TestEarlyTokenInTheLog tells the operator by how much a bearer token came
// before its time, and says nothing of it elsewhere.
func TestEarlyTokenInTheLog(t *testing.T) {
	for _, reason := range []validator.Reason{validator.TokenNotYetValid, validator.TokenExpired} {
		d := deny(reason)
		d.Early = 1250 * time.Millisecond
		s := newShell(t, &Handler{}, d)
		if _, err := s.serve(t, get("/")); err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(s.logs.String(), `"early_by":1.25`); told != (reason == validator.TokenNotYetValid) {
			t.Errorf("%v: %s", reason, s.logs)
		}
	}
}
