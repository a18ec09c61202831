package validator

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// FromHTTP describes a request that reached this server directly, and was not rewritten since. Behind a proxy
// the caller replaces Scheme, Host and ClientIP by what the proxy, if it is trusted, says of them; or sets
// Policy.BaseHost.
func FromHTTP(r *http.Request) Request {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	ip, _ := netip.ParseAddrPort(r.RemoteAddr)
	var forwardedProto string
	if lines := r.Header["X-Forwarded-Proto"]; len(lines) == 1 {
		forwardedProto = lines[0]
	}
	return Request{
		Method:         r.Method,
		Scheme:         scheme,
		Host:           r.Host,
		Target:         r.RequestURI,
		Authorization:  r.Header["Authorization"],
		ContentType:    r.Header["Content-Type"],
		ClientIP:       ip.Addr(),
		ForwardedProto: forwardedProto,
		Form:           FormReader(r),
	}
}

// FormReader returns a Request.Form that reads the body of r, as it is: compressed ones are not unpacked. It
// leaves a body in r that reads the same.
func FormReader(r *http.Request) func(limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return func(limit int64) ([]byte, error) {
		if r.ContentLength > limit {
			return nil, ErrFormTooLarge
		}
		// A Content-Length is the client's word: room is made as bytes arrive.
		var read bytes.Buffer
		_, err := io.Copy(&read, io.LimitReader(r.Body, limit+1))
		form := read.Bytes()
		rest := r.Body
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(form), rest), rest}
		if err == nil && int64(len(form)) > limit {
			err = ErrFormTooLarge
		}
		return form, err
	}
}

// Middleware lets requests with a proven credential through to next, where IdentityFrom tells whose they are,
// and refuses all others. The realm is for the challenges.
func (v *Verifier) Middleware(realm string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := v.Verify(r.Context(), FromHTTP(r))
		w.Header().Add("Vary", "Authorization")
		if d.Verdict != Allow {
			Refuse(w, r, realm, d.Reason)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, &d.Identity)))
	})
}

type identityKey struct{}

// IdentityFrom returns the identity that Middleware proved, or nil.
func IdentityFrom(ctx context.Context) *Identity {
	id, _ := ctx.Value(identityKey{}).(*Identity)
	return id
}

// Refuse writes the whole answer to a request that may not pass: status, challenges, and a problem document
// (RFC 9457).
func Refuse(w http.ResponseWriter, r *http.Request, realm string, reason Reason) {
	SetChallenges(w.Header(), realm, reason)
	w.Header().Set("Content-Type", "application/problem+json")
	body, _ := json.Marshal(struct { // of texts and a number alone: it cannot fail
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Reason string `json:"reason"`
	}{"about:blank", http.StatusText(reason.Status()), reason.Status(), reason.Detail(), reason.String()})
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(reason.Status())
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone
	}
}

// retryAfter is when to come back after a refusal that will pass by itself, in seconds.
const retryAfter = "5"

// SetChallenges sets the headers that go with a refusal: no-store, and as the status asks WWW-Authenticate
// (RFC 5849 section 3.5.1, RFC 6750 section 3), Retry-After or Allow.
func SetChallenges(h http.Header, realm string, reason Reason) {
	h.Set("Cache-Control", "no-store")
	switch reason.Status() {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", retryAfter)
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	status := reason.Status()
	if status != http.StatusUnauthorized && reason.BearerError() == "" {
		return
	}
	quoted := `realm="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm) + `"`
	bearer := "Bearer " + quoted
	if code := reason.BearerError(); code != "" {
		bearer += `, error="` + code + `", error_description="` + reason.Detail() + `"`
	}
	h["Www-Authenticate"] = []string{"OAuth " + quoted, bearer}
}
