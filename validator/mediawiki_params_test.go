package validator

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/apianswers"
)

const urlencoded = "application/x-www-form-urlencoded"

// TestAnswerForm reads the parameters of a form up to 64 KiB, also one that was
// read before, and answers in JSON where it cannot know them.
func TestAnswerForm(t *testing.T) {
	padding := func(n int) string { return "format=xml&formatversion=2&x=" + strings.Repeat("x", n-29) }
	for _, tt := range []struct {
		name, contentType, query string
		body                     io.Reader
		length                   int64
		want                     string // media type
		version2                 bool
	}{
		{"a form", urlencoded, "", strings.NewReader("format=json&formatversion=2"), 27, "application/json", true},
		{"as large as allowed", urlencoded, "", strings.NewReader(padding(maxAnswerForm)), maxAnswerForm, "text/xml", false},
		{"in chunks", urlencoded, "", strings.NewReader("format=xml"), -1, "text/xml", false},
		{"no body", urlencoded, "", nil, 0, "text/html", false},
		{"too large", urlencoded, "", strings.NewReader(padding(maxAnswerForm + 1)), maxAnswerForm + 1, "application/json", false},
		{"too large, in chunks", urlencoded, "", strings.NewReader(padding(maxAnswerForm + 1)), -1, "application/json", false},
		{"too large, and the query", urlencoded, "format=xml", strings.NewReader(padding(maxAnswerForm + 1)), maxAnswerForm + 1, "text/xml", false},
		{"broken off", urlencoded, "formatversion=2", iotest.ErrReader(errors.New("left")), 100, "application/json", true},
		{"multipart, broken off", "multipart/form-data; boundary=b", "", strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"format\"\r\n\r\nxm"), 57, "application/json", false},
		{"multipart without a boundary", "multipart/form-data", "", strings.NewReader("--b--"), 5, "application/json", false},
		{"not a form", "text/plain", "", iotest.ErrReader(errors.New("must not be read")), 100, "text/html", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/w/api.php", tt.body)
			r.ContentLength = tt.length
			r.Header.Set("Content-Type", tt.contentType)
			if form := BodyReader(nil, r); form != nil && tt.length <= maxAnswerForm && tt.want == "text/xml" {
				if _, err := form(BodyLimit{Size: maxAnswerForm}); err != nil { // as for the signature
					t.Fatal(err)
				}
			}
			w := httptest.NewRecorder()
			if !WriteMediaWiki(w, r, Decision{Reason: BadSignature}, MediaWikiSite{"enwiki", Release147}, "/w/api.php", tt.query) {
				t.Fatal("wrote nothing")
			}
			mediaType, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
			if mediaType != tt.want || strings.Contains(w.Body.String(), `"docref"`) != tt.version2 {
				t.Errorf("%s: %s", mediaType, w.Body)
			}
		})
	}
}

// TestAnswerFormIsReadAtTheAPIAlone leaves bodies elsewhere alone.
func TestAnswerFormIsReadAtTheAPIAlone(t *testing.T) {
	for _, path := range []string{"/w/rest.php/v1/page", "/w/index.php", "/w/api.php/x"} {
		read := false
		r := httptest.NewRequest(http.MethodPost, path, readerFunc(func([]byte) (int, error) { read = true; return 0, io.EOF }))
		r.Header.Set("Content-Type", urlencoded)
		WriteMediaWiki(httptest.NewRecorder(), r, Decision{Reason: BadSignature}, MediaWikiSite{"enwiki", Release147}, path, "")
		if read {
			t.Errorf("%s: the body was read", path)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// FuzzMediaWikiAnswer writes answers for any parameters: each is well formed,
// tells the error, and shows nothing of the parameters that a browser could read
// as markup or script.
func FuzzMediaWikiAnswer(f *testing.F) {
	var seeds int
	for _, answer := range apianswers.Load(f).Answers {
		for _, r := range answer.Requests {
			if r.Method != http.MethodHead {
				f.Add(r.Query, r.ContentType, r.Body, "1400000000")
				seeds++
			}
		}
	}
	if seeds < minSeeds {
		f.Fatalf("%d seeds", seeds)
	}
	f.Add("format=xml&requestid=]]>", urlencoded, "", "<script>")
	for _, id := range []string{"%01", "%0d%0a", "%ff", "%C3%A9", "%7F", "%E2%80%A8"} {
		f.Add("format=json&requestid="+id, "", "", "1")
		f.Add("format=xml&requestid="+id, "", "", "1")
	}
	f.Fuzz(func(t *testing.T, query, contentType, body, sent string) {
		r := httptest.NewRequest(http.MethodPost, "/w/api.php", strings.NewReader(body))
		r.Header["Content-Type"] = []string{contentType}
		d := Decision{Reason: NonceUsed, Sent: sent}
		e := d.mediaWikiError("enwiki", time.Unix(0, 0))
		w := httptest.NewRecorder()
		p := readAnswerParams(w, r, query)
		writeActionAPI(w, r, &d, e, p, time.Unix(0, 0))
		checkAnswer(t, &p, e, w)
	})
}

var callbackCall = regexp.MustCompile(`^/\*\*/[\[\].'"_A-Za-z0-9]*\((.*)\)$`)

func checkAnswer(t *testing.T, p *answerParams, e mediaWikiError, w *httptest.ResponseRecorder) {
	t.Helper()
	text := w.Body.String()
	if i := strings.IndexFunc(text, func(c rune) bool { return c != '\n' && !printable(c) }); i >= 0 {
		t.Fatalf("byte %d: %q", i, text)
	}
	mediaType, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	if p.Page {
		var ok bool
		if text, ok = pageText(text); !ok || mediaType != "text/html" {
			t.Fatalf("%s: not a page: %s", mediaType, w.Body)
		}
		if policy := w.Header().Get("Content-Security-Policy"); policy != "default-src 'none'; frame-ancestors 'none'" {
			t.Fatalf("Content-Security-Policy: %q", policy)
		}
	}
	if p.Callback != nil {
		call := callbackCall.FindStringSubmatch(strings.ReplaceAll(text, "\n", " "))
		if call == nil || mediaType != "text/javascript" && !p.Page {
			t.Fatalf("%s: not a call: %s", mediaType, text)
		}
		text = call[1]
	}
	switch p.Format {
	case "json", "raw":
		if !json.Valid([]byte(text)) {
			t.Fatalf("not JSON: %s", text)
		}
	case "xml":
		checkXML(t, text)
	case "php":
		if rest, ok := skipPHP(text); !ok || rest != "" {
			t.Fatalf("not a PHP value: %s", text)
		}
	case "none":
		if text != "" {
			t.Fatalf("not empty: %s", text)
		}
		return
	}
	if !strings.Contains(text, e.Code) {
		t.Fatalf("the code is not in %s", text)
	}
}

func checkXML(t *testing.T, text string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(text))
	elements := map[string]bool{"api": true, "error": true, "errors": true, "params": true, "param": true, "docref": true}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if start, ok := token.(xml.StartElement); ok && !elements[start.Name.Local] {
			t.Fatalf("element %s: %s", start.Name.Local, text)
		}
	}
}

var phpHead = regexp.MustCompile(`^(?:i:\d+;|a:(\d+):\{|s:(\d+):")`)

// skipPHP reads a value that PHP's serialize wrote.
func skipPHP(text string) (rest string, ok bool) {
	head := phpHead.FindStringSubmatch(text)
	if head == nil {
		return text, false
	}
	rest = text[len(head[0]):]
	var n json.Number
	switch {
	case head[1] != "":
		n = json.Number(head[1])
		count, _ := n.Int64()
		for range 2 * count {
			if rest, ok = skipPHP(rest); !ok {
				return rest, false
			}
		}
		return strings.CutPrefix(rest, "}")
	case head[2] != "":
		n = json.Number(head[2])
		length, _ := n.Int64()
		if int64(len(rest)) < length {
			return rest, false
		}
		return strings.CutPrefix(rest[length:], `";`)
	}
	return rest, true
}

// TestAnswerOfEachReason writes the error of each reason in each format. No text
// has characters that are markup in wikitext or HTML.
func TestAnswerOfEachReason(t *testing.T) {
	for _, reason := range Reasons()[1:] {
		d := Decision{Reason: reason, Sent: "1"}
		e := d.mediaWikiError("enwiki", time.Unix(0, 0))
		if !isPlain(e.Info, printable) || strings.ContainsAny(e.Info, `<>&"[]{}|`) {
			t.Errorf("%v: %q", reason, e.Info)
		}
		for _, format := range []string{"json", "jsonfm", "php", "phpfm", "xml", "xmlfm", "rawfm", "none"} {
			for _, errorFormat := range []string{"bc", "plaintext", "wikitext", "html", "raw", "none"} {
				query := url.Values{"format": {format}, "errorformat": {errorFormat}}.Encode()
				r := httptest.NewRequest(http.MethodGet, "/w/api.php?"+query, nil)
				w := httptest.NewRecorder()
				p := readAnswerParams(w, r, query)
				writeActionAPI(w, r, &d, e, p, time.Now())
				checkAnswer(t, &p, e, w)
				if errorFormat != "none" && format != "none" && !bytes.Contains(w.Body.Bytes(), []byte(e.Param)) {
					t.Errorf("%v, %s: %s", reason, query, w.Body)
				}
			}
		}
	}
}
