package issuing_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/recording"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// client runs the statements of a recording on a database that is not MariaDB's,
// and prints rows as `mariadb -N -B -r` does.
type client interface {
	driver() string
	// run runs translated statements in turn and prints the rows of each.
	run(ctx context.Context, statements []string) (string, error)
}

// query runs statements that were written for MariaDB.
func query(ctx context.Context, c client, statements string) (string, error) {
	translated, err := recording.Translate(c.driver(), statements)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, statements)
	}
	rows, err := c.run(ctx, translated)
	if err != nil {
		return "", fmt.Errorf("%w: %q, which was %s", err, translated, statements)
	}
	return rows, nil
}

// serveSQL returns a command for replay.py that reads statements and prints rows. If
// a statement fails, so does the test, whatever a case makes of it.
func serveSQL(t *testing.T, c client) (command string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		statements, err := io.ReadAll(r.Body)
		rows := ""
		if err == nil {
			rows, err = query(r.Context(), c, string(statements))
		}
		if err != nil {
			t.Error(err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, rows) // the client tells if it got less
	}))
	t.Cleanup(server.Close)
	return "curl --disable --silent --show-error --fail --noproxy * --data-binary @- " + server.URL
}

// line writes a row. A nil value is NULL.
func line(b *strings.Builder, values [][]byte) {
	for i, v := range values {
		if i > 0 {
			b.WriteByte('\t')
		}
		if v == nil {
			b.WriteString("NULL")
		}
		b.Write(v)
	}
	b.WriteByte('\n')
}

type sqliteClient struct{ file string }

func (sqliteClient) driver() string { return wikidb.SQLite }

func (c sqliteClient) run(ctx context.Context, statements []string) (string, error) {
	db, err := sql.Open(wikidb.SQLite, "file:"+c.file+"?_pragma=busy_timeout(10000)&_pragma=case_sensitive_like(1)")
	if err != nil {
		return "", err
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	conn, err := db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // likewise
	var out strings.Builder
	for _, s := range statements {
		if err := printRows(ctx, conn, s, &out); err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

func printRows(ctx context.Context, conn *sql.Conn, statement string, out *strings.Builder) error {
	rows, err := conn.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, places := make([][]byte, len(columns)), make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		line(out, values)
	}
	return rows.Err()
}

// postgresClient has a connection string of the owner of the tables.
type postgresClient struct{ dsn string }

func (postgresClient) driver() string { return wikidb.Postgres }

func (c postgresClient) run(ctx context.Context, statements []string) (string, error) {
	conn, err := pgconn.Connect(ctx, c.dsn+"&timezone=UTC")
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost
	var out strings.Builder
	for _, s := range statements {
		results, err := conn.Exec(ctx, s).ReadAll()
		if err != nil {
			return "", err
		}
		for _, result := range results {
			for _, values := range result.Rows {
				for i, field := range result.FieldDescriptions {
					values[i] = asMediaWiki(field.DataTypeOID, values[i])
				}
				line(&out, values)
			}
		}
	}
	return out.String(), nil
}

// asMediaWiki is a value as MariaDB would print it: a time in 14 digits.
func asMediaWiki(typ uint32, value []byte) []byte {
	switch {
	case typ == pgtype.TimestamptzOID && len(value) == len("2006-01-02 15:04:05+00"):
		return []byte(strings.NewReplacer("-", "", " ", "", ":", "", "+00", "").Replace(string(value)))
	case typ == pgtype.BoolOID && value != nil:
		return map[string][]byte{"t": []byte("1"), "f": []byte("0")}[string(value)]
	}
	return value
}
