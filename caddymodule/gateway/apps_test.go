package gateway

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// anApp is an app kept in configuration, with what more says.
func anApp(more map[string]any) map[string]any {
	app := map[string]any{"key": strings.Repeat("a", 32), "id": 1000, "name": "Tool", "owner": 42, "oauth_version": 1}
	maps.Copy(app, more)
	return app
}

func TestAppsOfTheConfiguration(t *testing.T) {
	t.Setenv("OAUTH_TEST_SECRET", "raw secret")
	h, err := load(t, withDefaults(t, map[string]any{"consumers": []any{
		anApp(nil),
		anApp(map[string]any{
			"key": strings.Repeat("b", 32), "id": 1001, "oauth_version": 2, "secret_key": "{env.OAUTH_TEST_SECRET}", "rsa_key": write(t, pemOfNewKey(t, 1024)),
			"wiki": "dewiki", "restrictions": `{"IPAddresses":["10.0.0.0/8"],"Pages":["A"]}`, "owner_only": true,
		}),
	}}))
	if err != nil {
		t.Fatal(err)
	}
	if a := h.cfg.site.Consumers[0]; a.ID != 1000 || a.Key != strings.Repeat("a", 32) || a.Name != "Tool" || a.OwnerID != 42 || a.Version != 1 || a.Wiki != "*" ||
		!a.Restrictions.Everywhere() || a.OwnerOnly || a.RSAKey != nil || a.Secret != "" {
		t.Errorf("%+v", a)
	}
	if a := h.cfg.site.Consumers[1]; a.ID != 1001 || a.Version != 2 || a.Wiki != "dewiki" || a.Restrictions.Everywhere() || len(a.Restrictions.Pages) != 1 || !a.OwnerOnly ||
		a.RSAKey == nil || a.Secret != "raw secret" {
		t.Errorf("%+v", a)
	}
	if !h.cfg.site.Served[0].Consumers {
		t.Error("the wiki does not know them")
	}
}

func TestMistakesInApps(t *testing.T) {
	for _, test := range []struct {
		name string
		apps []any
		more map[string]any
		want []string
	}{
		{"before 1.47", []any{anApp(nil)}, map[string]any{"mediawiki": "1.46"}, []string{"consumer: apps kept in configuration need mediawiki 1.47"}},
		{"empty", []any{map[string]any{}}, nil, []string{`consumer: the value given is not a key`, "it needs id, name, owner", "oauth_version is 1 or 2, not 0"}},
		{"key", []any{anApp(map[string]any{"key": strings.Repeat("A", 32)})}, nil, []string{"is not a key: use 32 of 0-9 and a-f"}},
		{"one key twice", []any{anApp(nil), anApp(map[string]any{"id": 2})}, nil, []string{"consumer " + strings.Repeat("a", 32) + " is given more than once"}},
		{"one id twice", []any{anApp(nil), anApp(map[string]any{"key": strings.Repeat("b", 32)})}, nil, []string{"consumer " + strings.Repeat("b", 32) + ": id 1000 is another one's"}},
		{"negative", []any{anApp(map[string]any{"id": -1, "owner": -1, "oauth_version": -1})}, nil, []string{"it needs id, owner", "not -1"}},
		{"wiki", []any{anApp(map[string]any{"wiki": "a.b"})}, nil, []string{`"a.b" is not a wiki id`}},
		{"no secret", []any{anApp(map[string]any{"secret_key": "{env.OAUTH_TEST_NOWHERE}"})}, nil, []string{"secret_key: placeholder {env.OAUTH_TEST_NOWHERE} is empty or unknown"}},
		{"white space", []any{anApp(map[string]any{"secret_key": "hunter2 "})}, nil, []string{"begins or ends with white space"}},
		{"no RSA key", []any{anApp(map[string]any{"rsa_key": write(t, "hello")})}, nil, []string{"rsa_key is not a public RSA key in PEM of 1024 to 4096 bits"}},
		{"no key file", []any{anApp(map[string]any{"rsa_key": "rsa_key: the file cannot be read: no such file"})}, nil, []string{"rsa_key: ", "rsa_key: the file cannot be read: no such file"}},
		{"restrictions", []any{anApp(map[string]any{"restrictions": "[]"})}, nil, []string{"restrictions are not as MediaWiki has them"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			more := map[string]any{"consumers": test.apps}
			maps.Copy(more, test.more)
			_, err := load(t, withDefaults(t, more))
			if err == nil {
				t.Fatal("loaded")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("a secret is quoted: %v", err)
			}
		})
	}
}

// A farm is upgraded wiki by wiki: those of 1.47 know the apps.
func TestAppsOfAFarm(t *testing.T) {
	h := farm(map[string]config.Wiki{"newwiki": {}, "oldwiki": {MediaWiki: "1.46"}})
	h.Consumers = []config.Consumer{{Key: strings.Repeat("a", 32), ID: 1, Name: "Tool", Owner: 1, OAuthVersion: 1}}
	s := settingsOf(t, h)
	for _, w := range s.site.Served {
		if w.Consumers != (w.Tables.ID == "newwiki") {
			t.Errorf("%s: %v", w.Tables.ID, w.Consumers)
		}
	}
}

// Through Caddy: the app of the configuration comes before the one of the
// database, by key and by id.
func TestAppsThroughCaddy(t *testing.T) {
	s := newSite(t)
	secret := wikidb.RandomHex(32)
	block := func(owner string) string {
		return "consumer " + s.credentials.ConsumerKey + " {\nid 1\nname configured\nowner " + owner + "\noauth_version 1\nsecret_key " + secret + "\nowner_only\n}"
	}
	get := func() (*http.Response, string) {
		s.seen.Store(nil)
		response, body := do(t, s.signed(t, http.MethodGet, "/", nil))
		return response, body
	}
	s.load(t, block("7"), "")
	if response, body := get(); response.StatusCode != http.StatusUnauthorized || !strings.Contains(body, validator.BadSignature.String()) {
		t.Errorf("signed with the database's secret: %d %s", response.StatusCode, body)
	}
	s.credentials.ConsumerSecret = sign.Secret("site key", secret)
	response, body := get()
	if seen := s.seen.Load(); seen == nil || seen.Header.Get("X-OAuth-Consumer-Name") != "configured" || seen.Header.Get("X-OAuth-Owner-Only") != "true" {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	s.load(t, block("8"), "") // the cache is the same, the app is not
	if response, body := get(); response.StatusCode != http.StatusForbidden || !strings.Contains(body, validator.ConsumerNotUsable.String()) {
		t.Errorf("of another owner: %d %s", response.StatusCode, body)
	}
}
