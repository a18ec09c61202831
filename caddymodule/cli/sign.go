package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// signOptions are the flags of `caddy oauth sign`.
type signOptions struct {
	method      string
	data        []string
	formFile    string
	credentials string
	app         string
	realm       string
	headerOnly  bool
	// For the handshake: what is sent, and where the token is that the wiki has
	// answered with.
	callback, verifier, tokenFile string
}

func newSignCommand() *cobra.Command {
	var o signOptions
	cmd := &cobra.Command{
		Use:   "sign [flags] <url>",
		Short: "Signs a request to a wiki, freshly, and prints it as a curl line",
		Long: `Signs a request to a wiki with OAuth 1.0a, or adds a bearer token (OAuth 2), and prints it as a curl line that
can be pasted in a POSIX shell. Works for any wiki with MediaWiki's OAuth extension, and for any method, URL and form.

An OAuth 1.0a line works once, and for five minutes: its nonce and timestamp are fresh at each call.

Secrets come from a file or from the environment, never from arguments, which other users can see. The file has lines

	consumer_key = ...
	consumer_secret = ...
	access_token = ...
	access_secret = ...
	rsa_key_file = ...      RSA-SHA1, in place of the secrets; a path relative to this file's directory

or only

	bearer_token = ...

and may hold several apps, each below a line [name] that --app chooses. In the environment the names are
OAUTH_CONSUMER_KEY, OAUTH_CONSUMER_SECRET and so on.

A bearer token goes to curl on its standard input, and so into no argument.

For the handshake of OAuth 1.0a there are --callback (for /initiate), --verifier (for /token) and --token-file. That
file is what /initiate or /token has answered, and its token signs.`,
		Example: `  caddy oauth sign -c ~/.wiki 'https://wiki.example.org/w/api.php?action=query&meta=userinfo&format=json'
  caddy oauth sign -c ~/.wiki -d action=edit -d title=Sandbox -d 'text=Hello, world' https://wiki.example.org/w/api.php
  caddy oauth sign -c ~/.wiki --header-only https://wiki.example.org/w/ | curl -H @- https://wiki.example.org/w/
  caddy oauth sign -c ~/.app --callback oob https://wiki.example.org/oauth/initiate | sh > ~/.request
  caddy oauth sign -c ~/.app --token-file ~/.request --verifier 0123abcd https://wiki.example.org/oauth/token | sh`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			line, err := o.line(args[0], cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), line)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.method, "method", "X", "", "request method (default GET, or POST with a form)")
	flags.StringArrayVarP(&o.data, "data", "d", nil, "form parameter name=value, as it is: it is encoded here; repeatable")
	flags.StringVar(&o.formFile, "form-file", "", "file with a body of type application/x-www-form-urlencoded, sent as it is")
	flags.StringVarP(&o.credentials, "credentials", "c", "", "file with the secrets (default: the environment)")
	flags.StringVar(&o.app, "app", "", "section of the credentials file")
	flags.StringVar(&o.realm, "realm", "", "realm to put in the header")
	flags.StringVar(&o.callback, "callback", "", "callback to send to /initiate: a URL, or oob for the registered one")
	flags.StringVar(&o.verifier, "verifier", "", "verifier to send to /token")
	flags.StringVar(&o.tokenFile, "token-file", "", "file with oauth_token=...&oauth_token_secret=..., as the wiki answers, in place of access_token and access_secret; - is the standard input")
	flags.BoolVar(&o.headerOnly, "header-only", false, "print only the Authorization header")
	return cmd
}

// line is what the command prints for a URL.
func (o signOptions) line(rawURL string, stdin io.Reader, warn io.Writer) (string, error) {
	r := curl{method: o.method, url: rawURL}
	if err := o.readForm(&r); err != nil {
		return "", err
	}
	if r.method == "" {
		r.method = http.MethodGet
		if r.hasForm {
			r.method = http.MethodPost
		}
	}
	if err := r.check(); err != nil {
		return "", err
	}
	c, err := readCredentials(o.credentials, o.app, warn)
	if err != nil {
		return "", err
	}
	if c.bearer != "" && cmp.Or(o.callback, o.verifier, o.tokenFile) != "" {
		return "", errors.New("--callback, --verifier and --token-file are for OAuth 1.0a: the credentials are a bearer_token")
	}
	if o.tokenFile != "" {
		if c.Token, c.TokenSecret, err = readToken(o.tokenFile, stdin, warn); err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
	}
	if err := r.authorize(c, sign.Options{Realm: o.realm, Callback: o.callback, Verifier: o.verifier}); err != nil {
		return "", err
	}
	if o.headerOnly {
		return "Authorization: " + r.authorization, nil
	}
	return r.String(), nil
}

// readForm makes the form of the request.
func (o signOptions) readForm(r *curl) error {
	switch {
	case len(o.data) > 0 && o.formFile != "":
		return errors.New("--data and --form-file: want one of them")
	case len(o.data) > 0:
		pairs := make([]string, len(o.data))
		for i, pair := range o.data {
			name, value, found := strings.Cut(pair, "=")
			if !found {
				return fmt.Errorf("--data: %s: use name=value", grammar.Quoted(pair))
			}
			pairs[i] = sign.Escape(name) + "=" + sign.Escape(value)
		}
		r.form, r.hasForm = []byte(strings.Join(pairs, "&")), true
	case o.formFile != "":
		var err error
		if r.form, err = os.ReadFile(o.formFile); err != nil {
			return err
		}
		r.formFile, r.hasForm = o.formFile, true
	}
	return nil
}

// curl is a request as curl sends it.
type curl struct {
	method, url   string
	form          []byte
	hasForm       bool
	formFile      string // where form was read, and curl is to read it again
	authorization string // empty: no credential
	headers       []string
	flags         string // more options, for the shell as they are
}

// check refuses what curl would not send as it is signed.
func (r curl) check() error {
	tchar := func(c rune) bool { return grammar.IsAlphanumeric(c) || strings.ContainsRune("!#$%&'*+-.^_`|~", c) }
	if r.method == "" || strings.TrimFunc(r.method, tchar) != "" {
		return fmt.Errorf("%s is not a request method", grammar.Quoted(r.method))
	}
	if r.method == http.MethodHead && r.hasForm {
		return errors.New("curl sends no form with HEAD")
	}
	if scheme, _, found := strings.Cut(r.url, "://"); !found || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return fmt.Errorf("url: %s does not begin with http:// or https://", grammar.Quoted(r.url))
	}
	return nil
}

// authorize sets the Authorization header.
func (r *curl) authorize(c credentials, o sign.Options) (err error) {
	if c.bearer != "" {
		r.authorization = "Bearer " + c.bearer
		return nil
	}
	r.authorization, err = sign.Header(c.Credentials, r.method, r.url, r.form, o)
	return err
}

// String is the command line. Curl is told to leave dots and brackets of the URL alone: they are signed.
func (r curl) String() string {
	words := []string{"curl -sS --path-as-is --globoff" + r.flags}
	switch {
	case r.method == http.MethodHead:
		words = append(words, "--head")
	case r.method == http.MethodGet && !r.hasForm, r.method == http.MethodPost:
	default:
		words = append(words, "-X", shellQuote(r.method))
	}
	bearer := strings.HasPrefix(r.authorization, "Bearer ")
	switch {
	case bearer: // good for years: not an argument, which other users can see
		words = append(words, "--config -")
	case r.authorization != "": // good for one request
		words = append(words, "-H", shellQuote("Authorization: "+r.authorization))
	}
	for _, header := range r.headers {
		words = append(words, "-H", shellQuote(header))
	}
	switch {
	case r.formFile != "":
		words = append(words, "--data-binary", shellQuote("@"+r.formFile))
	case r.hasForm || r.method == http.MethodPost:
		words = append(words, "--data-raw", shellQuote(string(r.form)))
	}
	line := strings.Join(append(words, shellQuote(r.url)), " ")
	if bearer {
		escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
		config := `header = "Authorization: ` + escape.Replace(r.authorization) + `"`
		line = "printf '%s\\n' " + shellQuote(config) + " | " + line // printf is the shell's own: no process has it as an argument
	}
	return line
}

// shellQuote makes one word of s, whatever is in it.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
