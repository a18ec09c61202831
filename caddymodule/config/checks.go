package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

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

// checkName returns a check of names of databases and prefixes of tables, which
// get into a statement as they are.
func checkName(setting string) func(name string) error {
	return func(name string) error {
		if !isName(name) {
			return fmt.Errorf("%s: %s is not a name: use 1 to 64 of A-Z, a-z, 0-9, _ and -", setting, grammar.Quoted(name))
		}
		return nil
	}
}

// isName reports whether a text is what the ids of wikis and the names of
// databases are.
func isName(s string) bool {
	odd := func(r rune) bool { return !grammar.IsAlphanumeric(r) && r != '_' && r != '-' }
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, odd)
}

// checkRealm holds the realm to what a quoted-string can carry (RFC 9110 section
// 5.6.4).
func checkRealm(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7E }) {
		return fmt.Errorf("realm: %s is not printable ASCII", grammar.Quoted(s))
	}
	return nil
}

func checkSecretKey(key string) error {
	if key != strings.TrimSpace(key) {
		return errors.New("secret_key begins or ends with white space")
	}
	return nil
}
