package e2e_test

import (
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

// TestOneRequestOfEachKind sends each kind of credential that passes, and reads
// the identity at the backend.
func TestOneRequestOfEachKind(t *testing.T) {
	g := harness.New(t, harness.Options{})
	w := g.Wiki
	for _, tt := range []struct {
		name    string
		answer  *harness.Answer
		want    map[string]string
		without []string
	}{
		{"HMAC", g.Signed(t, w.HMAC, "/w/api.php?action=query&b=2&a=1"), map[string]string{
			"User-Id": "7", "User-Name": "Alice", "Groups": "sysop", "Grants": "basic,editpage", "Version": "1.0a",
			"Consumer-Key": w.HMAC.Consumer.Key, "Consumer-Name": "hmac app", "Wiki": "enwiki",
		}, []string{"Owner-Only"}},
		{"HMAC, another user", g.Signed(t, w.BobsHMAC, "/"), map[string]string{"User-Id": "8", "User-Name": "Bob"}, []string{"Groups"}},
		{"RSA", g.Signed(t, w.RSA, "/?x"), map[string]string{"User-Id": "7", "Consumer-Name": "rsa app"}, nil},
		{"owner-only", g.Signed(t, w.OwnerOnly, "/"), map[string]string{"User-Id": "7", "Owner-Only": "true"}, nil},
		{"OAuth 2", g.Get(t, "/", w.Bearer(t, w.OAuth2)), map[string]string{
			"User-Id": "7", "User-Name": "Alice", "Version": "2.0", "Consumer-Key": w.OAuth2.Consumer.Key, "Grants": "basic,editpage",
		}, nil},
		{"machine", g.Get(t, "/", w.Bearer(t, w.Machine)), map[string]string{
			"Consumer-Name": "machine app", "Version": "2.0",
		}, []string{"User-Id", "User-Name", "Groups"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.answer.Want(t, "ok")
			for name, want := range tt.want {
				if got := tt.answer.Identity(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			for _, name := range tt.without {
				if got := tt.answer.Identity(name); got != "" {
					t.Errorf("%s: %q, want none", name, got)
				}
			}
		})
	}
	g.Get(t, "/", "").Want(t, "no_credentials")
	g.Signed(t, w.Restricted, "/").Want(t, "address_not_allowed")
}
