package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// oddTargets are paths that one server or another reads as a different one.
var oddTargets = []string{
	"//private/x", "///private/x", "/./private/x", "/a/../private/x", "/%70rivate/x", "/private%2fx", "/PRIVATE/x", "/private/../private/x",
	"/private/..;/x", "/..;/private/x", "/private;a=b/x", "/private/x/", "/private/%2e%2e/x", "/private\\x", "/private/x%00", "/private/x?#y",
	"/private/x%23y", "/private/%252e/x", "/private/x?", "/private/x??a", "/private/x?a=%2f..%2f",
}

// meant are those that Caddy's path matcher takes for /private/*.
var meant = []string{
	"//private/x", "///private/x", "/./private/x", "/a/../private/x", "/%70rivate/x", "/private%2fx", "/PRIVATE/x", "/private/../private/x",
	"/private/x/", "/private/x%23y", "/private/x?",
}

// TestPathNormalisation: there is no list of paths to bypass. With the
// directive in front of everything no spelling of a path passes unsigned, and
// each is signed and handed on as it was sent.
func TestPathNormalisation(t *testing.T) {
	g := harness.New(t, harness.Options{
		Sites: `http://matched.test:{$HTTP2} {
			@private path /private /private/*
			oauth @private {
				import settings
			}
			oauth {
				mode strip
			}
			import backend
		}
		http://exact.test:{$HTTP2} {
			oauth {
				import settings
			}
			import backend
		}`,
	})
	w := g.Wiki
	for _, target := range append(oddTargets, "/private/x#y", "/private/x?a#b", "http://"+g.HTTP+"/private/x?a=b") {
		t.Run(target, func(t *testing.T) {
			g.Backend.Seen()
			a := g.Send(t, "GET", g.Raw("GET "+target, nil, ""))
			if a.Seen != nil || len(g.Backend.Seen()) != 0 || a.Status < 400 {
				t.Errorf("unsigned: answer %d", a.Status)
			}
			url := g.URL(target)
			if strings.HasPrefix(target, "http:") {
				url = target
			}
			// What is behind "#" is never a part of a URL that a client signs.
			a = g.Send(t, "GET", g.Raw("GET "+target, []string{"Authorization: " + harness.Sign(t, w.HMAC, "GET", url, "")}, ""))
			switch {
			case strings.Contains(target, "#"):
				a.Want(t, "malformed_target")
			case a.Seen == nil && a.Reason == "" && a.Status == http.StatusBadRequest:
				// Caddy has refused it by itself.
			default:
				a.Want(t, "ok")
				if strings.Contains(target, "\\") {
					break // reverse_proxy encodes it
				}
				if want := strings.TrimPrefix(target, "http://"+g.HTTP); a.Seen != nil && a.Seen.Target != want && a.Seen.Target != strings.TrimSuffix(want, "?") {
					t.Errorf("target %q arrives as %q", target, a.Seen.Target)
				}
			}
			// A signature over another spelling of the path is none over this one.
			a = g.Send(t, "GET", g.Raw("GET "+target, []string{"Authorization: " + harness.Sign(t, w.HMAC, "GET", g.URL("/private/other"), "")}, ""))
			if a.Seen != nil || a.Status < 400 {
				t.Errorf("signed for another path: answer %d", a.Status)
			}
			// Behind a matcher Caddy decides which paths are meant. What it
			// does not mean has no identity, not even a false one.
			_, port, _ := strings.Cut(g.HTTP2, ":")
			r := g.Raw("GET "+strings.TrimPrefix(target, "http://"+g.HTTP), []string{"Host: matched.test:" + port, "X-OAuth-User-Id: 1", "X_OAuth_User_Id: 1"}, "")
			a = g.SendTo(t, g.HTTP2, "GET", r)
			if a.Seen != nil && a.Identity("User-Id") != "" {
				t.Errorf("matched: the client's own identity %q arrives", a.Identity("User-Id"))
			}
			if a.Seen != nil && slices.Contains(meant, target) {
				t.Errorf("matched: passes unsigned as %q", a.Seen.Target)
			}
		})
	}
	// Go goes to the first path of these, whatever URL their query holds.
	for _, target := range []string{"http:/private/other?a=", "x:/private/other?a=", "http:other?a="} {
		signed := g.URL("/private/x?b=c")
		target += strings.TrimPrefix(signed, "http")
		a := g.Send(t, "GET", g.Raw("GET "+target, []string{"Authorization: " + harness.Sign(t, w.HMAC, "GET", signed, "")}, ""))
		a.Want(t, "malformed_target")
	}
	_, port, _ := strings.Cut(g.HTTP2, ":")
	for _, host := range []string{"exact.test.", "EXACT.test", "exact.test", "[::1]", "x@exact.test"} {
		a := g.SendTo(t, g.HTTP2, "GET", g.Raw("GET /", []string{"Host: " + host + ":" + port}, ""))
		if a.Seen != nil {
			t.Errorf("host %s: passes unsigned", host)
		}
	}
	for signed, passes := range map[string]bool{"wiki.test": true, "WIKI.TEST": true, "wiki.test.": false, "wiki.test:80": true, "wiki.test:443": false} {
		a := g.Send(t, "GET", g.Raw("GET /", []string{
			"Host: wiki.test", "Authorization: " + harness.Sign(t, w.HMAC, "GET", "http://"+signed+"/", ""),
		}, ""))
		a.Want(t, map[bool]string{true: "ok", false: "bad_signature"}[passes])
	}
	g.Send(t, "GET", g.Raw("GET /", []string{
		"Host: wiki.test.", "Authorization: " + harness.Sign(t, w.HMAC, "GET", "http://wiki.test./", ""),
	}, "")).Want(t, "ok")
}

func TestSignedOverTheRewrittenURL(t *testing.T) {
	g := harness.New(t, harness.Options{Site: `handle_path /strip/* {
		oauth {
			import settings
		}
		import backend
	}
	handle /rewritten/* {
		rewrite * /other?x=1&{query}
		oauth {
			import settings
		}
		import backend
	}
	handle /uri/* {
		uri strip_prefix /uri
		uri query +added 1
		oauth {
			import settings
		}
		import backend
	}
	handle /method {
		method POST
		oauth {
			import settings
		}
		import backend
	}
	handle /routed/* {
		route {
			uri replace /routed/ /inner/
			oauth {
				import settings
			}
			import backend
		}
	}`})
	w := g.Wiki
	for _, tt := range []struct{ target, method, arrives, arrivesAs string }{
		{"/strip/page?a=b", "GET", "/page?a=b", "GET"},
		{"/rewritten/page?a=b", "GET", "/other?x=1&a=b", "GET"},
		{"/uri/page?a=b", "GET", "/page?a=b&added=1", "GET"},
		{"/method", "GET", "/method", "POST"},
		{"/routed/page", "GET", "/inner/page", "GET"},
	} {
		a := g.Signed(t, w.HMAC, tt.target)
		a.Want(t, "ok")
		if a.Seen != nil && (a.Seen.Target != tt.arrives || a.Seen.Method != tt.arrivesAs) {
			t.Errorf("%s arrives as %s %s, want %s %s", tt.target, a.Seen.Method, a.Seen.Target, tt.arrivesAs, tt.arrives)
		}
		// What only Caddy has made of it was never signed.
		g.Get(t, tt.target, harness.Sign(t, w.HMAC, tt.arrivesAs, g.URL(tt.arrives), "")).Want(t, "bad_signature")
	}
}

func TestTrustInForwardedHeaders(t *testing.T) {
	const proxied = "wiki.example.org"
	w := harness.NewWiki(t, release139)
	restricted2 := w.NewApp(t, w.Alice, func(c *wikidb.Consumer) {
		c.Name, c.Version, c.Restrictions = "restricted oauth2 app", 2, w.Restricted.Consumer.Restrictions
	})
	atProxy := w.NewApp(t, w.Alice, func(c *wikidb.Consumer) {
		c.Name, c.Restrictions = "app of the internal network", `{"IPAddresses":["127.0.0.0/8"]}`
	})
	forwarded := func(app harness.App) []string {
		return []string{
			"Authorization: " + harness.Sign(t, app, "GET", "https://"+proxied+"/", ""),
			"X-Forwarded-Proto: https", "X-Forwarded-Host: " + proxied,
		}
	}
	from := func(addresses string, headers ...string) []string {
		return append(headers, "X-Forwarded-For: "+addresses)
	}
	type ask struct {
		name    string
		headers func() []string
		want    string
	}
	for _, tt := range []struct {
		name, servers string
		settings      []string
		asks          []ask
	}{
		{"no proxy is trusted", "", nil, []ask{
			{"scheme and host", func() []string { return forwarded(w.HMAC) }, "bad_signature"},
			{"address", func() []string {
				return from("192.0.2.1", "Authorization: "+harness.Sign(t, w.Restricted, "GET", g0+"/", ""))
			}, "address_not_allowed"},
			{"address by other headers", func() []string {
				return []string{
					"Authorization: " + harness.Sign(t, w.Restricted, "GET", g0+"/", ""),
					"X-Real-IP: 192.0.2.1", "Forwarded: for=192.0.2.1", "CF-Connecting-IP: 192.0.2.1", "True-Client-IP: 192.0.2.1",
				}
			}, "address_not_allowed"},
		}},
		{"trusted, not strictly", "trusted_proxies static 127.0.0.1/32", nil, []ask{
			{"scheme and host", func() []string { return forwarded(w.HMAC) }, "ok"},
			{"scheme alone", func() []string {
				return []string{"Authorization: " + harness.Sign(t, w.HMAC, "GET", "https"+strings.TrimPrefix(g0, "http")+"/", ""), "X-Forwarded-Proto: https"}
			}, "ok"},
			{"two hosts", func() []string { return append(forwarded(w.HMAC), "X-Forwarded-Host: evil.example") }, "bad_signature"},
			{"a list of hosts", func() []string {
				return []string{
					"Authorization: " + harness.Sign(t, w.HMAC, "GET", "https://"+proxied+"/", ""),
					"X-Forwarded-Proto: https", "X-Forwarded-Host: " + proxied + ", evil.example",
				}
			}, "bad_signature"},
			{"address of a free app", func() []string { return from("192.0.2.1", forwarded(w.HMAC)...) }, "ok"},
			{"address of a restricted app", func() []string { return from("192.0.2.1", forwarded(w.Restricted)...) }, "address_untrusted"},
			{"the proxy's own address, as the client says", func() []string { return from("127.0.0.1", forwarded(w.Restricted)...) }, "address_untrusted"},
			{"address of a restricted app of OAuth 2", func() []string {
				return from("192.0.2.1", "Authorization: "+w.Bearer(t, restricted2))
			}, "address_untrusted"},
		}},
		{"trusted strictly", "trusted_proxies static 127.0.0.1/32\n\t\ttrusted_proxies_strict", nil, []ask{
			{"the right one", func() []string { return from("192.0.2.1", forwarded(w.Restricted)...) }, "ok"},
			{"the right one, OAuth 2", func() []string { return from("192.0.2.1", "Authorization: "+w.Bearer(t, restricted2)) }, "ok"},
			{"another", func() []string { return from("203.0.113.9", forwarded(w.Restricted)...) }, "address_not_allowed"},
			{"the client says the right one, the proxy another", func() []string {
				return from("192.0.2.1, 203.0.113.9", forwarded(w.Restricted)...)
			}, "address_not_allowed"},
			{"the same, OAuth 2", func() []string {
				return from("192.0.2.1, 203.0.113.9", "Authorization: "+w.Bearer(t, restricted2))
			}, "address_not_allowed"},
			{"the client says the right one, the proxy none", func() []string {
				return from("192.0.2.1, unknown", forwarded(w.Restricted)...)
			}, "address_untrusted"},
			{"the proxy tells none", func() []string { return forwarded(atProxy) }, "address_untrusted"},
			{"the proxy tells unknown", func() []string { return from("unknown", forwarded(atProxy)...) }, "address_untrusted"},
			{"the proxy tells _hidden", func() []string { return from("_hidden", forwarded(atProxy)...) }, "address_untrusted"},
			{"the proxy tells nothing", func() []string { return from("", forwarded(atProxy)...) }, "address_untrusted"},
		}},
		{"trusted peer that may be the client", "trusted_proxies static 127.0.0.1/32\n\t\ttrusted_proxies_strict", []string{"trusted_peer client"}, []ask{
			{"the proxy tells none", func() []string { return forwarded(atProxy) }, "ok"},
			{"the proxy tells unknown", func() []string { return from("unknown", forwarded(atProxy)...) }, "address_untrusted"},
			{"the proxy tells nothing", func() []string { return from("", forwarded(atProxy)...) }, "address_untrusted"},
		}},
		{"one address in a header of its own", "trusted_proxies static 127.0.0.1/32\n\t\tclient_ip_headers CF-Connecting-IP", nil, []ask{
			{"not strictly", func() []string { return append(forwarded(w.Restricted), "CF-Connecting-IP: 192.0.2.1") }, "address_untrusted"},
		}},
		{"one address in a header of its own, strictly", "trusted_proxies static 127.0.0.1/32\n\t\tclient_ip_headers CF-Connecting-IP\n\t\ttrusted_proxies_strict", nil, []ask{
			{"the right one", func() []string { return append(forwarded(w.Restricted), "CF-Connecting-IP: 192.0.2.1") }, "ok"},
			{"another", func() []string { return append(forwarded(w.Restricted), "CF-Connecting-IP: 203.0.113.9") }, "address_not_allowed"},
		}},
		{"base_url", "trusted_proxies static 127.0.0.1/32", []string{"base_url https://" + proxied}, []ask{
			{"as it says", func() []string {
				return []string{"Authorization: " + harness.Sign(t, w.HMAC, "GET", "https://"+proxied+"/", "")}
			}, "ok"},
			{"whatever the proxy says", func() []string {
				return []string{
					"Authorization: " + harness.Sign(t, w.HMAC, "GET", "https://"+proxied+"/", ""),
					"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http",
				}
			}, "ok"},
			{"never what only the proxy says", func() []string {
				return []string{
					"Authorization: " + harness.Sign(t, w.HMAC, "GET", "http://evil.example/", ""),
					"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http",
				}
			}, "bad_signature"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := harness.New(t, harness.Options{Wiki: w, Servers: tt.servers, Settings: tt.settings})
			g0 = "http://" + g.HTTP
			for _, ask := range tt.asks {
				a := g.Send(t, "GET", g.Raw("GET /", ask.headers(), ""))
				if got := a.Reason; (ask.want == "ok") != (a.Seen != nil) || ask.want != "ok" && got != ask.want {
					t.Errorf("%s: %d %s, want %s", ask.name, a.Status, got, ask.want)
				}
				if a.Reason == "address_untrusted" && !strings.Contains(string(a.Body), "trusted_proxies_strict") {
					t.Errorf("%s: the answer does not name the setting: %s", ask.name, a.Body)
				}
			}
		})
	}
}

// g0 is the URL of the gateway that is asked.
var g0 string

func TestHostHeaderChoosesTheWiki(t *testing.T) {
	g := harness.New(t, harness.Options{})
	for _, wiki := range []string{
		"*", `""`, "{http.request.host}", "{host}", "{labels.0}", "{http.request.header.Host}", "a.b", "enwiki;", "`x'y`", strings.Repeat("a", 65), "ünwiki",
		"{env.NO_SUCH_VARIABLE}", "`en wiki`", "enwiki/../mysql",
	} {
		if err := g.Load(t, "wiki "+wiki); err == nil {
			t.Errorf("wiki %s is loaded", wiki)
		}
	}
	if err := g.Load(t); err != nil {
		t.Fatal(err)
	}
	before := mariadbCounters(t)
	hosts := []string{"mysql", "*", "dewiki", "information_schema", "x'y", "..", g.HTTP}
	for _, host := range hosts {
		a := g.Send(t, "GET", g.Raw("GET /", []string{"Host: " + host, "Authorization: " + g.Wiki.Bearer(t, g.Wiki.OAuth2)}, ""))
		if a.Seen == nil {
			if a.Status != http.StatusBadRequest {
				t.Errorf("host %s: %d %s", host, a.Status, a.Reason)
			}
			continue
		}
		if got := a.Identity("Wiki"); got != harness.WikiID {
			t.Errorf("host %s: wiki %q", host, got)
		}
	}
	if asked := mariadbCounters(t).Sub(before).Selects; asked != 1 {
		t.Errorf("%d queries for one token by %d hosts", asked, len(hosts))
	}
	// The id that is configured is the one that a grant must be for.
	if err := g.Load(t, "wiki mysql"); err != nil {
		t.Fatal(err)
	}
	local := g.Wiki.NewApp(t, g.Wiki.Alice, func(c *wikidb.Consumer) { c.Name, c.Wiki = "local", harness.WikiID })
	g.Send(t, "GET", g.Raw("GET /", []string{
		"Host: " + harness.WikiID, "Authorization: " + harness.Sign(t, local, "GET", fmt.Sprintf("http://%s/", harness.WikiID), ""),
	}, "")).Want(t, "wrong_wiki")
}
