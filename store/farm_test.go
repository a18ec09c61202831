package store_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestFarmIsCheap makes 300 views of one pool, all of which have been asked.
func TestFarmIsCheap(t *testing.T) {
	pool := open(t, store.Config{Driver: "mysql", DSN: dsn})
	const wikis = 300
	views := make([]*store.Store, 0, wikis)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools keep, they keep for one more
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	view := func(i int) *store.Store {
		name := fmt.Sprintf("wiki%d", i)
		s := pool.Wiki(store.Wiki{ID: name, Database: name, Release: validator.Release147, Users: validator.CentralAuth, CentralAuthDatabase: "centralauth"})
		if text := store.First(s, validator.Key{Protocol: validator.OAuth1}); !strings.Contains(text, "`"+name+"`.`user`") {
			t.Fatalf("the statement of %s is another's", name)
		}
		return s
	}
	view(0) // makes the text that they share
	before := heap()
	for i := range wikis {
		views = append(views, view(i))
	}
	each := (int64(heap()) - int64(before)) / wikis
	t.Logf("%d bytes for each wiki", each)
	if each > 1500 {
		t.Errorf("%d bytes for each wiki, want at most 1500", each)
	}
	runtime.KeepAlive(views)
}

// TestFarm reads the wikis of one farm through one pool, at once: each has its
// own user of one central id, and one of them has no tables.
func TestFarm(t *testing.T) {
	central := storetest.Named(t, "MariaDB 1.39 CentralAuth").Open(t)
	c := wikidb.NewConsumer(1, 1)
	a := wikidb.NewAcceptance(1, c, 7)
	central.Insert(t, c, a, wikidb.GlobalUser{ID: 7, Name: "Alice"})
	server := mariadb.Start(t)
	const wikis = 6
	var names []string
	for i := range wikis {
		name := server.CreateDatabase(t)
		names = append(names, name)
		local := uint64(100 + i)
		central.Insert(t, wikidb.Attachment{Wiki: name, Name: "Alice"})
		if i == 0 {
			continue
		}
		release := []validator.Release{validator.Release139, validator.Release147}[i%2]
		for _, statement := range wikidb.WikiSchema(wikidb.MySQL, release, "") {
			server.Exec(t, strings.NewReplacer("CREATE TABLE `", "CREATE TABLE "+name+".`", " ON `", " ON "+name+".`").Replace(statement))
		}
		server.Exec(t, fmt.Sprintf("INSERT INTO %s.user (user_id, user_name) VALUES (%d, 'Alice')", name, local),
			fmt.Sprintf("INSERT INTO %s.user_groups VALUES (%d, 'of %s', NULL)", name, local, name))
	}
	for _, name := range names {
		server.Exec(t, fmt.Sprintf("GRANT SELECT ON %s.* TO '%s'@'%%'", name, storetest.User))
	}
	var mu sync.Mutex
	queries := 0
	central.Config.Observe = func(time.Duration, error) { mu.Lock(); defer mu.Unlock(); queries++ }
	central.Config.OAuthDatabase = central.Database
	pool := open(t, central.Config)
	key := validator.Key{Protocol: validator.OAuth1, Consumer: c.Key, Token: a.Token}
	views := make([]*store.Store, wikis)
	for i, name := range names {
		views[i] = pool.Wiki(store.Wiki{
			ID: name, Database: name, Release: validator.Release139, Users: validator.CentralAuth, CentralAuthDatabase: central.CentralDatabase,
		})
	}
	round := func() {
		var wg sync.WaitGroup
		for i, view := range views {
			wg.Go(func() {
				facts, err := view.Lookup(t.Context(), key)
				if i == 0 {
					if missing, ok := errors.AsType[*store.SchemaError](err); !ok || missing.Wiki != names[0] {
						t.Errorf("without tables: %v", err)
					}
					return
				}
				if err != nil || facts.User == nil || !facts.User.Attached || facts.User.CentralID != 7 ||
					len(facts.User.Groups) != 1 || facts.User.Groups[0].Name != "of "+names[i] {
					t.Errorf("%s: %+v, %v", names[i], facts.User, err)
				}
			})
		}
		wg.Wait()
	}
	round()
	queries = 0
	round()
	if queries != wikis {
		t.Errorf("%d queries for %d wikis, want one for each", queries, wikis)
	}
}

// TestMisshapenReplica has a replica without one wiki's tables: it serves the
// other wikis as before.
func TestMisshapenReplica(t *testing.T) {
	var files []storetest.Wiki
	c := wikidb.NewConsumer(1, 1)
	a := wikidb.NewAcceptance(1, c, 1)
	for _, name := range []string{"primary", "replica"} {
		w := storetest.Backend{Driver: wikidb.SQLite, Release: validator.Release139}.Open(t)
		w.Insert(t, c, a, wikidb.User{ID: 1, Name: name})
		files = append(files, w)
	}
	for _, statement := range wikidb.Schema(wikidb.SQLite, validator.Release139, "b_") {
		files[0].Exec(t, statement)
	}
	files[0].Rows.Prefix = "b_"
	files[0].Insert(t, c, a, wikidb.User{ID: 1, Name: "B"})
	var failed int
	pool := open(t, store.Config{
		Driver: "sqlite", DSN: files[0].Config.DSN, Replicas: []string{files[1].Config.DSN},
		Observe: func(_ time.Duration, err error) {
			if err != nil {
				failed++
			}
		},
	})
	key := validator.Key{Protocol: validator.OAuth1, Consumer: c.Key, Token: a.Token}
	for range 3 {
		if got := lookUpName(t, pool.Wiki(store.Wiki{Release: 39, TablePrefix: "b_"}), key); got != "B" {
			t.Errorf("the wiki that the replica lacks: %q", got)
		}
		if got := lookUpName(t, pool.Wiki(store.Wiki{Release: 39}), key); got != "replica" {
			t.Errorf("the other wiki is read from the %s", got)
		}
	}
	if failed != 3 {
		t.Errorf("%d queries failed, want 3: one for each lookup in tables that are not there", failed)
	}
}

// TestServersOfTheirOwn takes one of three servers away after the other.
func TestServersOfTheirOwn(t *testing.T) {
	f := newFarm(t, storetest.Named(t, "MariaDB 1.47 CentralAuth on three servers"))
	for name, test := range map[string]struct {
		config *store.Config
		wrong  string
	}{
		"oauth":       {&f.Config, f.OAuthDatabase},
		"centralauth": {&f.CentralConfig, f.CentralDatabase},
		"wiki":        {&f.ServerConfig, f.Database},
	} {
		t.Run(name, func(t *testing.T) {
			usual := *test.config
			defer func() { *test.config = usual }()
			test.config.DSN = strings.Replace(usual.DSN, storetest.Password, "wrong", 1)
			s := f.Store(t)
			_, err := s.Lookup(t.Context(), f.oauth1)
			if err == nil || !strings.Contains(err.Error(), "refused: ") {
				t.Errorf("got %v", err)
			}
			stranger := f.keys()["nothing"]
			if _, err := s.Lookup(t.Context(), stranger); (err != nil) != (name == "oauth") {
				t.Errorf("an unknown token: %v", err)
			}
		})
	}
}

// TestReplicaWithoutTheUser has a wiki's server whose replica lags behind the
// creation of a user.
func TestReplicaWithoutTheUser(t *testing.T) {
	oauth := storetest.Named(t, "SQLite 1.39").Open(t)
	primary, replica := storetest.Named(t, "SQLite 1.39").Open(t), storetest.Named(t, "SQLite 1.39").Open(t)
	c := wikidb.NewConsumer(1, 1)
	known, fresh, gone := wikidb.NewAcceptance(1, c, 1), wikidb.NewAcceptance(2, c, 2), wikidb.NewAcceptance(3, c, 3)
	oauth.Insert(t, c, known, fresh, gone, wikidb.User{ID: 1, Name: "nobody of this wiki"})
	primary.Insert(t, wikidb.User{ID: 1, Name: "known, primary"}, wikidb.User{ID: 2, Name: "fresh"})
	replica.Insert(t, wikidb.User{ID: 1, Name: "known, replica"})
	server := open(t, store.Config{Driver: "sqlite", DSN: primary.Config.DSN, Replicas: []string{replica.Config.DSN}})
	s := open(t, oauth.Config).Wiki(store.Wiki{Release: 39, Server: server})
	for _, test := range []struct {
		token, want string
	}{{known.Token, "known, replica"}, {fresh.Token, "fresh"}, {gone.Token, "nobody"}} {
		if got := lookUpName(t, s, validator.Key{Protocol: validator.OAuth1, Consumer: c.Key, Token: test.token}); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
	if !s.SharedUserIDs() {
		t.Error("the OAuth tables are on another server, and its user ids are not central")
	}
}

// TestPrefixOfTheOAuthTables has two wikis in one database, each with a prefix,
// and the OAuth tables under that of one.
func TestPrefixOfTheOAuthTables(t *testing.T) {
	w := storetest.Backend{Driver: wikidb.SQLite, Release: validator.Release139}.Open(t)
	c := wikidb.NewConsumer(1, 1)
	a := wikidb.NewAcceptance(1, c, 1)
	for _, prefix := range []string{"meta_", "de_"} {
		for _, statement := range wikidb.Schema(wikidb.SQLite, validator.Release139, prefix) {
			w.Exec(t, statement)
		}
		w.Rows.Prefix = prefix
		w.Insert(t, wikidb.User{ID: 1, Name: "of " + prefix})
	}
	w.Rows.Prefix = "meta_"
	w.Insert(t, c, a)
	pool := open(t, store.Config{Driver: "sqlite", DSN: w.Config.DSN})
	key := validator.Key{Protocol: validator.OAuth1, Consumer: c.Key, Token: a.Token}
	meta := pool.Wiki(store.Wiki{Release: 39, TablePrefix: "meta_"})
	de := pool.Wiki(store.Wiki{Release: 39, TablePrefix: "de_", OAuthTablePrefix: new("meta_")})
	for view, want := range map[*store.Store]string{meta: "of meta_", de: "of de_"} {
		if got := lookUpName(t, view, key); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if meta.SharedUserIDs() || !de.SharedUserIDs() {
		t.Error("whose ids the OAuth tables hold")
	}
	w.Exec(t, "DROP TABLE meta_oauth_registered_consumer")
	if _, err := de.Lookup(t.Context(), key); err == nil || !strings.Contains(err.Error(), "meta_oauth_registered_consumer") {
		t.Errorf("got %v", err)
	}
}
