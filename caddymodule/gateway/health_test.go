package gateway

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

type answering func() (validator.Facts, error)

func (a answering) Lookup(context.Context, validator.Key) (validator.Facts, error) { return a() }

func TestAMismatchIsToldOnce(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	var facts validator.Facts
	var err error
	w := watched{answering(func() (validator.Facts, error) { return facts, err }), "tables", new(health), zap.New(core)}
	ask := func(protocol validator.Protocol) string {
		for range 50 {
			_, _ = w.Lookup(t.Context(), validator.Key{Wiki: "enwiki", Protocol: protocol})
		}
		var said []string
		for _, entry := range logs.TakeAll() {
			said = append(said, fmt.Sprintf("%s %v %s", entry.Level, entry.ContextMap()["wiki"], entry.ContextMap()["error"]))
		}
		return strings.Join(said, "; ")
	}
	missing := func(message string) error {
		return fmt.Errorf("wrapped: %w", &store.SchemaError{Wiki: "enwiki", Message: message})
	}
	found := validator.Facts{Consumer: new(validator.Consumer), Acceptance: new(validator.Acceptance)}
	for i, step := range []struct {
		facts    validator.Facts
		err      error
		protocol validator.Protocol
		want     string // a part of the only line; empty: none
	}{
		{found, nil, validator.OAuth1, ""},
		{validator.Facts{}, missing("x"), validator.OAuth1, `error enwiki wrapped: wiki "enwiki": missing: x`},
		{validator.Facts{}, missing("x"), validator.OAuth1, ""},
		{validator.Facts{}, errors.New("down"), validator.OAuth1, ""}, // not known to be mended
		{validator.Facts{}, missing("y"), validator.OAuth1, `missing: y`},
		{validator.Facts{}, missing("x"), validator.OAuth1, ""},
		{found, nil, validator.OAuth2, ""},             // reads other tables
		{validator.Facts{}, nil, validator.OAuth1, ""}, // may not have read all
		{found, nil, validator.OAuth1, "info enwiki"},
		{found, nil, validator.OAuth1, ""},
		{validator.Facts{}, missing("x"), validator.OAuth1, "missing: x"},
		{validator.Facts{}, errors.Join(errors.New("no answer within 667ms"), missing("x")), validator.OAuth1, ""}, // of a replica
	} {
		facts, err = step.facts, step.err
		got := ask(step.protocol)
		if !strings.Contains(got, step.want) || (got == "") != (step.want == "") || strings.Contains(got, "; ") {
			t.Errorf("step %d: logged %q, want %q", i, got, step.want)
		}
	}
}

// Through Caddy: a table that is missing is one line of the log, over a reload too, and another when it is back.
func TestAMismatchThroughCaddy(t *testing.T) {
	s := newSite(t)
	exec := func(statement string) {
		db, err := sql.Open("sqlite", filepath.Join(s.dir, "wiki.sqlite"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("ALTER TABLE user_groups RENAME TO elsewhere")
	get := func() int {
		r := s.signed(t, http.MethodGet, "/", nil)
		response, _ := do(t, r)
		return response.StatusCode
	}
	for i := range 2 {
		s.load(t, fmt.Sprintf("realm %d", i), "")
		for range 30 {
			if got := get(); got != http.StatusServiceUnavailable {
				t.Fatalf("status %d", got)
			}
		}
	}
	exec("ALTER TABLE elsewhere RENAME TO user_groups")
	eventually(t, func() bool { return get() == http.StatusOK })
	get()
	content, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	log := string(content)
	for line, want := range map[string]int{
		"the tables of a wiki cannot be read": 1, "the tables of a wiki can be read again": 1, "refused: store_unavailable": 0, "user_groups": 1,
	} {
		if got := strings.Count(log, line); got != want {
			t.Errorf("%d times %q, want %d", got, line, want)
		}
	}
}

// Through Caddy: a wiki id that the tables contradict is one line of the log,
// over reloads too.
func TestAWrongWikiIDThroughCaddy(t *testing.T) {
	s := newSite(t)
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "wiki.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "UPDATE oauth_registered_consumer SET oarc_wiki = 'mywiki'"); err != nil {
		t.Fatal(err)
	}
	const line = "no app is registered for this wiki id, but some are for mywiki"
	count := func() int {
		content, err := os.ReadFile(filepath.Join(s.dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(content), line)
	}
	for i := range 3 {
		s.load(t, fmt.Sprintf("realm %d\ncache {\n\tttl %ds\n}", i, i+1), "")
		for range 3 {
			response, _ := do(t, s.signed(t, http.MethodGet, "/", nil))
			if response.StatusCode == http.StatusOK {
				t.Fatal("an app for another wiki passes")
			}
		}
		eventually(t, func() bool { return count() > 0 })
	}
	if n := count(); n != 1 {
		t.Errorf("%d times %q, want once", n, line)
	}
}

func TestEventsAreLogged(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	d := new(database)
	d.tell(store.Event{Text: "nobody listens"})
	d.log.Store(zap.New(core))
	d.tell(store.Event{Trouble: true, Text: "bad", Server: "tcp(db:3306)", Wiki: "enwiki", Err: errors.New("refused")})
	d.tell(store.Event{Text: "good", Server: "tcp(db:3306)"})
	got := logs.AllUntimed()
	if len(got) != 2 || got[0].Level != zapcore.WarnLevel || got[1].Level != zapcore.InfoLevel ||
		got[0].ContextMap()["server"] != "tcp(db:3306)" || got[0].ContextMap()["wiki"] != "enwiki" || got[0].ContextMap()["error"] != "refused" {
		t.Errorf("logged %+v", got)
	}
}
