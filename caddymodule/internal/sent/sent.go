// Package sent describes what a client has sent, before any handler changed it:
// that is what the client signed.
package sent

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Describe describes a request for the core, with method and target before any
// rewrite. It is false for a CONNECT that opens no WebSocket. peerMayBeClient is
// the setting trusted_peer client.
func Describe(w http.ResponseWriter, r *http.Request, peerMayBeClient bool) (validator.Request, bool) {
	ctx := r.Context()
	method, target := Target(r)
	if method == http.MethodConnect {
		// RFC 8441, RFC 9220: over HTTP/1.1 the same handshake is a GET, and clients sign it as one.
		if !opensWebSocket(r) {
			return validator.Request{}, false
		}
		method = http.MethodGet
	}
	d := validator.Request{
		Method:        method,
		Scheme:        "http",
		Host:          r.Host,
		Target:        target,
		Authorization: r.Header["Authorization"],
		ContentType:   r.Header["Content-Type"],
		Body:          validator.BodyReader(w, r),
	}
	if r.TLS != nil {
		d.Scheme = "https"
	}
	if lines := r.Header["X-Forwarded-Proto"]; len(lines) == 1 {
		d.ForwardedProto = lines[0]
	}
	d.ClientIP = Client(r)
	if trusted, _ := caddyhttp.GetVar(ctx, caddyhttp.TrustedProxyVarKey).(bool); trusted {
		describeForwarded(&d, r, peerMayBeClient)
	}
	return d, true
}

// Client returns the address of the client as Caddy knows it. It is zero for a
// client that has none: that one may use no consumer that asks for an address.
func Client(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	address, _ := netip.ParseAddr(text)
	return address
}

// opensWebSocket reads :protocol where net/http and quic-go put it.
func opensWebSocket(r *http.Request) bool {
	switch r.ProtoMajor {
	case 2:
		protocol := r.Header[":protocol"]
		return len(protocol) == 1 && protocol[0] == "websocket"
	case 3:
		return r.Proto == "websocket"
	}
	return false
}

// describeForwarded takes over what a trusted proxy says of the client's own request.
func describeForwarded(d *validator.Request, r *http.Request, peerMayBeClient bool) {
	switch proto := Only(r.Header["X-Forwarded-Proto"]); {
	case strings.EqualFold(proto, "http"):
		d.Scheme = "http"
	case strings.EqualFold(proto, "https"):
		d.Scheme = "https"
	}
	if host := Only(r.Header["X-Forwarded-Host"]); host != "" {
		d.Host = host
	}
	d.SpoofableIP = spoofable(d.ClientIP, r, peerMayBeClient)
}

// Only returns the value of a header that has exactly one. Of a list it is not
// known which is the proxy's own.
func Only(lines []string) string {
	if len(lines) != 1 || strings.Contains(lines[0], ",") {
		return ""
	}
	return strings.TrimSpace(lines[0])
}

// spoofable reports whether the address of a client behind a trusted proxy is
// uncertain. Without trusted_proxies_strict, Caddy takes the leftmost address of
// X-Forwarded-For, which is what the client itself has sent. With it, Caddy
// passes over what it cannot read, such as the "unknown" of a proxy that does
// not tell: everything left of that is the client's word too, and if nothing is
// left, Caddy takes the peer for the client. A peer that sends no such header is
// a client of its own only where the operator says so.
func spoofable(client netip.Addr, r *http.Request, peerMayBeClient bool) bool {
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || server == nil {
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	isPeer := err == nil && peer.Addr().WithZone("") == client
	if !slices.ContainsFunc(server.ClientIPHeaders, func(name string) bool { return len(r.Header.Values(name)) > 0 }) {
		return !isPeer || !peerMayBeClient
	}
	return server.TrustedProxiesStrict == 0 || !vouched(client, isPeer, r.Header, server.ClientIPHeaders)
}

// vouched reports whether everything from the right end of the lists to the
// client is an address, as Caddy reads them. Where Caddy has taken the peer, it
// found no other client in the whole list: then all of it must be addresses, and
// the leftmost one the client's.
func vouched(client netip.Addr, isPeer bool, h http.Header, names []string) bool {
	for _, name := range names {
		lines := h.Values(name)
		if len(lines) == 0 {
			continue
		}
		var address netip.Addr
		for _, part := range slices.Backward(strings.Split(strings.Join(lines, ","), ",")) {
			host, _, err := net.SplitHostPort(part)
			if err != nil {
				host = part
			}
			host, _, _ = strings.Cut(strings.TrimSpace(host), "%")
			if address, err = netip.ParseAddr(host); err != nil {
				return false
			}
			if address == client && !isPeer {
				return true
			}
		}
		if isPeer {
			return address == client
		}
	}
	return false
}

// Target returns method and target before any rewrite.
func Target(r *http.Request) (method, target string) {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.Method, original.RequestURI
	}
	return r.Method, r.RequestURI
}
