package validator

import (
	"fmt"
	"net/url"
	"strings"
)

// ParseBaseURL reads what clients sign instead of what the request says ($wgServer): scheme, http or https, and host,
// for Policy.BaseScheme and Policy.BaseHost. Of "//host" the scheme is empty: it is the request's.
func ParseBaseURL(s string) (scheme, host string, err error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", "", err
	}
	if u.Scheme != "http" && u.Scheme != "https" && !strings.HasPrefix(s, "//") {
		return "", "", fmt.Errorf("base URL %q: want http:// or https://, or // for either", s)
	}
	if u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(s, "?") || strings.HasSuffix(s, "#") {
		return "", "", fmt.Errorf("base URL %q: want scheme://host[:port] and nothing else", s)
	}
	if u.Scheme == "" {
		return "", strings.ToLower(u.Host), nil
	}
	return u.Scheme, normalHost(u.Scheme, u.Host), nil
}

// splitTarget splits a request target into path and query, byte for byte as sent. An absolute-form target
// loses scheme and authority: those are in the request's Host. When ok is false the query is given all the same: a
// credential in it is one that cannot be read, not none.
func splitTarget(target string) (path, query string, ok bool) {
	if !strings.HasPrefix(target, "/") {
		scheme, rest, found := strings.Cut(target, "://")
		if !found || strings.ContainsAny(scheme, ":/?") {
			// There is no authority, or a URL within the query: "http:/a?b=://c/d" goes to /a, never to /d.
			_, query, _ = strings.Cut(target, "?")
			return "", query, false
		}
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		target = rest[end:]
	}
	path, query, _ = strings.Cut(target, "?")
	if path == "" {
		path = "/"
	}
	// Go reads a "#" as part of the path or query, others cut there: two readings of one request.
	return path, query, strings.IndexByte(target, '#') < 0
}

// baseURL is the base string URI of RFC 5849 section 3.4.1.2; empty when the request has none. The path is signed
// as it was sent.
func baseURL(p *Policy, r *Request, path string) string {
	scheme, host := r.Scheme, r.Host
	if p.BaseScheme != "" {
		scheme = p.BaseScheme
	}
	if p.BaseHost != "" {
		host = p.BaseHost
	}
	if scheme != "http" && scheme != "https" || host == "" {
		return ""
	}
	return scheme + "://" + normalHost(scheme, host) + path
}

// normalHost is the host in lower case, without the scheme's default port.
func normalHost(scheme, host string) string {
	host = strings.ToLower(host)
	if scheme == "http" {
		return strings.TrimSuffix(host, ":80")
	}
	return strings.TrimSuffix(host, ":443")
}
