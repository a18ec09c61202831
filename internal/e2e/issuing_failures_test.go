package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
)

// failure is how a database server fails the account that writes.
type failure struct {
	name string
	// begin lets the server fail, and returns what ends it.
	begin func(t *testing.T, f *fragile) (end func())
	// reads is true if the server still answers what reads alone.
	reads bool
}

// statements runs statements as the owner of the tables, and others in the end.
func statements(begin, end []string) func(t *testing.T, f *fragile) func() {
	return func(t *testing.T, f *fragile) func() {
		for _, s := range begin {
			f.Wiki.Exec(t, s)
		}
		return func() {
			for _, s := range end {
				f.Wiki.Exec(t, s)
			}
		}
	}
}

// locked has another connection hold a lock. Sessions from now on wait for locks of
// rows for so many seconds.
func locked(lock string, wait int) func(t *testing.T, f *fragile) func() {
	return func(t *testing.T, f *fragile) func() {
		server := mariadb.Start(t)
		server.Exec(t, fmt.Sprintf("SET GLOBAL innodb_lock_wait_timeout = %d", wait))
		f.writer.Down() // ends the sessions of before
		f.writer.Up()
		conn, err := f.Wiki.Rows.Conn.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begin(t, conn, "BEGIN")
		begin(t, conn, lock)
		return func() {
			begin(t, conn, "ROLLBACK")
			begin(t, conn, "UNLOCK TABLES")
			_ = conn.Close() // it goes back to its pool
			server.Exec(t, "SET GLOBAL innodb_lock_wait_timeout = 50")
			f.writer.Down()
			f.writer.Up()
		}
	}
}

func begin(t *testing.T, conn *sql.Conn, statement string) {
	t.Helper()
	if _, err := conn.ExecContext(context.Background(), statement); err != nil {
		t.Fatal(err)
	}
}

// signal has a statement on a table fail with an error of the server.
func signal(event, table string, number int) (create, drop string) {
	name := "fail_" + event + "_" + table
	return fmt.Sprintf("CREATE TRIGGER %s BEFORE %s ON %s FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = %d", name, event, table, number),
		"DROP TRIGGER " + name
}

// full has every statement that writes fail as on a full disk.
func full(number int) func(t *testing.T, f *fragile) func() {
	var creates, drops []string
	for _, on := range [][2]string{
		{"INSERT", "oauth_accepted_consumer"},
		{"UPDATE", "oauth_accepted_consumer"},
		{"DELETE", "oauth_accepted_consumer"},
		{"INSERT", "oauth2_access_tokens"}, // the last statement of a refresh, behind an UPDATE
	} {
		create, drop := signal(on[0], on[1], number)
		creates, drops = append(creates, create), append(drops, drop)
	}
	return statements(creates, drops)
}

var failures = []failure{
	{"down", func(_ *testing.T, f *fragile) func() { f.writer.Down(); return f.writer.Up }, false},
	{"silent", func(_ *testing.T, f *fragile) func() { f.writer.Hold(); return f.writer.Release }, false},
	{"read-only (1290)", statements([]string{"SET GLOBAL read_only = 1"}, []string{"SET GLOBAL read_only = 0"}), true},
	{"disk full (1021)", full(1021), true},
	{"table full (1114)", full(1114), true},
	{"row locked (1205)", locked("SELECT 1 FROM oauth_accepted_consumer FOR UPDATE", 0), true},
	{"row locked for long", locked("SELECT 1 FROM oauth_accepted_consumer FOR UPDATE", 50), true},
	{"table locked", locked("LOCK TABLES oauth_accepted_consumer WRITE, oauth_registered_consumer WRITE, oauth2_access_tokens WRITE, user WRITE", 50), false},
}

// Whatever fails the account that writes, consent, exchange, refresh and withdrawal
// are answered with 503 in time, and have changed nothing. The same request succeeds
// afterwards. What reads alone goes on where the server answers it.
func TestIssuingFailures(t *testing.T) {
	f := newFragile(t, "1s")
	for _, fails := range failures {
		for _, o := range []operation{consent, exchange, refresh, withdrawal, identify, profile} {
			t.Run(fails.name+" "+o.name, func(t *testing.T) {
				send := o.prepare(t, f.issuer)
				before := f.rows(t)
				end := fails.begin(t, f)
				start := time.Now()
				a := f.Do(t, send(t))
				if took := time.Since(start); took > 10*time.Second { // of a query timeout of one second
					t.Errorf("answered after %v", took)
				}
				reads := o.name == identify.name || o.name == profile.name
				if reads && fails.reads {
					o.want(t, a)
				} else {
					wantUnavailable(t, a)
				}
				end()
				if after := f.rows(t); !slices.Equal(before, after) {
					t.Errorf("rows before %q, after %q", before, after)
				}
				o.recovers(t, f.issuer, send)
			})
		}
	}
	// The tokens of before are as they should be.
	got := f.token(t, "/oauth2/", f.codeForm(t)...)
	if a := f.Get(t, "/w/api.php", "Bearer "+got.Access); a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Reason)
	}
}

// rows are those that the account writes.
func (f *fragile) rows(t *testing.T) (list []string) {
	t.Helper()
	rows, err := f.Wiki.Rows.Conn.QueryContext(t.Context(),
		"SELECT CONCAT_WS('|', oaac_id, oaac_user_id, oaac_consumer_id, oaac_grants, oaac_access_token, oaac_wiki) FROM oauth_accepted_consumer "+
			"UNION ALL SELECT CONCAT_WS('|', oaat_identifier, oaat_acceptance_id, oaat_revoked) FROM oauth2_access_tokens ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			t.Fatal(err)
		}
		list = append(list, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// While the account that reads gets no answer, statements about users are answered
// with 503 in time, and other requests go on.
func TestIssuingWithoutReads(t *testing.T) {
	f := newFragile(t, "1s")
	for _, o := range operations {
		if !o.reader && o.name != exchange.name && o.name != consent.name {
			continue
		}
		t.Run(o.name, func(t *testing.T) {
			send := o.prepare(t, f.issuer)
			f.reader.Hold()
			start := time.Now()
			a := f.Do(t, send(t))
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("answered after %v", took)
			}
			f.reader.Release()
			if !o.reader {
				o.want(t, a)
				return
			}
			wantUnavailable(t, a)
			o.recovers(t, f.issuer, send)
		})
	}
}
