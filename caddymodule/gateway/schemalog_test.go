package gateway

import (
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Through Caddy: a table that is missing is one line of the log, over a reload
// too, and another when it is back.
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
