package e2e_test

import (
	"encoding/base64"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// redact is the recipe for logs that Caddyfile.example gives: Caddy masks the
// Authorization header by itself, but no credential in a URL.
func redact(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Caddyfile.example"))
	if err != nil {
		t.Fatal(err)
	}
	recipe := regexp.MustCompile(`(?s)\n\t\tformat (filter \{\n.*?\n\t\t\})`).FindStringSubmatch(string(text))
	if recipe == nil {
		t.Fatal("Caddyfile.example has no format filter")
	}
	return recipe[1]
}

var signatureParam = regexp.MustCompile(`oauth_signature="([^"]+)"`)

// TestSecretLeak sends what passes and what is refused, of every kind, breaks
// the database, and then looks for every secret in everything that the gateway
// has said.
func TestSecretLeak(t *testing.T) {
	w := harness.NewWiki(t, release139)
	// Caddy logs what a rewrite makes of a URL in a field of its own.
	rewritten := "rewrite * /rewritten{path}?{query}\n" + harness.DefaultSite
	g := harness.New(t, harness.Options{Wiki: w, Site: rewritten, LogFormat: redact(t), Settings: []string{
		"cache {\n\tttl 100ms\n\tnegative_ttl 100ms\n\tmax_stale 100ms\n}",
	}})
	said := new(strings.Builder)
	secrets := map[string]string{
		"site key": w.SiteKey, "database password": w.Password, "DSN": w.DSN, "DSN up to the host": strings.Split(w.DSN, "@tcp")[0],
	}
	keep := func(name, value string) {
		secrets[name] = value
		secrets[name+", in base64"] = base64.StdEncoding.EncodeToString([]byte(value))
		secrets[name+", percent-encoded"] = url.QueryEscape(value)
	}
	listen := func(a *harness.Answer) {
		if a.Seen != nil {
			return // the backend says what it was sent, and may be sent the credential
		}
		said.WriteString(a.Proto + string(a.Body))
		for name, values := range a.Header {
			said.WriteString(name + strings.Join(values, "\n"))
		}
	}
	send := func(authorization, target string) {
		if found := signatureParam.FindStringSubmatch(authorization); found != nil {
			keep("signature "+found[1], found[1])
			plain, err := url.PathUnescape(found[1])
			if err != nil {
				t.Fatal(err)
			}
			keep("signature "+plain, plain)
		} else {
			keep("bearer token", strings.TrimPrefix(authorization, "Bearer "))
			keep("signature of "+authorization, authorization[strings.LastIndexByte(authorization, '.')+1:])
		}
		switch target {
		case "query":
			listen(g.Get(t, inQuery("/", authorization), ""))
			return
		case "encoded names":
			listen(g.Get(t, strings.ReplaceAll(inQuery("/?x;y", authorization), "oauth_", "%6Fauth%5f"), ""))
			return
		}
		listen(g.Get(t, target, authorization))
	}
	all := func() {
		for _, app := range []harness.App{w.HMAC, w.BobsHMAC, w.RSA, w.OwnerOnly, w.Restricted} {
			keep("stored consumer secret", app.Consumer.Secret)
			keep("consumer secret", sign.Secret(w.SiteKey, app.Consumer.Secret))
			keep("stored token secret", app.Acceptance.Secret)
			keep("token secret", app.Credentials.TokenSecret)
			keep("access token", app.Acceptance.Token)
			for _, target := range []string{"/", "query", "encoded names"} {
				signed := harness.Sign(t, app, "GET", g.URL("/"), "")
				send(signed, target)
				send(signed, target) // replayed
				unknown := app
				unknown.Credentials.Token = wikidb.RandomHex(16)
				keep("unknown token", unknown.Credentials.Token)
				send(harness.Sign(t, unknown, "GET", g.URL("/"), ""), target)
				wrong := app
				wrong.Credentials.ConsumerSecret = wikidb.RandomHex(16)
				send(harness.Sign(t, wrong, "GET", g.URL("/"), ""), target)
				send(signAt(t, app, "GET", g.URL("/"), "", "1000000000"), target)
				send(strings.Replace(harness.Sign(t, app, "GET", g.URL("/"), ""), `"1.0"`, `"2.0"`, 1), target)
				send(strings.Replace(harness.Sign(t, app, "GET", g.URL("/"), ""), "oauth_consumer_key", "oauth_token", 1), target)
			}
		}
		for _, app := range []harness.App{w.OAuth2, w.Machine} {
			keep("stored client secret", app.Consumer.Secret)
			for _, changed := range []map[string]any{nil, {"exp": 1}, {"jti": wikidb.RandomHex(40)}, {"aud": w.HMAC.Consumer.Key}, {"scopes": nil}, {"nbf": 1e12}, {"jti": 5}} {
				send("Bearer "+w.Token(t, app, changed), "/")
			}
			raw := w.Token(t, app, nil)
			send("Bearer "+raw[:len(raw)-20]+"AAAAAAAAAAAAAAAAAAAA", "/")
			send("Bearer "+strings.Replace(raw, ".", "..", 1), "/")
			send("Bearer "+raw+", "+raw, "/")
		}
	}
	all()
	metrics := g.Metrics(t)
	mariadb.Start(t).Exec(t, "ALTER TABLE "+w.Database+".oauth_accepted_consumer DROP COLUMN oaac_access_secret")
	all()
	mariadb.Start(t).Exec(t, "ALTER USER 'gateway_"+w.Database+"'@'%' IDENTIFIED BY 'another'")
	mariadb.Start(t).Exec(t, "KILL USER 'gateway_"+w.Database+"'")
	all()
	metrics += g.Metrics(t)
	for _, setting := range []string{
		"store mysql " + `"` + w.DSN + `?multiStatements=true"`, "store mysql " + `"` + strings.Replace(w.DSN, "@tcp", "@nonsense", 1) + `"`,
		"store mysql", "store nosuch " + `"` + w.DSN + `"`, "store mysql x " + `"` + w.DSN + `"`,
		"store mysql " + `"` + w.DSN + `" {` + "\n\treplica " + `"` + w.DSN + `?tls=preferred"` + "\n}",
		"secret_key " + w.SiteKey + " x", "secret_key {" + w.SiteKey + "}", "public_key " + w.SiteKey, "store mysql {" + w.Password + "}",
	} {
		err := g.Load(t, setting)
		if err == nil {
			t.Errorf("setting is taken: %s", setting)
			continue
		}
		// A value in the wrong place may be told where the grammar cannot know
		// it for a secret: a path, a placeholder.
		if strings.HasPrefix(setting, "public_key") {
			continue
		}
		said.WriteString(err.Error() + "\n")
	}

	log := g.Log(t)
	for _, reason := range []string{"bad_signature", "nonce_used", "unknown_token", "timestamp_expired", "address_not_allowed", "token_revoked", "store_unavailable"} {
		if !strings.Contains(log, `"reason":"`+reason+`"`) || !strings.Contains(metrics, `reason="`+reason+`"`) {
			t.Errorf("%s is not in the log, or not counted: the test does not see what it should", reason)
		}
	}
	for place, text := range map[string]string{"log": log, "metrics": metrics, "answers and errors": said.String()} {
		for name, secret := range secrets {
			if secret == "" {
				t.Fatalf("%s is empty", name)
			}
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s: %s: …%s…", place, name, text[max(0, i-300):min(len(text), i+len(secret)+50)])
			}
		}
		// Nor a part of one that would do: a site key or password without its
		// beginning.
		for _, part := range []string{w.SiteKey[9:], w.Password[14:], w.Password[:14]} {
			if strings.Contains(text, part) {
				t.Errorf("%s: a part of a secret", place)
			}
		}
	}
}
