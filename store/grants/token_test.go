package grants_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/postgres"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// checkTokens walks the life of a token row.
func checkTokens(t *testing.T, s *scene) {
	ctx, a := t.Context(), s.accept(t, s.approval(s.alice, s.app2))
	row, need := token(a, "basic", "editpage")
	wantErr(t, "issue", s.IssueToken(ctx, row, need), nil)
	wantRows(t, s.tokenRows(t), fmt.Sprintf("%s|20260301130000|%d|0", row.JTI, a.ID))
	wantErr(t, "issue twice", s.IssueToken(ctx, row, need), authserver.ErrTokenExists)

	got, err := s.Token(ctx, row.JTI)
	want := row
	want.Expires = row.Expires.Truncate(time.Second)
	if err != nil || got == nil || *got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, jti := range []string{"", row.JTI[1:], strings.ToUpper(row.JTI), row.JTI + " ", strings.Repeat("f", 256), wikidb.RandomHex(40)} {
		if got, err := s.Token(ctx, jti); got != nil || err != nil {
			t.Errorf("token %q: %+v, %v", jti, got, err)
		}
	}

	next, _ := token(a)
	wantErr(t, "refresh an unknown one", s.RefreshToken(ctx, wikidb.RandomHex(40), next, need), authserver.ErrTokenGone)
	wantErr(t, "refresh one that no database holds", s.RefreshToken(ctx, "a\x00\xff", next, need), authserver.ErrTokenGone)
	wantErr(t, "refresh none", s.RefreshToken(ctx, "", next, need), authserver.ErrTokenGone)
	same := next
	same.JTI = row.JTI
	wantErr(t, "refresh to one that exists", s.RefreshToken(ctx, row.JTI, same, need), authserver.ErrTokenExists)
	wantErr(t, "refresh", s.RefreshToken(ctx, row.JTI, next, need), nil)
	wantErr(t, "refresh twice", s.RefreshToken(ctx, row.JTI, next, need), authserver.ErrTokenGone)
	odd := wikidb.Token{Identifier: wikidb.RandomHex(40), AcceptanceID: a.ID, Revoked: 7}
	s.Insert(t, odd)
	wantErr(t, "refresh one that is revoked by another number", s.RefreshToken(ctx, odd.Identifier, next, need), authserver.ErrTokenGone)
	if got, err := s.Token(ctx, row.JTI); err != nil || got == nil || !got.Revoked {
		t.Errorf("the old one: %+v, %v", got, err)
	}
	if got, err := s.Token(ctx, next.JTI); err != nil || got == nil || got.Revoked || got.AcceptanceID != a.ID {
		t.Errorf("the next one: %+v, %v", got, err)
	}
}

// TestAcceptanceOfTokens holds the acceptance inside the transaction, for issuing
// and for refreshing. What is refused uses up nothing.
func TestAcceptanceOfTokens(t *testing.T) { each(t, acceptanceOfTokens) }

func acceptanceOfTokens(t *testing.T, s *scene) {
	for name, change := range map[string]func(t *testing.T, need *authserver.Acceptance){
		"gone": func(t *testing.T, _ *authserver.Acceptance) {
			s.Exec(t, "DELETE FROM "+s.Table("oauth_accepted_consumer"))
		},
		"too narrow": func(t *testing.T, _ *authserver.Acceptance) {
			narrow := s.approval(s.alice, s.app2)
			narrow.Grants = authserver.Grants("basic")
			s.accept(t, narrow)
		},
		"unreadable": func(t *testing.T, _ *authserver.Acceptance) {
			s.Exec(t, "UPDATE "+s.Table("oauth_accepted_consumer")+" SET oaac_grants = 'x'")
		},
		"of another user": func(_ *testing.T, need *authserver.Acceptance) { need.UserID = s.bob },
		"of another app":  func(_ *testing.T, need *authserver.Acceptance) { need.ConsumerID = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s.clear(t)
			a := s.accept(t, s.approval(s.alice, s.app2))
			old := s.issue(t, a)
			next, need := token(a, "basic", "editpage")
			change(t, need)
			wantErr(t, "issue", s.IssueToken(t.Context(), next, need), authserver.ErrNoAcceptance)
			wantErr(t, "refresh", s.RefreshToken(t.Context(), old.JTI, next, need), authserver.ErrNoAcceptance)
			wantErr(t, "refresh an unknown one", s.RefreshToken(t.Context(), next.JTI, next, need), authserver.ErrTokenGone)
			wantRows(t, s.tokenRows(t), fmt.Sprintf("%s|20260301130000|%d|0", old.JTI, a.ID))
		})
	}
}

// TestClientTokens have no acceptance.
func TestClientTokens(t *testing.T) {
	each(t, func(t *testing.T, s *scene) {
		own := authserver.Token{JTI: wikidb.RandomHex(40), Expires: accepted.AddDate(1000, 0, 0)}
		wantErr(t, "issue", s.IssueToken(t.Context(), own, nil), nil)
		wantRows(t, s.tokenRows(t), own.JTI+"|30260301120000|0|0")
		next := authserver.Token{JTI: wikidb.RandomHex(40), Expires: accepted}
		wantErr(t, "refresh", s.RefreshToken(t.Context(), own.JTI, next, nil), nil)
		wantErr(t, "refresh twice", s.RefreshToken(t.Context(), own.JTI, next, nil), authserver.ErrTokenGone)
	})
}

// TestTokenRefuses holds what no token row may be.
func TestTokenRefuses(t *testing.T) {
	each(t, func(t *testing.T, s *scene) {
		a := s.accept(t, s.approval(s.alice, s.app2))
		row, need := token(a, "basic")
		refused := map[string]func(t *authserver.Token, a **authserver.Acceptance){
			"needs an id":                func(t *authserver.Token, _ **authserver.Acceptance) { t.JTI = "" },
			"oaat_identifier: 256 bytes": func(t *authserver.Token, _ **authserver.Acceptance) { t.JTI = strings.Repeat("f", 256) },
			"a time in the year 10000": func(t *authserver.Token, _ **authserver.Acceptance) {
				t.Expires = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
			},
			"must name the acceptance":      func(t *authserver.Token, _ **authserver.Acceptance) { t.AcceptanceID++ },
			"must name the acceptance that": func(_ *authserver.Token, a **authserver.Acceptance) { *a = nil },
		}
		old := s.issue(t, s.accept(t, s.approval(s.bob, s.app2)))
		if !s.Holds(storetest.NUL) {
			refused["no text of the database can hold"] = func(t *authserver.Token, _ **authserver.Acceptance) { t.JTI += "\x00" }
			refused["bytes that no text of the database can hold"] = func(t *authserver.Token, _ **authserver.Acceptance) { t.JTI += "\xff" }
		}
		for want, change := range refused {
			changed, with := row, need
			change(&changed, &with)
			for what, err := range map[string]error{
				"issue": s.IssueToken(t.Context(), changed, with), "refresh": s.RefreshToken(t.Context(), old.JTI, changed, with),
			} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want %q", what, err, want)
				}
			}
		}
		wantRows(t, s.tokenRows(t), fmt.Sprintf("%s|20260301130000|%d|0", old.JTI, old.AcceptanceID))
	})
}

// TestSessionZone writes the same times whatever the zone and the style of the
// session are. The first hour is one that the zone skips.
func TestSessionZone(t *testing.T) {
	s := newScene(t, storetest.Named(t, "PostgreSQL 1.39"))
	for setting, value := range map[string]string{"timezone": "America/New_York", "datestyle": "SQL, DMY"} {
		s.Exec(t, "ALTER ROLE "+storetest.WriterUser+" SET "+setting+" = '"+value+"'")
		t.Cleanup(func() { postgres.Start(t).Exec(t, "", "ALTER ROLE "+storetest.WriterUser+" RESET "+setting) })
	}
	s.Tables = openTables(t, s.Wiki, s.config)
	for _, at := range []time.Time{
		time.Date(2026, 3, 8, 2, 30, 0, 0, time.UTC), time.Date(2026, 7, 1, 23, 59, 59, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		s.clear(t)
		row := authserver.Token{JTI: wikidb.RandomHex(40), Expires: at}
		wantErr(t, "issue", s.IssueToken(t.Context(), row, nil), nil)
		wantRows(t, s.tokenRows(t), row.JTI+at.Format("|20060102150405|0|0"))
		if got, err := s.Token(t.Context(), row.JTI); err != nil || got == nil || !got.Expires.Equal(at) {
			t.Errorf("%v: %+v, %v", at, got, err)
		}
		a := s.approval(s.alice, s.app1)
		a.Accepted = at
		if row := s.accept(t, a); !row.Accepted.Equal(at) {
			t.Errorf("accepted at %v, want %v", row.Accepted, at)
		}
	}
}

// TestSequenceBehind has a table whose ids were written by hand, as by a copy from
// another database. That is no token that exists, and no approval that was faster.
func TestSequenceBehind(t *testing.T) {
	s := newScene(t, storetest.Named(t, "PostgreSQL 1.39"))
	a := s.accept(t, s.approval(s.alice, s.app2))
	s.issue(t, a)
	for _, sequence := range []string{"oauth_accepted_consumer_oaac_id_seq", "oauth2_access_tokens_oaat_id_seq"} {
		s.Exec(t, "SELECT setval('"+sequence+"', 1, false)")
	}
	row, need := token(a, "basic")
	_, err := s.Accept(t.Context(), s.approval(s.bob, s.app2))
	for what, err := range map[string]error{"accept": err, "issue": s.IssueToken(t.Context(), row, need)} {
		if validator.FailureOf(err) != validator.KeyFailure || !strings.Contains(fmt.Sprint(err), "set it with setval") {
			t.Errorf("%s: %v of class %v", what, err, validator.FailureOf(err))
		} else {
			noSecrets(t, err, row.JTI)
		}
	}
}

// TestTokenIDs finds no token by an id that is not its own, byte for byte.
func TestTokenIDs(t *testing.T) {
	s := only(t)
	s.Exec(t, "ALTER TABLE "+s.Table("oauth2_access_tokens")+" MODIFY oaat_identifier VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL")
	s.Insert(t, wikidb.Token{Identifier: "abc"})
	for jti, want := range map[string]bool{"abc": true, "ABC": false, "abc ": false} {
		if got, err := s.Token(t.Context(), jti); (got != nil) != want || err != nil {
			t.Errorf("%q: %+v, %v", jti, got, err)
		}
	}
}

// TestReadsExpiries reads what others wrote.
func TestReadsExpiries(t *testing.T) {
	each(t, func(t *testing.T, s *scene) {
		for expires, want := range map[string]time.Time{
			wikidb.Infinity: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "soon": {}, "20260301120000": accepted.Truncate(time.Second),
			"2026-03-01 12:00:00 UTC": accepted.Truncate(time.Second), // PostgreSQL's form
		} {
			if isPostgres := s.Driver == wikidb.Postgres; strings.Contains(expires, "-") != isPostgres && expires != wikidb.Infinity {
				continue
			}
			jti := wikidb.RandomHex(40)
			s.Insert(t, wikidb.Token{Identifier: jti, Revoked: 7})
			s.Exec(t, "UPDATE "+s.Table("oauth2_access_tokens")+" SET oaat_expires = '"+expires+"' WHERE oaat_identifier = '"+jti+"'")
			got, err := s.Token(t.Context(), jti)
			if err != nil || got == nil || !got.Expires.Equal(want) || !got.Revoked {
				t.Errorf("%s: got %+v, %v, want %v", expires, got, err, want)
			}
		}
	})
}

// checkRevokeFamily revokes the tokens of one prefix.
func checkRevokeFamily(t *testing.T, s *scene) {
	family := wikidb.RandomHex(20)
	last := string(family[39] ^ 1)
	var rows []wikidb.Row
	for jti, revoked := range map[string]int{
		family + wikidb.RandomHex(20): 0, family + strings.Repeat("f", 40): 0, family: 0, family + strings.Repeat("0", 40): 1,
		family[:39] + last + wikidb.RandomHex(20): 0, family[:39]: 0, family[1:]: 0, "x" + family: 0, "%": 0,
	} {
		rows = append(rows, wikidb.Token{Identifier: jti, Revoked: revoked})
	}
	s.Insert(t, rows...)
	for _, want := range []int64{3, 0} {
		if n, err := s.RevokeFamily(t.Context(), family); n != want || err != nil {
			t.Errorf("revoked %d, %v, want %d", n, err, want)
		}
	}
	left := s.rows(t, "oaat_identifier", "oauth2_access_tokens", "oaat_revoked = 0")
	if len(left) != 5 {
		t.Errorf("left: %q", left)
	}
	for _, prefix := range []string{"", "0123456789abcde", "%%%%%%%%%%%%%%%%%%%%", strings.Repeat("A", 40), family + "'", strings.Repeat("a", 256)} {
		if _, err := s.RevokeFamily(t.Context(), prefix); err == nil || !strings.Contains(err.Error(), "16 hexadecimal digits") {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}
