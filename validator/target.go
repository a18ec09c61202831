package validator

import (
	"errors"
	"net/url"
	"strings"
)

// ParseBaseURL reads the part of a URL that clients sign instead of what the
// request says ($wgServer): scheme (http or https) and host for
// Policy.BaseScheme and Policy.BaseHost, and for Policy.BasePath the path that
// a proxy in front takes away. The scheme of "//host" is empty, which means
// that of the request. Errors do not quote the URL.
func ParseBaseURL(s string) (scheme, host, path string, err error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", "", "", errBaseURL // url.Parse quotes
	}
	if u.Scheme != "http" && u.Scheme != "https" && !strings.HasPrefix(s, "//") {
		return "", "", "", errBaseURL
	}
	if u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(s, "?#") {
		return "", "", "", errBaseURL
	}
	if u.Path != "" { // byte for byte, as it is signed
		_, rest, _ := strings.Cut(s, "//")
		path = rest[strings.IndexByte(rest, '/'):]
	}
	if !isBasePath(path) {
		return "", "", "", errBaseURL
	}
	if u.Scheme == "" {
		return "", strings.ToLower(u.Host), path, nil
	}
	return u.Scheme, normalHost(u.Scheme, u.Host), path, nil
}

var errBaseURL = errors.New("not a base URL: use scheme://host[:port][/path] or //host[:port][/path], without a slash at the end")

// isBasePath reports whether a path can be put before that of a request: empty,
// or segments that mean the same to every reader.
func isBasePath(path string) bool {
	if path == "" {
		return true
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		odd := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~!$&'()*+,;=:@%", r)
		}
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, odd) {
			return false
		}
	}
	return true
}

// splitTarget splits a request target into path and query, byte for byte as
// sent. An absolute-form target loses scheme and authority, because
// Request.Host has them. If ok is false the query is returned all the same: a
// credential in it is malformed, not absent.
func splitTarget(target string) (path, query string, ok bool) {
	if !strings.HasPrefix(target, "/") {
		scheme, rest, found := strings.Cut(target, "://")
		if !found || strings.ContainsAny(scheme, ":/?") {
			// There is no authority, or a URL within the query:
			// "http:/a?b=://c/d" goes to /a, never to /d.
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
	// Go reads a "#" as part of the path or query, but others cut there.
	return path, query, strings.IndexByte(target, '#') < 0
}

// baseURL returns the base string URI of RFC 5849 section 3.4.1.2, or "" if the
// request has none. The path is signed as it was sent, after the path that a
// proxy in front took away.
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
	return scheme + "://" + normalHost(scheme, host) + p.BasePath + path
}

// normalHost returns the host in lower case, without the default port of the
// scheme.
func normalHost(scheme, host string) string {
	host = strings.ToLower(host)
	if scheme == "http" {
		return strings.TrimSuffix(host, ":80")
	}
	return strings.TrimSuffix(host, ":443")
}
