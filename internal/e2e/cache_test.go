package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// site is a further site, by its host, whose directive has lines of its own.
func site(host, settings string) string {
	return "http://" + host + ":{$HTTP2} {\n\toauth {\n" + settings + "\n\t}\n\treverse_proxy {$BACKEND}\n}\n"
}

// at sends a request with a bearer token or, without one, a signed one to a
// host of the second port.
func at(t *testing.T, g *harness.Gateway, host string, app harness.App) *harness.Answer {
	t.Helper()
	r := g.Request(t, "GET", "http://"+g.HTTP2+"/", "")
	_, port, _ := strings.Cut(g.HTTP2, ":")
	r.Host = host + ":" + port
	if app.JTI != "" {
		r.Header.Set("Authorization", g.Wiki.Bearer(t, app))
	} else {
		r.Header.Set("Authorization", harness.Sign(t, app, "GET", "http://"+r.Host+"/", ""))
	}
	return g.Do(t, r)
}

// copyTable copies rows of a table to one under a prefix or in another database.
func copyTable(t *testing.T, w *harness.Wiki, table, to, where string) {
	t.Helper()
	w.Exec(t, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s%s LIKE %s", to, table, table))
	w.Exec(t, fmt.Sprintf("INSERT INTO %s%s SELECT * FROM %s WHERE %s", to, table, table, where)) //nolint:unqueryvet // all columns, whichever
}

// TestCacheKeyConfusion has pairs of sites that differ in one setting.
// Whichever is asked first, each answers for itself.
func TestCacheKeyConfusion(t *testing.T) {
	w := harness.NewWiki(t, release139)
	// The same tokens, by other tables: with a prefix, and in another database.
	prefixed, apart := w.Database+".other_", w.Database+"_other"
	for _, table := range []string{"oauth_registered_consumer", "oauth_accepted_consumer", "oauth2_access_tokens", "user", "user_groups", "ipblocks"} {
		copyTable(t, w, table, prefixed, "1")
	}
	w.Exec(t, "UPDATE "+prefixed+"user SET user_name = 'Mallory' WHERE user_id = 7")
	w.Exec(t, "CREATE DATABASE "+apart)
	t.Cleanup(func() { mariadb.Start(t).Exec(t, "DROP DATABASE "+apart) })
	for _, table := range []string{"oauth_registered_consumer", "oauth_accepted_consumer", "oauth2_access_tokens"} {
		copyTable(t, w, table, apart+".", "1")
	}
	// A user is blocked by the tables of 1.39 and not by those of 1.47.
	blocked := wikidb.User{ID: 60, Name: "Blocked"}
	w.Insert(t, blocked, wikidb.Block{UserID: 60, Name: "Blocked", Expiry: wikidb.Infinity})
	for _, statement := range wikidb.WikiSchema(wikidb.MySQL, release147, "") {
		if strings.Contains(statement, "`block") {
			w.Exec(t, statement)
		}
	}
	user := "'gateway_" + w.Database + "'@'%'"
	for _, database := range []string{w.Database, apart} {
		w.Exec(t, fmt.Sprintf("GRANT %s ON %s.* TO %s", "SELECT", database, user))
	}

	otherKey := harness.NewKey(2048)
	w.StoreLines = nil
	usual := w.Settings(t)
	withStore := func(line string) string {
		w.StoreLines = []string{line}
		defer func() { w.StoreLines = nil }()
		return w.Settings(t)
	}
	sites := site("usual", usual) +
		site("keys", w.Settings(t, "public_key `"+harness.PublicPEM(&otherKey.PublicKey)+"`")) +
		site("release", w.Settings(t, "mediawiki 1.47")) +
		site("wiki", w.Settings(t, "wiki dewiki")) +
		site("secret", w.Settings(t, "secret_key another")) +
		site("raw", w.Settings(t, "secret_key none")) +
		site("prefix", withStore("table_prefix other_")) +
		site("apart", withStore("oauth_database "+apart)) +
		site("group", w.Settings(t, "require group bureaucrat")) +
		site("grant", w.Settings(t, "require grant delete")) +
		site("consumer", w.Settings(t, "require consumer "+strings.Repeat("0", 32))) +
		site("unblocked", w.Settings(t, "block_disables_login off"))
	for _, kind := range validator.RequirementKinds() {
		if !strings.Contains(sites, "require "+kind.String()+" ") {
			t.Errorf("no site has require %v: add one, and a row for it", kind)
		}
	}
	g := harness.New(t, harness.Options{Wiki: w, Sites: sites})

	local := func(c *wikidb.Consumer) { c.Wiki, c.Name = "enwiki", "local app "+wikidb.RandomHex(4) }
	copies := func(app harness.App) harness.App {
		// What is registered from here on is copied to the other tables too.
		for _, c := range []struct{ table, column, value string }{
			{"oauth_registered_consumer", "oarc_id", strconv.FormatUint(app.Consumer.ID, 10)},
			{"oauth_accepted_consumer", "oaac_id", strconv.FormatUint(app.Acceptance.ID, 10)},
			{"oauth2_access_tokens", "oaat_identifier", "'" + app.JTI + "'"},
		} {
			for _, to := range []string{prefixed, apart + "."} {
				copyTable(t, w, c.table, to, c.column+" = "+c.value)
			}
		}
		w.Exec(t, fmt.Sprintf("UPDATE %s.oauth_accepted_consumer SET oaac_user_id = 8 WHERE oaac_id = %d", apart, app.Acceptance.ID))
		return app
	}
	newApp := func(of wikidb.User, version int) harness.App {
		return copies(w.NewApp(t, of, func(c *wikidb.Consumer) {
			local(c)
			c.Version = version
		}))
	}
	for _, tt := range []struct {
		host        string
		user        wikidb.User
		version     int
		usual, want string // the reason, or the user who passes
	}{
		{"keys", w.Alice, 2, "Alice", "bad_token_signature"},
		{"release", blocked, 1, "user_blocked", "Blocked"},
		{"release", blocked, 2, "user_blocked", "Blocked"},
		{"wiki", w.Alice, 1, "Alice", "wrong_wiki"},
		{"wiki", w.Alice, 2, "Alice", "wrong_wiki"},
		{"secret", w.Alice, 1, "Alice", "bad_signature"},
		{"raw", w.Alice, 1, "Alice", "bad_signature"},
		{"prefix", w.Alice, 1, "Alice", "Mallory"},
		{"prefix", w.Alice, 2, "Alice", "Mallory"},
		{"apart", w.Alice, 1, "Alice", "Bob"},
		{"apart", w.Alice, 2, "Alice", "Bob"},
		// One cached entry, and each site's own rules on every hit.
		{"group", w.Alice, 1, "Alice", "missing_group"},
		{"group", w.Alice, 2, "Alice", "missing_group"},
		{"grant", w.Alice, 2, "Alice", "missing_grant"},
		{"consumer", w.Alice, 2, "Alice", "other_consumer"},
		{"unblocked", blocked, 1, "user_blocked", "Blocked"},
	} {
		for _, order := range [][]string{{"usual", tt.host, "usual", tt.host}, {tt.host, "usual", tt.host, "usual"}} {
			t.Run(fmt.Sprintf("%s, OAuth %d, %s first", tt.host, tt.version, order[0]), func(t *testing.T) {
				app := newApp(tt.user, tt.version)
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

func TestNegativeEntryEnds(t *testing.T) {
	g := harness.New(t, harness.Options{Settings: []string{"cache {\n\tnegative_ttl 300ms\n}"}})
	w := g.Wiki
	token := wikidb.Acceptance{
		ID: 1 << 20, Wiki: "*", UserID: 8, ConsumerID: w.RSA.Consumer.ID, Token: wikidb.RandomHex(16), Secret: wikidb.RandomHex(16),
		Grants: `["basic"]`, Version: 1,
	}
	app := w.RSA
	app.Credentials.Token = token.Token
	for range 3 {
		g.Signed(t, app, "/").Want(t, "unknown_token")
	}
	w.Insert(t, token)
	eventually(t, "the new token passes", func() bool { return g.Signed(t, app, "/").Status == http.StatusOK })
}

// eventually waits for what must become true soon.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("it never holds: %s", what)
}

func TestARevokedEntryReturns(t *testing.T) {
	g := harness.New(t, harness.Options{Settings: []string{"cache {\n\tttl 300ms\n\tnegative_ttl 100ms\n\tmax_stale 1h\n}"}})
	w := g.Wiki
	bearer := w.Bearer(t, w.OAuth2)
	send := func() (reason string) {
		a, err := g.Try(g.Request(t, "GET", g.URL("/"), "", "Authorization", bearer))
		if err != nil {
			t.Error(err)
			return ""
		}
		if a.Status == http.StatusOK {
			return "ok"
		}
		return a.Reason
	}
	var revoked, returned atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	hangUp := sync.OnceFunc(func() {
		close(stop)
		clients.Wait()
	})
	defer hangUp()
	for range 8 { // requests cross the revocation in every phase of the cache
		clients.Go(func() {
			seen := false
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch reason := send(); {
				case reason == "token_revoked":
					seen = true
					revoked.Add(1)
				case seen:
					returned.Add(1)
				}
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	w.Exec(t, "UPDATE oauth2_access_tokens SET oaat_revoked = 1 WHERE oaat_identifier = '"+w.OAuth2.JTI+"'")
	eventually(t, "the token is refused", func() bool { return revoked.Load() > 0 })
	time.Sleep(500 * time.Millisecond) // several lives of the negative entry
	hangUp()
	if n := returned.Load(); n != 0 {
		t.Errorf("the revoked token passes %d times more", n)
	}
	g.Get(t, "/", bearer).Want(t, "token_revoked")
}

func TestFirstWaiterHangsUp(t *testing.T) {
	w := harness.NewWiki(t, release139)
	proxy := w.Through(t)
	w.StoreLines = []string{"query_timeout 30s"}
	g := harness.New(t, harness.Options{Wiki: w})
	g.Get(t, "/", w.Bearer(t, w.Machine)).Want(t, "ok") // opens a connection
	before := mariadbCounters(t)

	bearer := w.Bearer(t, w.OAuth2)
	proxy.Hold()
	ctx, hangUp := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := g.Try(g.Request(t, "GET", g.URL("/"), "", "Authorization", bearer).WithContext(ctx))
		first <- err
	}()
	<-proxy.Held // its query is under way
	misses := cacheMisses(t, g)
	answers := make(chan *harness.Answer)
	for range 5 {
		go func() {
			a, err := g.Try(g.Request(t, "GET", g.URL("/"), "", "Authorization", bearer))
			if err != nil {
				t.Error(err)
			}
			answers <- a
		}()
	}
	eventually(t, "the others wait", func() bool { return cacheMisses(t, g) >= misses+5 })
	hangUp()
	if err := <-first; err == nil {
		t.Error("the first waiter got an answer")
	}
	proxy.Release()
	for range 5 {
		if a := <-answers; a != nil {
			a.Want(t, "ok")
		}
	}
	if asked := mariadbCounters(t).Sub(before).Selects; asked != 1 {
		t.Errorf("%d queries, want 1", asked)
	}
}

var missesLine = regexp.MustCompile(`(?m)^caddy_oauth_cache_misses_total\{cache="facts"\} (\S+)$`)

// cacheMisses are the lookups that the cache of facts could not answer.
func cacheMisses(t *testing.T, g *harness.Gateway) int {
	t.Helper()
	found := missesLine.FindStringSubmatch(g.Metrics(t))
	if found == nil {
		return 0
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// TestOneQueryForAThousandMisses is the promise of the cache, counted at the
// server: any number of simultaneous misses of one token make one query, and no
// second one follows the answer.
func TestOneQueryForAThousandMisses(t *testing.T) {
	w := harness.NewWiki(t, release139)
	proxy := w.Through(t)
	w.StoreLines = []string{"query_timeout 30s"}
	g := harness.New(t, harness.Options{Wiki: w})
	g.Get(t, "/", w.Bearer(t, w.Machine)).Want(t, "ok")

	const clients = 1000
	bearer := w.Bearer(t, w.OAuth2)
	before, misses := mariadbCounters(t), cacheMisses(t, g)
	held := time.Now()
	proxy.Hold()
	var passed atomic.Int64
	var waiting sync.WaitGroup
	for range clients {
		waiting.Go(func() {
			a, err := g.Try(g.Request(t, "GET", g.URL("/"), "", "Authorization", bearer))
			switch {
			case err != nil:
				t.Error(err)
			case a.Identity("User-Id") == "7":
				passed.Add(1)
			default:
				t.Errorf("answer %d %s", a.Status, a.Reason)
			}
		})
	}
	eventually(t, "all have missed", func() bool { return cacheMisses(t, g) >= misses+clients })
	time.Sleep(200*time.Millisecond - time.Since(held))
	proxy.Release()
	waiting.Wait()
	if passed.Load() != clients {
		t.Errorf("%d of %d pass", passed.Load(), clients)
	}
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		g.Get(t, "/", bearer).Want(t, "ok")
	}
	if asked := mariadbCounters(t).Sub(before); asked.Queries != 1 || asked.Selects != 1 {
		t.Errorf("the server was asked %+v, want one query", asked)
	}
}
