package e2e_test

import (
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

// TestHandshake is the site that docs/operators.md has for the wiki itself: what is signed without an access token
// reaches it, with its credential and without an identity, by the names of the handshake alone.
func TestHandshake(t *testing.T) {
	const site = `
	@handshake ` + "`query({'title': ['Special:OAuth/initiate', 'Special:OAuth/token']}) ||" + `
		path('/wiki/Special:OAuth/initiate', '/wiki/Special:OAuth/token')` + "`" + `
	handle @handshake {
		oauth {
			import settings
			mode strip
		}
		import backend
	}
	handle {
		oauth {
			import settings
			mode optional
		}
		import backend
	}
`
	g := harness.New(t, harness.Options{Site: site})
	started := g.Wiki.HMAC
	started.Credentials.Token, started.Credentials.TokenSecret = "", ""
	for _, tt := range []struct {
		app          harness.App
		target, want string
	}{
		{started, "/w/index.php?title=Special:OAuth/initiate&oauth_callback=oob", ""},
		{started, "/w/index.php?title=Special%3AOAuth%2Ftokens", "missing_token"},
		{started, "/w/index.php?title=Special%3AOAuth%2Ftoken", ""},
		{started, "/wiki/Special:OAuth/initiate", ""},
		{started, "/w/api.php?action=query", "missing_token"},
		{g.Wiki.HMAC, "/w/index.php?title=Special:OAuth/identify", "ok"},
	} {
		authorization := harness.Sign(t, tt.app, "GET", g.URL(tt.target), "")
		a := g.Get(t, tt.target, authorization, "X-OAuth-User-Id", "1")
		if tt.want != "" {
			a.Want(t, tt.want)
			continue
		}
		if a.Seen == nil || a.Seen.Header.Get("Authorization") != authorization || a.Identity("User-Id") != "" {
			t.Errorf("%s: status %d, the wiki saw %+v", tt.target, a.Status, a.Seen)
		}
	}
}
