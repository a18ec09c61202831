package authserver

import "testing"

// A page with a form keeps its origin from other sites, and from its own site only
// where the browser tells by Sec-Fetch-Site that the form is the site's own.
func TestReferrerPolicyOfForms(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://wiki.example.org":       "",
		"http://wiki.example.org":        "same-origin",
		"http://wiki.example.org:8080":   "same-origin",
		"http://127.0.0.1.example.org":   "same-origin",
		"http://localhost.example.org":   "same-origin",
		"http://192.168.0.1":             "same-origin",
		"http://127.0.0.1:8080":          "",
		"http://[::1]:8080":              "",
		"http://localhost:8080":          "",
		"http://wiki.localhost":          "",
		"https://wiki.example.org:8443/": "",
	} {
		s := newScene(t, func(c *Config) { c.Issuer = issuer })
		query := "response_type=code&client_id=" + confidential
		if a := s.send(t, Authorize2, "Alice", query, nil, nil); a.Page == nil || a.Headers.Get("Referrer-Policy") != want {
			t.Errorf("%s: %q on %+v, want %q", issuer, a.Headers.Get("Referrer-Policy"), a.Page, want)
		}
		if a := s.send(t, Apps, "Alice", "", nil, nil); a.Page == nil || a.Headers.Get("Referrer-Policy") != want {
			t.Errorf("%s: %q on the page of apps, want %q", issuer, a.Headers.Get("Referrer-Policy"), want)
		}
	}
}

func TestCallbackHost(t *testing.T) {
	for callback, want := range map[string]string{
		"oob":                        "",
		"https://app.example/cb?a=b": "https://app.example",
		"http://127.0.0.1:8080/":     "http://127.0.0.1:8080",
		"myapp://done":               "myapp://done",
		"com.example.app:/done":      "com.example.app:",
	} {
		if got := callbackHost(callback); got != want {
			t.Errorf("%s: %q, want %q", callback, got, want)
		}
	}
}
