package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/browser"
)

func TestMain(m *testing.M) { browser.Main(m) }

func serve(t *testing.T, page string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "img-src 'none'")
		fmt.Fprint(w, page)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// A page with barriers is not taken for one without.
func TestBarriersAreFound(t *testing.T) {
	tab := browser.NewTab(t, browser.Options{})
	tab.Open(t, serve(t, `<!DOCTYPE html><title>x</title><p style="color: #999">pale<form><input name="a"><button></button></form>`))
	found := strings.Join(tab.Barriers(t), "\n")
	for _, rule := range []string{"html-has-lang", "color-contrast", "label", "button-name", "landmark-one-main", "page-has-heading-one"} {
		if !strings.Contains(found, rule+": ") {
			t.Errorf("%s is not found:\n%s", rule, found)
		}
	}
}

// The browser asks nobody but this machine, and tells what a policy has blocked.
func TestRequestsAndMessages(t *testing.T) {
	tab := browser.NewTab(t, browser.Options{})
	address := serve(t, `<!DOCTYPE html><title>x</title><img src="/image"><link rel="stylesheet" href="http://example.org/style">`)
	tab.Open(t, strings.Replace(address, "127.0.0.1", "other.test", 1))
	tab.Await(t, "the message of a policy", func() bool { return strings.Contains(fmt.Sprint(tab.Messages()), "img-src") })
	tab.Await(t, "the failure of a name", func() bool { return strings.Contains(fmt.Sprint(tab.Messages()), "ERR_NAME_NOT_RESOLVED") })
	if r := tab.Requests(); len(r) < 2 || !strings.Contains(r[0].URL, "//other.test:") {
		t.Errorf("%+v", r)
	}
}
