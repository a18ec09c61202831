package gateway

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// aliases are spellings that some backend reads as X-OAuth-User-Id.
func aliases() []string {
	names := []string{
		"X-OAuth-User-Id", "X-Oauth-User-Id", "x-oauth-user-id", "X-OAUTH-USER-ID", "xOAuth", "X-OAuth-", "X-OAuth-Nothing-Of-Ours",
		"X_OAuth_User_Name", "X.OAuth.User.Name", "X!OAuth!User!Name", "x_oauth-user_name", "X-OAuth_User-Id",
	}
	for c := byte(0x21); c < 0xFF; c++ {
		if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", c) < 0 {
			sign := string([]byte{c})
			names = append(names, "X"+sign+"OAuth"+sign+"User"+sign+"Id")
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "xOAuth" })
}

func TestHeaderAliasSmuggling(t *testing.T) {
	for _, test := range []struct {
		mode     string
		decision validator.Decision
	}{
		{modeRequired, allow()},
		{modeRequired, deny(validator.BadSignature)},
		{modeOptional, anonymous},
		{modeStrip, anonymous},
	} {
		s := newShell(t, &Handler{Mode: test.mode, Headers: headersOff}, test.decision)
		r := get("/")
		for _, name := range aliases() {
			r.Header[name] = []string{"Admin"}
		}
		kept := http.Header{
			"X-Oauth": {"1"}, "X-Oauthuser-Id": {"1"}, "X-Oaut-H-User": {"1"}, "Oauth-User-Id": {"1"}, "X-Forwarded-For": {"10.0.0.1"}, "Accept": {"*/*"},
		}
		maps.Copy(r.Header, kept)
		if _, err := s.serve(t, r); err != nil {
			t.Fatal(err)
		}
		if left := ownNames(r.Header); left != nil {
			t.Errorf("%s/%s: left %q", test.mode, test.decision.Verdict, left)
		}
		for name := range kept {
			if r.Header[name] == nil {
				t.Errorf("%s/%s: took %q away", test.mode, test.decision.Verdict, name)
			}
		}
	}
}

func TestIdentityReplacesWhatTheClientSent(t *testing.T) {
	d := allow()
	d.Identity.Groups, d.Identity.OwnerOnly = nil, false
	s := newShell(t, &Handler{}, d)
	r := get("/")
	for _, name := range s.cfg.headers.Names() {
		r.Header[name] = []string{"sysop", "bureaucrat"}
		r.Header[strings.ToLower(strings.ReplaceAll(name, "-", "_"))] = []string{"sysop"}
	}
	if _, err := s.serve(t, r); err != nil {
		t.Fatal(err)
	}
	for name, lines := range r.Header {
		if len(lines) != 1 || strings.Contains(lines[0], "sysop") || name != http.CanonicalHeaderKey(name) {
			t.Errorf("%s is %q", name, lines)
		}
	}
	for _, absent := range []string{"X-Oauth-Groups", "X-Oauth-Owner-Only"} {
		if r.Header[absent] != nil {
			t.Errorf("%s is there", absent)
		}
	}
}

func TestOtherPrefix(t *testing.T) {
	s := newShell(t, &Handler{Headers: "Remote-MW-"}, allow())
	r := get("/")
	alias := http.Header{"Remote_mw.User-Id": {"1"}}
	maps.Copy(r.Header, alias)
	r.Header["X-Oauth-User-Id"] = []string{"of another gateway"}
	if _, err := s.serve(t, r); err != nil {
		t.Fatal(err)
	}
	for name := range alias {
		if r.Header[name] != nil {
			t.Errorf("%s is left", name)
		}
	}
	if r.Header.Get("Remote-MW-User-Id") != "42" || r.Header.Get("X-OAuth-User-Id") != "of another gateway" {
		t.Errorf("headers are %v", r.Header)
	}
}

func TestConnectionHeader(t *testing.T) {
	for _, test := range []struct {
		in, want []string
	}{
		{nil, nil},
		{[]string{"keep-alive"}, []string{"keep-alive"}},
		{[]string{"close, X-OAuth-User-Id"}, []string{"close"}},
		{[]string{"x_oauth.user-name ,Upgrade,, TE", "X-Foo"}, []string{"Upgrade, TE", "X-Foo"}},
		{[]string{"X-OAuth-User-Id", "\tx-oauth-groups"}, nil},
		{[]string{"Authorization, X-OAuthor"}, []string{"Authorization, X-OAuthor"}},
	} {
		for _, list := range []string{"Connection", "Trailer"} {
			s := newShell(t, &Handler{}, allow())
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if test.in != nil {
				r.Header[list] = slices.Clone(test.in)
			}
			if _, err := s.serve(t, r); err != nil {
				t.Fatal(err)
			}
			if got, found := r.Header[list]; !slices.Equal(got, test.want) || found != (test.want != nil) {
				t.Errorf("%s %q became %q", list, test.in, got)
			}
		}
	}
}

// Whoever gets the backend to speak another protocol sends it requests that
// nobody has cleaned.
func TestUpgradeHeader(t *testing.T) {
	for _, test := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"websocket"}, []string{"websocket"}},
		{[]string{"WebSocket"}, []string{"WebSocket"}},
		{[]string{"h2c"}, nil},
		{[]string{"HTTP/2.0"}, nil},
		{[]string{"websocket, h2c"}, nil},
		{[]string{"websocket", "h2c"}, nil},
		{[]string{"h2c", "websocket"}, nil},
		{[]string{""}, nil},
	} {
		for _, mode := range []string{modeRequired, modeStrip} {
			s := newShell(t, &Handler{Mode: mode}, allow())
			r := get("/")
			if test.in != nil {
				r.Header["Upgrade"] = slices.Clone(test.in)
			}
			if _, err := s.serve(t, r); err != nil {
				t.Fatal(err)
			}
			if got, found := r.Header["Upgrade"]; !slices.Equal(got, test.want) || found != (test.want != nil) {
				t.Errorf("mode %s: %q became %q", mode, test.in, got)
			}
		}
	}
}
