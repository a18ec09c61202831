package validator

import (
	"encoding/base64"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// php reads credentials as MediaWiki's OAuth extension does on PHP 8: what it takes for a credential, how it scans
// the header, which parameters it signs. Parts that crash there are refused here.
type php struct{}

// phpBlanks is the white space that PHP skips around a number.
const phpBlanks = " \t\n\r\v\f"

func (r php) read(c *Claim, p *Policy, request *Request) Reason {
	var line string
	for _, l := range request.Authorization {
		switch {
		case strings.HasPrefix(l, "OAuth "):
			c.Protocol, line = OAuth1, l
		case strings.HasPrefix(l, "Bearer"):
			c.Protocol, line = OAuth2, l
		}
	}
	switch {
	case c.Protocol == NoProtocol:
		return OK
	case len(request.Authorization) > 1: // which of them PHP is shown is the web server's choice
		return SeveralCredentials
	case len(line) > maxHeader:
		return MalformedHeader
	case c.Protocol == OAuth2:
		// Apache answers 400 to a "#" before MediaWiki sees it.
		if _, _, ok := splitTarget(request.Target); !ok {
			return MalformedTarget
		}
		c.Bearer = phpBearer(line)
		return OK
	}
	path, query, ok := phpTarget(request.Target)
	if !ok {
		return MalformedTarget
	}
	c.method = strings.ToUpper(request.Method)
	if c.baseURL = phpBaseURL(p, request, path); c.baseURL == "" {
		return MalformedTarget
	}
	c.header, c.query = line, query
	if reason := r.formUse(c, request); reason != OK {
		return reason
	}
	reason := r.merge(c, "", MalformedTarget)
	if reason == DuplicateParameter && c.form != formUnused {
		return OK // the form has the last word
	}
	return reason
}

// formUse finds out whether the body is a form, in PHP's eyes. A header that names consumer and token has the last
// word on both: then the form can wait until they are known.
func (php) formUse(c *Claim, request *Request) Reason {
	switch {
	case len(request.ContentType) > 1:
		return MalformedHeader
	case request.Method != http.MethodPost || request.Body == nil || len(request.ContentType) == 0 ||
		!strings.HasPrefix(request.ContentType[0], formType):
		return OK
	}
	header := phpHeader(c.header)
	_, consumer := header.get("oauth_consumer_key")
	_, token := header.get("oauth_token")
	c.form = formHoldsOAuth
	if consumer && token {
		c.form = formSigned
	}
	return OK
}

func (r php) readForm(c *Claim, form string) Reason { return r.merge(c, form, MalformedForm) }

// merge collects the parameters as MediaWiki does, each list overriding those before it by name: the raw query, PHP's
// reading of it, the form, the header. What comes of it is signed.
func (php) merge(c *Claim, form string, tooMany Reason) Reason {
	if strings.Count(c.query, "&")+strings.Count(form, "&") >= maxParameters {
		return tooMany
	}
	header := phpHeader(c.header)
	all := phpMerge(phpParse(c.query), phpGet(c.query), phpParse(form), header)
	_, inHeader := header.get("oauth_signature")
	c.InQuery = !inHeader && holdsSignature(c.query)
	c.oauth = [numFields]string{}
	c.params = c.params[:0]
	reason := OK
	for _, e := range all.entries {
		f, protocol := fieldOf(e.key.name)
		switch {
		case protocol && e.value.list != nil:
			reason = DuplicateParameter // most of these crash MediaWiki
		case protocol:
			c.oauth[f] = e.value.text
		}
		if protocol && f == fieldSignature {
			continue
		}
		c.params = e.appendTo(c.params)
	}
	return reason
}

// missing is PHP's empty().
func (php) missing(value string) bool { return value == "" || value == "0" }

func (r php) version(c *Claim) bool {
	v := c.oauth[fieldVersion]
	return r.missing(v) || v == "1.0"
}

// timestamp reads what PHP 8 takes for a number in a subtraction: blanks around it, a sign, a fraction, an exponent,
// and anything after it. A text that does not begin with a number is an error there.
func (php) timestamp(text string) (seconds float64, ok bool) {
	text = strings.TrimLeft(text, phpBlanks)
	n := phpNumberLength(text)
	if n == 0 {
		return 0, false
	}
	seconds, _ = strconv.ParseFloat(text[:n], 64) // beyond every float it is infinite, as in PHP
	return seconds, true
}

// phpNumberLength is the length of the number that a text begins with.
func phpNumberLength(s string) int {
	digits := func(i int) int {
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		return i
	}
	start := 0
	if s != "" && (s[0] == '+' || s[0] == '-') {
		start = 1
	}
	end := digits(start)
	whole := end - start
	if end < len(s) && s[end] == '.' {
		if fraction := digits(end+1) - end - 1; whole+fraction > 0 {
			end += 1 + fraction
			whole += fraction
		}
	}
	if whole == 0 {
		return 0
	}
	if end < len(s) && (s[end] == 'e' || s[end] == 'E') {
		i := end + 1
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if j := digits(i); j > i {
			end = j
		}
	}
	return end
}

// phpNumeric reads a text as is_numeric and a cast to float do: a number with blanks around it and nothing else.
func phpNumeric(text string) (float64, bool) {
	text = strings.Trim(text, phpBlanks)
	if n := phpNumberLength(text); n == 0 || n != len(text) {
		return 0, false
	}
	f, _ := strconv.ParseFloat(text, 64)
	return f, !math.IsInf(f, 0)
}

// decodeRSA is PHP's base64_decode: what is not of the alphabet, padding included, is passed over.
func (php) decodeRSA(text string) ([]byte, bool) {
	kept := make([]byte, 0, len(text))
	for i := range len(text) {
		if c := text[i]; isAlphanumeric(c) || c == '+' || c == '/' {
			kept = append(kept, c)
		}
	}
	if len(kept)%4 == 1 {
		kept = kept[:len(kept)-1]
	}
	raw, err := base64.RawStdEncoding.AppendDecode(nil, kept)
	return raw, err == nil
}

// phpBearer takes off "Bearer" and one white-space byte, if one follows, and trims the rest.
func phpBearer(line string) string {
	rest := strings.TrimPrefix(line, "Bearer")
	if rest == "" || !strings.Contains(phpBlanks, rest[:1]) {
		rest = line // the word stays, and the token cannot be read
	}
	return strings.Trim(rest, " \t\n\r\x00\v")
}

// phpTarget is what MediaWiki makes of the request target: with one slash at its start; an absolute-form target loses
// scheme and host. What others read otherwise is refused: an absolute form without a path, for which MediaWiki would
// search the query, and a "#", where it would cut, if Apache did not answer 400 before.
func phpTarget(target string) (path, query string, ok bool) {
	if !strings.HasPrefix(target, "/") {
		scheme, rest, found := strings.Cut(target, "://")
		slash := strings.IndexAny(rest, "/?")
		if !found || strings.Contains(scheme, ":") || slash <= 0 || rest[slash] != '/' {
			return "", "", false
		}
		target = rest[slash:]
	}
	path, query, _ = strings.Cut("/"+strings.TrimLeft(target, "/"), "?")
	return path, query, !strings.Contains(target, "#")
}

// phpBaseURL is the URL that MediaWiki signs. With a $wgServer without a scheme, it is https for whoever says so.
func phpBaseURL(p *Policy, r *Request, path string) string {
	if p.BaseScheme == "" && p.BaseHost != "" && r.ForwardedProto == "https" {
		return "https://" + normalHost("https", p.BaseHost) + p.BasePath + path
	}
	return baseURL(p, r, path)
}
