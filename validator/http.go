package validator

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
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
// leaves a body in r that reads the same. A body over a limit that a handler before has set (http.MaxBytesReader)
// is ErrFormTooLarge too.
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
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge || err == nil && int64(len(form)) > limit {
			return nil, ErrFormTooLarge
		}
		return form, err
	}
}

// Middleware lets requests with a proven credential through to next, where IdentityFrom tells whose they are,
// and refuses all others with a problem document (RFC 9457). It is for a server that clients reach directly: see
// FromHTTP. The realm is for the challenges.
func (v *Verifier) Middleware(realm string, next http.Handler) http.Handler {
	challenges := NewChallenges(realm, v.policy.Require)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := v.Verify(r.Context(), FromHTTP(r))
		w.Header().Add("Vary", "Authorization")
		if d.Verdict != Allow {
			challenges.Set(w.Header(), d.Reason)
			WriteProblem(w, r, d.Reason)
			return
		}
		if d.InQuery { // a shared cache knows a request by its URL, and this one's URL is a credential
			w.Header().Set("Cache-Control", "private")
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
