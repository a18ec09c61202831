package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Wiki is one wiki of a farm. What it leaves out is as the handler and its store
// have it. The OAuth tables are the store's in any case.
type Wiki struct {
	// The database with the wiki's own tables, on the store's server or that of
	// `dsn`.
	Database string `json:"database,omitempty"`

	// Prefix of the names of its own tables. Those of OAuth keep the store's.
	TablePrefix string `json:"table_prefix,omitempty"`

	// What clients sign (`$wgServer`).
	BaseURL string `json:"base_url,omitempty"`

	// The release of MediaWiki whose rules hold.
	MediaWiki string `json:"mediawiki,omitempty"`

	// Where the wiki's own tables are, when that is another server than the
	// store's. The store's settings of TLS and connections
	// hold for it too, but not its replicas.
	DSN string `json:"dsn,omitempty"`
}

func (s Site) readWiki(line *caddyfile.Dispenser) error {
	args := line.RemainingArgs()
	if len(args) != 1 {
		return line.Err("wiki takes one wiki id, or a placeholder and a block of wikis")
	}
	*s.Wiki = args[0]
	var wrong error
	if !hasPlaceholder(*s.Wiki) {
		wrong = grammar.Wrap(line, checkWiki(*s.Wiki))
	}
	err := grammar.ReadLines(line, func(line *caddyfile.Dispenser) error {
		id := line.Val()
		if _, twice := (*s.Wikis)[id]; twice {
			return line.Errf("wiki %s is given more than once", grammar.Shown(id))
		}
		w, err := readFarmWiki(line)
		if *s.Wikis == nil {
			*s.Wikis = make(map[string]Wiki)
		}
		(*s.Wikis)[id] = w
		return errors.Join(grammar.Wrap(line, checkWiki(id)), err)
	})
	if wrong == nil && err == nil {
		wrong = grammar.Wrap(line, checkFarm(*s.Wiki, *s.Wikis))
	}
	return errors.Join(wrong, err)
}

func readFarmWiki(line *caddyfile.Dispenser) (w Wiki, err error) {
	err = errors.Join(grammar.NoMoreArgs(line), grammar.ReadBlock(line, map[string]grammar.Subdirective{
		"database":     grammar.Text(&w.Database, checkName("database")),
		"table_prefix": grammar.Text(&w.TablePrefix, checkName("table_prefix")),
		"base_url":     grammar.Text(&w.BaseURL, checkBaseURL),
		"mediawiki":    grammar.Text(&w.MediaWiki, checkRelease),
		"dsn":          grammar.Secret(&w.DSN),
	}))
	return w, err
}

// requestPlaceholder returns the name of a placeholder that only a request can
// fill in, if the text is one.
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

// checkFarm holds the setting wiki and its block of wikis to each other.
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
func (r *Resolver) wikis(s *Settings, from Site) {
	r.Check(checkFarm(*from.Wiki, *from.Wikis))
	name, isFarm := requestPlaceholder(*from.Wiki)
	if !isFarm {
		s.Policy.Wiki = r.Checked("wiki", *from.Wiki, checkWiki)
		s.Tables.ID, s.Tables.Release = s.Policy.Wiki, s.Policy.Release
		s.Served = []Served{{Tables: s.Tables, Policy: s.Policy}}
		return
	}
	s.Placeholder = name
	for _, id := range slices.Sorted(maps.Keys(*from.Wikis)) {
		r.Check(checkWiki(id))
		s.Served = append(s.Served, r.wiki(s, id, (*from.Wikis)[id]))
	}
}

// wiki resolves one wiki of a farm. What it leaves out is as the directive has
// it.
func (r *Resolver) wiki(s *Settings, id string, from Wiki) Served {
	w := Served{Tables: s.Tables, Policy: s.Policy}
	setting := func(name string) string { return "wiki " + grammar.Shown(id) + ": " + name }
	w.Tables.ID, w.Policy.Wiki = id, id
	w.Tables.Database = r.Checked(setting("database"), from.Database, checkName(setting("database")))
	if prefix := r.Checked(setting("table_prefix"), from.TablePrefix, checkName(setting("table_prefix"))); prefix != "" {
		w.Tables.TablePrefix, w.Tables.OAuthTablePrefix = prefix, &s.Tables.TablePrefix
	}
	if release := r.Checked(setting("mediawiki"), from.MediaWiki, checkRelease); release != "" {
		w.Policy.Release, _ = validator.ParseRelease(release)
	}
	w.Tables.Release = w.Policy.Release
	if url := r.Checked(setting("base_url"), from.BaseURL, checkBaseURL); url != "" {
		w.Policy.BaseScheme, w.Policy.BaseHost, w.Policy.BasePath, _ = validator.ParseBaseURL(url)
	}
	if from.DSN != "" {
		w.Server = r.server(s.Database, "wiki "+grammar.Shown(id), from.DSN)
	}
	if from.Database != "" && s.oneDatabase() {
		r.Check(errors.New(setting("SQLite has one database in a file: give no database, but a dsn where the wiki's tables are in another file")))
	}
	return w
}

// siteKeys gives each wiki the site key that its release makes of the configured
// one.
func (r *Resolver) siteKeys(s *Settings, key string) {
	var wrong error
	for i := range s.Served {
		p := &s.Served[i].Policy
		var err error
		p.SiteKey, err = siteKey(key, p.Release)
		wrong = cmp.Or(wrong, err)
	}
	r.Check(wrong)
}

// siteKey returns what MediaWiki makes of $wgOAuthSecretKey. PHP takes "0" for
// empty.
func siteKey(key string, release validator.Release) (string, error) {
	switch {
	case key != "0" || release == 0: // 0: the release is a mistake already
		return key, nil
	case release >= 42:
		return "", nil
	default:
		return "", errors.New(`secret_key: up to 1.41 MediaWiki takes "0" for empty, and $wgSecretKey instead: give that one, or none where it is empty too`)
	}
}
