package validator

import (
	"net/http"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/php"
)

// mediaWikiReader reads credentials as the OAuth extension of MediaWiki does on
// PHP 8: what it takes for a credential, how it scans the header, which parameters
// it signs. Requests that crash it are refused here.
type mediaWikiReader struct{}

func (r mediaWikiReader) read(c *Claim, p *Policy, request *Request) Reason {
	var line string
	for _, l := range request.Authorization {
		switch {
		case strings.HasPrefix(l, "OAuth "):
			c.Protocol, line = OAuth1, l
		case strings.HasPrefix(l, "Bearer"):
			c.Protocol, line = OAuth2, l
		}
	}
	if c.Protocol != OAuth1 && request.Handshake {
		c.Protocol = OAuth1 // the pages look at OAuth 1 alone
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
		c.Bearer = php.Bearer(line)
		return OK
	}
	path, query, ok := php.SplitTarget(request.Target)
	if !ok {
		return MalformedTarget
	}
	c.method = strings.ToUpper(request.Method)
	if c.baseURL = mediaWikiBaseURL(p, request, path); c.baseURL == "" {
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

// formUse finds out whether PHP takes the body for a form. If the header has
// both the consumer and the token, the form cannot change them, so that it is
// read only when they are known.
func (mediaWikiReader) formUse(c *Claim, request *Request) Reason {
	switch {
	case len(request.ContentType) > 1:
		return MalformedHeader
	case request.Method != http.MethodPost || request.Body == nil || len(request.ContentType) == 0 ||
		!strings.HasPrefix(request.ContentType[0], formType):
		return OK
	}
	header := php.HeaderParameters(c.header)
	_, consumer := header.Get("oauth_consumer_key")
	_, token := header.Get("oauth_token")
	c.form = formHoldsOAuth
	if consumer && token {
		c.form = formSigned
	}
	return OK
}

func (r mediaWikiReader) readForm(c *Claim, form string) Reason {
	return r.merge(c, form, MalformedForm)
}

// merge collects the parameters that are signed. They come from the raw query,
// from PHP's reading of it, from the form and from the header. A later one of these
// replaces what the earlier ones hold under the same name.
func (mediaWikiReader) merge(c *Claim, form string, tooMany Reason) Reason {
	if strings.Count(c.query, "&")+strings.Count(form, "&") >= maxParameters {
		return tooMany
	}
	header := php.HeaderParameters(c.header)
	var all, inner php.Array
	inner.Append(php.Variables(c.query))
	inner.Append(php.SplitParameters(form))
	inner.Append(header)
	all.Append(php.SplitParameters(c.query))
	all.Append(&inner)
	_, inHeader := header.Get("oauth_signature")
	c.InQuery = !inHeader && holdsSignature(c.query)
	c.oauth = [numFields]string{}
	c.params = c.params[:0]
	reason := OK
	for _, e := range all.Entries {
		f, protocol := fieldOf(e.Key.Name)
		switch {
		case protocol && e.Value.List != nil:
			reason = DuplicateParameter // most of these crash MediaWiki
		case protocol:
			c.oauth[f] = e.Value.Text
		}
		if protocol && f == fieldSignature {
			continue
		}
		c.params = appendEntry(c.params, e)
	}
	return reason
}

func (mediaWikiReader) missing(value string) bool { return php.Empty(value) }

func (r mediaWikiReader) version(c *Claim) bool {
	v := c.oauth[fieldVersion]
	return r.missing(v) || v == "1.0"
}

func (mediaWikiReader) timestamp(text string) (seconds float64, ok bool) {
	return php.LeadingNumber(text)
}

func (mediaWikiReader) decodeRSA(text string) ([]byte, bool) { return php.Base64Decode(text) }

// appendEntry appends the parameters of an entry in the encoding that is signed.
// Each item of a list is one parameter. A list within a list is the word that PHP
// makes of it.
func appendEntry(params []param, e php.Entry) []param {
	name := encode(e.Key.String())
	if e.Value.List == nil {
		return append(params, param{name, encode(e.Value.Text)})
	}
	for _, item := range e.Value.List {
		value := "Array"
		if item != nil {
			value = encode(*item)
		}
		params = append(params, param{name, value})
	}
	return params
}

// mediaWikiBaseURL returns the URL that MediaWiki signs. If $wgServer has no
// scheme, the X-Forwarded-Proto header chooses it, whoever sent that.
func mediaWikiBaseURL(p *Policy, r *Request, path string) string {
	if p.BaseScheme == "" && p.BaseHost != "" && r.ForwardedProto == "https" {
		return "https://" + normalHost("https", p.BaseHost) + p.BasePath + path
	}
	return baseURL(p, r, path)
}
