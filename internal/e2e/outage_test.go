package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
)

func TestConfigLoadTiedToTheStore(t *testing.T) {
	w := harness.NewWiki(t, release139)
	s := mariadb.Start(t)
	s.Stop(t)
	running := false
	t.Cleanup(func() {
		if !running {
			s.Restart(t)
		}
	})
	g := harness.New(t, harness.Options{Wiki: w, Settings: []string{"cache {\n\tttl 200ms\n\tmax_stale 1h\n}"}})
	bearer := w.Bearer(t, w.OAuth2)
	for range 3 {
		for _, a := range []*harness.Answer{g.Get(t, "/", bearer), g.Signed(t, w.HMAC, "/")} {
			a.Want(t, "store_unavailable")
			if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || len(a.Header["Www-Authenticate"]) != 0 {
				t.Errorf("%d, Retry-After %q, WWW-Authenticate %q", a.Status, a.Header.Get("Retry-After"), a.Header["Www-Authenticate"])
			}
		}
	}
	// What needs no database is still told.
	g.Get(t, "/", "Bearer a.b.c").Want(t, "malformed_token")
	g.Get(t, "/", "").Want(t, "no_credentials")

	s.Restart(t)
	running = true
	eventually(t, "requests pass again", func() bool { return g.Get(t, "/", bearer).Status == http.StatusOK })
	eventually(t, "signed ones too", func() bool { return g.Signed(t, w.HMAC, "/").Status == http.StatusOK })

	// Down again: what was found is still known, beyond its ttl; what was not
	// asked for is not.
	s.Stop(t)
	running = false
	for end := time.Now().Add(600 * time.Millisecond); time.Now().Before(end); {
		g.Get(t, "/", bearer).Want(t, "ok")
		g.Signed(t, w.HMAC, "/").Want(t, "ok")
	}
	g.Get(t, "/", w.Bearer(t, w.Machine)).Want(t, "store_unavailable")
	g.Signed(t, w.RSA, "/").Want(t, "store_unavailable")
	s.Restart(t)
	running = true
	eventually(t, "what was not known is found", func() bool { return g.Signed(t, w.RSA, "/").Status == http.StatusOK })
	w.Exec(t, "UPDATE oauth2_access_tokens SET oaat_revoked = 1")
	eventually(t, "what was known is asked for again", func() bool { return g.Get(t, "/", bearer).Reason == "token_revoked" })
}

// TestEmptySecret: raw database secrets, or nothing at all, would be the keys
// if an empty site key were taken.
func TestEmptySecret(t *testing.T) {
	g := harness.New(t, harness.Options{})
	w := g.Wiki
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`secret_key ""`, "secret_key", "secret_key {file." + empty + "}", "secret_key {file." + empty + ".missing}",
		"secret_key {env.NO_SUCH_VARIABLE}", "secret_key {$NO_SUCH_VARIABLE}", "secret_key {http.request.header.X}", "secret_key {vars.x}",
	} {
		if err := g.Load(t, line); err == nil {
			t.Errorf("%s is loaded", line)
		} else if !strings.Contains(err.Error(), "secret_key") {
			t.Errorf("%s: the error does not name the setting: %v", line, err)
		}
	}
	// With a key, secrets as they are stored sign nothing; nor do none.
	for _, secrets := range [][2]string{{w.HMAC.Consumer.Secret, w.HMAC.Acceptance.Secret}, {"", ""}} {
		app := w.HMAC
		app.Credentials.ConsumerSecret, app.Credentials.TokenSecret = secrets[0], secrets[1]
		g.Signed(t, app, "/").Want(t, "bad_signature")
	}
	// Without one, by the operator's word, the stored ones do, but an empty one
	// never.
	if err := g.Load(t, "secret_key none"); err != nil {
		t.Fatal(err)
	}
	raw := w.HMAC
	raw.Credentials.ConsumerSecret, raw.Credentials.TokenSecret = raw.Consumer.Secret, raw.Acceptance.Secret
	g.Signed(t, raw, "/").Want(t, "ok")
	for _, column := range []string{"''", "NULL"} {
		w.Exec(t, "UPDATE oauth_registered_consumer SET oarc_secret_key = "+column)
		if err := g.Load(t, "secret_key none", "cache {\n\tttl "+map[string]string{"''": "1s", "NULL": "2s"}[column]+"\n}"); err != nil {
			t.Fatal(err)
		}
		raw.Credentials.ConsumerSecret = ""
		g.Signed(t, raw, "/").Want(t, "bad_signature")
	}
}
