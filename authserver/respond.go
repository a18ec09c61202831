package authserver

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// oauth2Error is the body of an OAuth 2 error (RFC 6749 section 5.2), in
// MediaWiki's order. Up to 1.45 its library repeats the description as message.
type oauth2Error struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Hint        string `json:"hint,omitempty"`
	Message     string `json:"message,omitempty"`
}

func (s *Server) oauth2Error(r *Refusal) oauth2Error {
	code, _, text := s.oauth2(r)
	e := oauth2Error{Error: code, Description: text, Hint: r.hint()}
	if s.cfg.Policy.Release < 46 {
		e.Message = e.Description
	}
	return e
}

// refuseToken answers a refusal of the token endpoint or of a resource.
func (s *Server) refuseToken(r *Refusal, consumerKey string, userID uint64) Answer {
	_, status, _ := s.oauth2(r)
	a := jsonAnswer(status, s.oauth2Error(r))
	a.Event = r.event(AccessToken, consumerKey, userID)
	a.retryLater()
	return a
}

// retryLater tells a client when to try again, where it may.
func (a *Answer) retryLater() {
	if a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests {
		a.Headers.Set("Retry-After", "1")
	}
}

// event is what the log and the metrics say of a refusal.
func (r *Refusal) event(e Endpoint, consumerKey string, userID uint64) Event {
	kind := Refused
	if r.Reason == ServiceUnavailable {
		kind = Unavailable
	}
	return Event{Kind: kind, Endpoint: e, ConsumerKey: consumerKey, UserID: userID, Reason: r.Reason.String(), Err: r.Err}
}

// jsonAnswer answers with JSON that no cache may keep.
func jsonAnswer(status int, value any) Answer {
	body, err := encodeJSON(value)
	if err != nil {
		return Answer{Status: http.StatusInternalServerError, ContentType: "application/json", Headers: noStore()}
	}
	return Answer{Status: status, ContentType: "application/json", Body: body, Headers: noStore()}
}

func noStore() http.Header {
	return http.Header{"Cache-Control": {"no-store"}, "Pragma": {"no-cache"}}
}

// challenge adds the challenge of a failed authentication, in the scheme that the
// client tried (RFC 6749 section 5.2).
func (a *Answer) challenge(h http.Header, realm string) {
	lines := h["Authorization"]
	if len(lines) == 0 {
		return
	}
	scheme := "Basic"
	if strings.HasPrefix(lines[0], "Bearer") {
		scheme = "Bearer"
	}
	a.Headers.Set("WWW-Authenticate", scheme+` realm="`+quotedString.Replace(realm)+`"`)
}

// quotedString escapes what stands in a quoted-string (RFC 9110 section 5.6.4).
var quotedString = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// restError is the body of an error of MediaWiki's REST router.
type restError struct {
	Key        string            `json:"errorKey,omitempty"`
	Messages   map[string]string `json:"messageTranslations"`
	HTTPCode   int               `json:"httpCode"`
	HTTPReason string            `json:"httpReason"`
}

func restAnswer(status int, key, message string) Answer {
	return jsonAnswer(status, restError{key, map[string]string{"en": message}, status, http.StatusText(status)})
}

// methodNotAllowed answers a method that a path does not take, as MediaWiki's
// router does.
func methodNotAllowed(method string, allowed ...string) Answer {
	message := "The request method (" + method + ") was not the allowed method for this path (" + strings.Join(allowed, ", ") + ")"
	if len(allowed) > 1 {
		message = "The request method (" + method + ") was not one of the allowed methods for this path (" + strings.Join(allowed, ", ") + ")"
	}
	a := restAnswer(http.StatusMethodNotAllowed, "", message)
	a.Headers.Set("Allow", strings.Join(allowed, ", "))
	a.Event.Reason = "method_not_allowed"
	return a
}

// NotFound answers a path of the REST API that does not exist, as MediaWiki's
// router does.
func NotFound(path string) Answer {
	a := restAnswer(http.StatusNotFound, "", "The requested relative path ("+path+") did not match any known handler")
	a.Event.Reason = "not_found"
	return a
}

// Unable answers a request whose server cannot be asked, such as one that comes
// while the process ends.
func Unable(err error) Answer {
	a := restAnswer(http.StatusServiceUnavailable, "", unavailableText)
	a.Headers.Set("Retry-After", "1")
	a.Event = unavailable(err).event(NoEndpoint, "", 0)
	return a
}

// mark tells whoever listens what was changed, before the answer leaves.
func (s *Server) mark(changes ...Change) {
	if s.marks != nil {
		s.marks.Changed(changes...)
	}
}

// readForm reads the form of a request to the token endpoint. Anything but a form
// is a form without parameters.
func (s *Server) readForm(r Request) (params, *Refusal) {
	if !isForm(r.HTTP.Header["Content-Type"]) || r.Sent.Body == nil {
		return params{}, nil
	}
	body, err := r.Sent.Body(validator.BodyLimit{Size: maxTokenForm, Client: r.Sent.ClientIP})
	if err != nil {
		return nil, bodyRefusal(err)
	}
	return paramsOf(string(body))
}

// maxTokenForm bounds a form of the token endpoint and of our own pages, in bytes.
const maxTokenForm = 64 << 10

func paramsOf(raw string) (params, *Refusal) {
	p, err := parseParams(raw)
	if err == nil {
		return p, nil
	}
	name := ""
	if e, ok := err.(*paramError); ok { //nolint:errorlint // parseParams wraps nothing
		name = e.name
	}
	return nil, &Refusal{Reason: InvalidParameter, Detail: name}
}

// isForm reports whether the Content-Type is that of a form.
func isForm(lines []string) bool {
	if len(lines) != 1 {
		return false
	}
	media, _, _ := strings.Cut(lines[0], ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded")
}

// bodyRefusal is the refusal of a body that could not be read.
func bodyRefusal(err error) *Refusal {
	if errors.Is(err, validator.ErrBodiesBusy) {
		return unavailable(err)
	}
	return &Refusal{Reason: InvalidParameter}
}
