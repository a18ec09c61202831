package recording_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/recording"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// What is not translated is refused: no statement of a case is left out.
func TestNotTranslated(t *testing.T) {
	for _, statement := range []string{
		"DROP TABLE user", "REPLACE INTO user (user_id) VALUES (1)", "TRUNCATE user", "SET GLOBAL x=1", "LOCK TABLES user READ",
		"INSERT user VALUES (1)", "INSERT INTO unknown_table VALUES (1)", "RENAME USER a TO b", "RENAME TABLE a", "RENAME TABLE a TO b c",
		"CREATE TABLE a (b JSON)", "CREATE TABLE a", "CREATE INDEX a ON b (c)", "CREATE TABLE a (b)", "CREATE TABLE a (,)",
		"SELECT 'a", `SELECT "a`, "SELECT `a", "SELECT ``", "SELECT x'4", "SELECT x'4'", "SELECT 0x4", "SELECT /* a", "SELECT /*! a */ 1",
		"SELECT 1 ~ 2", "SELECT 4f", "SELECT $$a$$ \\ 1", "{{u:Alice.id}}",
	} {
		for _, driver := range []string{wikidb.SQLite, wikidb.Postgres} {
			if out, err := recording.Translate(driver, statement); err == nil {
				t.Errorf("%s: %s became %q", driver, statement, out)
			}
		}
	}
	for _, statement := range []string{
		"UPDATE user SET user_registration='20261301000000'", "UPDATE user SET user_registration='2026'", `UPDATE user SET user_name='a\0'`,
	} {
		if out, err := recording.Translate(wikidb.Postgres, statement); err == nil {
			t.Errorf("%s became %q", statement, out)
		}
	}
}

// FuzzTranslate holds that a text of a statement stays one text of what it becomes:
// none of it is read as SQL.
func FuzzTranslate(f *testing.F) {
	for line := range strings.Lines(recording.SQL) {
		f.Add(line)
	}
	f.Add(`SELECT '\'; DROP TABLE user; -- '`)
	f.Add("SELECT '\\\\', `a\"b`, x'27', \"''\"")
	f.Fuzz(func(t *testing.T, text string) {
		for _, driver := range []string{wikidb.SQLite, wikidb.Postgres} {
			out, err := recording.Translate(driver, "SELECT "+quoteForMariaDB(text)+" , 'end'")
			if err == nil {
				want := []string{"SELECT '" + strings.ReplaceAll(text, "'", "''") + "' , 'end'"}
				if !strings.Contains(text, "\x00") && !slices.Equal(out, want) {
					t.Errorf("%s: %q became %q", driver, text, out)
				}
			} else if driver == wikidb.SQLite || !strings.Contains(text, "\x00") {
				t.Errorf("%s: %q: %v", driver, text, err)
			}
			_, _ = recording.Translate(driver, text) // without a panic
		}
	})
}

func quoteForMariaDB(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`).Replace(text) + "'"
}
