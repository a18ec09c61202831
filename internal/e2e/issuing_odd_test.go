package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

// issuingTargets are the endpoints at both kinds of paths.
var issuingTargets = []string{
	"/oauth/initiate", "/oauth/authorize", "/oauth/authenticate", "/oauth/verified", "/oauth/token", "/oauth/identify", "/oauth/nonsense",
	"/oauth2/authorize", "/oauth2/access_token", "/oauth2/resource/profile", "/oauth2/resource/scopes", "/oauth2/resource/x", "/oauth2/apps",
	"/wiki/Special:OAuth/initiate", "/w/index.php?title=Special:OAuth/authorize", "/w/rest.php/oauth2/authorize", "/w/rest.php/oauth2/x",
	"/wiki/Special:OAuth/apps", "/w/?title=Special:OAuth/token",
}

// wantSafe holds an answer of the issuer to what every one must be: not from the
// backend, no error of the server, not kept by anybody, not for other origins, and
// text in UTF-8.
func wantSafe(t *testing.T, name string, a *harness.Answer) {
	t.Helper()
	h := a.Header
	if a.Seen != nil || a.Status == http.StatusInternalServerError || a.Status == http.StatusBadGateway || a.Status == 0 {
		t.Errorf("%s: %d, the backend was reached: %v", name, a.Status, a.Seen != nil)
	}
	if !strings.Contains(h.Get("Cache-Control"), "no-store") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
		!strings.Contains(strings.Join(h["Vary"], ","), "Authorization") {
		t.Errorf("%s: %d %v", name, a.Status, h)
	}
	for _, absent := range []string{"Set-Cookie", "Access-Control-Allow-Origin", "X-Evil", "Refresh"} {
		if h.Get(absent) != "" {
			t.Errorf("%s: %s: %s", name, absent, h.Get(absent))
		}
	}
	if where := h.Get("Location"); where != "" && !strings.HasPrefix(where, appCallback) {
		t.Errorf("%s: it leads to %q", name, where)
	}
	kind := h.Get("Content-Type")
	if strings.HasPrefix(kind, "text/html") && (h.Get("X-Frame-Options") != "DENY" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'")) {
		t.Errorf("%s: a page without its policy: %v", name, h)
	}
	if !utf8.Valid(a.Body) || strings.Contains(kind, "html") && strings.Contains(string(a.Body), "<script") {
		t.Errorf("%s: %q", name, a.Body)
	}
}

// Whatever a client sends to an endpoint is answered by the issuer, and safely:
// methods, parameters that are odd or repeated, bytes that are no text, headers of
// proxies and other programs, and bodies that are not forms.
func TestIssuingOddRequests(t *testing.T) {
	i := newIssuer(t)
	bob := basic("Bob", "bob-password")
	const form = "application/x-www-form-urlencoded"
	odd := []string{
		"", "a=%", "a=%zz", "a=%00", "%00=a", "a=%ff%fe", "response_type=code&client_id=%ff", "response_type=code&client_id=%00&state=%0d%0aX-Evil:%201",
		"oauth_token=a&oauth_token=b", "oauth_token[]=a", "oauth_token=%e2%80%ae%3Cscript%3E", "oauth_verifier=%3Cscript%3E%ff&oauth_token=%ff", "&&&===", ";;;",
		"uselang=%3Cscript%3E", "uselang=%ff", "uselang=de&uselang=ar", "uselang[]=de", "format=%3Cscript%3E", "format=html", "format=json&format=raw",
		"oauth_consumer_key=%3Cscript%3E&format=html", "oauth_consumer_key=%ff&format=json", "state[]=a&response_type=code&client_id=" + i.app2.Key,
		"response_type=code&client_id=" + i.app2.Key + "&scope=%3Cscript%3E%0d%0aX-Evil:%201%ff&state=%0d%0aX-Evil:%201%ff%00",
		"response_type=code&client_id=" + i.app2.Key + "&state=" + strings.Repeat("%e2%80%ae", 2000),
		"response_type=token&client_id=" + i.app2.Key, "response_type=code&client_id=" + i.app2.Key + "&redirect_uri=",
		"approval_pass=1&approval_cancel=1&returnto=https://evil.example/&response_type=code&client_id=" + i.app2.Key,
		strings.Repeat("a=b&", 2000), "access_token=x", "oauth_signature=x&oauth_signature_method=PLAINTEXT&oauth_consumer_key=" + i.app1.Key,
		"grant_type=authorization_code&code=%ff&client_id=%ff", "grant_type=refresh_token&refresh_token=%00&client_id=" + i.app2.Key,
	}
	for _, target := range issuingTargets {
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		for _, text := range odd {
			for _, authorization := range []string{"", bob} {
				name := target + " " + text + " " + authorization
				get := i.Get(t, target+separator+text, authorization)
				if get.Status == http.StatusUnauthorized && authorization == "" && get.Header.Get("WWW-Authenticate") != "" {
					continue // it is the handler in front that asks for a password
				}
				wantSafe(t, name, get)
				head := i.Do(t, i.Request(t, http.MethodHead, i.URL(target+separator+text), "", "Authorization", authorization))
				if wantSafe(t, "HEAD "+name, head); head.Status != get.Status || len(head.Body) != 0 {
					t.Errorf("HEAD %s: %d and %d bytes, GET %d", name, head.Status, len(head.Body), get.Status)
				}
				wantSafe(t, "POST "+name, i.Do(t, i.Request(t, http.MethodPost, i.URL(target), text, "Authorization", authorization, "Content-Type", form)))
			}
		}
		for _, method := range []string{http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodTrace, "PROPFIND", "get", "X"} {
			wantSafe(t, method+" "+target, i.Do(t, i.Request(t, method, i.URL(target), "", "Authorization", bob, "Origin", "https://evil.example",
				"Access-Control-Request-Method", "POST")))
		}
		for name, headers := range map[string][]string{
			"other kinds of bodies":  {"Content-Type", "application/json"},
			"a form of several ways": {"Content-Type", form, "Content-Type", "multipart/form-data; boundary=x"},
			"a coded form":           {"Content-Type", form, "Content-Encoding", "gzip"},
			"headers of proxies": {
				"Content-Type", form, "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "gopher", "X-Original-Url", "/w/api.php", "X-Rewrite-Url", "/w/api.php",
				"X-Http-Method-Override", "GET", "Forwarded", "host=evil.example", "X-Forwarded-Prefix", "//evil.example",
			},
			"languages": {"Accept-Language", strings.Repeat("de;q=0.1,", 500) + "\"<script>"},
		} {
			wantSafe(t, target+", "+name, i.Do(t, i.Request(t, http.MethodPost, i.URL(target), "a=b", append(headers, "Authorization", bob)...)))
		}
	}
	for _, target := range []string{
		"/oauth/\xff", "/oauth/initiate?\xff=\xe9", "/oauth2/authorize?response_type=code&client_id=" + i.app2.Key + "&scope=x&state=\xff\"<é", "/w/rest.php/oauth2/\xff",
		"/w/rest.php/oauth2/%00", "//oauth2/../w/rest.php/oauth2/x", "/w/./rest.php/oauth2/authorize", "/w/%72est.php/oauth2/authorize",
		"http://" + i.HTTP + "/oauth2/apps", "HTTP://" + i.HTTP + "/w/rest.php/oauth2/%2e%2e/x",
	} {
		wantSafe(t, target, i.Send(t, http.MethodGet, i.Raw("GET "+target, []string{"Authorization: " + bob, "Connection: close"}, "")))
	}
	chunked := i.Raw("POST /oauth2/access_token", []string{"Transfer-Encoding: chunked", "Content-Type: " + form, "Connection: close"}, "5\r\na=b&c\r\n0\r\nX-Evil: 1\r\n\r\n")
	wantSafe(t, "a form in pieces", i.Send(t, http.MethodPost, chunked))
}
