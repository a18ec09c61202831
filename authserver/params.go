package authserver

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxParams bounds the number of parameters of a query or form.
const maxParams = 1000

// params are the parameters of a query or form, each name once.
type params map[string]string

// paramError names the parameter that is given more than once, or is malformed.
type paramError struct{ name string }

func (e *paramError) Error() string { return "parameter is repeated or malformed" }

var errTooManyParams = errors.New("too many parameters")

// ownParams are the names of parameters that anything here reads.
var ownParams = []string{
	"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
	"grant_type", "client_secret", "code", "code_verifier", "refresh_token",
	"oauth_token", "oauth_verifier", "oauth_consumer_key", "requestToken", "consumerKey", "format",
	csrfField, approveButton, cancelButton, acceptanceField, withdrawButton,
}

// parseParams reads a query or form. A name that occurs twice is an error, as
// RFC 6749 section 3.1 demands, and so is a list ("state[]"): PHP would make an
// array of it. Names that nothing here reads are left out, as the same section
// demands.
func parseParams(raw string) (params, error) {
	out := params{}
	for n := 0; raw != ""; n++ {
		if n >= maxParams {
			return nil, errTooManyParams
		}
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name) //nolint:forbidigo // nothing of it is signed
		if err != nil {
			return nil, &paramError{}
		}
		base, _, list := strings.Cut(name, "[")
		if !slices.Contains(ownParams, strings.TrimPrefix(base, escapedPrefix)) {
			continue
		}
		if list {
			return nil, &paramError{base}
		}
		if value, err = url.QueryUnescape(value); err != nil { //nolint:forbidigo // likewise
			return nil, &paramError{name}
		}
		if _, repeated := out[name]; repeated {
			return nil, &paramError{name}
		}
		out[name] = value
	}
	return out, nil
}

// escapedPrefix stands before the name of a hidden field whose value is escaped.
const escapedPrefix = "escaped."

// formFields are fields as a form holds them. Browsers write line ends, NUL bytes
// and what is not UTF-8 otherwise, so such a value is escaped.
func formFields(fields []Field) []Field {
	out := slices.Clone(fields)
	for i, f := range out {
		if !utf8.ValidString(f.Value) || strings.ContainsFunc(f.Value, unicode.IsControl) {
			out[i] = Field{escapedPrefix + f.Name, url.QueryEscape(f.Value)}
		}
	}
	return out
}

// unescape takes back what formFields did.
func (p params) unescape() *Refusal {
	for name, escaped := range p {
		base, found := strings.CutPrefix(name, escapedPrefix)
		if !found {
			continue
		}
		value, err := url.QueryUnescape(escaped) //nolint:forbidigo // nothing of it is signed
		if _, twice := p[base]; twice || err != nil || strings.HasPrefix(base, escapedPrefix) {
			return &Refusal{Reason: InvalidParameter, Detail: base}
		}
		delete(p, name)
		p[base] = value
	}
	return nil
}

// get returns the value of a parameter and whether it was sent.
func (p params) get(name string) (string, bool) {
	value, ok := p[name]
	return value, ok
}
