package validator

import (
	"mime"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/php"
)

// maxAnswerForm bounds the form that is read for the format of a refusal, in
// bytes. A larger one stays unread.
const maxAnswerForm = 64 << 10

// answerParams are the parameters of a request to api.php that shape the answer
// to it, errors included.
type answerParams struct {
	// Format is json, php, xml, none or raw. With Page the answer is an HTML page
	// that shows it.
	Format string
	Page   bool
	// Version2 stands for formatversion 2 and latest.
	Version2    bool
	ErrorFormat string // bc, plaintext, wikitext, html, raw or none
	Callback    *string
	RequestID   *string
	Timestamp   bool // curtimestamp
	Namespace   bool // includexmlnamespace
	// Suppressed says that MediaWiki would not have logged anybody in.
	Suppressed bool
}

// readAnswerParams reads them as MediaWiki does: from query and form by PHP's
// rules, where a name in the form replaces the one in the query. Without a
// format MediaWiki shows JSON in a page. If there is a form that cannot be
// read, JSON is the better guess, because programs send forms.
func readAnswerParams(w http.ResponseWriter, r *http.Request, query string) answerParams {
	form, read := readAnswerForm(w, r)
	sent := sentParams{form, php.Variables(query)}
	p := answerParams{Format: "json", Page: read, ErrorFormat: "bc"}
	switch format := sent.text("format"); format {
	case "json", "php", "xml", "none":
		p.Format, p.Page = format, false
	case "jsonfm", "phpfm", "xmlfm", "rawfm":
		p.Format, p.Page = strings.TrimSuffix(format, "fm"), true
	}
	switch format := sent.text("errorformat"); format {
	case "plaintext", "wikitext", "html", "raw", "none":
		p.ErrorFormat = format
	}
	if id := sent.text("requestid"); sent.has("requestid") && isPlain(id, printable) {
		p.RequestID = &id
	}
	p.Timestamp = sent.has("curtimestamp")
	p.Namespace = p.Format == "xml" && sent.has("includexmlnamespace")
	p.Suppressed = sent.has("callback") || sent.text("origin") == "*"
	if p.Format != "json" && p.Format != "php" {
		return p
	}
	switch version := sent.text("formatversion"); {
	case version == "2" || version == "latest":
		p.Version2 = true
	case version != "1" && sent.has("formatversion"):
		return p // MediaWiki then overlooks the callback as well
	}
	if p.Format == "json" && sent.has("callback") {
		callback := strings.Map(inCallback, sent.text("callback"))
		p.Callback = &callback
	}
	return p
}

// inCallback drops what MediaWiki drops of the name of a function, so that the
// name cannot end the script or begin another one.
func inCallback(c rune) rune {
	if strings.ContainsRune(`[].'"_`, c) || isLetterOrDigit(c) {
		return c
	}
	return -1
}

func isLetterOrDigit(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isPlain reports whether a text of the client's is short and consists of
// allowed characters, so that an answer may repeat it.
func isPlain(text string, allowed func(rune) bool) bool {
	other := func(c rune) bool { return !allowed(c) }
	return len(text) <= 255 && strings.IndexFunc(text, other) < 0
}

func printable(c rune) bool { return ' ' <= c && c <= '~' }

// sentParams are parameters by place. The first place that has a name counts.
type sentParams []*php.Array

func (s sentParams) get(name string) *php.Value {
	for _, params := range s {
		if value, found := params.Get(name); found {
			return value
		}
	}
	return nil
}

// has reports whether a parameter was sent. A list counts as not sent.
func (s sentParams) has(name string) bool {
	value := s.get(name)
	return value != nil && value.List == nil
}

func (s sentParams) text(name string) string {
	if !s.has(name) {
		return ""
	}
	return s.get(name).Text
}

// readAnswerForm returns the parameters of the form in the body, and whether
// all of them could be read. A body that is not a form has none.
func readAnswerForm(w http.ResponseWriter, r *http.Request) (form *php.Array, read bool) {
	mediaType, boundary := answerFormType(r)
	if mediaType == "" {
		return new(php.Array), true
	}
	reader := BodyReader(w, r)
	if reader == nil {
		return new(php.Array), true
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	body, err := reader(BodyLimit{Size: maxAnswerForm, Client: peer.Addr()})
	if err != nil {
		return new(php.Array), false
	}
	if mediaType == "application/x-www-form-urlencoded" {
		return php.Variables(string(body)), true
	}
	return php.MultipartVariables(body, boundary)
}

// answerFormType returns the media type of a body that PHP would read as a form, or
// "". PHP reads the forms of a POST alone.
func answerFormType(r *http.Request) (mediaType, boundary string) {
	contentType := r.Header["Content-Type"]
	if r.Method != http.MethodPost || len(contentType) != 1 {
		return "", ""
	}
	mediaType, _, _ = strings.Cut(contentType[0], ";")
	switch mediaType = strings.ToLower(strings.TrimSpace(mediaType)); mediaType {
	case "application/x-www-form-urlencoded":
		return mediaType, ""
	case "multipart/form-data":
		_, params, _ := mime.ParseMediaType(contentType[0])
		return mediaType, params["boundary"]
	}
	return "", ""
}
