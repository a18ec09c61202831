package cli

import (
	"bufio"
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// credentials are what an app signs with: a bearer token, or the rest.
type credentials struct {
	sign.Credentials
	bearer string
}

// credentialNames are the names in a credentials file. In the environment they
// are upper-case, after "OAUTH_".
var credentialNames = []string{
	"consumer_key", "consumer_secret", "access_token", "access_secret", "rsa_key_file", "bearer_token",
}

// readCredentials reads the app's section of a file, or the environment when no
// file is named.
func readCredentials(file, app string, warn io.Writer) (credentials, error) {
	if file == "" {
		if app != "" {
			return credentials{}, errors.New("--app names a section of a file: --credentials is missing")
		}
		values := map[string]string{}
		for _, name := range credentialNames {
			values[name] = os.Getenv("OAUTH_" + strings.ToUpper(name))
		}
		return newCredentials(values, "", warn)
	}
	f, err := openSecret(file, warn)
	if err != nil {
		return credentials{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	values, err := parseCredentials(f, app)
	if err != nil {
		return credentials{}, fmt.Errorf("%s: %w", file, err)
	}
	return newCredentials(values, filepath.Dir(file), warn)
}

// parseCredentials reads lines of "name = value" below the line "[app]", or,
// without an app, above any such line. Blank lines and lines that begin with
// "#" do not count.
func parseCredentials(r io.Reader, app string) (map[string]string, error) {
	values := map[string]string{}
	section, sections := "", []string{}
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name, is := strings.CutPrefix(line, "["); is {
			section = strings.TrimSuffix(name, "]")
			sections = append(sections, section)
			continue
		}
		name, value, is := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !is { // the line may be a secret
			return nil, fmt.Errorf("line %d: want name = value", number)
		}
		if !slices.Contains(credentialNames, name) {
			return nil, fmt.Errorf("line %d: unknown name%s: use one of %s", number, grammar.After(" ", grammar.Named(name)), strings.Join(credentialNames, ", "))
		}
		if section == app {
			values[name] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if app != "" && !slices.Contains(sections, app) {
		return nil, fmt.Errorf("no section [%s]", app)
	}
	if app == "" && len(values) == 0 && len(sections) > 0 {
		return nil, fmt.Errorf("want --app with one of its sections: %s", strings.Join(sections, ", "))
	}
	return values, nil
}

// newCredentials makes credentials of named values. The path of a key file is
// relative to dir.
func newCredentials(values map[string]string, dir string, warn io.Writer) (credentials, error) {
	c := credentials{
		Credentials: sign.Credentials{
			ConsumerKey: values["consumer_key"], ConsumerSecret: values["consumer_secret"],
			Token: values["access_token"], TokenSecret: values["access_secret"],
		},
		bearer: values["bearer_token"],
	}
	keyFile := values["rsa_key_file"]
	switch {
	case c.bearer == "" && c.ConsumerKey == "":
		return c, errors.New("no credentials: want consumer_key or bearer_token in the --credentials file, or OAUTH_CONSUMER_KEY or OAUTH_BEARER_TOKEN in the environment")
	case c.bearer != "" && cmp.Or(c.ConsumerKey, c.ConsumerSecret, c.Token, c.TokenSecret, keyFile) != "":
		return c, errors.New("bearer_token stands alone: OAuth 1.0a needs the others, OAuth 2 none of them")
	case c.bearer == "" && c.ConsumerSecret == "" && keyFile == "":
		return c, errors.New("consumer_key without consumer_secret or rsa_key_file")
	case strings.ContainsFunc(c.bearer, func(r rune) bool { return r <= 0x20 || r > 0x7e }):
		return c, errors.New("bearer_token has characters that no token has")
	case keyFile == "":
		return c, nil
	}
	if !filepath.IsAbs(keyFile) {
		keyFile = filepath.Join(dir, keyFile)
	}
	f, err := openSecret(keyFile, warn)
	if err != nil {
		return c, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(f)
	if err != nil {
		return c, err
	}
	if c.RSAKey, err = parseRSAKey(text); err != nil {
		return c, fmt.Errorf("%s: %w", keyFile, err)
	}
	return c, nil
}

// readToken reads a token and its secret from a file, or from the standard input
// ("-"), as a wiki answers with them: oauth_token=...&oauth_token_secret=...
func readToken(file string, stdin io.Reader, warn io.Writer) (token, secret string, err error) {
	if file != "-" {
		f, err := openSecret(file, warn)
		if err != nil {
			return "", "", err
		}
		defer f.Close() //nolint:errcheck // it was only read
		stdin = f
	}
	text, err := io.ReadAll(stdin)
	if err != nil {
		return "", "", err
	}
	values, err := url.ParseQuery(strings.TrimSpace(string(text))) //nolint:forbidigo // an answer, which is not signed
	token, secret = values.Get("oauth_token"), values.Get("oauth_token_secret")
	if err != nil || token == "" || secret == "" { // the text may hold a secret
		return "", "", errors.New("no token: want oauth_token=...&oauth_token_secret=..., which is what /initiate and /token answer")
	}
	return token, secret, nil
}

func parseRSAKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block found")
	}
	switch block.Type {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		if key, is := key.(*rsa.PrivateKey); is {
			return key, nil
		}
	}
	return nil, fmt.Errorf("PEM block %q: want an RSA private key", block.Type)
}

// openSecret opens a file and warns when others than its owner can read it.
func openSecret(name string, warn io.Writer) (*os.File, error) {
	f, err := os.Open(name) //nolint:gosec // G304: which file to read is the user's to say.
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// Windows has no such bits, and Go makes some up.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		fmt.Fprintf(warn, "warning: others can read %s (mode %#o): chmod 600 %s\n", name, mode, shellQuote(name))
	}
	return f, nil
}
