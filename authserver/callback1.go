package authserver

import (
	"slices"
	"strconv"
	"strings"
)

// outOfBand is the callback of an app that cannot be redirected to (RFC 5849
// section 2.1).
const outOfBand = "oob"

// urlSchemes are the schemes of $wgUrlProtocols that are followed by "//". Up to
// MediaWiki 1.46 no other scheme can be the callback of a request.
var urlSchemes = []string{
	"ftp", "ftps", "git", "gopher", "http", "https", "irc", "ircs", "mms", "nntp", "redis", "sftp", "ssh", "svn", "telnet", "worldwind",
}

// callbackAllowed reports whether an app may ask at /initiate to be called back
// there: "oob", or where the app's registration allows it, a URL that begins with
// the registered one.
func (s *Server) callbackAllowed(c *Consumer, callback string) bool {
	if callback == outOfBand {
		return true
	}
	if !c.CallbackIsPrefix || !redirectable(callback) {
		return false
	}
	anyScheme := s.cfg.Policy.Release >= 47
	asked, ok := parseCallback(callback, anyScheme)
	registered, okRegistered := parseCallback(c.CallbackURL, anyScheme)
	anyPort := registered.port == 1 && s.cfg.Policy.Release >= 36
	return ok && okRegistered && asked.extends(&registered, anyPort)
}

// callbackURL is a callback in the parts that are compared. Its fragment never
// counts.
type callbackURL struct {
	scheme, host      string
	port              int // 0: none
	path, query       string
	hasPath, hasQuery bool
}

// parseCallback splits a URL as PHP's parse_url does.
func parseCallback(text string, anyScheme bool) (u callbackURL, ok bool) {
	scheme, rest, found := strings.Cut(text, "://")
	u.scheme = strings.ToLower(scheme)
	if !found || !isScheme(scheme) || !anyScheme && !slices.Contains(urlSchemes, u.scheme) {
		return u, false
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, u.query, u.hasQuery = strings.Cut(rest, "?")
	authority := rest
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		authority, u.path, u.hasPath = rest[:slash], rest[slash:], true
	}
	if strings.Contains(authority, "@") {
		return u, false
	}
	u.host = authority
	if colon := strings.LastIndexByte(authority, ':'); colon > strings.LastIndexByte(authority, ']') {
		var ok bool
		if u.port, ok = parsePort(authority[colon+1:]); !ok {
			return u, false
		}
		u.host = authority[:colon]
	}
	return u, u.host != ""
}

// parsePort reads a port of up to five digits. One of no digits is none.
func parsePort(text string) (port int, ok bool) {
	if text == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil && n > 0 && len(text) <= 5
}

// extends reports whether a callback is the registered one or begins with it. With
// anyPort the port may be another: from MediaWiki 1.36 on the registered port 1
// stands for every one.
func (u *callbackURL) extends(registered *callbackURL, anyPort bool) bool {
	switch {
	case u.scheme != registered.scheme && (registered.scheme != "http" || u.scheme != "https"),
		u.host != registered.host,
		u.port != registered.port && !anyPort:
		return false
	case registered.hasPath && registered.hasQuery && u.path != registered.path,
		registered.hasPath && !strings.HasPrefix(u.path, registered.path):
		return false
	}
	return !registered.hasQuery || u.hasQuery && strings.HasPrefix(u.query, registered.query)
}
