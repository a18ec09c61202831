package validator

import (
	"bufio"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/php"
)

// TestTargetIsWhatGoesOn holds the reading of request targets to Go's, by which
// handlers after this one, and backends behind a reverse proxy, are told what
// was asked for: another one would have something else signed.
func TestTargetIsWhatGoesOn(t *testing.T) {
	starts := []string{"/", "//", "http://h", "http://", "http:/", "http:", "x://h/", "x:", ""}
	pieces := []string{
		"/", "//", "?", ":", "://", "http", "x", "a=b", "&", "@", "%2f", "%3f", "%23", "..", ";", "[", "]", "::1", "\\", "+", "*",
		"h:80", "{", "\"", "é", "=", "oauth_signature=x", "~", ",", "!", "#",
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same targets every time
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	read := 0
	for range 50_000 {
		target := pick(starts)
		for range 1 + random.IntN(9) {
			target += pick(pieces)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")))
		if err != nil || r.RequestURI != target {
			continue
		}
		sentPath, sentQuery, _ := strings.Cut(r.URL.RequestURI(), "?")
		path, query, ok := splitTarget(target)
		switch {
		case ok:
			read++
			sameTarget(t, target, path, query, sentPath, sentQuery)
		case !holdsSignature(query) && holdsSignature(sentQuery):
			t.Errorf("%q: the credential in the query is overlooked", target)
		}
		if path, query, ok = php.SplitTarget(target); ok {
			sameTarget(t, target, path, query, sentPath, sentQuery)
		}
	}
	if read < 1000 {
		t.Errorf("only %d targets can be read", read)
	}
}

// sameTarget compares paths decoded, for Go encodes anew what it would not have
// encoded so, and without leading slashes, of which the rules of MediaWiki sign
// one.
func sameTarget(t *testing.T, target, path, query, sentPath, sentQuery string) {
	t.Helper()
	read, err := url.PathUnescape(path)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := url.PathUnescape(sentPath)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimLeft(read, "/") != strings.TrimLeft(sent, "/") || query != sentQuery {
		t.Errorf("%q: %q and %q are signed, %q and %q go on", target, path, query, sentPath, sentQuery)
	}
}

// TestBasePath signs the URL that the client used, while the request arrives
// without the prefix that a proxy in front took away.
func TestBasePath(t *testing.T) {
	for _, rules := range []Rules{Standard, MediaWiki} {
		for _, tt := range []struct {
			name, path string
			scheme     string // of the base URL
			target     string // replaced in the request, if not empty
			want       Reason
		}{
			{"stripped", "/svc", "https", "", OK},
			{"stripped, scheme of the request", "/svc", "", "", OK},
			{"stripped twice", "/a/b%20c", "https", "", OK},
			{"not told", "", "https", "", BadSignature},
			{"another prefix", "/other", "https", "", BadSignature},
			{"letter case", "/Svc", "https", "", BadSignature},
			{"not stripped", "/svc", "https", "/svc/w/api.php?action=query&format=json", BadSignature},
		} {
			s := newScene()
			s.policy.Rules, s.policy.BaseScheme, s.policy.BaseHost, s.policy.BasePath = rules, tt.scheme, "api.example.org", tt.path
			prefix := "/svc"
			if tt.path == "/a/b%20c" {
				prefix = tt.path
			}
			s.url = "https://api.example.org" + prefix + "/w/api.php?action=query&format=json"
			r := s.ready(t)
			r.Target, r.Host, r.Scheme = "/w/api.php?action=query&format=json", "internal:8080", "https"
			if tt.target != "" {
				r.Target = tt.target
			}
			d := s.verifier().Verify(t.Context(), r)
			if d.Reason != tt.want {
				t.Errorf("%s, rules %d: %v, want %v", tt.name, rules, d.Reason, tt.want)
			}
			signed := ""
			if tt.want == BadSignature {
				path, _, _ := strings.Cut(r.Target, "?")
				signed = "https://api.example.org" + tt.path + path
			}
			if d.SignedURL != signed || (d.SignedMethod == "") != (signed == "") {
				t.Errorf("%s, rules %d: signed %s %s, want %s", tt.name, rules, d.SignedMethod, d.SignedURL, signed)
			}
		}
	}
}
