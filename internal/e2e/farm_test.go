package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// tenant is a second database on the server with wiki tables, which the
// gateway's user may read: Mallory is user 7 there. The third, which it may
// read too, is not part of the farm.
func tenants(t *testing.T, w *harness.Wiki) (second, third string) {
	t.Helper()
	second, third = w.Database+"_de", w.Database+"_private"
	s := mariadb.Start(t)
	for _, database := range []string{second, third} {
		w.Exec(t, "CREATE DATABASE "+database)
		t.Cleanup(func() { s.Exec(t, "DROP DATABASE "+database) })
		for _, table := range []string{"user", "user_groups", "ipblocks"} {
			copyTable(t, w, table, database+".", "1")
		}
		w.Exec(t, fmt.Sprintf("UPDATE %s.user SET user_name = 'Mallory' WHERE user_id = 7", database))
	}
	for _, database := range []string{w.Database, second, third} {
		w.Exec(t, fmt.Sprintf("GRANT %s ON %s.* TO 'gateway_%s'@'%%'", "SELECT", database, w.Database))
	}
	return second, third
}

// farm are the lines of a wiki setting with the wiki of the test and one in the
// second database, for both of which the same tokens hold.
func farm(placeholder, second, more string) string {
	return fmt.Sprintf("wiki %s {\n%s {\n%s\n}\ndewiki {\ndatabase %s\n}\n}", placeholder, harness.WikiID, more, second)
}

// TestFarmHostChoosesTheWiki: what a request makes of the placeholder opens
// what is configured, and nothing else gets as far as the database, though its
// user could read it.
func TestFarmHostChoosesTheWiki(t *testing.T) {
	w := harness.NewWiki(t, release139)
	second, third := tenants(t, w)
	g := harness.New(t, harness.Options{Wiki: w, Sites: site("*.farm", w.Settings(t, farm("{labels.1}", second, ""))) +
		site("header", w.Settings(t, farm("{header.X-Wiki}", second, "")))})
	_, port, _ := strings.Cut(g.HTTP2, ":")
	ask := func(app harness.App, host string, headers ...string) *harness.Answer {
		r := g.Request(t, "GET", "http://"+g.HTTP2+"/", "", headers...)
		r.Host = host + ":" + port
		r.Header.Set("Authorization", w.Bearer(t, app))
		return g.Do(t, r)
	}
	before := mariadbCounters(t)
	foreign := []string{
		"", "*", "%", "mysql", "information_schema", third, second, w.Database, w.Database + ".user", "DEWIKI", "dewiki ", "dewiki`", "dewiki,enwiki",
		"../dewiki", strings.Repeat("x", 64), strings.Repeat("x", 5000),
	}
	for _, wiki := range foreign {
		a := ask(w.OAuth2, "header", "X-Wiki", wiki)
		// A blank at the end of a field is not part of it.
		if want := "unknown_wiki"; strings.TrimSpace(wiki) != "dewiki" && (a.Reason != want || a.Status != http.StatusForbidden || a.Seen != nil) {
			t.Errorf("%.20q: %d %s", wiki, a.Status, a.Reason)
		}
	}
	for _, label := range []string{"mysql", strings.ReplaceAll(third, "_", "-"), "frwiki"} {
		ask(w.OAuth2, label+".farm").Want(t, "unknown_wiki")
	}
	ask(w.OAuth2, "header").Want(t, "unknown_wiki")                                        // no header at all
	ask(w.OAuth2, "header", "X-Wiki", "mysql", "X-Wiki", "dewiki").Want(t, "unknown_wiki") // the first line, or both
	if asked := mariadbCounters(t).Sub(before); asked.Queries > 1 || asked.Selects > 1 {   // that of "dewiki "
		t.Errorf("the server was asked %+v for wikis that are not served", asked)
	}
	for wiki, user := range map[string]string{"enwiki": "Alice", "dewiki": "Mallory"} {
		for _, a := range []*harness.Answer{ask(w.OAuth2, wiki+".farm"), ask(w.OAuth2, "header", "X-Wiki", wiki)} {
			if a.Identity("User-Name") != user || a.Identity("Wiki") != wiki {
				t.Errorf("%s: %d %s, user %q of %q", wiki, a.Status, a.Reason, a.Identity("User-Name"), a.Identity("Wiki"))
			}
		}
	}
}

// TestFarmCacheKeyConfusion has pairs of wikis and sites that differ in one
// setting. Whichever is asked first, each answers for itself.
func TestFarmCacheKeyConfusion(t *testing.T) {
	w := harness.NewWiki(t, release139)
	second, _ := tenants(t, w)
	// By CentralAuth's tables, user 7 is Bob.
	for _, statement := range wikidb.CentralAuthSchema(wikidb.MySQL, release139, "") {
		w.Exec(t, statement)
	}
	w.Exec(t, "INSERT INTO globaluser (gu_id, gu_name, gu_home_db, gu_locked, gu_hidden_level) VALUES (7, 'Bob', '', 0, 0)")
	w.Exec(t, "INSERT INTO localuser (lu_wiki, lu_name) VALUES ('"+harness.WikiID+"', 'Bob')")
	g := harness.New(t, harness.Options{Wiki: w, Sites: site("usual", w.Settings(t)) +
		site("*.farm", w.Settings(t, farm("{labels.1}", second, ""))) +
		site("*.signed", w.Settings(t, farm("{labels.1}", second, "base_url https://elsewhere.example"))) +
		site("central", w.Settings(t, "users centralauth "+w.Database)) +
		site("rules", w.Settings(t, "rules mediawiki")) +
		site("new.rules", w.Settings(t, "rules mediawiki", "mediawiki 1.46"))})
	for _, tt := range []struct {
		host    string
		version int
		claims  map[string]any
		usual   string // the reason, or the user who passes
		want    string
		as      string // the host to compare with; default: usual
	}{
		{"dewiki.farm", 1, nil, "Alice", "Mallory", "enwiki.farm"},
		{"dewiki.farm", 2, nil, "Alice", "Mallory", "enwiki.farm"},
		{"dewiki.farm", 2, nil, "Alice", "Mallory", ""},
		{"enwiki.signed", 1, nil, "Alice", "bad_signature", ""},
		{"central", 1, nil, "Alice", "Bob", ""},
		{"central", 2, nil, "Alice", "Bob", ""},
		{"rules", 2, map[string]any{"exp": "99999999999"}, "malformed_token", "Alice", ""},
		{"new.rules", 2, map[string]any{"aud": nil}, "unknown_client", "Alice", "rules"},
	} {
		usual := tt.as
		if usual == "" {
			usual = "usual"
		}
		for _, order := range [][]string{{usual, tt.host, usual, tt.host}, {tt.host, usual, tt.host, usual}} {
			t.Run(fmt.Sprintf("%s, OAuth %d, %s first", tt.host, tt.version, order[0]), func(t *testing.T) {
				app := w.NewApp(t, w.Alice, func(c *wikidb.Consumer) { c.Name, c.Version = "app "+wikidb.RandomHex(4), tt.version })
				for name, value := range tt.claims {
					app.Claims[name] = value
					if name == "aud" { // which releases take for the first of several
						app.Claims[name] = []string{app.Consumer.Key, "another"}
					}
				}
				if tt.version == 2 && slices.Contains(order, "new.rules") {
					app.Claims["sub"] = "mw:local:" + harness.WikiID + ":7"
				}
				for i, host := range order {
					want := tt.usual
					if host == tt.host {
						want = tt.want
					}
					a := at(t, g, host, app)
					if got := a.Reason + a.Identity("User-Name"); got != want {
						t.Errorf("request %d, %s: %d %q, want %q", i, host, a.Status, got, want)
					}
				}
			})
		}
	}
}

// TestFarmPathOfAWiki has one wiki of a farm behind a proxy that takes a prefix
// away. Its own base_url says so, and holds for that wiki alone.
func TestFarmPathOfAWiki(t *testing.T) {
	w := harness.NewWiki(t, release139)
	second, _ := tenants(t, w)
	g := harness.New(t, harness.Options{
		Wiki: w, Sites: site("*.farm", w.Settings(t, farm("{labels.1}", second, "base_url https://api.example.org/svc"))),
	})
	_, port, _ := strings.Cut(g.HTTP2, ":")
	for _, tt := range []struct{ wiki, signed, want string }{
		{harness.WikiID, "https://api.example.org/svc/a", "ok"},
		{harness.WikiID, "https://api.example.org/a", "bad_signature"},
		{harness.WikiID, "http://" + harness.WikiID + ".farm:" + port + "/a", "bad_signature"},
		{"dewiki", "https://api.example.org/svc/a", "bad_signature"},
		{"dewiki", "http://dewiki.farm:" + port + "/svc/a", "bad_signature"},
		{"dewiki", "http://dewiki.farm:" + port + "/a", "ok"},
	} {
		r := g.Request(t, "GET", "http://"+g.HTTP2+"/a", "", "Authorization", harness.Sign(t, w.HMAC, "GET", tt.signed, ""))
		r.Host = tt.wiki + ".farm:" + port
		a := g.Do(t, r)
		t.Log(tt.wiki, tt.signed)
		a.Want(t, tt.want)
		if a.Seen != nil && a.Seen.Target != "/a" {
			t.Errorf("%s: %s arrives", tt.wiki, a.Seen.Target)
		}
	}
}
