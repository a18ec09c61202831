package config

import (
	"cmp"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	defaultRealm      = "MediaWiki"
	defaultCacheSize  = 64 << 20  // bytes, like those below
	defaultNoncesSize = 192 << 20 // one user may sign 2,000 requests a second for the default timestamp_window
	minMemory         = 1 << 20
	maxFile           = 1 << 20 // of a file that a setting names
)

// Resolver fills in a configuration: it replaces placeholders, reads files and
// collects all mistakes.
type Resolver struct {
	directive string
	repl      *caddy.Replacer
	mistakes  []error
}

// NewResolver returns a Resolver for a directive.
func NewResolver(directive string) *Resolver {
	return &Resolver{directive: directive, repl: caddy.NewReplacer()}
}

// Err returns all mistakes.
func (r *Resolver) Err() error { return errors.Join(r.mistakes...) }

// Check notes a mistake, if there is one.
func (r *Resolver) Check(err error) {
	if err != nil {
		r.mistakes = append(r.mistakes, err)
	}
}

// Site resolves the settings that both directives have. What policy holds
// already is kept.
func (r *Resolver) Site(from Site, policy validator.Policy) Settings {
	if missing := from.Missing(); len(missing) > 0 {
		r.Check(fmt.Errorf("%s needs %s", r.directive, strings.Join(missing, ", ")))
	}
	s := Settings{Policy: policy}
	r.database(&s, *from.Store)
	r.policy(&s.Policy, from)
	r.users(&s, *from.Users)
	r.wikis(&s, from)
	r.consumers(&s, *from.Consumers)
	if *from.SecretKey != noSecretKey {
		r.siteKeys(&s, r.Checked("secret_key", *from.SecretKey, checkSecretKey))
	}
	s.Keys = r.publicKeys(*from.PublicKey)
	s.Cache = r.cache(*from.Cache)
	s.NonceMemory = r.nonces(*from.Nonces)
	s.Realm = r.Checked("realm", cmp.Or(*from.Realm, defaultRealm), checkRealm)
	return s
}

func (r *Resolver) policy(p *validator.Policy, from Site) {
	p.TimestampWindow = r.Duration("timestamp_window", *from.TimestampWindow, validator.DefaultTimestampWindow)
	if p.TimestampWindow < time.Second || p.TimestampWindow > time.Hour {
		r.Check(fmt.Errorf("timestamp_window: %v is not within 1s and 1h", p.TimestampWindow))
	}
	p.MaxFormSize = r.BodySize("max_form_size", *from.MaxFormSize, validator.DefaultMaxFormSize)
	if release := r.Checked("mediawiki", *from.MediaWiki, checkRelease); release != "" {
		p.Release, _ = validator.ParseRelease(release) // Check has the error
	}
	if url := r.Checked("base_url", *from.BaseURL, checkBaseURL); url != "" {
		p.BaseScheme, p.BaseHost, p.BasePath, _ = validator.ParseBaseURL(url)
	}
	blocks := string(*from.BlockDisablesLogin)
	if r.Choice(rulesWords, *from.Rules) == RulesMediaWiki {
		p.Rules = validator.MediaWiki
		blocks = cmp.Or(blocks, blocksOff)
	}
	blocks = r.Choice(blocksWords, blocks)
	p.BlockDisablesLogin, p.OnlySitewideBlocks = blocks != blocksOff, blocks == blocksSitewide
}

// ClockSkew resolves how far a bearer token may come before its time. Its default
// depends on the rules.
func (r *Resolver) ClockSkew(value *caddy.Duration, rules string) (skew time.Duration) {
	switch {
	case value != nil:
		skew = time.Duration(*value)
	case rules != RulesMediaWiki:
		skew = validator.DefaultClockSkew
	}
	if skew < 0 || skew > time.Minute {
		r.Check(fmt.Errorf("clock_skew: %v is not within 0s and 1m", skew))
	}
	return skew
}

// BodySize resolves the largest size of a body that is held in memory.
func (r *Resolver) BodySize(setting string, value, otherwise int64) int64 {
	value = cmp.Or(value, otherwise)
	if value < 0 || value > 1<<30 {
		r.Check(fmt.Errorf("%s: %d is not within 1 and %d bytes", setting, value, 1<<30))
	}
	return value
}

// Choice resolves a setting that is one of several words.
func (r *Resolver) Choice(of grammar.Words, word string) string {
	word = cmp.Or(word, of.Built[0])
	r.Check(of.Check(word))
	return word
}

// placeholderName finds a name that Caddy gives, as far as it can be told from a
// secret that holds braces.
var placeholderName = regexp.MustCompile(`\{(?:env|file|system|time|http|vars)\.[A-Za-z0-9_./-]+\}`)

// Text replaces the placeholders of a setting. Its error names setting and
// placeholder, but never the value, because Caddy's own message quotes whatever
// stands in braces, which may be a part of a password.
func (r *Resolver) Text(setting, value string) string {
	out, err := r.repl.ReplaceOrErr(value, true, true)
	if err == nil {
		return out
	}
	if name := placeholderName.FindString(err.Error()); name != "" {
		r.Check(fmt.Errorf("%s: placeholder %s is empty or unknown", setting, name))
	} else {
		r.Check(fmt.Errorf("%s: a placeholder is empty or unknown", setting))
	}
	return ""
}

// Checked is Text for a value that is checked once its placeholders are known.
func (r *Resolver) Checked(setting, value string, check func(string) error) string {
	before := len(r.mistakes)
	out := r.Text(setting, value)
	if len(r.mistakes) > before || value == "" {
		return out // said already
	}
	r.Check(check(out))
	return out
}

// publicKeys reads each value, PEM or the path of a PEM file.
func (r *Resolver) publicKeys(values []string) []*rsa.PublicKey {
	var keys []*rsa.PublicKey
	for _, value := range values {
		pem := r.PEM("public_key", value)
		if value == "" {
			r.Check(errors.New("public_key: value missing"))
		}
		if pem == "" {
			continue
		}
		parsed, err := validator.ParseIssuerKeys([]byte(pem))
		if err != nil {
			r.Check(fmt.Errorf("public_key: PEM: %w", err))
		}
		keys = append(keys, parsed...)
	}
	return keys
}

// PEM returns PEM that is the value of a setting, or in the file that it names.
func (r *Resolver) PEM(setting, value string) string {
	pem := r.Text(setting, value)
	if pem == "" || strings.Contains(pem, "-----BEGIN") {
		return pem
	}
	return r.file(setting, pem)
}

// Duration resolves a duration that is not negative.
func (r *Resolver) Duration(setting string, value caddy.Duration, otherwise time.Duration) time.Duration {
	if value < 0 {
		r.Check(fmt.Errorf("%s: %v is negative", setting, time.Duration(value)))
	}
	return cmp.Or(time.Duration(value), otherwise)
}

// Memory resolves a size of memory, in bytes.
func (r *Resolver) Memory(setting string, value, otherwise int64) int64 {
	value = cmp.Or(value, otherwise)
	if value < minMemory {
		r.Check(fmt.Errorf("%s: %d is less than %d bytes", setting, value, minMemory))
	}
	return value
}

// file reads a small file of the configuration. What it says of a mistake does
// not tell the path, because a key may stand where a path belongs.
func (r *Resolver) file(setting, path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		err = fmt.Errorf("not a regular file of at most %d bytes", maxFile)
	default:
		var content []byte
		if content, err = os.ReadFile(path); err == nil { //nolint:gosec // the operator names the file
			return string(content)
		}
	}
	if failed := new(fs.PathError); errors.As(err, &failed) {
		err = failed.Err
	}
	r.Check(fmt.Errorf("%s: the file cannot be read: %w", setting, err))
	return ""
}
