package authserver

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// The formats of /initiate and /token.
const (
	formatRaw  = "raw"
	formatJSON = "json"
	formatHTML = "html"
)

// noCache1 are the header fields of MediaWiki's OAuth 1.0a answers.
func noCache1() http.Header {
	return http.Header{
		"Cache-Control": {"no-cache, no-store, max-age=0, must-revalidate"},
		"Pragma":        {"no-cache"},
		"Expires":       {"Thu, 01 Jan 1970 00:00:00 GMT"},
	}
}

// tokenPair is the JSON of a token: /initiate says in it that the callback was
// taken. From MediaWiki 1.47 on, the names of RFC 5849 stand there too.
type tokenPair struct {
	OAuthToken  string `json:"oauth_token,omitempty"`
	OAuthSecret string `json:"oauth_token_secret,omitempty"`
	Key         string `json:"key"`
	Secret      string `json:"secret"`
	Confirmed   string `json:"oauth_callback_confirmed,omitempty"`
}

// tokens1 answers with a token and its secret.
func (s *Server) tokens1(format, key, secret string, initiate bool, event Event) Answer {
	a := Answer{Status: http.StatusOK, Headers: noCache1(), Event: event}
	switch format {
	case formatJSON:
		pair := tokenPair{Key: key, Secret: secret}
		if initiate || s.cfg.Policy.Release >= 47 {
			pair.Confirmed = "true"
		}
		if s.cfg.Policy.Release >= 47 {
			pair.OAuthToken, pair.OAuthSecret = key, secret
		}
		return a.withJSON(pair)
	case formatHTML:
		a.Page = &Page{Kind: TokenPage, Token: key, Secret: secret}
		return a
	default:
		a.ContentType = "text/plain;charset=UTF-8"
		a.Body = []byte("oauth_token=" + key + "&oauth_token_secret=" + secret + "&oauth_callback_confirmed=true")
		return a
	}
}

func (a Answer) withJSON(value any) Answer {
	body, err := encodeJSON(value)
	if err != nil {
		return Answer{Status: http.StatusInternalServerError, Headers: a.Headers, Event: a.Event}
	}
	a.ContentType, a.Body = "application/json", body
	return a
}

// error1 is the JSON of a refusal.
type error1 struct {
	Error   string `json:"error"`
	Message string `json:"message"`
}

// refuse1 answers a refusal of the handshake: with status 200, as MediaWiki does,
// unless it could not be decided.
func (s *Server) refuse1(r Request, format string, refusal *Refusal, consumerKey string, userID uint64) Answer {
	a := Answer{Status: http.StatusOK, Headers: noCache1(), Event: refusal.event(r.Endpoint, consumerKey, userID)}
	switch refusal.Reason {
	case ServiceUnavailable:
		a.Status = http.StatusServiceUnavailable
		a.Headers.Set("Retry-After", "1")
	case TooManyRequests, TooManyUnproven:
		a.Status = http.StatusTooManyRequests
		a.Headers.Set("Retry-After", "1")
	}
	key, message, code := refusal.mediaWiki()
	switch format {
	case formatJSON:
		return a.withJSON(error1{key, message + codeHTML(code)})
	case formatHTML:
		a.Status = max(a.Status, http.StatusBadRequest)
		a.Page = &Page{Kind: ErrorPage, Refusal: refusal}
		return a
	default:
		a.ContentType = "text/plain;charset=UTF-8"
		a.Body = []byte("Error: " + escapeHTML(message) + codeRaw(code))
		return a
	}
}

// mediaWiki returns MediaWiki's key and English text of a refusal, and its code E001
// to E012 with the words that stand before it.
func (r *Refusal) mediaWiki() (key, message string, code eCode) {
	row := &catalogue[r.Reason]
	if r.Reason == ProtocolError {
		return "mwoauth-oauth-exception", "An error occurred in the OAuth protocol: " + r.protocolText(), eCode{}
	}
	key, message = cmp.Or(row.key, row.code), strings.ReplaceAll(row.text, "$detail", r.Detail)
	if r.App != nil {
		name := r.App.Name
		if r.App.Deleted {
			name = r.App.Key // a suppressed app has no name
		}
		message = strings.NewReplacer("$app", name, "$key", r.App.Key).Replace(message)
	}
	return key, message, row.e
}

// eCode is one of MediaWiki's codes E001 to E012, with what it says before it.
type eCode struct{ words, code string }

const errorsPage = "https://www.mediawiki.org/wiki/Help:OAuth/Errors#"

// codeHTML is a code as it stands in a JSON message: HTML behind an empty line.
func codeHTML(e eCode) string {
	if e.code == "" {
		return ""
	}
	return "\n\n" + `<span class="plainlinks mw-mwoautherror-details">` + e.words +
		`, <a class="external" href="` + errorsPage + e.code + `">` + e.code + `</a></span>`
}

// codeRaw is a code as it stands in a raw message: MediaWiki escapes the message
// before it puts the link in.
func codeRaw(e eCode) string {
	if e.code == "" {
		return ""
	}
	return "\n\n" + `&lt;span class=&quot;plainlinks mw-mwoautherror-details&quot;&gt;` + e.words +
		`, <a class="external" href="` + errorsPage + e.code + `">` + e.code + `</a>&lt;/span&gt;`
}

// protocolText is what MediaWiki's OAuth library says of a reason.
func (r *Refusal) protocolText() string {
	switch r.Protocol {
	case validator.UnsupportedVersion:
		return "OAuth version '" + r.Detail + "' not supported"
	case validator.MissingConsumerKey, validator.NoCredentials:
		return "Invalid consumer key"
	case validator.UnknownConsumer, validator.BrokenRow:
		return "Invalid consumer"
	case validator.MissingTimestamp:
		return "Missing timestamp parameter. The parameter is required"
	case validator.TimestampExpired, validator.MalformedTimestamp:
		return "Expired timestamp, yours " + r.Detail + ", ours " + strconv.FormatInt(r.Now.Unix(), 10)
	case validator.MissingNonce:
		return "Missing nonce parameter. The parameter is required"
	case validator.NonceUsed:
		return "Nonce already used: " + r.Detail
	case validator.MissingSignatureMethod:
		return "No signature method parameter. This parameter is required"
	case validator.UnsupportedMethod:
		return "Signature method '" + r.Detail + "' not supported try one of the following: HMAC-SHA1, RSA-SHA1"
	case validator.MissingSignature, validator.BadSignature, validator.BadBodyHash:
		return "Invalid signature"
	default:
		return strings.TrimSuffix(r.Protocol.Detail(), ".")
	}
}
