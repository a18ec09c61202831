package validator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// MediaWikiSite is the wiki that a refused request was for.
type MediaWikiSite struct {
	// Wiki is a wiki id.
	Wiki    string
	Release Release
}

const mediaWikiHelp = "See https://www.mediawiki.org/wiki/OAuth for how requests are authorized."

// WriteMediaWiki writes the whole answer that MediaWiki would have given to a
// refused request, where it has one of its own: at api.php and at rest.php, for
// what is the client's fault. The entry point is told by path and query of the
// URL that the client asked for, the path decoded. Elsewhere, and where the
// client should come back, send less, or take another method, WriteMediaWiki
// writes nothing and returns false.
//
// The answer of api.php has the format that the parameters of query and form ask
// for. The body of a form is read for it, up to 64 KiB.
func WriteMediaWiki(w http.ResponseWriter, r *http.Request, d Decision, site MediaWikiSite, path, query string) bool {
	switch d.Reason.Status() {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return false
	}
	now := time.Now()
	e := d.mediaWikiError(site.Wiki, now)
	switch segments := strings.Split(path, "/"); {
	case segments[len(segments)-1] == "api.php":
		writeActionAPI(w, r, &d, e, readAnswerParams(w, r, query), now)
	case slices.Contains(segments, "rest.php") && site.Release >= 44:
		body := restError{e.Code, map[string]string{"en": e.Info}, http.StatusForbidden, http.StatusText(http.StatusForbidden)}
		writeREST(w, r, &d, body)
	case slices.Contains(segments, "rest.php"):
		// It serves the request for somebody who has no right at all, not even
		// to read.
		writeREST(w, r, &d, restDenied{"rest-read-denied", http.StatusForbidden, http.StatusText(http.StatusForbidden)})
	default:
		return false
	}
	return true
}

// writeActionAPI writes an answer of api.php. MediaWiki puts the error into an
// answer like any other, with status 200.
func writeActionAPI(w http.ResponseWriter, r *http.Request, d *Decision, e mediaWikiError, p answerParams, now time.Time) {
	contentType, extension, body := p.render(e.api(&p, now))
	h := w.Header()
	noStore(h, d.Reason)
	h.Set("MediaWiki-API-Error", e.Code)
	h.Set("Content-Disposition", "inline; filename=api-result."+extension)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if p.Page {
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	}
	if p.Suppressed {
		h.Set("MediaWiki-Login-Suppressed", "true")
	}
	writeAnswer(w, r, http.StatusOK, contentType, body)
}

func writeREST(w http.ResponseWriter, r *http.Request, d *Decision, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // texts and numbers
	}
	noStore(w.Header(), d.Reason)
	writeAnswer(w, r, http.StatusForbidden, "application/json", text)
}

// api returns the error as the Action API's answer, in the error format that
// was asked for.
func (e mediaWikiError) api(p *answerParams, now time.Time) apiMap {
	var root apiMap
	docRef := apiField{"docref", mediaWikiHelp}
	if p.ErrorFormat == "bc" {
		fields := []apiField{{"code", e.Code}, {"info", e.Info}, docRef}
		root.fields = []apiField{{"error", apiMap{fields: fields, content: docRef.name}}}
	} else {
		list := apiList{element: "error", items: []any{e.inFormat(p.ErrorFormat)}}
		root = apiMap{fields: []apiField{{"errors", list}, docRef}, content: docRef.name}
	}
	if p.RequestID != nil {
		root.fields = append(root.fields, apiField{"requestid", *p.RequestID})
	}
	if p.Timestamp {
		root.fields = append(root.fields, apiField{"curtimestamp", now.UTC().Format("2006-01-02T15:04:05Z")})
	}
	return root
}

// inFormat returns the error in one of the error formats other than bc.
func (e mediaWikiError) inFormat(format string) apiMap {
	m := apiMap{fields: []apiField{{"code", e.Code}}}
	switch format {
	case "plaintext", "wikitext":
		m.fields, m.content = append(m.fields, apiField{"text", e.Info}), "text"
	case "html":
		m.fields, m.content = append(m.fields, apiField{"html", xmlText.Replace(e.Info)}), "html"
	case "raw":
		params := apiList{element: "param"}
		if e.Param != "" {
			params.items = []any{e.Param}
		}
		m.fields = append(m.fields, apiField{"key", e.Code}, apiField{"params", params})
	}
	return m
}

type restError struct {
	Key          string            `json:"errorKey"`
	Translations map[string]string `json:"messageTranslations"`
	Code         int               `json:"httpCode"`
	Reason       string            `json:"httpReason"`
}

type restDenied struct {
	Error  string `json:"error"`
	Code   int    `json:"httpCode"`
	Reason string `json:"httpReason"`
}
