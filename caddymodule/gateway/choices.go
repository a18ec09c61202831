package gateway

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	modeRequired = "required"
	modeOptional = "optional"
	modeStrip    = "strip"

	errorsProblem   = "problem"
	errorsMediaWiki = "mediawiki"
	errorsCaddy     = "caddy"

	usersLocal       = "local"
	usersCentralAuth = "centralauth"

	rulesStandard  = "standard"
	rulesMediaWiki = "mediawiki"

	sqlite = "sqlite"

	peerProxy  = "proxy"
	peerClient = "client"

	preflightCheck  = "check"
	preflightAnswer = "answer"
	preflightPass   = "pass"

	blocksOn       = "on"
	blocksSitewide = "sitewide"

	credentialsKeep  = "keep"
	credentialsStrip = "strip"

	none = "none"
	off  = "off"
)

var (
	driverChoice      = grammar.Words{Setting: "store", Built: []string{"mysql", sqlite}, Unquoted: true}
	usersChoice       = grammar.Words{Setting: "users", Built: []string{usersLocal, usersCentralAuth}}
	rulesChoice       = grammar.Words{Setting: "rules", Built: []string{rulesStandard, rulesMediaWiki}}
	modeChoice        = grammar.Words{Setting: "mode", Built: []string{modeRequired, modeOptional, modeStrip}, Later: []string{"observe"}}
	peerChoice        = grammar.Words{Setting: "trusted_peer", Built: []string{peerProxy, peerClient}}
	preflightChoice   = grammar.Words{Setting: "cors_preflight", Built: []string{preflightCheck, preflightAnswer, preflightPass}}
	credentialsChoice = grammar.Words{Setting: "credentials", Built: []string{credentialsKeep, credentialsStrip}}
	noncesChoice      = grammar.Words{Setting: "nonces", Built: []string{"memory"}, Later: []string{"redis"}, Unquoted: true}
	errorsChoice      = grammar.Words{Setting: "errors", Built: []string{errorsProblem, errorsMediaWiki, errorsCaddy}}
	blocksChoice      = grammar.Words{Setting: "block_disables_login", Built: []string{blocksOn, blocksSitewide, off}}
	kindChoice        = grammar.Words{Setting: "require", Built: requirementWords()}
)

// requirementWords are the words of all kinds of requirements.
func requirementWords() (words []string) {
	for _, kind := range validator.RequirementKinds() {
		words = append(words, kind.String())
	}
	return words
}

func checkWiki(id string) error {
	if !isName(id) {
		return fmt.Errorf("wiki: %s is not a wiki id: use 1 to 64 of A-Z, a-z, 0-9, _ and -", grammar.Quoted(id))
	}
	return nil
}

func checkBaseURL(s string) error {
	if _, _, _, err := validator.ParseBaseURL(s); err != nil {
		return fmt.Errorf("base_url: %s is %w", grammar.Quoted(s), err)
	}
	return nil
}

func checkRelease(s string) error {
	if _, err := validator.ParseRelease(s); err != nil {
		return fmt.Errorf("mediawiki: %s is not a release: use %v to %v", grammar.Quoted(s), validator.Release135, validator.Release147)
	}
	return nil
}

// checkDatabase is for the names that get into a statement as they are.
func checkDatabase(setting string) func(name string) error {
	return func(name string) error {
		if !isName(name) {
			return fmt.Errorf("%s: %s is not a name: use 1 to 64 of A-Z, a-z, 0-9, _ and -", setting, grammar.Quoted(name))
		}
		return nil
	}
}

// isName says whether a text is what the ids of wikis and the names of databases are.
func isName(s string) bool {
	odd := func(r rune) bool { return !grammar.IsAlphanumeric(r) && r != '_' && r != '-' }
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, odd)
}

var errSharedCentralAuth = errors.New("users centralauth: leave out shared_ids: the ids of CentralAuth are central ones already")

func (u Users) check() error {
	if u.Database == "" || strings.Contains(u.Database, "{") {
		return nil // left out, or checked when it is known
	}
	return checkDatabase("users centralauth")(u.Database)
}

func (r Requirement) check() error {
	if err := kindChoice.Check(r.Kind); err != nil {
		return err
	}
	if len(r.Values) == 0 {
		return fmt.Errorf("require %s: value missing", r.Kind)
	}
	var mistakes []error
	for _, value := range r.Values {
		if !strings.Contains(value, "{") { // otherwise it can only be checked once it is known
			mistakes = append(mistakes, r.checkValue(value))
		}
	}
	return errors.Join(mistakes...)
}

// kind returns what the word stands for, or the zero kind, which refuses every
// request.
func (r Requirement) kind() validator.RequirementKind {
	for _, kind := range validator.RequirementKinds() {
		if kind.String() == r.Kind {
			return kind
		}
	}
	return 0
}

// checkValue finds a value that no identity can have.
func (r Requirement) checkValue(value string) error {
	if value == "" {
		return fmt.Errorf("require %s: value missing", r.Kind)
	}
	if err := r.kind().Check(value); err != nil {
		return fmt.Errorf("require %s: %s %w", r.Kind, grammar.Quoted(value), err)
	}
	return nil
}

// checkRealm holds the realm to what a quoted-string can carry (RFC 9110 section 5.6.4).
func checkRealm(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7E }) {
		return fmt.Errorf("realm: %s is not printable ASCII", grammar.Quoted(s))
	}
	return nil
}

// neededHeaders would be taken from requests by a careless prefix.
var neededHeaders = []string{
	"accept", "authorization", "connection", "content-length", "content-type", "cookie", "expect", "host", "origin", "te",
	"trailer", "transfer-encoding", "upgrade", "sec-websocket-key", "sec-websocket-version", "x-forwarded-for",
	"x-forwarded-host", "x-forwarded-proto", "x-requested-with",
}

func checkPrefix(prefix string) error {
	if prefix == off {
		return nil
	}
	odd := func(r rune) bool { return !grammar.IsAlphanumeric(r) && r != '-' }
	if len(prefix) > 64 || !strings.HasSuffix(prefix, "-") || strings.HasPrefix(prefix, "-") || strings.ContainsFunc(prefix, odd) {
		return fmt.Errorf("headers: %s is not a prefix: use letters, digits and -, with - at its end", grammar.Quoted(prefix))
	}
	for _, name := range neededHeaders {
		if strings.HasPrefix(name, strings.ToLower(prefix)) {
			return fmt.Errorf("headers: every request would lose its %s header to the prefix %s", name, grammar.Quoted(prefix))
		}
	}
	return nil
}

func checkSecretKey(key string) error {
	if key != strings.TrimSpace(key) {
		return errors.New("secret_key begins or ends with white space")
	}
	return nil
}
