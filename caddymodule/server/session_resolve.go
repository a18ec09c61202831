package server

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const (
	sessionHost    = "session mediawiki: host"
	minWikiTimeout = 100 * time.Millisecond
	maxWikiTimeout = 30 * time.Second
)

// checkMediaWiki reports what is wrong with a session of the wiki, as far as it is
// known without its placeholders.
func (s *Session) checkMediaWiki() error {
	var mistakes []error
	switch {
	case s.URL == "":
		mistakes = append(mistakes, errors.New("session mediawiki: URL missing: write the address of the wiki's api.php"))
	case !strings.Contains(s.URL, "{"):
		mistakes = append(mistakes, checkAPI("session mediawiki")(s.URL))
	}
	if s.Host != "" && !strings.Contains(s.Host, "{") {
		mistakes = append(mistakes, checkHost(s.Host))
	}
	if s.Name != "" || s.ID != "" {
		mistakes = append(mistakes, errors.New("session mediawiki takes no name and no id: the wiki tells both"))
	}
	if s.CA != "" && strings.HasPrefix(strings.ToLower(s.URL), "http:") {
		mistakes = append(mistakes, errors.New("session mediawiki: ca has no effect over http: leave it out"))
	}
	if d := time.Duration(s.Timeout); d != 0 && (d < minWikiTimeout || d > maxWikiTimeout) {
		mistakes = append(mistakes, fmt.Errorf("session mediawiki: timeout: %v is not within %v and %v", d, minWikiTimeout, maxWikiTimeout))
	}
	return errors.Join(mistakes...)
}

// sessions returns what knows who is at the browser, by wiki id.
func (r resolver) sessions(from *Session, s *settings) map[string]authserver.Sessions {
	if from == nil {
		return nil // missing, and said so
	}
	if err := sessionWords.Check(from.Kind); err != nil {
		r.Check(err)
		return nil
	}
	r.Check(from.check())
	var roots *x509.CertPool
	var address, host string
	if from.Kind == sessionMediaWiki {
		address, host, roots = r.wikiSession(from, s)
	}
	all := map[string]authserver.Sessions{}
	for i := range s.site.Served {
		w := &s.site.Served[i]
		if from.Kind == sessionCaddy {
			all[w.Tables.ID] = caddySessions{from.Name, from.ID}
			continue
		}
		source := "local"
		if w.Policy.Users == validator.CentralAuth {
			source = "CentralAuth"
		}
		asked := host
		if s.site.Placeholder != "" {
			asked = w.Policy.BaseHost
		}
		timeout := time.Duration(from.Timeout)
		if timeout == 0 {
			timeout = wikiTimeout
		}
		all[w.Tables.ID] = newMediaWikiSessions(newWikiAPI(address, asked, roots, timeout), source)
	}
	return all
}

// oneHost reports wikis of a farm that one api.php would be asked for, because they
// have one host: a user of one would be taken for the user of that name of another.
func (r resolver) oneHost(setting string, s *settings) {
	if s.site.Placeholder == "" {
		return
	}
	known := map[string]string{}
	for i := range s.site.Served {
		w := &s.site.Served[i]
		host := strings.ToLower(w.Policy.BaseHost)
		if other, taken := known[host]; taken && host != "" {
			r.Check(fmt.Errorf("%s: wikis %s and %s have one host, by which the wiki is asked: give each a base_url of its own",
				setting, grammar.Shown(other), grammar.Shown(w.Tables.ID)))
		}
		known[host] = w.Tables.ID
	}
}

// wikiSession resolves the placeholders and files of a session of the wiki.
func (r resolver) wikiSession(from *Session, s *settings) (address, host string, roots *x509.CertPool) {
	address, host = r.Text("session mediawiki", from.URL), r.Text(sessionHost, from.Host)
	if strings.Contains(from.URL, "{") && address != "" {
		r.Check(checkAPI("session mediawiki")(address))
	}
	if strings.Contains(from.Host, "{") && host != "" {
		r.Check(checkHost(host))
	}
	if users := s.site.Served; len(users) > 0 && users[0].Policy.Users != validator.CentralAuth {
		r.oneHost("session mediawiki", s) // a central id is of one person on all wikis
	}
	if from.Host != "" && s.site.Placeholder != "" {
		r.Check(errors.New(sessionHost + ": in a farm it is that of each wiki's base_url: leave it out"))
	}
	if text := r.PEM("session mediawiki: ca", from.CA); text != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(text)) {
			r.Check(errors.New("session mediawiki: ca: no certificate in PEM"))
		}
	}
	return address, host, roots
}
