package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// demoLine is a request to try.
type demoLine struct {
	title  string
	reason validator.Reason // OK: it passes
	app    string           // section of the credentials file; empty: no credential
	twice  bool             // only the answer to the second time is shown
	change func(r *curl, c *credentials, o *sign.Options)
}

var demoLines = []demoLine{
	{title: "OAuth 1.0a with HMAC-SHA1, as Bob", app: "ordinary"},
	{title: "OAuth 1.0a with RSA-SHA1, as Bob", app: "rsa"},
	{title: "an owner-only app, as Alice", app: "owner-only"},
	{title: "OAuth 2, as Bob", app: "oauth2"},
	{title: "claims to be Alice in a header, but the backend sees Bob", app: "ordinary", change: func(r *curl, _ *credentials, _ *sign.Options) {
		r.headers = []string{"X-OAuth-User-Name: Alice", "X_OAuth_User_Name: Alice", "X-OAuth-Groups: sysop"}
	}},
	{title: "no credentials", reason: validator.NoCredentials},
	{title: "an app that is not registered", reason: validator.UnknownConsumer, app: "ordinary", change: func(_ *curl, c *credentials, _ *sign.Options) {
		c.ConsumerKey = wikidb.RandomHex(16)
	}},
	{title: "signed with another secret", reason: validator.BadSignature, app: "ordinary", change: func(_ *curl, c *credentials, _ *sign.Options) {
		c.TokenSecret = wikidb.RandomHex(20)
	}},
	{title: "signed an hour ago", reason: validator.TimestampExpired, app: "ordinary", change: func(_ *curl, _ *credentials, o *sign.Options) {
		o.Timestamp = strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	}},
	{title: "the same signed request twice; the first passes", reason: validator.NonceUsed, app: "ordinary", twice: true},
	{title: "a bearer token that was revoked", reason: validator.TokenRevoked, app: "oauth2-revoked"},
}

// demoTarget is the request of all lines.
const demoTarget = "/w/api.php?action=query&meta=userinfo&format=json"

// lines is what the demonstration prints.
func (w *demoWiki) lines() (string, error) {
	url := w.base + demoTarget
	var text strings.Builder
	fmt.Fprintf(&text, `The wiki %q with fresh secrets is behind %s, in front of a backend that answers what it got.
Configuration: %s
Secrets:       %s
`, demoWikiID, w.base, w.path("Caddyfile"), w.path("credentials"))
	for _, line := range demoLines {
		command, err := w.command(line, url)
		if err != nil {
			return "", err
		}
		outcome := "passes"
		if line.reason != validator.OK {
			outcome = fmt.Sprintf("refused (%d %s)", line.reason.Status(), line.reason)
		}
		fmt.Fprintf(&text, "\n# %s: %s\n%s\n", outcome, line.title, command)
	}
	caddy, err := os.Executable()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&text, `
OAuth 1.0a lines work once, and until %s, when their timestamp is too old; the bearer token until %s.
A fresh line for one of the apps %s, and any method, URL and form:

%s oauth sign --credentials %s --app %s %s

%sCtrl-C ends the demonstration, and removes all of it.
`, w.made.Add(validator.DefaultTimestampWindow).Format(time.TimeOnly), w.made.Add(demoLifetime).Format(time.TimeOnly),
		w.appNames(), shellQuote(caddy), shellQuote(w.path("credentials")), w.apps[0].name, shellQuote(url), w.issuingText(caddy))
	return text.String(), nil
}

func (w *demoWiki) appNames() string {
	var names []string
	for _, app := range w.apps {
		names = append(names, app.name)
	}
	return strings.Join(names, ", ")
}

// command is a line for the shell.
func (w *demoWiki) command(line demoLine, url string) (string, error) {
	r := curl{method: "GET", url: url}
	if i := slices.IndexFunc(w.apps, func(a demoApp) bool { return a.name == line.app }); i >= 0 {
		c, err := newCredentials(w.apps[i].values, w.dir, io.Discard)
		if err != nil {
			return "", err
		}
		var o sign.Options
		if line.change != nil {
			line.change(&r, &c, &o)
		}
		if err := r.authorize(c, o); err != nil {
			return "", err
		}
	}
	if !line.twice {
		return r.String(), nil
	}
	first := r
	first.flags = " -o /dev/null"
	return first.String() + "; " + r.String(), nil
}
