package validator

import (
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/apianswers"
)

// recordedError returns the error that MediaWiki met in a recorded answer.
func recordedError(thrown []string) mediaWikiError {
	if thrown == nil {
		return mediaWikiError{Code: "assertuserfailed", Info: "You are no longer logged in, so the action could not be completed."}
	}
	e := mediaWikiError{Code: thrown[0], Info: "The authorization headers in your request are "}
	if len(thrown) > 1 {
		e.Param = thrown[1]
	}
	switch e.Code {
	case mwInvalid:
		e.Info += "not valid: " + e.Param
	case mwWrongWiki:
		e.Info += "not valid for " + e.Param
	case mwBlockedUser:
		e.Info += "for a user who is blocked"
	}
	return e
}

// notAnswered are what MediaWiki adds to an answer for parameters that it cannot
// use. The gateway adds nothing.
var notAnswered = []*regexp.Regexp{
	regexp.MustCompile(`"warnings":\{.*?\}\},`), // JSON
	regexp.MustCompile(`"warnings":\[.*?\],`),
	regexp.MustCompile(`(?s)\n    "warnings": \{.*?\n    \},`),
	regexp.MustCompile(`<warnings>.*</warnings>`),
	regexp.MustCompile(`s:8:"warnings";a:\d:\{.*?\}\}`),
}

// phpCount is the number of parts of the outer array, which warnings change.
var phpCount = regexp.MustCompile(`^a:\d+`)

// wantBody returns the recorded body as the gateway is to write it, and whether
// MediaWiki added warnings to it.
func wantBody(a apianswers.Answer) (body string, warned bool) {
	body = a.Body
	for _, extra := range notAnswered {
		body = extra.ReplaceAllString(body, "")
	}
	warned = body != a.Body
	if warned {
		body = phpCount.ReplaceAllString(body, "a:1")
	}
	return body, warned
}

// TestAnswersAsRecorded holds the answers of api.php byte for byte to what a
// real MediaWiki 1.39 answered, for each format, version, error format, method
// and place of the parameters. Of an HTML page the text is compared, not the
// skin around it.
func TestAnswersAsRecorded(t *testing.T) {
	now := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	compared, warnings := 0, 0
	for _, answer := range apianswers.Load(t).Answers {
		for _, request := range answer.Requests {
			r, err := request.HTTP(t.Context(), "http://wiki.example/w/api.php")
			if err != nil {
				t.Fatal(err)
			}
			want, warned := wantBody(answer)
			if warned {
				warnings++
			}
			w := httptest.NewRecorder()
			writeActionAPI(w, r, &Decision{Reason: BadSignature}, recordedError(answer.Error), readAnswerParams(w, r, r.URL.RawQuery), now)
			got := w.Body.String()
			if answer.Page && r.Method != http.MethodHead {
				var page bool
				if got, page = pageText(got); !page {
					t.Errorf("%+v: not a page: %s", request, got)
				}
			}
			if got != want || w.Code != answer.Status {
				t.Errorf("%+v: %d\ngot  %s\nwant %s", request, w.Code, got, want)
			}
			for name, value := range answer.Header {
				if got := w.Header().Get(name); !strings.EqualFold(got, value) {
					t.Errorf("%+v: %s: %q, want %q", request, name, got, value)
				}
			}
			if suppressed := w.Header().Get("MediaWiki-Login-Suppressed"); suppressed != answer.Header["MediaWiki-Login-Suppressed"] {
				t.Errorf("%+v: MediaWiki-Login-Suppressed: %q", request, suppressed)
			}
			compared++
		}
	}
	if compared < 2000 || warnings == 0 || warnings > 20 {
		t.Errorf("%d answers compared, %d of them with warnings", compared, warnings)
	}
}

// pageText returns the text that a page shows.
func pageText(page string) (text string, ok bool) {
	text, foundStart := strings.CutPrefix(page, pageStart)
	text, foundEnd := strings.CutSuffix(text, pageEnd)
	return html.UnescapeString(text), foundStart && foundEnd && !strings.ContainsAny(text, `<>"'`)
}
