package gateway

import (
	"fmt"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
)

const (
	modeRequired = "required"
	modeOptional = "optional"
	modeStrip    = "strip"

	errorsProblem   = "problem"
	errorsMediaWiki = "mediawiki"
	errorsCaddy     = "caddy"

	preflightCheck  = "check"
	preflightAnswer = "answer"
	preflightPass   = "pass"

	credentialsKeep  = "keep"
	credentialsStrip = "strip"

	handshakeVerify = "verify"
	handshakePass   = "pass"

	headersOff = "off"
)

var (
	modeWords        = grammar.Words{Setting: "mode", Built: []string{modeRequired, modeOptional, modeStrip}, Later: []string{"observe"}}
	preflightWords   = grammar.Words{Setting: "cors_preflight", Built: []string{preflightCheck, preflightAnswer, preflightPass}}
	credentialsWords = grammar.Words{Setting: "credentials", Built: []string{credentialsKeep, credentialsStrip}}
	errorsWords      = grammar.Words{Setting: "errors", Built: []string{errorsProblem, errorsMediaWiki, errorsCaddy}}
	handshakeWords   = grammar.Words{Setting: "handshake", Built: []string{handshakeVerify, handshakePass}}
)

// neededHeaders would be taken from requests by a careless prefix.
var neededHeaders = []string{
	"accept", "authorization", "connection", "content-length", "content-type", "cookie", "expect", "host", "origin", "te",
	"trailer", "transfer-encoding", "upgrade", "sec-websocket-key", "sec-websocket-version", "x-forwarded-for",
	"x-forwarded-host", "x-forwarded-proto", "x-requested-with",
}

func checkPrefix(prefix string) error {
	if prefix == headersOff {
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
