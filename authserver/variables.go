package authserver

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/php"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// variables are the parameters of a request as MediaWiki's pages read them: by
// PHP's rules, those in the form of a POST before those in the query. What stands
// in an Authorization line is not among them.
type variables []*php.Array

func variablesOf(r Request) variables {
	query := php.Variables(r.HTTP.URL.RawQuery)
	if r.HTTP.Method != http.MethodPost || r.Sent.Body == nil || !isForm(r.HTTP.Header["Content-Type"]) {
		return variables{query}
	}
	form, err := r.Sent.Body(validator.BodyLimit{Size: maxTokenForm, Client: r.Sent.ClientIP})
	if err != nil {
		return variables{query} // whoever needs the form refuses it
	}
	return variables{php.Variables(string(form)), query}
}

// get returns a variable and whether it was sent. A list counts as not sent.
func (v variables) get(name string) (string, bool) {
	for _, place := range v {
		if value, sent := place.Get(name); sent {
			return value.Text, value.List == nil
		}
	}
	return "", false
}

// format returns the format that the request asks for.
func (v variables) format(otherwise string) string {
	if format, sent := v.get("format"); sent {
		return format
	}
	return otherwise
}

// checkVersion asks for an oauth_version of 1 in query or form. The pages of
// Special:OAuth read it as an integer, before the protocol reads it as a text.
func (v variables) checkVersion() *Refusal {
	text, sent := v.get("oauth_version")
	if !sent {
		return nil
	}
	version, _ := php.LeadingNumber(text)
	if int64(version) == 1 {
		return nil
	}
	return &Refusal{Reason: UnsupportedVersion, Detail: strconv.FormatInt(int64(version), 10)}
}

// talkPage is the address of a user's talk page, as MediaWiki writes it.
func (s *Server) talkPage(name string) string {
	title := url.QueryEscape(strings.ReplaceAll(name, " ", "_"))
	return s.cfg.IndexURL + "?title=User_talk:" + titleSigns.Replace(title)
}

// titleSigns are what MediaWiki leaves as it is in the address of a page.
var titleSigns = strings.NewReplacer(
	"%3B", ";", "%40", "@", "%24", "$", "%21", "!", "%2A", "*", "%28", "(", "%29", ")", "%2C", ",", "%2F", "/", "%3A", ":",
)
