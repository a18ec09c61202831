package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// refuse answers a request that does not pass, or leaves the answer to handle_errors. A HEAD gets the headers of
// the answer to a GET.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, reason validator.Reason) error {
	status := reason.Status()
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", "1") // a failed database is asked again once a second
	case http.StatusTooManyRequests:
		header.Set("Retry-After", "60") // nonces are let go one by one as their timestamps age
	case http.StatusMethodNotAllowed:
		header.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	for _, challenge := range h.challenges[reason] {
		header.Add("WWW-Authenticate", challenge)
	}
	if !h.answerProblem {
		// Caddy logs the error of a 5xx with its text, and puts it into placeholders.
		return caddyhttp.Error(status, errors.New(reason.String()))
	}
	body := problems[reason]
	header.Set("Content-Type", "application/problem+json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has left: there is nobody to tell
	}
	return nil
}

// problem is a problem document (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Reason string `json:"reason"`
}

// problems are the documents by reason: nothing in them is of the request.
var problems = func() [][]byte {
	var all [][]byte
	for _, reason := range validator.Reasons() {
		body, err := json.Marshal(problem{
			Type:   "about:blank",
			Title:  http.StatusText(reason.Status()),
			Status: reason.Status(),
			Detail: reason.Detail(),
			Reason: reason.String(),
		})
		if err != nil {
			panic(err) // texts and a number
		}
		all = append(all, append(body, '\n'))
	}
	return all
}()

// challenges are the values of WWW-Authenticate by reason.
type challenges [][]string

// newChallenges makes both challenges for every 401 (RFC 5849 section 3.5.1, RFC 6750 section 3), and the Bearer
// one where RFC 6750 has an error code for a 400 or 403.
func newChallenges(realm string, require []validator.Requirement) challenges {
	realm = quote(realm)
	var all challenges
	for _, reason := range validator.Reasons() {
		bearer := "Bearer realm=" + realm
		if code := reason.BearerError(); code != "" {
			bearer += `, error="` + code + `", error_description=` + quote(reason.Detail())
		}
		if reason == validator.MissingGrant {
			bearer += scope(require)
		}
		var values []string
		switch reason.Status() {
		case http.StatusUnauthorized:
			values = []string{"OAuth realm=" + realm, bearer}
		case http.StatusBadRequest, http.StatusForbidden:
			if reason.BearerError() != "" {
				values = []string{bearer}
			}
		}
		all = append(all, values)
	}
	return all
}

// scope names the grants that are asked for, as RFC 6750 section 3 has it; nothing when one is no scope-token.
func scope(require []validator.Requirement) string {
	var grants []string
	for _, line := range require {
		if line.Kind == validator.RequireGrant {
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
