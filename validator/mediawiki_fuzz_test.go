package validator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
)

// FuzzMediaWiki: what comes of any header, query and form is the same each time,
// in the encoding that is signed; and without the secrets nothing passes.
func FuzzMediaWiki(f *testing.F) {
	headers, forms := parity.AuthorizationValues(f), parity.Forms(f)
	seeds := max(len(headers), len(forms))
	for i := range seeds {
		f.Add(forms[i%len(forms)], forms[(i+7)%len(forms)], headers[i%len(headers)])
	}
	if seeds < minSeeds {
		f.Fatalf("%d seeds, want %d", seeds, minSeeds)
	}
	f.Fuzz(func(t *testing.T, query, form, header string) {
		base, reason := mediaWikiBase("POST", "http://h/", query, form, header)
		again, _ := mediaWikiBase("POST", "http://h/", query, form, header)
		if !bytes.Equal(base, again) {
			t.Fatalf("%q and %q", base, again)
		}
		if reason == OK && strings.Count(string(base), "&") != 2 {
			t.Fatalf("not three encoded parts: %q", base)
		}
		s := mediaWiki(newScene())
		s.unsigned, s.form, s.request.Method, s.request.Target = true, form, "POST", "/w/api.php?"+query
		s.request.Authorization = []string{header}
		s.facts.Consumer.Secret, s.facts.Acceptance.Secret = "unknown to clients", "unknown too"
		if d := s.run(t); d.Verdict == Allow {
			t.Fatalf("allowed: %q %q %q", query, form, header)
		}
	})
}

// mediaWikiBase is the base string that MediaWiki's rules make of a request.
func mediaWikiBase(method, url, query, form, header string) ([]byte, Reason) {
	c := Claim{method: method, baseURL: url, query: query, header: header}
	reason := mediaWikiReader{}.merge(&c, form, MalformedForm)
	return c.appendBaseString(nil, nil), reason
}

// referenceRequest is what goes to the reference, each text as its bytes in base64.
type referenceRequest struct{ Method, URL, Query, Body, Header string }

// reference signs with the recording's own replay.py, which was right about
// MediaWiki for every recorded request.
const reference = `
import base64, json, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import replay
text = lambda s: base64.b64decode(s).decode('latin-1')
for line in sys.stdin:
    r = json.loads(line)
    body = text(r['Body'])
    base = replay.mw_base(r['Method'], r['URL'], text(r['Query']), body, body != '', text(r['Header']))
    print(base64.b64encode(base.encode('latin-1')).decode())
`

// TestMediaWikiSignsAsTheReference makes random requests of every oddity that
// the reference knows of.
func TestMediaWikiSignsAsTheReference(t *testing.T) {
	const requests = 800
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(choices ...string) string { return choices[random.IntN(len(choices))] }
	form := func(separators ...string) string {
		text := ""
		for range random.IntN(6) {
			name := pick("a", "a", "b", "A", "oauth_x", "oauth_nonce", "5", "0", "-7", "05", "-0", "12345678901234567", "%61", "%C3%A9", "\xff", "a.b", "a%20b", "+a", "%20%20a", ".", "_", "x%00y", "%00", "[a", "]", "%5B", "") +
				pick("", "", "", "", "[]", "[]", "[k]", "[k]", "[5]", "[ ]", "[]", "[k][]", "[k][j]", "[k.l]", "[k", "[k.l", "]", "[k]x", "[k][j", "%5Bk%5D", "[[k]", "[k]]")
			text += name + pick("=", "=", "=", "") + pick("", "1", "2", "0", "a+b", "%2B", "%2b%zz%", "%C3%a9", "~-._", "=", "x%00y", "a%26b", "\xe9", "!*'()") + pick(separators...)
		}
		return text
	}
	header := func() string {
		text := "OAuth "
		for range random.IntN(6) {
			text += pick("oauth_token", "oauth_nonce", "oauth_", "oauth_a-b", "xoauth_version", "oauth_X", "realm", "oauth_oauth_y", "oauth_x1") + pick("=", "=", "=", "=:", " = ", "==") +
				pick(`"a"`, `"0"`, `""`, "0", "x y", `"a+b%2B"`, `"a,b"`, `"oauth_z=1"`, `"`, `'q'`, `"%zz"`, "\"\xff\"") + pick(", ", ",", ";", " ", "", ", ")
		}
		return text
	}
	var input bytes.Buffer
	all := make([]referenceRequest, requests)
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for i := range all {
		r := referenceRequest{Method: pick("GET", "POST", "PUT"), URL: pick("http://127.0.0.1:8039/api.php", "https://wiki.example.org/w/x%20y"), Query: form("&", "&", "&", "&&"), Header: header()}
		if r.Method == "POST" {
			r.Body = form("&", "&", "&", "&&")
		}
		all[i] = r
		line, err := json.Marshal(referenceRequest{r.Method, r.URL, encode(r.Query), encode(r.Body), encode(r.Header)})
		if err != nil {
			t.Fatal(err)
		}
		input.Write(append(line, '\n'))
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", reference, "../internal/parity/testdata")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = &input, &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("replay.py needs Python 3, its standard library alone: apt-get install python3: %v\n%s", err, stderr.Bytes())
	}
	answers := strings.Fields(string(output))
	if len(answers) != requests {
		t.Fatalf("%d answers to %d requests", len(answers), requests)
	}
	compared := map[string]bool{}
	for i, r := range all {
		want, err := base64.StdEncoding.DecodeString(answers[i])
		if err != nil {
			t.Fatal(err)
		}
		got, reason := mediaWikiBase(r.Method, r.URL, r.Query, r.Body, r.Header)
		if reason == DuplicateParameter { // a list for a protocol parameter: refused before it is signed
			continue
		}
		compared[string(got)] = true
		if !bytes.Equal(got, want) {
			t.Errorf("%+v\n got %s\nwant %s", r, got, want)
		}
	}
	t.Logf("%d distinct base strings of %d requests", len(compared), requests)
	if len(compared) < requests*8/10 {
		t.Error("too few to say that the two sign alike")
	}
}
