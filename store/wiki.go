package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Wiki names a wiki and its tables.
type Wiki struct {
	ID       string // wiki id
	Database string // of the wiki's tables; empty: the DSN's own
	// TablePrefix is $wgDBprefix. It holds for the OAuth tables too.
	TablePrefix string
	Release     validator.Release
	// Users says whose ids the OAuth tables hold: this wiki's, or CentralAuth's.
	Users validator.UserSource
	// CentralAuthDatabase is the database of CentralAuth's tables ($wgCentralAuthDatabase). Empty: the DSN's own;
	// TablePrefix holds for them only there, and only without a CentralAuthServer.
	CentralAuthDatabase string
	// Server is where the wiki's own tables are, and CentralAuthServer where CentralAuth's are, when that is not the
	// server of the pool, which has the OAuth tables. Nil: it is, and one query reads all. The caller closes them,
	// after the last lookup.
	Server, CentralAuthServer *Pool
}

// Store is the view of one wiki through a pool. It implements validator.Store.
type Store struct {
	pool   *Pool
	wiki   Wiki
	oauth1 statement
	oauth2 statement
	// subject is oauth2 with what is known of the JWT's subject.
	subject statement
	err     error
}

// Wiki makes the view of one wiki. Where a name cannot be one, every Lookup fails and says so.
func (p *Pool) Wiki(w Wiki) *Store {
	s := &Store{pool: p, wiki: w}
	if w.Users == validator.CentralAuth || w.Server != nil {
		s.err = fmt.Errorf("wiki %q: CentralAuth and servers of their own are being built", w.ID)
		return s
	}
	if w.Database != "" && !p.driver.Databases() {
		s.err = fmt.Errorf("wiki %q: database %q: a connection of driver %s reaches one database", w.ID, w.Database, p.cfg.Driver)
		return s
	}
	if s.err = checkName("database", w.Database); s.err != nil {
		return s
	}
	if s.err = checkName("table_prefix", w.TablePrefix); s.err != nil {
		return s
	}
	t := tables{
		driver: p.driver, wiki: qualify(w.Database, w.TablePrefix), oauth: qualify(p.cfg.OAuthDatabase, w.TablePrefix),
		release: w.Release,
	}
	s.oauth1 = parse(t.statement(validator.OAuth1, false))
	s.oauth2 = parse(t.statement(validator.OAuth2, false))
	s.subject = parse(t.statement(validator.OAuth2, true))
	return s
}

// qualify makes a function that quotes a table's name, with its prefix, and with its database where one is named.
// The names have passed checkName. Backticks quote in MySQL and SQLite alike.
func qualify(database, prefix string) func(string) string {
	before := "`" + prefix
	if database != "" {
		before = "`" + database + "`." + before
	}
	return func(table string) string { return before + table + "`" }
}

// Lookup finds what the tables say about the key, in one statement. OAuth 2 needs neither secrets nor the
// consumer's RSA key: they are left out then. A context that ends, and a server that cannot be asked, are errors.
func (s *Store) Lookup(ctx context.Context, key validator.Key) (validator.Facts, error) {
	if s.err != nil {
		return validator.Facts{}, s.err
	}
	text := s.oauth1
	maxToken := 32
	if key.Protocol == validator.OAuth2 {
		text = s.oauth2
		maxToken = 255
		if key.Subject != 0 {
			text = s.subject
		}
	}
	// A key that is longer than its column matches no row. The servers need not see the rest of it.
	consumer, token, args := s.pool.driver.Values(clip(key.Consumer, 32), clip(key.Token, maxToken))
	return s.pool.read(ctx, query{
		text: text.fill(consumer, token, strconv.FormatUint(key.Subject, 10)), args: args, key: key, release: s.wiki.Release,
	})
}

func clip(s string, n int) string { return s[:min(len(s), n+1)] }

// Identity names everything that facts depend on, beside the key: two stores of one identity find the same. It
// holds no secret.
func (s *Store) Identity() string {
	return fmt.Sprintf("%s database=%q prefix=%q mediawiki=%s users=local",
		s.pool.Identity(), s.wiki.Database, s.wiki.TablePrefix, s.wiki.Release)
}

// SharedUserIDs says whether the OAuth tables are in another database than the wiki's own, so that user ids
// are central ones.
func (s *Store) SharedUserIDs() bool {
	own := s.wiki.Database
	if own == "" {
		own = s.pool.primary.Database
	}
	return s.pool.oauthDatabase() != own
}

// Places of the values in the text of a statement.
const (
	placeConsumer = "{consumer}"
	placeToken    = "{token}"
	placeSubject  = "{subject}"
)

// statement is the text of a statement, cut at the places of its values: a piece, then pieces that each follow a
// value.
type statement struct {
	pieces []string
	places []string // places[i] is between pieces[i] and pieces[i+1]
}

func parse(text string) statement {
	var s statement
	for {
		start := strings.IndexByte(text, '{') // checkName keeps names free of braces
		if start < 0 {
			s.pieces = append(s.pieces, text)
			return s
		}
		end := start + strings.IndexByte(text[start:], '}') + 1
		s.pieces = append(s.pieces, text[:start])
		s.places = append(s.places, text[start:end])
		text = text[end:]
	}
}

func (s statement) fill(consumer, token, subject string) string {
	var b strings.Builder
	b.Grow(4096)
	for i, piece := range s.pieces {
		b.WriteString(piece)
		if i == len(s.places) {
			break
		}
		switch s.places[i] {
		case placeConsumer:
			b.WriteString(consumer)
		case placeToken:
			b.WriteString(token)
		case placeSubject:
			b.WriteString(subject)
		}
	}
	return b.String()
}
