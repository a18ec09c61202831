package validator

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// problem is a problem document (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Reason string `json:"reason"`
}

func statusText(status int) string {
	if status == StatusClientClosedRequest {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// problems are the documents by reason. They hold no part of the request.
var problems = func() (all [numReasons][]byte) {
	for _, reason := range Reasons() {
		status := reason.Status()
		body, err := json.Marshal(problem{"about:blank", statusText(status), status, reason.Detail(), reason.String()})
		if err != nil {
			panic(err) // texts and a number
		}
		all[reason] = append(body, '\n')
	}
	return all
}()

// WriteProblem writes the status and the body of a refusal, a problem document
// (RFC 9457). A HEAD gets the headers of the answer to a GET. Challenges.Set
// must be called before.
func WriteProblem(w http.ResponseWriter, r *http.Request, reason Reason) {
	writeAnswer(w, r, reason.Status(), "application/problem+json", problems[reason])
}

// writeAnswer writes a whole answer. The answer to a HEAD has no body.
func writeAnswer(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) //nolint:gosec // made safe by the caller; an error means that the client has left
	}
}

// Challenges are the values of WWW-Authenticate by reason.
type Challenges [][]string

// NewChallenges makes both challenges for every 401 (RFC 5849 section 3.5.1,
// RFC 6750 section 3), and the Bearer one if RFC 6750 has an error code for a
// 400 or 403. The realm must be printable ASCII. A challenge for a missing
// grant names the grants that are required.
func NewChallenges(realm string, require []Requirement) Challenges {
	realm = quote(realm)
	all := make(Challenges, numReasons)
	for _, reason := range Reasons() {
		bearer := "Bearer realm=" + realm
		if code := reason.BearerError(); code != "" {
			bearer += `, error="` + code + `", error_description=` + quote(reason.Detail())
		}
		if reason == MissingGrant {
			bearer += scope(require)
		}
		switch reason.Status() {
		case http.StatusUnauthorized:
			all[reason] = []string{"OAuth realm=" + realm, bearer}
		case http.StatusBadRequest, http.StatusForbidden:
			if reason.BearerError() != "" {
				all[reason] = []string{bearer}
			}
		}
	}
	return all
}

// Set sets the headers of a refusal: no-store, and depending on the status
// WWW-Authenticate, Retry-After or Allow.
func (c Challenges) Set(h http.Header, reason Reason) {
	noStore(h, reason)
	for _, challenge := range c[reason] {
		h.Add("WWW-Authenticate", challenge)
	}
}

// noStore sets the headers of Challenges.Set apart from the challenges, for an
// answer that has none.
func noStore(h http.Header, reason Reason) {
	h.Set("Cache-Control", "no-store")
	switch status := reason.Status(); {
	case status == http.StatusServiceUnavailable, reason == ConsumerBusy:
		h.Set("Retry-After", "1") // a failed database is asked again once a second
	case status == http.StatusTooManyRequests:
		h.Set("Retry-After", "60") // nonces are let go one by one as their timestamps age
	case status == http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
}

// scope returns the scope attribute for the grants that are required (RFC 6750
// section 3). It returns nothing if one of them is not a scope-token.
func scope(require []Requirement) string {
	var grants []string
	for _, line := range require {
		if line.Kind == RequireGrant {
			grants = append(grants, line.Values...)
		}
	}
	list := strings.Join(grants, " ")
	if len(grants) == 0 || strings.ContainsFunc(list, func(r rune) bool { return r < 0x20 || r > 0x7E || r == '"' || r == '\\' }) {
		return ""
	}
	return `, scope="` + list + `"`
}

// quote makes a quoted-string (RFC 9110 section 5.6.4).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
