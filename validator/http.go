package validator

import (
	"context"
	"net/http"
	"net/netip"
)

// FromHTTP describes a request that reached this server directly and was not
// rewritten. Behind a proxy the caller replaces Scheme, Host and ClientIP by
// those that a trusted proxy tells, or sets Policy.BaseHost.
func FromHTTP(w http.ResponseWriter, r *http.Request) Request {
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
		Body:           BodyReader(w, r),
	}
}

// Middleware passes requests with a proven credential to next, where
// IdentityFrom returns the identity. It refuses all others with a problem
// document (RFC 9457). It is for a server that clients reach directly: see
// FromHTTP. The realm is used in the challenges.
func (v *Verifier) Middleware(realm string, next http.Handler) http.Handler {
	challenges := NewChallenges(realm, v.policy.Require)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := v.Verify(r.Context(), FromHTTP(w, r))
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
