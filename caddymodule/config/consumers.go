package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Consumer is an app that is kept in the wiki's configuration, with the settings
// that it has there.
type Consumer struct {
	// `consumerKey`: 32 lower-case hexadecimal digits, unlike any other's.
	// Required.
	Key string `json:"key,omitempty"`

	// `id`, unlike any other's. Required.
	ID int `json:"id,omitempty"`

	// `name`. Required.
	Name string `json:"name,omitempty"`

	// `version` of the app. It decides nothing here.
	Version string `json:"version,omitempty"`

	// `userId`: central user id of the owner. Required.
	Owner int `json:"owner,omitempty"`

	// `oauthVersion`: 1 or 2. Required.
	OAuthVersion int `json:"oauth_version,omitempty"`

	// `grants` that the app asks for. They decide nothing here: what a user has
	// granted counts, or a token's scopes.
	Grants []string `json:"grants,omitempty"`

	// `secretKey`, as it is there: clients of a wiki with a site key sign with
	// another, made from it.
	SecretKey string `json:"secret_key,omitempty"`

	// `rsaKey`: PEM, or the path of a PEM file. At most 4096 bits, and an
	// exponent of at most 65537.
	RSAKey string `json:"rsa_key,omitempty"`

	// `wiki`: the only wiki that the app may be used on. Default: `*`, all.
	Wiki string `json:"wiki,omitempty"`

	// `restrictions` as JSON. Default: `{"IPAddresses":["0.0.0.0/0","::/0"]}`,
	// none.
	Restrictions string `json:"restrictions,omitempty"`

	// `ownerOnly`: only the owner may use it.
	OwnerOnly bool `json:"owner_only,omitempty"`

	// `callbackUrl`: where a browser is sent back to. This field and those
	// below count for `oauth_server` alone.
	CallbackURL string `json:"callback_url,omitempty"`

	// `callbackIsPrefix`: an OAuth 1.0a callback may be longer than the
	// registered one.
	CallbackIsPrefix bool `json:"callback_is_prefix,omitempty"`

	// `description` of the app, for the consent page.
	Description string `json:"description,omitempty"`

	// `oauth2GrantTypes`: `authorization_code`, `refresh_token`,
	// `client_credentials`.
	GrantTypes []string `json:"grant_types,omitempty"`

	// `oauth2IsConfidential`: an OAuth 2 app can keep a secret.
	Confidential bool `json:"confidential,omitempty"`
}

// everywhere are the restrictions of a consumer that has none.
const everywhere = `{"IPAddresses":["0.0.0.0/0","::/0"]}`

func (s Site) readConsumer(line *caddyfile.Dispenser) error {
	args := line.RemainingArgs()
	if len(args) != 1 {
		return line.Err("consumer takes one key and a block")
	}
	c := Consumer{Key: args[0]}
	wrong := grammar.Wrap(line, checkConsumerKey(c.Key))
	for _, other := range *s.Consumers {
		if other.Key == c.Key {
			wrong = line.Errf("consumer %s is given more than once", grammar.Shown(c.Key))
		}
	}
	err := grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"id":                 grammar.Number(&c.ID),
		"name":               grammar.Text(&c.Name, nil),
		"version":            grammar.Text(&c.Version, nil),
		"owner":              grammar.Number(&c.Owner),
		"oauth_version":      grammar.Number(&c.OAuthVersion),
		"grants":             grammar.Texts(&c.Grants),
		"secret_key":         grammar.Secret(&c.SecretKey),
		"rsa_key":            grammar.Secret(&c.RSAKey),
		"wiki":               grammar.Text(&c.Wiki, checkConsumerWiki),
		"restrictions":       grammar.Text(&c.Restrictions, nil),
		"owner_only":         grammar.Flag(&c.OwnerOnly),
		"callback_url":       grammar.Text(&c.CallbackURL, nil),
		"callback_is_prefix": grammar.Flag(&c.CallbackIsPrefix),
		"description":        grammar.Text(&c.Description, nil),
		"grant_types":        grammar.Texts(&c.GrantTypes),
		"confidential":       grammar.Flag(&c.Confidential),
	})
	*s.Consumers = append(*s.Consumers, c)
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

// consumers resolves the consumers that are kept in configuration. MediaWiki
// knows them since 1.47, so in a farm only the wikis of that release know them.
func (r *Resolver) consumers(s *Settings, from []Consumer) {
	if len(from) == 0 {
		return
	}
	known := false
	for i := range s.Served {
		s.Served[i].Consumers = s.Served[i].Policy.Release >= validator.Release147
		known = known || s.Served[i].Consumers || s.Served[i].Policy.Release == 0 // 0: the release is a mistake already
	}
	if !known {
		r.Check(errors.New("consumer: apps kept in configuration need mediawiki 1.47"))
	}
	keys, ids := map[string]bool{}, map[int]bool{}
	for _, c := range from {
		consumer := r.consumer(c)
		switch {
		case keys[c.Key]:
			r.Check(fmt.Errorf("consumer %s is given more than once", grammar.Shown(c.Key)))
		case c.ID > 0 && ids[c.ID]:
			r.Check(fmt.Errorf("consumer %s: id %d is another one's", grammar.Shown(c.Key), c.ID))
		}
		keys[c.Key], ids[c.ID] = true, true
		s.Consumers = append(s.Consumers, consumer)
	}
}

func (r *Resolver) consumer(c Consumer) validator.Consumer {
	setting := func(name string) string { return "consumer " + grammar.Shown(c.Key) + ": " + name }
	r.Check(checkConsumerKey(c.Key))
	app := validator.Consumer{
		ID:        uint64(max(c.ID, 0)),
		Key:       c.Key,
		Name:      r.Text(setting("name"), c.Name),
		OwnerID:   uint64(max(c.Owner, 0)),
		Wiki:      cmp.Or(r.Checked(setting("wiki"), c.Wiki, checkConsumerWiki), "*"),
		OwnerOnly: c.OwnerOnly,
		Secret:    r.Checked(setting("secret_key"), c.SecretKey, checkSecretKey),
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
		r.Check(errors.New(setting("it needs " + strings.Join(missing, ", "))))
	}
	switch c.OAuthVersion {
	case 1, 2:
		app.Version = uint8(c.OAuthVersion)
	default:
		r.Check(fmt.Errorf("%s is 1 or 2, not %d", setting("oauth_version"), c.OAuthVersion))
	}
	if pem := r.PEM(setting("rsa_key"), c.RSAKey); pem != "" {
		if app.RSAKey = validator.ParseConsumerKey([]byte(pem)); app.RSAKey == nil {
			r.Check(errors.New(setting("rsa_key is not a public RSA key in PEM of 1024 to 4096 bits and an exponent of at most 65537")))
		}
	}
	restrictions := cmp.Or(c.Restrictions, everywhere) // JSON is full of braces: no placeholders
	if app.Restrictions = validator.ParseRestrictions([]byte(restrictions), validator.Release147); app.Restrictions.Broken {
		r.Check(errors.New(setting(`restrictions are not as MediaWiki has them, such as ` + everywhere)))
	}
	return app
}
