package gateway

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/rs/cors"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/idheaders"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// exposedHeaders are the headers of a refusal that a web app may read: what to
// do about it, and when to try again.
var exposedHeaders = []string{"WWW-Authenticate", "Retry-After", "MediaWiki-API-Error"}

func (h *Handler) readPreflight(line *caddyfile.Dispenser) error {
	if !line.NextArg() {
		return line.Err("cors_preflight takes check, answer or pass")
	}
	h.CORSPreflight = line.Val()
	if err := preflightWords.Check(h.CORSPreflight); err != nil {
		return line.WrapErr(err)
	}
	if h.CORSPreflight != preflightAnswer {
		return grammar.NoMore(line)
	}
	c := new(CORS)
	h.CORS = c
	err := errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"origins": grammar.Texts(&c.Origins),
		"methods": grammar.Texts(&c.Methods),
		"headers": grammar.Texts(&c.Headers),
		"max_age": grammar.Duration(&c.MaxAge),
	}))
	if err != nil || slices.ContainsFunc(c.Origins, func(s string) bool { return strings.Contains(s, "{") }) {
		return err // an origin with a placeholder can only be checked once that is known
	}
	line.Reset()
	line.Next()
	var mistakes []error
	for _, mistake := range c.check() {
		mistakes = append(mistakes, line.WrapErr(mistake))
	}
	return errors.Join(mistakes...)
}

// check returns every mistake of the settings. A value that no browser sends
// could never match, so it is a mistake too.
func (c *CORS) check() []error {
	var mistakes []error
	if len(c.Origins) == 0 {
		mistakes = append(mistakes, errors.New("cors_preflight answer: origins missing: list the sites whose web apps may send requests, such as https://app.example.org"))
	}
	for _, origin := range c.Origins {
		if err := checkOrigin(origin); err != nil {
			mistakes = append(mistakes, fmt.Errorf("cors_preflight answer: origins: %w", err))
		}
	}
	if len(c.Origins) > 1 && slices.Contains(c.Origins, "*") {
		mistakes = append(mistakes, errors.New("cors_preflight answer: origins: * is every origin: write it alone, or leave it out"))
	}
	for _, method := range c.Methods {
		if !isToken(method) || method == "*" || method != strings.ToUpper(method) {
			mistakes = append(mistakes, errors.New("cors_preflight answer: methods: "+grammar.Quoted(method)+" is not a method: list them in upper case, such as GET PUT"))
		}
	}
	for _, name := range c.Headers {
		if !isToken(name) || name == "*" {
			mistakes = append(mistakes, errors.New("cors_preflight answer: headers: "+grammar.Quoted(name)+" is not the name of a header: list each by name"))
		}
	}
	if len(c.Headers) > 0 && !slices.ContainsFunc(c.Headers, func(s string) bool { return strings.EqualFold(s, "Authorization") }) {
		mistakes = append(mistakes, errors.New("cors_preflight answer: headers must list Authorization: without it no web app can send a credential"))
	}
	if age := time.Duration(c.MaxAge); age != 0 && (age < time.Second || age > 24*time.Hour) {
		mistakes = append(mistakes, fmt.Errorf("cors_preflight answer: max_age: %v is not within 1s and 24h", age))
	}
	return mistakes
}

// checkOrigin holds an origin to the form in which browsers send it: scheme,
// host and a port other than the scheme's own. The first label of the host may
// be *, which stands for one or more labels.
func checkOrigin(origin string) error {
	if origin == "*" {
		return nil
	}
	if strings.EqualFold(origin, "null") {
		return errors.New("null is what any sandboxed page sends: list the origin of a site")
	}
	want := "use scheme://host[:port] as browsers send it, such as https://app.example.org or https://*.example.org"
	scheme, authority, _ := strings.Cut(origin, "://")
	for _, r := range origin {
		if r > 0x7E {
			return errors.New(grammar.Quoted(origin) + " is not an origin: write the host in ASCII (xn--…), as browsers send it")
		}
	}
	if scheme != strings.ToLower(scheme) || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" || scheme == "" {
		return errors.New(grammar.Quoted(origin) + " is not an origin: " + want)
	}
	plain := strings.TrimPrefix(authority, "*.")
	base, host, path, err := validator.ParseBaseURL("https://" + plain)
	if err != nil || base == "" || path != "" || strings.ContainsAny(plain, "*%_ ") || strings.HasSuffix(plain, ":") {
		return errors.New(grammar.Quoted(origin) + " is not an origin: " + want)
	}
	if scheme == "http" && strings.HasSuffix(plain, ":80") || scheme == "https" && host != strings.ToLower(plain) {
		return errors.New("browsers send no port where it is the scheme's own: leave :80 or :443 out")
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	tchar := func(c rune) bool { return grammar.IsAlphanumeric(c) || strings.ContainsRune("!#$%&'*+-.^_`|~", c) }
	return s != "" && strings.TrimFunc(s, tchar) == ""
}

// resolveCORS resolves the settings of the preflights that the gateway answers
// itself.
func resolveCORS(r *config.Resolver, h *Handler) *cors.Cors {
	if h.CORSPreflight != preflightAnswer {
		if h.CORS != nil {
			r.Check(errors.New("cors has no effect without cors_preflight answer"))
		}
		return nil
	}
	var c CORS
	if h.CORS != nil {
		c = *h.CORS
		c.Origins = nil
		for _, origin := range h.CORS.Origins {
			c.Origins = append(c.Origins, r.Text("cors_preflight answer: origins", origin))
		}
	}
	mistakes := c.check()
	r.Check(errors.Join(mistakes...))
	if len(mistakes) > 0 {
		return nil
	}
	if len(c.Headers) == 0 {
		c.Headers = []string{"Authorization"}
	}
	return cors.New(cors.Options{
		AllowedOrigins: c.Origins, AllowedMethods: c.Methods, AllowedHeaders: c.Headers,
		ExposedHeaders: exposedHeaders, MaxAge: int(time.Duration(c.MaxAge) / time.Second),
	})
}

// preflight answers a preflight in place of the backend, or refuses it.
func (h *Handler) preflight(w http.ResponseWriter, r *http.Request, wiki string) error {
	own := h.crossOrigin(r)
	allowed := len(own["Access-Control-Allow-Origin"]) == 1 && len(own["Access-Control-Allow-Methods"]) == 1
	w.Header()["Vary"] = append(w.Header()["Vary"], own["Vary"]...)
	delete(own, "Vary")
	d := validator.Decision{Verdict: validator.Anonymous, Reason: validator.NoCredentials}
	if !allowed {
		d = validator.Decision{Verdict: validator.Deny, Reason: validator.PreflightRefused}
	}
	pools.Count(&d)
	outcome.Publish(r, outcome.Outcome{Decision: d, Wiki: wiki, Prefix: h.cfg.headers.Prefix()})
	if !allowed {
		h.log.Refused(r, &d, wiki, h.explain)
		return h.refuse(w, r, &d, wiki)
	}
	maps.Copy(w.Header(), own)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// allowOrigin sets the CORS headers of the response that is to come, and returns
// a writer that puts them in place of those of the backend.
func (h *Handler) allowOrigin(w http.ResponseWriter, r *http.Request) *headerWriter {
	own := h.crossOrigin(r)
	w.Header()["Vary"] = append(w.Header()["Vary"], own["Vary"]...)
	delete(own, "Vary")
	if len(r.Header["Origin"]) > 1 {
		clear(own) // several lines are not one origin
	}
	maps.Copy(w.Header(), own)
	return newHeaderWriter(w, func(to http.Header) {
		for name := range to {
			if strings.HasPrefix(name, "Access-Control-") {
				delete(to, name)
			}
		}
		maps.Copy(to, own)
	})
}

// crossOrigin returns the CORS headers, and the Vary, of the response to a
// request.
func (h *Handler) crossOrigin(r *http.Request) http.Header {
	own := make(http.Header)
	h.cfg.cors.HandlerFunc(headersOnly{own}, &http.Request{Method: originalMethod(r), Header: r.Header})
	if origin := own["Access-Control-Allow-Origin"]; origin != nil {
		own["Access-Control-Allow-Origin"] = slices.Clone(origin) // it is the request's own slice
	}
	return own
}

// headersOnly collects the headers that package cors sets.
type headersOnly struct{ header http.Header }

func (w headersOnly) Header() http.Header       { return w.header }
func (headersOnly) Write(p []byte) (int, error) { return len(p), nil }
func (headersOnly) WriteHeader(int)             {}

// originalMethod returns the method that the client sent.
func originalMethod(r *http.Request) string {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.Method
	}
	return r.Method
}

// asksPreflight reports whether a request is, or poses as, the question of a
// browser whether it may send a cross-origin request (Fetch, CORS-preflight).
func asksPreflight(r *http.Request) bool {
	return originalMethod(r) == http.MethodOptions && len(r.Header["Origin"]) > 0 && len(r.Header["Access-Control-Request-Method"]) > 0
}

// isPreflight reports whether a request is one that a browser sends before a
// cross-origin request: with one origin, and for one method.
func isPreflight(r *http.Request) bool {
	if !asksPreflight(r) || len(r.Header["Origin"]) > 1 || len(r.Header["Access-Control-Request-Method"]) > 1 {
		return false
	}
	origin := r.Header["Origin"][0]
	scheme, host, found := strings.Cut(origin, "://")
	return (origin == "null" || found && scheme != "" && host != "") && isToken(r.Header["Access-Control-Request-Method"][0])
}

// methodOverrides are headers by which frameworks take another method than that
// of the request line, folded.
var methodOverrides = []string{"x-http-method-override", "x-http-method", "x-method-override", "x-original-method", "x-request-method"}

// barePreflight takes out of a preflight what no browser sends with one: the
// body, cookies, credentials, and headers that name another method. The query
// stays, because frameworks read a method from it for POST alone.
func barePreflight(r *http.Request) {
	for name := range r.Header {
		if slices.Contains(methodOverrides, idheaders.Fold(name)) {
			delete(r.Header, name)
		}
	}
	for _, name := range []string{
		"Authorization", "Proxy-Authorization", "Cookie", "Expect", "Trailer", "Upgrade",
		"Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding",
	} {
		delete(r.Header, name)
	}
	r.Body, r.ContentLength, r.TransferEncoding, r.Trailer = http.NoBody, 0, nil, nil
}
