package validator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// MediaWikiSite is the wiki that a refused request was for.
type MediaWikiSite struct {
	Wiki    string // wiki id
	Release Release
}

const mediaWikiHelp = "See https://www.mediawiki.org/wiki/OAuth for how requests are authorized."

// WriteMediaWiki writes the whole answer that MediaWiki would have given to a refused request, where it has one of its
// own: at api.php and at rest.php, for what is the client's fault. It is told by path and query of the URL that the
// client asked for, the path decoded. Elsewhere, and where the client should come back, send less, or take another
// method, it writes nothing and says false.
func WriteMediaWiki(w http.ResponseWriter, r *http.Request, d Decision, site MediaWikiSite, path, query string) bool {
	switch d.Reason.Status() {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return false
	}
	e := d.mediaWikiError(site.Wiki)
	status := http.StatusForbidden
	var body any
	switch segments := strings.Split(path, "/"); {
	case segments[len(segments)-1] == "api.php":
		// MediaWiki puts the error into an answer like any other.
		status, body = http.StatusOK, e.api(newFormat(query))
		w.Header().Set("MediaWiki-API-Error", e.Code)
	case slices.Contains(segments, "rest.php") && site.Release >= 44:
		body = restError{e.Code, map[string]string{"en": e.Info}, status, http.StatusText(status)}
	case slices.Contains(segments, "rest.php"):
		// It serves the request for somebody who has no right at all, not even to read.
		body = restDenied{"rest-read-denied", status, http.StatusText(status)}
	default:
		return false
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // texts and numbers
	}
	noStore(w.Header(), d.Reason)
	writeAnswer(w, r, status, "application/json", text)
	return true
}

type apiError struct {
	Code   string `json:"code"`
	Info   string `json:"info"`
	Help   string `json:"*,omitempty"`
	DocRef string `json:"docref,omitempty"`
}

func (e mediaWikiError) api(newFormat bool) any {
	body := apiError{Code: e.Code, Info: e.Info, Help: mediaWikiHelp}
	if newFormat {
		body.Help, body.DocRef = "", mediaWikiHelp
	}
	return map[string]apiError{"error": body}
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

// newFormat says whether a query asks for formatversion 2. Of several, the last counts.
func newFormat(query string) bool {
	found := false
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if recode(name, true) == "formatversion" {
			value = recode(value, true)
			found = value == "2" || value == "latest"
		}
	}
	return found
}
