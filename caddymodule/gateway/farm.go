package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// wiki is one wiki that requests may be for.
type wiki struct {
	place  store.Wiki
	server *store.Config // where its own tables are, when that is another server than the store's
	policy validator.Policy
	apps   bool // whether it knows the apps that are kept in configuration
}

// requestPlaceholder gives the name of a placeholder that only a request can fill in, if the text is one.
func requestPlaceholder(text string) (name string, ok bool) {
	name, opened := strings.CutPrefix(text, "{")
	name, closed := strings.CutSuffix(name, "}")
	if !opened || !closed || name == "" || strings.ContainsAny(name, "{}") {
		return "", false
	}
	for _, prefix := range []string{"env.", "file.", "system.", "time."} {
		if strings.HasPrefix(name, prefix) {
			return "", false
		}
	}
	return name, true
}

// quotedPlaceholder returns the setting wiki for a message.
func quotedPlaceholder(id string) string {
	inner, opened := strings.CutPrefix(id, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	if name := grammar.Quoted(inner); opened && closed && strings.HasPrefix(name, `"`) {
		return "{" + inner + "}"
	}
	return grammar.Shown(id)
}

// checkFarm says whether a wiki and a block of wikis belong together.
func checkFarm(id string, wikis map[string]Wiki) error {
	switch _, isFarm := requestPlaceholder(id); {
	case isFarm && len(wikis) == 0:
		return fmt.Errorf("wiki %s: the wikis that it may be are missing", quotedPlaceholder(id))
	case !isFarm && len(wikis) > 0:
		return fmt.Errorf("wiki %s: a block of wikis needs a placeholder of the request before it, such as {http.request.host.labels.2}", quotedPlaceholder(id))
	}
	return nil
}

// wikis resolves each wiki of a farm, or the one that the directive is for.
func (r *resolver) wikis(s *settings, h *Handler) {
	r.check(checkFarm(h.Wiki, h.Wikis))
	name, isFarm := requestPlaceholder(h.Wiki)
	if !isFarm {
		s.policy.Wiki = r.checked("wiki", h.Wiki, checkWiki)
		s.wiki.ID, s.wiki.Release = s.policy.Wiki, s.policy.Release
		s.served = []wiki{{place: s.wiki, policy: s.policy}}
		return
	}
	s.placeholder = name
	for _, id := range slices.Sorted(maps.Keys(h.Wikis)) {
		r.check(checkWiki(id))
		s.served = append(s.served, r.wiki(s, id, h.Wikis[id]))
	}
}

// wiki resolves one wiki of a farm. What it does not say is the directive's.
func (r *resolver) wiki(s *settings, id string, from Wiki) wiki {
	w := wiki{place: s.wiki, policy: s.policy}
	setting := func(name string) string { return "wiki " + grammar.Shown(id) + ": " + name }
	w.place.ID, w.policy.Wiki = id, id
	w.place.Database = r.checked(setting("database"), from.Database, checkDatabase(setting("database")))
	if prefix := r.checked(setting("table_prefix"), from.TablePrefix, checkDatabase(setting("table_prefix"))); prefix != "" {
		w.place.TablePrefix, w.place.OAuthTablePrefix = prefix, &s.wiki.TablePrefix
	}
	if release := r.checked(setting("mediawiki"), from.MediaWiki, checkRelease); release != "" {
		w.policy.Release, _ = validator.ParseRelease(release)
	}
	w.place.Release = w.policy.Release
	if url := r.checked(setting("base_url"), from.BaseURL, checkBaseURL); url != "" {
		w.policy.BaseScheme, w.policy.BaseHost, w.policy.BasePath, _ = validator.ParseBaseURL(url)
	}
	if from.DSN != "" {
		w.server = r.server(s.database, "wiki "+grammar.Shown(id), from.DSN)
	}
	if s.database.Driver == sqlite && from.Database != "" {
		r.check(errors.New(setting("SQLite has one database in a file: give no database, but a dsn where the wiki's tables are in another file")))
	}
	return w
}

// siteKeys gives each wiki the site key that its release makes of the configured one.
func (r *resolver) siteKeys(s *settings, key string) {
	var wrong error
	for i := range s.served {
		p := &s.served[i].policy
		var err error
		p.SiteKey, err = siteKey(key, p.Release)
		wrong = cmp.Or(wrong, err)
	}
	r.check(wrong)
}

// siteKey is what MediaWiki makes of $wgOAuthSecretKey. "0" is as good as none to PHP.
func siteKey(key string, release validator.Release) (string, error) {
	switch {
	case key != "0" || release == 0: // 0: that it is not known has been said
		return key, nil
	case release >= 42:
		return "", nil
	default:
		return "", errors.New(`secret_key: up to 1.41 MediaWiki takes "0" for empty, and $wgSecretKey instead: give that one, or none where it is empty too`)
	}
}

// asked is the id of the wiki that a request is for. In a farm, it is whatever the request makes of the placeholder:
// nobody has looked at it yet.
func (s *settings) asked(r *http.Request) string {
	if s.placeholder == "" {
		return s.policy.Wiki
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	id, _ := repl.GetString(s.placeholder)
	return id
}

// policyOf returns the policy of a wiki, or the directive's for one that is not
// served.
func (s *settings) policyOf(id string) *validator.Policy {
	i, found := slices.BinarySearchFunc(s.served, id, func(w wiki, id string) int { return cmp.Compare(w.place.ID, id) })
	if !found {
		return &s.policy
	}
	return &s.served[i].policy
}

// releaseOf is the release of a wiki; of one that is not served, the directive's.
func (s *settings) releaseOf(id string) validator.Release { return s.policyOf(id).Release }

// sharing finds two wikis that would read the same tables of users, which is hardly meant.
func (s *settings) sharing() (one, other string, found bool) {
	type tables struct{ dsn, database, prefix string }
	seen := make(map[tables]string, len(s.served))
	for _, w := range s.served {
		t := tables{database: w.place.Database, prefix: w.place.TablePrefix}
		if w.server != nil {
			t.dsn = w.server.DSN
		}
		if before, taken := seen[t]; taken {
			return before, w.place.ID, true
		}
		seen[t] = w.place.ID
	}
	return "", "", false
}
