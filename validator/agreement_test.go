package validator

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// differenceRows says of a request which rows of the table in
// docs/differences.md it touches, by looks that share no code with either
// reader.
var differenceRows = map[string]func(w wire) bool{
	"scheme-case": func(w wire) bool { return w.header != "" && !strings.HasPrefix(w.header, "OAuth") },
	"scheme-alone": func(w wire) bool {
		return strings.TrimRight(w.header, " ") == "OAuth" || strings.HasPrefix(w.header, "OAuth\t")
	},
	"two-credentials": func(w wire) bool { return strings.Contains(w.query(), "oauth_signature=") },
	"one-place":       func(w wire) bool { return strings.Contains(w.query()+"&"+w.form, "oauth_nonce=") },
	"header-list":     func(w wire) bool { return regexp.MustCompile(`"\s*[;&]|"\s+[a-z]|=:"`).MatchString(w.header) },
	"header-scan": func(w wire) bool {
		return strings.Contains(w.header, `"oauth_x=`) || strings.Contains(w.header, "xoauth_")
	},
	"header-names": func(w wire) bool {
		return regexp.MustCompile(`[ ,](foo|oauth_[a-z]*[A-Z0-9])[^=]*=`).MatchString(w.header)
	},
	"duplicate-parameter": func(w wire) bool { return strings.Count(w.header, "oauth_token=") > 1 },
	"empty-version":       func(w wire) bool { return strings.Contains(w.header, `oauth_version=""`) },
	"zero-value":          func(w wire) bool { return strings.Contains(w.header, `oauth_nonce="0"`) },
	"repeated-names":      func(w wire) bool { return repeats(w.queryNames()) },
	"php-names": func(w wire) bool {
		return slices.ContainsFunc(w.queryNames(), func(n string) bool { return strings.ContainsAny(n, "[. +") })
	},
	"numeric-names": func(w wire) bool {
		return slices.ContainsFunc(append(w.queryNames(), w.formNames()...), regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`).MatchString)
	},
	"empty-pieces": func(w wire) bool { return emptyPiece(w.query()) || w.formCounts() && emptyPiece(w.form) },
	"query-and-form": func(w wire) bool {
		return slices.ContainsFunc(w.queryNames(), func(n string) bool { return slices.Contains(w.formNames(), n) })
	},
	"form-method": func(w wire) bool {
		return w.form != "" && w.method != "POST" && strings.Contains(strings.ToLower(w.contentType), "urlencoded")
	},
	"form-content-type": func(w wire) bool {
		return w.form != "" && regexp.MustCompile(`^Application|urlencodedfoo`).MatchString(w.contentType)
	},
	"leading-slashes": func(w wire) bool { return strings.HasPrefix(w.target, "//") },
	"timestamp-digits": func(w wire) bool {
		return regexp.MustCompile(`oauth_timestamp="(%20|%2B|1700000000[^"])`).MatchString(w.header)
	},
}

// wire is a request as a client sends it.
type wire struct {
	method, host, target, header, form, contentType string
}

func (w wire) query() string {
	_, query, _ := strings.Cut(w.target, "?")
	return query
}

func names(text string) (all []string) {
	for piece := range strings.SplitSeq(text, "&") {
		if name, _, _ := strings.Cut(piece, "="); piece != "" {
			all = append(all, strings.NewReplacer("%5B", "[", "%2E", ".", "%20", " ").Replace(name))
		}
	}
	return all
}

func (w wire) queryNames() []string { return names(w.query()) }
func (w wire) formCounts() bool {
	return w.method == "POST" && strings.HasPrefix(w.contentType, "application/x-www-form-urlencoded")
}

func (w wire) formNames() []string {
	if !w.formCounts() {
		return nil
	}
	return names(w.form)
}

func repeats(names []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(names)))) < len(names)
}

func emptyPiece(text string) bool {
	return text != "" && (strings.HasSuffix(text, "&") || strings.HasPrefix(text, "&") || strings.Contains(text, "&&"))
}

// randomWire makes a request that is signed by the standards, with a fault or
// an oddity now and then.
func randomWire(t *testing.T, r *rand.Rand) wire {
	pick := func(choices ...string) string { return choices[r.IntN(len(choices))] }
	text := func() string {
		pieces := make([]string, r.IntN(5))
		for i := range pieces {
			name := pick("a", "b", "action", "title", "text", "a", "x%20y", "c[]", "d.e", "5", "-7", "05", "k[x]", "%C3%A9", "%5Bq")
			pieces[i] = name + "=" + pick("1", "2", "", "a+b", "%2B", "%c3%a9", "~", "%00", "x%26y")
		}
		return strings.Join(pieces, "&") + pick("", "", "", "", "", "&", "&&z")
	}
	w := wire{
		method: pick("GET", "GET", "POST", "POST", "POST", "PUT", "DELETE", "HEAD", "post"),
		host:   pick("wiki.example.org", "WIKI.example.org:443", "wiki.example.org:8443", "[2001:db8::1]:443"),
		target: pick("/", "/w/api.php", "/w/api.php", "/x/../api.php", "/a%2fb", "//w/api.php") + pick("", "?"+text(), "?"+text()),
	}
	if w.method != "GET" && w.method != "HEAD" && r.IntN(2) == 0 {
		w.form = text()
		w.contentType = pick("application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8", "application/json",
			"Application/x-www-form-urlencoded", "application/x-www-form-urlencodedfoo", "multipart/form-data")
	}
	var signed []byte
	if strings.Contains(strings.ToLower(w.contentType), "urlencoded") && !strings.HasSuffix(w.contentType, "foo") {
		signed = []byte(w.form)
	}
	s := newScene()
	options := sign.Options{Nonce: pick("n", "n", "n", "0"), Timestamp: pick("1700000000", "1700000000", "1699999700", "1699999699", "1700000000.5", " 1700000000")}
	header, err := sign.Header(s.creds, w.method, "https://"+w.host+w.target, signed, options)
	if err != nil {
		t.Fatal(err)
	}
	mutate := func(old, now string) {
		if r.IntN(20) == 0 {
			header = strings.Replace(header, old, now, 1)
		}
	}
	mutate("OAuth ", "OAuth  ")
	mutate("OAuth ", "oauth ")
	mutate("OAuth ", "OAuth\t")
	mutate("OAuth ", `OAuth realm="a, b",`)
	mutate("OAuth ", `OAuth realm="oauth_x=1",`)
	mutate("OAuth ", `OAuth foo="1",`)
	mutate("OAuth ", `OAuth oauth_Foo="1",`)
	mutate("OAuth ", `OAuth oauth_token="x",`)
	mutate(`", `, `"; `)
	mutate(`", `, `",`)
	mutate("oauth_token", "xoauth_token")
	mutate("HMAC-SHA1", "HMAC-SHA256")
	mutate(`"1.0"`, `""`)
	mutate(accessToken, "unknown")
	mutate(`oauth_signature="`, `oauth_signature="x`)
	w.header = header
	if r.IntN(30) == 0 {
		w.target += "&oauth_nonce=x"
	}
	if r.IntN(50) == 0 {
		w.target += "&oauth_signature=x"
	}
	if r.IntN(30) == 0 {
		w.header = ""
	}
	return w
}

// TestRulesAgree sends random requests to both rule sets: where the table of
// differences has no row for a request, the two agree.
func TestRulesAgree(t *testing.T) {
	const requests = 20_000
	r := rand.New(rand.NewPCG(5849, 6750))
	agreed, differed, outcomes := 0, map[string]int{}, map[string]int{}
	for range requests {
		w := randomWire(t, r)
		var rows []string
		for row, touches := range differenceRows {
			if touches(w) {
				rows = append(rows, row)
			}
		}
		verdict := func(rules Rules) string {
			s := newScene()
			s.policy.Rules = rules
			if !strings.Contains(w.header, accessToken) {
				s.facts.Acceptance = nil
			}
			s.unsigned, s.url, s.form = true, "https://wiki.example.org"+w.target, w.form
			s.request.Method, s.request.Host, s.request.Target = w.method, w.host, w.target
			if w.header != "" {
				s.request.Authorization = []string{w.header}
			}
			if w.contentType != "" {
				s.request.ContentType = []string{w.contentType}
			}
			d := s.run(t)
			return fmt.Sprint(d.Verdict, " ", d.Identity.UserID)
		}
		standard, mediaWiki := verdict(Standard), verdict(MediaWiki)
		switch {
		case standard == mediaWiki:
			agreed++
			if len(rows) == 0 {
				outcomes[standard]++
			}
		case len(rows) == 0:
			t.Errorf("%+v: %s by the standards, %s by MediaWiki's rules, and no row says why", w, standard, mediaWiki)
		default:
			for _, row := range rows {
				differed[row]++
			}
		}
	}
	t.Logf("%d of %d agree; without a row: %v; differ: %v", agreed, requests, outcomes, differed)
	if outcomes["allow 9"] < requests/20 || outcomes["deny 0"] < requests/100 || outcomes["anonymous 0"] < requests/200 {
		t.Errorf("requests that no row is about do not cover all verdicts: %v", outcomes)
	}
	for row := range differenceRows {
		if differed[row] == 0 {
			t.Errorf("no request differs by row %s", row)
		}
	}
}
