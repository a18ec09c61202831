package grants_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
)

const stored = `["useoauth","editpage"]`

// checkAccept walks the rows of consents.
func checkAccept(t *testing.T, s *scene) {
	first := s.approval(s.alice, s.app1)
	row := s.accept(t, first)
	want := authserver.Acceptance{
		ID: row.ID, Wiki: "*", UserID: s.alice, ConsumerID: 1, Token: first.Token, Secret: first.Secret,
		Grants: first.Grants, Accepted: accepted.Truncate(time.Second), Version: 1,
	}
	if row.ID == 0 || !reflect.DeepEqual(row, want) {
		t.Errorf("accepted\n got %+v\nwant %+v", row, want)
	}
	wantRows(t, s.acceptanceRows(t), approvedRow(first, stored))

	// A second consent keeps token, secret and date, and replaces the grants.
	again := s.approval(s.alice, s.app1)
	again.Grants, again.Accepted = authserver.Grants("mwoauth-authonly"), accepted.Add(time.Hour)
	second := s.accept(t, again)
	want.Grants = again.Grants
	if !reflect.DeepEqual(second, want) {
		t.Errorf("accepted again\n got %+v\nwant %+v", second, want)
	}
	wantRows(t, s.acceptanceRows(t), approvedRow(first, `["authonly"]`))

	// Another user and another app have rows of their own.
	s.accept(t, s.approval(s.bob, s.app1))
	s.accept(t, s.approval(s.alice, s.app2))
	if n := len(s.acceptanceRows(t)); n != 3 {
		t.Errorf("%d rows", n)
	}
	list, err := s.Acceptances(t.Context(), s.alice, 1)
	if err != nil || !reflect.DeepEqual(list, []authserver.Acceptance{want}) {
		t.Errorf("acceptances\n got %+v, %v\nwant %+v", list, err, want)
	}
	if list, err := s.Acceptances(t.Context(), s.bob, 9); len(list) != 0 || err != nil {
		t.Errorf("acceptances of none: %+v, %v", list, err)
	}
}

// TestAcceptOnWikis holds which rows an approval is about, by their wikis.
func TestAcceptOnWikis(t *testing.T) {
	each(t, acceptOnWikis)
}

func acceptOnWikis(t *testing.T, s *scene) {
	for _, test := range []struct {
		name      string
		app       string   // the app's wiki
		have      []string // wikis of the rows that are there
		want      []string // wikis of the rows afterwards; with ! it has the new grants
		wantFirst string   // the wiki of the row that is returned
	}{
		{"the row of this wiki becomes that of all", "*", []string{"enwiki"}, []string{"!*"}, "*"},
		{"the row of another wiki stays", "*", []string{"dewiki"}, []string{"!*", "dewiki"}, "*"},
		{"the row of all wikis becomes the app's", "enwiki", []string{"*"}, []string{"!enwiki"}, "enwiki"},
		{"the app's wiki", "enwiki", []string{"enwiki"}, []string{"!enwiki"}, "enwiki"},
		{"the app's wiki is another", "dewiki", []string{"enwiki"}, []string{"!dewiki", "enwiki"}, "dewiki"},
		{"rows of this and of all wikis", "*", []string{"*", "enwiki"}, []string{"!*", "!enwiki"}, "enwiki"},
		{"and of another", "*", []string{"*", "dewiki", "enwiki"}, []string{"!*", "!enwiki", "dewiki"}, "enwiki"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.clear(t)
			for i, wiki := range test.have {
				a := wikidb.NewAcceptance(uint64(10+i), s.app1, s.alice)
				a.Wiki, a.Grants = wiki, `["useoauth","rollback"]`
				s.Insert(t, a)
			}
			a := s.approval(s.alice, s.app1)
			a.Wiki = test.app
			if row := s.accept(t, a); row.Wiki != test.wantFirst || !row.Grants.Equal(a.Grants) {
				t.Errorf("returned %+v", row)
			}
			got := s.rows(t, "CASE WHEN oaac_grants = '"+stored+"' THEN '!' ELSE '' END, oaac_wiki", "oauth_accepted_consumer", "1 = 1")
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], "|", "")
			}
			slices.Sort(got)
			wantRows(t, got, test.want...)
		})
	}
}

// TestAcceptWritesGaps keeps the keys of a PHP array with gaps.
func TestAcceptWritesGaps(t *testing.T) {
	each(t, func(t *testing.T, s *scene) {
		a := s.approval(s.alice, s.app1)
		a.Grants, _ = authserver.ParseGrantList([]byte(`{"0":"useoauth","2":"editpage"}`))
		s.accept(t, a)
		wantRows(t, s.acceptanceRows(t), approvedRow(a, `{"0":"useoauth","2":"editpage"}`))
	})
}

// TestAcceptRepairs writes over a row that nobody can read, or of another version
// of OAuth: the unique key has room for one.
func TestAcceptRepairs(t *testing.T) {
	each(t, func(t *testing.T, s *scene) {
		broken := wikidb.NewAcceptance(10, s.app2, s.alice)
		broken.Grants, broken.Version = `["useoauth"`, 1
		s.Insert(t, broken)
		list, err := s.Acceptances(t.Context(), s.alice, 2)
		if err != nil || len(list) != 1 || list[0].Grants.Names != nil {
			t.Fatalf("%+v, %v", list, err)
		}
		if row := s.accept(t, s.approval(s.alice, s.app2)); row.Version != 2 || !row.Grants.Has("editpage") || row.Token != broken.Token {
			t.Errorf("%+v", row)
		}
	})
}

// TestAcceptRefuses holds that nothing is cut to a column's size by a server that
// is not strict, and that no text is replaced by one that the database can hold.
func TestAcceptRefuses(t *testing.T) {
	server := mariadb.Start(t)
	server.Exec(t, "SET GLOBAL sql_mode = ''")
	t.Cleanup(func() { server.Exec(t, "SET GLOBAL sql_mode = DEFAULT") })
	each(t, acceptRefuses)
}

func acceptRefuses(t *testing.T, s *scene) {
	refused := map[string]func(*authserver.Approval){
		"oaac_access_token: 33 bytes":                      func(a *authserver.Approval) { a.Token += "0" },
		"oaac_access_secret: 33 bytes":                     func(a *authserver.Approval) { a.Secret += "0" },
		"oaac_wiki: 256 bytes":                             func(a *authserver.Approval) { a.Wiki = strings.Repeat("w", 256) },
		"oaac_grants: 65540 bytes":                         func(a *authserver.Approval) { a.Grants = authserver.Grants(strings.Repeat("g", 65536)) },
		"a time in the year 10000":                         func(a *authserver.Approval) { a.Accepted = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"an approval needs the ids of a user and an app":   func(a *authserver.Approval) { a.UserID = 0 },
		"an approval needs the ids of a user and an app ":  func(a *authserver.Approval) { a.ConsumerID = 0 },
		"an approval needs the ids of a user and an app  ": func(a *authserver.Approval) { a.UserID = 1 << 32 },
	}
	if !s.Holds(storetest.NUL) {
		const want = "a value has bytes that no text of the database can hold"
		refused[want] = func(a *authserver.Approval) { a.Wiki = "a\x00b" }
		refused[want+" "] = func(a *authserver.Approval) { a.Token = "\xff" }
		refused[want+"  "] = func(a *authserver.Approval) { a.Secret = "\xc0\xaf" }
	}
	for want, change := range refused {
		a := s.approval(s.alice, s.app1)
		change(&a)
		if _, err := s.Accept(t.Context(), a); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("got %v, want %q", err, want)
		} else {
			noSecrets(t, err, a.Token, a.Secret)
		}
	}
	wantRows(t, s.acceptanceRows(t))
	if s.Holds(storetest.NUL) {
		return
	}
	first, second := s.approval(s.alice, s.app1), s.approval(s.alice, s.app1)
	s.accept(t, first)
	second.Wiki = "a\x00b"
	if _, err := s.Accept(t.Context(), second); err == nil || !strings.Contains(err.Error(), "can hold") {
		t.Errorf("a row that is there: %v", err)
	}
	wantRows(t, s.acceptanceRows(t), approvedRow(first, stored))
}

// checkAcceptancesOf lists what a user allowed, newest first.
func checkAcceptancesOf(t *testing.T, s *scene) {
	s.accept(t, s.approval(s.alice, s.app1))
	second := s.accept(t, s.approval(s.alice, s.app2))
	s.accept(t, s.approval(s.bob, s.app1))
	gone := s.approval(s.alice, s.app1)
	gone.ConsumerID = 99
	s.accept(t, gone)
	list, err := s.AcceptancesOf(t.Context(), s.alice, 10)
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	if c := list[0].Consumer; c.ID != 99 || c.Key != "" || list[0].ConsumerID != 99 {
		t.Errorf("of an app that is gone: %+v", list[0])
	}
	if !reflect.DeepEqual(list[1].Acceptance, second) || list[1].Consumer.Key != s.app2.Key || list[1].Consumer.CallbackURL == "" {
		t.Errorf("%+v", list[1])
	}
	if list[2].ConsumerID != 1 || list[2].Consumer.Name != s.app1.Name {
		t.Errorf("%+v", list[2])
	}
	if list, err := s.AcceptancesOf(t.Context(), s.alice, 2); err != nil || len(list) != 2 || list[0].ConsumerID != 99 {
		t.Errorf("at most two: %+v, %v", list, err)
	}
	configured := authserver.Configured(s.Tables, []authserver.Consumer{{CallbackURL: "https://configured.example/"}})
	if list, err := configured.AcceptancesOf(t.Context(), s.alice, 1); err != nil || list[0].Consumer.CallbackURL != "" {
		t.Errorf("an app of another id: %+v, %v", list, err)
	}
}

// checkWithdraw deletes an acceptance and its tokens, and no others.
func checkWithdraw(t *testing.T, s *scene) {
	mine, others := s.accept(t, s.approval(s.alice, s.app2)), s.accept(t, s.approval(s.bob, s.app2))
	one, two, other := s.issue(t, mine), s.issue(t, mine), s.issue(t, others)
	for _, who := range []uint64{s.bob, 0, 9999} {
		if _, found, err := s.Withdraw(t.Context(), who, mine.ID); found || err != nil {
			t.Errorf("user %d withdrew another's: %t, %v", who, found, err)
		}
	}
	gone, found, err := s.Withdraw(t.Context(), s.alice, mine.ID)
	slices.Sort(gone.JTIs)
	want := []string{one.JTI, two.JTI}
	slices.Sort(want)
	if err != nil || !found || !reflect.DeepEqual(gone.Acceptance, mine) || !slices.Equal(gone.JTIs, want) {
		t.Errorf("withdrew %+v, %t, %v", gone, found, err)
	}
	if _, found, err := s.Withdraw(t.Context(), s.alice, mine.ID); found || err != nil {
		t.Errorf("withdrew twice: %t, %v", found, err)
	}
	if rows := s.acceptanceRows(t); len(rows) != 1 || !strings.Contains(rows[0], others.Token) {
		t.Errorf("acceptances that are left: %q", rows)
	}
	if rows := s.tokenRows(t); len(rows) != 1 || !strings.Contains(rows[0], other.JTI) {
		t.Errorf("tokens that are left: %q", rows)
	}
	// A new consent has a new token.
	if row := s.accept(t, s.approval(s.alice, s.app2)); row.Token == mine.Token {
		t.Error("the token came back")
	}
}
