package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// foreignValue is what a client says in headers of ours.
const foreignValue = "Mallory"

// aliases are header lines that a backend could take for ours.
func aliases() []string {
	var lines []string
	for _, separator := range []string{"-", "_", ".", "!", "#", "$", "%", "&", "'", "*", "+", "^", "`", "|", "~"} {
		for _, name := range []string{"X-OAuth-User-Name", "x-oauth-user-id", "X-OAUTH-GRANTS", "x-oAuth-Anything"} {
			lines = append(lines, strings.ReplaceAll(name, "-", separator)+": "+foreignValue)
		}
	}
	for _, name := range []string{
		"X-OAuth_User-Name", "X_OAuth-User.Name", "x.oauth-user_id", "X-OAuth-", "X-OAuth--User-Id", "X-OAuth-User-Id-", "X-OAuth.User-Groups",
	} {
		lines = append(lines, name+": "+foreignValue)
	}
	return lines
}

// expected makes Caddy pass on names that it drops by itself.
const expected = `expected_underscore_headers x_oauth_* x_oauth-user.name x.oauth-user_id
		expected_dot_headers x.oauth.* x_oauth-user.name x.oauth-user_id x-oauth.*`

func TestHeaderAliasSmuggling(t *testing.T) {
	for name, servers := range map[string]string{"Caddy as it is": "", "Caddy that expects such names": expected} {
		t.Run(name, func(t *testing.T) {
			w := harness.NewWiki(t, release139)
			g := harness.New(t, harness.Options{
				Wiki: w, Servers: servers,
				Site: `handle /anonymous {
					oauth {
						import settings
						mode optional
					}
					import backend
				}
				handle /strip {
					oauth {
						mode strip
					}
					import backend
				}
				handle /off {
					oauth {
						import settings
						headers off
					}
					import backend
				}
				handle /bare {
					import backend
				}
				handle {
					oauth {
						import settings
					}
					import backend
				}`,
			})
			signed := func(target string) []string {
				return []string{"Authorization: " + harness.Sign(t, w.HMAC, "GET", g.URL(target), "")}
			}
			for _, tt := range []struct {
				target  string
				headers []string
				user    string
			}{
				{"/", signed("/"), "Alice"},
				{"/", []string{"Authorization: " + w.Bearer(t, w.OAuth2)}, "Alice"},
				{"/", []string{"Authorization: " + w.Bearer(t, w.Machine)}, ""},
				{"/anonymous", signed("/anonymous"), "Alice"},
				{"/anonymous", nil, ""},
				{"/strip", nil, ""},
				{"/off", signed("/off"), ""},
			} {
				g.Backend.Raw()
				a := g.Send(t, "GET", g.Raw("GET "+tt.target, append(tt.headers, aliases()...), ""))
				a.Want(t, "ok")
				if raw := g.Backend.Raw(); strings.Contains(raw, foreignValue) {
					t.Errorf("%s: the backend got\n%s", tt.target, raw)
				}
				if got := a.Identity("User-Name"); got != tt.user {
					t.Errorf("%s: user %q, want %q", tt.target, got, tt.user)
				}
			}
			// The names arrive if they are not removed. Otherwise this test would prove
			// nothing.
			g.Send(t, "GET", g.Raw("GET /bare", aliases(), "")).Want(t, "ok")
			if arrived := strings.Count(g.Backend.Raw(), foreignValue); arrived < 30 {
				t.Errorf("%d names arrive without oauth", arrived)
			}
			if servers != "" {
				g.Send(t, "GET", g.Raw("GET /bare", []string{"X_OAuth_User_Name: a", "X.OAuth.User.Name: b"}, "")).Want(t, "ok")
				if raw := g.Backend.Raw(); !strings.Contains(raw, "X_oauth_user_name: a") || !strings.Contains(raw, "X.oauth.user.name: b") {
					t.Errorf("Caddy does not pass the names on:\n%s", raw)
				}
			}
		})
	}
}

func TestHeaderKeptWhenTheClaimIsAbsent(t *testing.T) {
	g := harness.New(t, harness.Options{
		Settings: []string{"mode optional"},
		Site: `handle /refused {
			oauth {
				import settings
				errors caddy
			}
			import backend
		}
		handle /strip {
			oauth {
				mode strip
			}
			import backend
		}
		handle {
			oauth {
				import settings
			}
			import backend
		}
		handle_errors {
			import backend
		}`,
	})
	w := g.Wiki
	all := []string{
		"User-Id", "User-Name", "Groups", "Grants", "Consumer-Key", "Consumer-Name", "Version", "Wiki", "Owner-Only", "Else",
	}
	var sent []string
	for _, name := range all {
		sent = append(sent, "X-OAuth-"+name+": "+foreignValue)
	}
	preflight := []string{"Origin: https://app.example", "Access-Control-Request-Method: PUT"}
	for _, tt := range []struct {
		name, method, target, authorization string
		headers                             []string
		present                             []string
	}{
		{"anonymous", "GET", "/", "", nil, nil},
		{"preflight", "OPTIONS", "/", "", preflight, nil},
		{"another scheme", "GET", "/", "Basic eDp5", nil, nil},
		{"strip", "GET", "/strip", "", nil, nil},
		{"strip with a credential", "GET", "/strip", w.Bearer(t, w.OAuth2), nil, nil},
		{"refused, and answered by the backend", "GET", "/refused", "Bearer a.b.c", nil, nil},
		{"none, refused and answered by the backend", "GET", "/refused", "", nil, nil},
		{"machine", "GET", "/", w.Bearer(t, w.Machine), nil, []string{"Consumer-Key", "Consumer-Name", "Grants", "Version", "Wiki"}},
		{"no groups", "GET", "/", harness.Sign(t, w.BobsHMAC, "GET", g.URL("/"), ""), nil, []string{
			"User-Id", "User-Name", "Consumer-Key", "Consumer-Name", "Grants", "Version", "Wiki",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := append(slices.Clone(sent), tt.headers...)
			if tt.authorization != "" {
				headers = append(headers, "Authorization: "+tt.authorization)
			}
			a := g.Send(t, tt.method, g.Raw(tt.method+" "+tt.target, headers, ""))
			if a.Seen == nil {
				t.Fatalf("the backend was not reached: %d %s", a.Status, a.Body)
			}
			for _, name := range all {
				values := a.Seen.Header["X-Oauth-"+name]
				switch {
				case slices.Contains(values, foreignValue):
					t.Errorf("%s: the client's own value arrives: %q", name, values)
				case slices.Contains(tt.present, name) != (len(values) == 1):
					t.Errorf("%s: %q", name, values)
				}
			}
		})
	}
}

func TestHopByHopRemoval(t *testing.T) {
	g := harness.New(t, harness.Options{})
	for _, connection := range [][]string{
		{"close, X-OAuth-User-Id"},
		{"X-OAuth-User-Id"},
		{"x-oauth-user-id,X-OAUTH-GROUPS,keep-alive"},
		{"close", "X-OAuth-User-Id", " X-OAuth-User-Name ,, x-oauth-grants"},
		{"\tX-OAuth-User-Id\t, close"},
		{"X_OAuth_User_Id, X-OAuth-Consumer-Key, X-OAuth-Consumer-Name, X-OAuth-Version, X-OAuth-Wiki"},
	} {
		headers := []string{"Authorization: " + harness.Sign(t, g.Wiki.HMAC, "GET", g.URL("/"), ""), "X-Hop: gone"}
		for _, line := range connection {
			headers = append(headers, "Connection: "+line)
		}
		a := g.Send(t, "GET", g.Raw("GET /", append(headers, "Connection: X-Hop"), ""))
		a.Want(t, "ok")
		for _, name := range []string{"User-Id", "User-Name", "Groups", "Grants", "Consumer-Key", "Consumer-Name", "Version", "Wiki"} {
			if a.Identity(name) == "" {
				t.Errorf("Connection: %q takes %s away", connection, name)
			}
		}
		if a.Seen != nil && a.Seen.Header.Get("X-Hop") != "" {
			t.Errorf("Connection: %q: X-Hop arrives: reverse_proxy does not see the client's Connection", connection)
		}
	}
}

func TestValuesInHeaders(t *testing.T) {
	w := harness.NewWiki(t, release139)
	user := wikidb.User{ID: 50, Name: "Özdemir 100%, \"x\" "}
	w.Insert(
		t, user, wikidb.Group{UserID: 50, Name: "a,sysop"}, wikidb.Group{UserID: 50, Name: "bürokrat"}, wikidb.Group{UserID: 50, Name: " x"},
	)
	app := w.NewApp(t, user, func(c *wikidb.Consumer) {
		c.Name = "x\r\nX-Injected: 1\x00\x7f\t"
		c.Grants = `["basic","a,sysop","x\ny","%2c"]`
	})
	large := w.NewApp(t, user, func(c *wikidb.Consumer) {
		var grants []string
		for i := range 900 {
			grants = append(grants, fmt.Sprintf("%q", fmt.Sprintf("grant-%04d", i)))
		}
		c.Grants = "[" + strings.Join(grants, ",") + "]"
	})
	g := harness.New(t, harness.Options{Wiki: w})
	a := g.Signed(t, app, "/")
	a.Want(t, "ok")
	for name, want := range map[string]string{
		"User-Name":     "%C3%96zdemir 100%25, \"x\"%20",
		"Consumer-Name": "x%0D%0AX-Injected: 1%00%7F%09",
		"Grants":        "basic,a%2Csysop,x%0Ay,%252c",
	} {
		if got := a.Identity(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	groups := strings.Split(a.Identity("Groups"), ",")
	slices.Sort(groups)
	if want := []string{"%20x", "a%2Csysop", "b%C3%BCrokrat"}; !slices.Equal(groups, want) {
		t.Errorf("groups %q, want %q", groups, want)
	}
	if raw := g.Backend.Raw(); strings.Contains(raw, "\nX-Injected") || strings.ContainsRune(raw, 0) {
		t.Errorf("the backend got\n%q", raw)
	}

	g.Backend.Seen()
	g.Signed(t, large, "/").Want(t, "identity_too_large")
	if seen := g.Backend.Seen(); len(seen) != 0 {
		t.Errorf("more than 8 KiB of identity reach the backend, as %v", seen[0].Header)
	}
}
