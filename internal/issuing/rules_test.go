package issuing_test

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// rule is how one row of docs/differences.md excuses fields of one kind of answer.
type rule struct {
	row string
	// when reports whether the rule is about the step.
	when func(a *asked) bool
	// instead holds the fields that may differ, and reports whether what is there
	// instead is what the row says.
	instead map[string]func(d difference) bool
	// ends means that the answer lacks what later steps are made of: they may then
	// be refused, and write nothing.
	ends bool
}

// is expects a value that replay.py has written as JSON.
func is(values ...string) func(difference) bool {
	return func(d difference) bool { return slices.Contains(values, d.got) }
}

// has expects each of the texts in what is there instead.
func has(texts ...string) func(difference) bool {
	return func(d difference) bool {
		for _, text := range texts {
			if !strings.Contains(d.got, text) {
				return false
			}
		}
		return true
	}
}

// refused expects that MediaWiki's answer holds a text, and ours is another.
func refused(text string, is func(difference) bool) func(difference) bool {
	return func(d difference) bool { return strings.Contains(d.want, text) && is(d) }
}

func either(is ...func(difference) bool) func(difference) bool {
	return func(d difference) bool {
		return slices.ContainsFunc(is, func(is func(difference) bool) bool { return is(d) })
	}
}

// refusal2 is a refusal of OAuth 2 with a status and an error, and some of its hint.
func refusal2(status, code, hint string) map[string]func(difference) bool {
	return map[string]func(difference) bool{
		"status": is(status), "json": has(`{"error": "`+code+`"`, hint), "content-type": is(`"application/json"`),
		"www-authenticate": either(is("null"), has("Basic realm=")),
	}
}

// page is a page for a person that leads nowhere.
var page = map[string]func(difference) bool{
	"outcome": has(`{"outcome": "page"`), "rows": is(`{"rows": []}`),
}

// rules are the differences that docs/differences.md has a row for. A row may stand
// for several kinds of answer, each by a rule of its own.
var rules = []rule{
	{
		row: "resource-media-type", when: (*asked).resource,
		instead: map[string]func(difference) bool{"content-type": func(d difference) bool { return d.want == `"text/html"` && d.got == `"application/json"` }},
	},
	{
		row: "one-way-of-authentication",
		when: func(a *asked) bool {
			return a.tokenEndpoint() && strings.HasPrefix(a.header("Authorization"), "Basic ") && a.form("client_secret") != nil
		},
		instead: refusal2("400", "invalid_request", "Authenticate the client in one way only"), ends: true,
	},
	{
		row: "one-way-of-authentication",
		when: func(a *asked) bool {
			return a.tokenEndpoint() && strings.HasPrefix(a.header("Authorization"), "Basic ") && a.namesOtherClient()
		},
		instead: refusal2("401", "invalid_client", "Client authentication failed"), ends: true,
	},
	{
		row: "repeated-parameter", when: func(a *asked) bool { return a.tokenEndpoint() && a.repeats() },
		instead: refusal2("400", "invalid_request", "Check the `"), ends: true,
	},
	{
		row: "repeated-parameter",
		when: func(a *asked) bool {
			return a.tokenEndpoint() && strings.HasPrefix(a.header("Content-Type"), "multipart/form-data")
		},
		instead: refusal2("400", "invalid_request", "Check the `grant_type` parameter"), ends: true,
	},
	{
		row: "proof-of-a-client",
		when: func(a *asked) bool {
			return a.grantType() == "authorization_code" && a.form("code_verifier") != nil && !a.before(func(s *step) bool { _, sent := s.param("code_challenge"); return sent })
		},
		instead: refusal2("400", "invalid_request", "code_verifier received when no code_challenge is present"), ends: true,
	},
	{
		row: "repeated-parameter", when: func(a *asked) bool { return (a.authorize2() || a.handshakePage()) && a.repeats() }, instead: page, ends: true,
	},
	{
		row: "proof-of-a-client", when: func(a *asked) bool {
			return a.grantType() == "authorization_code" && a.public() && a.showsWrongSecret()
		},
		instead: refusal2("401", "invalid_client", "Client authentication failed"), ends: true,
	},
	{
		row: "refresh-of-a-public-client",
		when: func(a *asked) bool {
			return a.grantType() == "refresh_token" && a.public() && a.showsNoSecret()
		},
		instead: map[string]func(difference) bool{
			"status": is("200"), "json": has(`{"token_type": "Bearer"`), "cache-control": has("no-store"), "content-type": is(`"application/json"`), "www-authenticate": is("null"),
		},
	},
	{
		row: "refresh-of-a-public-client",
		when: func(a *asked) bool {
			return a.grantType() == "refresh_token" && a.public() && a.before(func(s *step) bool { return s.refreshes() && s.showsNoSecret() })
		},
		instead: refusal2("401", "invalid_request", "Token has been revoked"), ends: true,
	},
	{
		row: "approval-gone",
		when: func(a *asked) bool {
			return a.narrowed() && (a.grantType() == "refresh_token" || a.grantType() == "authorization_code" && a.before((*step).deletes))
		},
		instead: refusal2("400", "invalid_grant", "The user's approval is gone, or does not cover the scopes"), ends: true,
	},
	{
		row: "revoked-token",
		when: func(a *asked) bool {
			return a.grantType() == "refresh_token" && a.before((*step).revokes)
		},
		instead: refusal2("401", "invalid_request", "Token has been revoked"), ends: true,
	},
	{
		row:     "revoked-token",
		when:    func(a *asked) bool { return a.resource() && a.before((*step).revokes) },
		instead: refusal2("401", "access_denied", "Access token has been revoked"), ends: true,
	},
	{
		row: "revoked-token", when: func(a *asked) bool { return a.Do == "rows" && a.before((*step).revokes) },
		instead: map[string]func(difference) bool{"rows": func(d difference) bool {
			return strings.ReplaceAll(d.want, `"oaat_revoked": "0"`, `"oaat_revoked": "1"`) == d.got
		}},
	},
	{
		row:     "unused-by-refusals",
		when:    func(a *asked) bool { return a.grantType() == "refresh_token" && a.before((*step).refusesClient) },
		instead: map[string]func(difference) bool{"status": is("200"), "json": has(`{"token_type": "Bearer"`), "cache-control": has("no-store"), "content-type": is(`"application/json"`)},
	},
	{
		row: "unused-by-refusals", when: func(a *asked) bool { return a.Page != "" && a.before((*step).burnsNonce) && a.burned() },
		instead: map[string]func(difference) bool{"json": either(has(`{"key": "`), is(`"{{idt}}"`, `"<jwt>"`)), "body": has("oauth_token=")},
	},
	{
		row: "unused-by-refusals", when: func(a *asked) bool { return a.Page == "token" && a.approvesTwice() },
		instead: map[string]func(difference) bool{
			"json": refused("mwoauthdatastore-bad-verifier", has(`{"key": "`)), "body": refused("The verification code provided was not valid", has("oauth_token=")),
		},
	},
	{
		row: "unused-by-refusals", when: func(a *asked) bool { return a.Page == "token" && a.count((*step).wrongVerifier) >= 10 },
		instead: map[string]func(difference) bool{
			"json": has(`{"error": "mwoauthdatastore-request-token-already-used"`), "body": has("This request has already been completed"),
		},
		ends: true,
	},
	{
		row: "unused-by-refusals", when: func(a *asked) bool { return a.Do == "rows" && a.approvesTwice() && !a.approvedBy(a.User) },
		instead: map[string]func(difference) bool{"rows": is(`{"rows": []}`)},
	},
	{
		row: "errors-of-input", when: (*asked).resource,
		instead: map[string]func(difference) bool{
			"status": func(d difference) bool { return d.want == "500" && d.got == "401" },
			"json": func(d difference) bool {
				return strings.Contains(d.want, `"httpCode": 500`) && strings.Contains(d.got, `{"error": "access_denied"`)
			},
		},
	},
	{
		row: "errors-of-input", when: func(a *asked) bool { return a.Page != "" && a.fields["status"].want == "500" },
		instead: map[string]func(difference) bool{
			"status": func(d difference) bool { return d.want == "500" && (d.got == "200" || d.got == "400") },
			"json":   either(has(`{"error": "mwoauth-callback-not-oob`), has(`{"error": "mwoauth-oauth-exception"`, "Expired timestamp")),
			"body":   either(has("Error: oauth_callback must be set"), has("Error: ", "Expired timestamp")), "content-type": is(`"application/json"`, `"text/plain"`), "cache-control": has("no-store"),
		},
		ends: true,
	},
	{
		row: "errors-of-input", when: func(a *asked) bool { return a.tokenEndpoint() && a.fields["status"].want == "500" },
		instead: map[string]func(difference) bool{
			"status": is("400", "401"),
			"json": func(d difference) bool {
				return (strings.Contains(d.want, `"httpCode": 500`) || strings.HasPrefix(d.want, `{"error": "server_error"`)) &&
					strings.HasPrefix(d.got, `{"error": "invalid_`)
			},
			"www-authenticate": has("Basic realm="),
		},
		ends: true,
	},
	{
		row: "state-in-errors", when: func(a *asked) bool { return a.authorize2() && a.echoesState("location") },
		instead: map[string]func(difference) bool{"location": errorWithState},
	},
	{
		row: "denial",
		when: func(a *asked) bool {
			return a.authorize2() && a.Press == "cancel" && (a.echoesState("location") || a.echoesState("outcome"))
		},
		instead: map[string]func(difference) bool{
			"outcome": has(`{"outcome": "callback"`, "error=access_denied"), "location": has("error=access_denied"),
		},
	},
	{
		row: "approval-parameters",
		when: func(a *asked) bool {
			_, pass := a.param("approval_pass")
			_, cancel := a.param("approval_cancel")
			return a.authorize2() && (pass || cancel)
		},
		instead: map[string]func(difference) bool{"outcome": has(`{"outcome": "page", "dialog": true, "status": 200`)}, ends: true,
	},
	{
		row: "approval-parameters",
		when: func(a *asked) bool {
			_, pass := a.param("approval_pass")
			_, cancel := a.param("approval_cancel")
			return a.authorize2() && a.Press != "" && (pass || cancel)
		},
		instead: map[string]func(difference) bool{
			"outcome": has(`{"outcome": "callback", "dialog": true`, "code="), "consent page shown": is("true"),
		},
	},
	{
		row: "approval-parameters",
		when: func(a *asked) bool {
			return a.authorize2() && strings.HasPrefix(a.header("Authorization"), "Bearer")
		},
		instead: map[string]func(difference) bool{"status": is("401"), "location": is("null"), "www-authenticate": has("Basic realm="), "outcome": has(`{"outcome": "login"`)}, ends: true,
	},
	{
		row: "unsafe-callback",
		when: func(a *asked) bool {
			callback, sent := a.signed("oauth_callback")
			return a.Page == "initiate" && sent && unsafeCallback(callback)
		},
		instead: map[string]func(difference) bool{
			"json": has(`{"error": "mwoauth-callback-not-oob-or-prefix"`), "body": has("Error: oauth_callback must be set"),
		},
		ends: true,
	},
	{
		row: "unsafe-callback", when: func(a *asked) bool {
			return (a.handshakePage() || a.authorize2()) && relativeLocation.MatchString(a.fields["outcome"].want)
		},
		instead: page, ends: true,
	},
	{
		row: "approval-parameters",
		when: func(a *asked) bool {
			_, token := a.Tamper["requestToken"]
			_, app := a.Tamper["consumerKey"]
			return a.handshakePage() && (token || app)
		},
		instead: page, ends: true,
	},
	{
		row: "escaped-location", when: func(a *asked) bool { return a.handshakePage() || a.authorize2() },
		instead: map[string]func(difference) bool{"location": onlyEscaped},
	},
	{
		row:     "unusable-app",
		when:    func(a *asked) bool { return a.unusable() && (a.handshakePage() || a.authorize2()) },
		instead: map[string]func(difference) bool{"outcome": has(`{"outcome": "page", "dialog": false, "status": 40`)}, ends: true,
	},
	{
		row:     "unusable-app",
		when:    func(a *asked) bool { return a.Page == "token" && a.unusable() },
		instead: map[string]func(difference) bool{"json": has(`{"error": "mwoauthserver-bad-consumer"`, "#E005"), "body": has("is not approved as a Connected App")}, ends: true,
	},
	{
		row: "unusable-app", when: func(a *asked) bool { return a.tokenEndpoint() && a.unusable() },
		instead: refusal2("401", "access_denied", "is not usable by user with ID"), ends: true,
	},
	{
		row: "unusable-app", when: func(a *asked) bool { return a.resource() && (a.unusable() || a.before((*step).withdraws)) },
		instead: refusal2("401", "access_denied", "Access token has been revoked"), ends: true,
	},
	{
		row: "no-scopes", when: func(a *asked) bool { return a.authorize2() && a.asksInVain() },
		instead: map[string]func(difference) bool{
			"location": has("error=invalid_scope", "hint=None+of+the+scopes+may+be+granted"), "consent page shown": is("false"),
		},
		ends: true,
	},
	{
		row: "no-scopes", when: func(a *asked) bool {
			return a.grantType() == "client_credentials" && a.asksInVain() || a.grantType() == "authorization_code" && a.narrowed()
		},
		instead: refusal2("400", "invalid_scope", "None of the scopes may be granted"), ends: true,
	},
	{
		row: "no-scopes",
		when: func(a *asked) bool {
			return a.Do == "jwt" && a.before(func(s *step) bool { return len(s.form("scope")) == 1 && strings.TrimSpace(s.form("scope")[0]) == "" })
		},
		instead: map[string]func(difference) bool{"claim scopes": func(d difference) bool { return d.want == "[]" && strings.HasPrefix(d.got, `["`) }},
	},
	{
		row:     "read-only",
		when:    func(a *asked) bool { return a.c.Variant == "readonly" && a.tokenEndpoint() },
		instead: refusal2("503", "temporarily_unavailable", "The OAuth database is temporarily locked"), ends: true,
	},
	{
		row:     "read-only",
		when:    func(a *asked) bool { return a.c.Variant == "readonly" && a.Do == "http" && a.handshakePage() },
		instead: map[string]func(difference) bool{"status": is("503"), "content-type": is(`"text/html"`), "body": refused("temporarily locked", is(`""`))}, ends: true,
	},
	{
		row: "english-for-apps",
		when: func(a *asked) bool {
			language, sent := a.sent("uselang")
			return sent && language != "en" && (a.Page != "" || strings.Contains(a.URL, "{{oauth1:"))
		},
		instead: map[string]func(difference) bool{"json": sameError, "body": refused(`"Error: `, has(`"Error: `))},
	},
}

// unsafeCallback reports whether a callback has user and password, dot segments, or
// is one that a browser must not be sent to.
func unsafeCallback(callback string) bool {
	_, rest, _ := strings.Cut(callback, "://")
	end := strings.IndexAny(rest, `/?#\`)
	if end < 0 {
		end = len(rest)
	}
	path, _, _ := strings.Cut(rest[end:], "?")
	path = strings.NewReplacer("%2e", ".", "%2E", ".", `\`, "/", "%5c", "/", "%5C", "/").Replace(path) + "/"
	return strings.Contains(rest[:end], "@") || strings.Contains(path, "/./") || strings.Contains(path, "/../") || strings.Contains(callback, `\`)
}

var relativeLocation = regexp.MustCompile(`"location": "[^:]*[?"]`)

// errorWithState expects the same redirect with the state behind it.
func errorWithState(d difference) bool {
	want, got := strings.TrimSuffix(d.want, `"`), strings.TrimSuffix(d.got, `"`)
	state, found := strings.CutPrefix(got, want)
	return found && strings.Contains(want, "error=") && strings.HasPrefix(state, "&state=") && !strings.Contains(state[1:], "&")
}

// onlyEscaped expects the same redirect with bytes percent-encoded that MediaWiki
// sends raw, drops or replaces.
func onlyEscaped(d difference) bool {
	var want, got string
	if json.Unmarshal([]byte(d.want), &want) != nil || json.Unmarshal([]byte(d.got), &got) != nil {
		return false
	}
	return unescaped(want) == unescaped(got)
}

// unescaped undoes the percent-encoding of bytes that a URL may not hold, and writes
// controls as MediaWiki does.
func unescaped(location string) string {
	location = escapedByte.ReplaceAllStringFunc(location, func(escape string) string {
		raw, _ := url.PathUnescape(escape)
		if c := raw[0]; c <= ' ' || c >= 0x7F || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return raw
		}
		return escape
	})
	location = strings.ReplaceAll(location, "\n", "")
	return control.ReplaceAllString(location, "_")
}

var (
	escapedByte = regexp.MustCompile("%[0-9A-F]{2}")
	control     = regexp.MustCompile(`[\x00-\x1F\x7F]`)
)

// sameError expects the same error in other words.
func sameError(d difference) bool {
	want, _, found := strings.Cut(d.want, `", "message"`)
	return found && strings.HasPrefix(d.got, want+`", "message"`)
}
