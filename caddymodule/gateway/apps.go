package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// everywhere are the restrictions of an app that has none.
const everywhere = `{"IPAddresses":["0.0.0.0/0","::/0"]}`

func (h *Handler) readConsumer(line *caddyfile.Dispenser) error {
	args := line.RemainingArgs()
	if len(args) != 1 {
		return line.Err("consumer takes one key and a block")
	}
	c := Consumer{Key: args[0]}
	wrong := grammar.Wrap(line, checkConsumerKey(c.Key))
	for _, other := range h.Consumers {
		if other.Key == c.Key {
			wrong = line.Errf("consumer %s is given more than once", grammar.Shown(c.Key))
		}
	}
	err := grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"id":            grammar.Number(&c.ID),
		"name":          grammar.Text(&c.Name, nil),
		"version":       grammar.Text(&c.Version, nil),
		"owner":         grammar.Number(&c.Owner),
		"oauth_version": grammar.Number(&c.OAuthVersion),
		"grants":        grammar.Texts(&c.Grants),
		"secret_key":    grammar.Secret(&c.SecretKey),
		"rsa_key":       grammar.Secret(&c.RSAKey),
		"wiki":          grammar.Text(&c.Wiki, checkConsumerWiki),
		"restrictions":  grammar.Text(&c.Restrictions, nil),
		"owner_only":    grammar.Flag(&c.OwnerOnly),
	})
	h.Consumers = append(h.Consumers, c)
	return errors.Join(wrong, err)
}

func checkConsumerKey(key string) error {
	if !validator.IsConsumerKey(key) {
		return fmt.Errorf("consumer: %s is not a key: use 32 of 0-9 and a-f", grammar.Quoted(key))
	}
	return nil
}

func checkConsumerWiki(id string) error {
	if id == "*" {
		return nil
	}
	return checkWiki(id)
}

// apps resolves the apps that are kept in configuration. MediaWiki knows them since 1.47, whatever the settings say
// before: in a farm, the wikis of that release do.
func (r *resolver) apps(s *settings, from []Consumer) {
	if len(from) == 0 {
		return
	}
	known := false
	for i := range s.served {
		s.served[i].apps = s.served[i].policy.Release >= validator.Release147
		known = known || s.served[i].apps || s.served[i].policy.Release == 0 // 0: that it is not known has been said
	}
	if !known {
		r.check(errors.New("consumer: apps kept in configuration need mediawiki 1.47"))
	}
	keys, ids := map[string]bool{}, map[int]bool{}
	for _, c := range from {
		app := r.app(c)
		switch {
		case keys[c.Key]:
			r.check(fmt.Errorf("consumer %s is given more than once", grammar.Shown(c.Key)))
		case c.ID > 0 && ids[c.ID]:
			r.check(fmt.Errorf("consumer %s: id %d is another one's", grammar.Shown(c.Key), c.ID))
		}
		keys[c.Key], ids[c.ID] = true, true
		s.apps = append(s.apps, app)
	}
}

// appsIdentity is a digest of everything that is known of the configured
// consumers: facts depend on it.
func (s *settings) appsIdentity() string {
	var parts []string
	for _, app := range s.apps {
		if app.RSAKey != nil {
			parts = append(parts, app.RSAKey.N.String(), strconv.Itoa(app.RSAKey.E))
			app.RSAKey = nil // it would be printed as an address
		}
		parts = append(parts, fmt.Sprintf("%+v", app))
	}
	return key("consumers", parts...)
}

func (r *resolver) app(c Consumer) validator.Consumer {
	setting := func(name string) string { return "consumer " + grammar.Shown(c.Key) + ": " + name }
	r.check(checkConsumerKey(c.Key))
	app := validator.Consumer{
		ID:        uint64(max(c.ID, 0)),
		Key:       c.Key,
		Name:      r.text(setting("name"), c.Name),
		OwnerID:   uint64(max(c.Owner, 0)),
		Wiki:      cmp.Or(r.checked(setting("wiki"), c.Wiki, checkConsumerWiki), "*"),
		OwnerOnly: c.OwnerOnly,
		Secret:    r.checked(setting("secret_key"), c.SecretKey, checkSecretKey),
	}
	var missing []string
	for _, required := range []struct {
		name  string
		found bool
	}{{"id", c.ID > 0}, {"name", c.Name != ""}, {"owner", c.Owner > 0}} {
		if !required.found {
			missing = append(missing, required.name)
		}
	}
	if len(missing) > 0 {
		r.check(errors.New(setting("it needs " + strings.Join(missing, ", "))))
	}
	switch c.OAuthVersion {
	case 1, 2:
		app.Version = uint8(c.OAuthVersion)
	default:
		r.check(fmt.Errorf("%s is 1 or 2, not %d", setting("oauth_version"), c.OAuthVersion))
	}
	if pem := r.pem(setting("rsa_key"), c.RSAKey); pem != "" {
		if app.RSAKey = validator.ParseConsumerKey([]byte(pem)); app.RSAKey == nil {
			r.check(errors.New(setting("rsa_key is not a public RSA key in PEM of 1024 to 4096 bits and an exponent of at most 65537")))
		}
	}
	restrictions := cmp.Or(c.Restrictions, everywhere) // JSON is full of braces: no placeholders
	if app.Restrictions = validator.ParseRestrictions([]byte(restrictions), validator.Release147); app.Restrictions.Broken {
		r.check(errors.New(setting(`restrictions are not as MediaWiki has them, such as ` + everywhere)))
	}
	return app
}
