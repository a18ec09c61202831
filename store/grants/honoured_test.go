package grants_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/recording"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// siteKey is that of the recorded wiki.
const siteKey = "issuing-recording-oauth-secret-key"

var issuerKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// anyNonce takes every nonce for fresh.
type anyNonce struct{}

func (anyNonce) Use(context.Context, validator.NonceUse) (bool, error) { return true, nil }

// gateway is `oauth` under rules mediawiki, in front of the same wiki with the
// account that reads.
type gateway struct {
	*validator.Verifier
	policy validator.Policy
}

func (s *scene) gateway(t *testing.T) gateway {
	policy := validator.Policy{Wiki: "enwiki", Release: s.Release, Rules: validator.MediaWiki, SiteKey: siteKey, Users: s.View().Users}
	tokens := validator.NewJWT([]*rsa.PublicKey{&issuerKey().PublicKey}, policy)
	return gateway{validator.New(policy, s.Store(t), anyNonce{}, tokens), policy}
}

func (g gateway) decide(t *testing.T, authorization string) validator.Decision {
	t.Helper()
	return g.Verify(t.Context(), validator.Request{
		Method: "GET", Scheme: "https", Host: "wiki.example", Target: "/w/api.php", Authorization: []string{authorization},
		ClientIP: netip.MustParseAddr("192.0.2.7"),
	})
}

// signed is a request with the secrets that a client was given.
func (g gateway) signed(t *testing.T, appKey, appSecret string, a authserver.Acceptance) validator.Decision {
	t.Helper()
	header, err := sign.Header(sign.Credentials{
		ConsumerKey: appKey, ConsumerSecret: sign.Secret(siteKey, appSecret), Token: a.Token, TokenSecret: sign.Secret(siteKey, a.Secret),
	}, "GET", "https://wiki.example/w/api.php", nil, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return g.decide(t, header)
}

// bearer is a request with the token that is answered for a row.
func (g gateway) bearer(t *testing.T, appKey string, row authserver.Token, a *authserver.Acceptance) validator.Decision {
	t.Helper()
	now := time.Now().Unix()
	jwt, err := sign.JWT(issuerKey(), map[string]any{
		"aud": appKey, "jti": row.JTI, "iat": now, "nbf": now, "exp": now + 60, "sub": g.policy.IssuedSubject(a.UserID), "scopes": a.Grants.Names,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g.decide(t, "Bearer "+jwt)
}

func wantAllowed(t *testing.T, what string, d validator.Decision, name string, grants ...string) {
	t.Helper()
	if d.Verdict != validator.Allow || d.Identity.UserName != name || !reflect.DeepEqual(d.Identity.Grants, grants) {
		t.Errorf("%s: %v, reason %v, identity %+v", what, d.Verdict, d.Reason, d.Identity)
	}
}

func wantRefused(t *testing.T, what string, d validator.Decision, reason string) {
	t.Helper()
	if d.Verdict != validator.Deny || d.Reason.String() != reason {
		t.Errorf("%s: %v, reason %v, want %s", what, d.Verdict, d.Reason, reason)
	}
}

// TestRowsAreHonoured follows rows from consent to withdrawal: `oauth` takes the
// credentials that belong to them, in each release.
func TestRowsAreHonoured(t *testing.T) {
	for _, name := range []string{
		"MariaDB 1.35", "MariaDB 1.39", "MariaDB 1.43", "MariaDB 1.47", "MariaDB 1.35 CentralAuth",
		"MariaDB 1.47 CentralAuth prefixed, OAuth apart",
		"SQLite 1.35", "SQLite 1.39", "SQLite 1.43", "SQLite 1.47", "SQLite 1.35 CentralAuth", "SQLite 1.47 CentralAuth",
		"PostgreSQL 1.39", "PostgreSQL 1.42", "PostgreSQL 1.43", "PostgreSQL 1.47 prefixed, OAuth apart", "PostgreSQL 1.39 CentralAuth",
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, storetest.Named(t, name))
			g, ctx := s.gateway(t), t.Context()

			one := s.accept(t, s.approval(s.alice, s.app1))
			wantAllowed(t, "OAuth 1", g.signed(t, s.app1.Key, s.app1.Secret, one), "Alice", "basic", "editpage")
			narrow := s.approval(s.alice, s.app1)
			narrow.Grants = authserver.Grants("basic")
			wantAllowed(t, "OAuth 1, narrowed", g.signed(t, s.app1.Key, s.app1.Secret, s.accept(t, narrow)), "Alice", "basic")
			if _, found, err := s.Withdraw(ctx, s.alice, one.ID); !found || err != nil {
				t.Fatal(found, err)
			}
			wantRefused(t, "OAuth 1, withdrawn", g.signed(t, s.app1.Key, s.app1.Secret, one), "unknown_token")

			two := s.accept(t, s.approval(s.bob, s.app2))
			first, need := token(two, "basic")
			wantRefused(t, "OAuth 2, not written", g.bearer(t, s.app2.Key, first, need), "token_revoked")
			wantErr(t, "issue", s.IssueToken(ctx, first, need), nil)
			wantAllowed(t, "OAuth 2", g.bearer(t, s.app2.Key, first, need), "Bob", "basic")
			next, _ := token(two)
			wantErr(t, "refresh", s.RefreshToken(ctx, first.JTI, next, need), nil)
			wantRefused(t, "OAuth 2, refreshed", g.bearer(t, s.app2.Key, first, need), "token_revoked")
			wantAllowed(t, "OAuth 2, the next", g.bearer(t, s.app2.Key, next, need), "Bob", "basic")
			if n, err := s.RevokeFamily(ctx, next.JTI[:40]); n != 1 || err != nil {
				t.Errorf("revoked %d, %v", n, err)
			}
			wantRefused(t, "OAuth 2, revoked", g.bearer(t, s.app2.Key, next, need), "token_revoked")
			last := s.issue(t, two)
			wantAllowed(t, "OAuth 2, the last", g.bearer(t, s.app2.Key, last, need), "Bob", "basic")
			if _, found, err := s.Withdraw(ctx, s.bob, two.ID); !found || err != nil {
				t.Fatal(found, err)
			}
			wantRefused(t, "OAuth 2, withdrawn", g.bearer(t, s.app2.Key, last, need), "token_revoked")
		})
	}
}

// TestRecordedRowsAreHonoured reads the rows of a real MediaWiki: a consent keeps
// them, tokens are issued for them, and `oauth` takes both.
func TestRecordedRowsAreHonoured(t *testing.T) {
	for _, name := range []string{"MariaDB 1.39", "SQLite 1.39", "PostgreSQL 1.39"} {
		t.Run(name, func(t *testing.T) { newScene(t, storetest.Named(t, name)).recordedRows(t) })
	}
}

func (s *scene) recordedRows(t *testing.T) {
	for _, table := range []string{"user", "oauth_registered_consumer"} {
		s.Exec(t, "DELETE FROM "+s.Table(table))
	}
	for line := range strings.Lines(recording.SQL) {
		if !strings.HasPrefix(line, "INSERT INTO") || strings.HasPrefix(line, "INSERT INTO ipblocks") {
			continue // blocks are of no concern here
		}
		statements, err := recording.Translate(s.Driver, line)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range statements {
			s.Exec(t, statement)
		}
	}
	g, seen := s.gateway(t), map[uint8]int{}
	for _, userID := range []uint64{1, 3, 4, 5, 6, 7, 8, 9, 10} {
		user, err := s.UserByID(t.Context(), userID)
		if err != nil || user == nil || user.Profile.Registered == "" {
			t.Fatalf("user %d: %+v, %v", userID, user, err)
		}
		list, err := s.AcceptancesOf(t.Context(), userID, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			c := a.Consumer
			if byKey, err := s.Consumer(t.Context(), c.Key); err != nil || !reflect.DeepEqual(byKey, &c) {
				t.Errorf("app %s: %+v, %v", c.Name, byKey, err)
			}
			seen[a.Version]++
			s.honoured(t, g, user, a)
		}
	}
	if seen[1] != 17 || seen[2] != 1 {
		t.Errorf("acceptances by version: %v", seen)
	}
}

// unusable are recorded apps that may not be used here, although they were
// accepted, and why. A proposed one is for its owner.
var unusable = map[string]string{
	"App proposed": "consumer_not_usable", "App disabled": "consumer_not_usable", "App onlyde": "wrong_wiki",
}

func (s *scene) honoured(t *testing.T, g gateway, user *authserver.User, a authserver.Accepted) {
	t.Helper()
	c := a.Consumer
	again := authserver.Approval{
		UserID: a.UserID, ConsumerID: a.ConsumerID, Wiki: c.Wiki, ThisWiki: "enwiki", Version: c.Version, Grants: a.Grants,
		Token: wikidb.RandomHex(16), Secret: wikidb.RandomHex(16), Accepted: accepted,
	}
	if row := s.accept(t, again); !reflect.DeepEqual(row, a.Acceptance) {
		t.Errorf("a second consent\n got %+v\nwant %+v", row, a.Acceptance)
	}
	if reason := unusable[c.Name]; reason != "" && (c.Stage != validator.Proposed || a.UserID != c.OwnerID) {
		wantRefused(t, c.Name, g.signed(t, c.Key, c.Secret, a.Acceptance), reason)
		return
	}
	if a.Version == 1 {
		wantAllowed(t, c.Name, g.signed(t, c.Key, c.Secret, a.Acceptance), user.Name, a.Grants.Names...)
		return
	}
	row, need := token(a.Acceptance, a.Grants.Names...)
	wantErr(t, c.Name, s.IssueToken(t.Context(), row, need), nil)
	wantAllowed(t, c.Name, g.bearer(t, c.Key, row, need), user.Name, a.Grants.Names...)
}
