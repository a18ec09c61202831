package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// want checks that a pool told of one thing, or of nothing if text is empty.
func (e *events) want(t *testing.T, what string, trouble bool, text string) {
	t.Helper()
	got := e.take()
	if text == "" && len(got) == 0 {
		return
	}
	if len(got) != 1 || text == "" || got[0].Trouble != trouble || !strings.Contains(got[0].Text, text) {
		t.Errorf("%s: told %+v, want %q", what, got, text)
	}
}

// TestChangeOfVariantIsTold updates a wiki under a gateway that is configured
// for the release before, and takes it back.
func TestChangeOfVariantIsTold(t *testing.T) {
	f := newFarm(t, storetest.Backend{Driver: wikidb.SQLite, Release: validator.Release139})
	var told events
	f.Config.Notify = told.notify
	pool, err := store.Open(f.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	now := time.Now()
	view := func() *store.Store {
		s := pool.Wiki(store.Wiki{ID: "enwiki", Release: validator.Release139})
		s.SetClock(func() time.Time { return now })
		return s
	}
	look := func(s *store.Store) {
		t.Helper()
		for range 3 {
			if facts, err := s.Lookup(t.Context(), f.oauth1); err != nil || facts.User == nil || facts.User.Blocked == 0 {
				t.Fatalf("%+v, %v", facts.User, err)
			}
			now = now.Add(4 * time.Minute)
		}
	}
	s := view()
	look(s)
	told.want(t, "as configured", false, "")
	f.turn(t, validator.Release147)
	look(s)
	told.want(t, "updated", true, "blocks are read from block and block_target")
	look(s)
	look(view()) // after a reload
	told.want(t, "again", false, "")
	f.turn(t, validator.Release139)
	look(s)
	told.want(t, "taken back", false, "again as its `mediawiki` setting says")
}

func TestReplicaIsToldOnce(t *testing.T) {
	s := newServers(t)
	var told events
	now := time.Now()
	pool, err := store.Open(store.Config{
		Driver: "sqlite", DSN: s.dsn["primary"], Replicas: []string{s.missing}, Notify: told.notify, QueryTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	pool.SetClock(func() time.Time { return now })
	st := pool.Wiki(store.Wiki{Release: validator.Release139})
	for range 5 {
		lookUpName(t, st, s.known)
		now = now.Add(10 * time.Second)
	}
	told.want(t, "down", true, "a replica does not answer")
	copyFile(t, s.dsn["one"], s.missing)
	for range 5 {
		lookUpName(t, st, s.known)
		now = now.Add(10 * time.Second)
	}
	told.want(t, "back", false, "a replica answers again")
}

// TestWrongWikiID has apps that are for other wikis alone, or for all.
func TestWrongWikiID(t *testing.T) {
	for _, test := range []struct {
		name, id, setWikis string
		shared             bool
		want               string
	}{
		{"others", "enwiki", "UPDATE %s SET oarc_wiki = IF(oarc_id < 10, '*', 'mywiki')", false, "some are for mywiki: compare `wiki`"},
		{"this one too", "enwiki", "UPDATE %s SET oarc_wiki = IF(oarc_id < 10, 'enwiki', 'mywiki')", false, ""},
		{"all wikis", "enwiki", "UPDATE %s SET oarc_wiki = '*'", false, ""},
		{"a farm", "enwiki", "UPDATE %s SET oarc_wiki = 'mywiki'", true, ""},
		{"no id", "", "UPDATE %s SET oarc_wiki = 'mywiki'", false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := storetest.Named(t, "MariaDB 1.39")
			b.Apart = test.shared
			f := newFarm(t, b)
			f.Exec(t, strings.ReplaceAll(test.setWikis, "%s", f.Table("oauth_registered_consumer")))
			var told events
			f.Config.Notify = told.notify
			pool, err := store.Open(f.Config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = pool.Close() })
			for range 3 { // a reload makes new views
				s := pool.Wiki(store.Wiki{ID: test.id, Release: f.Release})
				for range 3 {
					if _, err := s.Lookup(t.Context(), f.oauth1); err != nil {
						t.Fatal(err)
					}
				}
				store.CompareID(s) // as the background does
				store.CompareID(s)
			}
			told.want(t, test.name, true, test.want)
		})
	}
}

// TestWrongWikiIDIsFound has the background find it, by a row that names another
// wiki.
func TestWrongWikiIDIsFound(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "SQLite 1.39"))
	f.Exec(t, "UPDATE oauth_registered_consumer SET oarc_wiki = 'mywiki'")
	told := make(chan store.Event, 10)
	f.Config.Notify = func(e store.Event) { told <- e }
	if _, err := f.Store(t).Lookup(t.Context(), f.oauth1); err != nil {
		t.Fatal(err)
	}
	if e := <-told; e.Wiki != "enwiki" || !strings.Contains(e.Text, "mywiki") {
		t.Errorf("told %+v", e)
	}
}
