package parity_test

import (
	"database/sql"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/parity"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// The gateway's user of the farm's server.
const farmUser, farmPassword = "parity", "parity"

// openFarm makes the databases of the recorded farm, under their own names:
// enwiki with the OAuth tables, dewiki and frwiki, and CentralAuth's.
func openFarm(t *testing.T, release string) *mariadb.Server {
	t.Helper()
	const driver = wikidb.MySQL
	of := mustRelease(t, release)
	server := mariadb.Start(t)
	var grants []string
	for database, schema := range map[string][]string{
		"enwiki":      wikidb.Schema(driver, of, ""),
		"dewiki":      wikidb.WikiSchema(driver, of, ""),
		"frwiki":      wikidb.WikiSchema(driver, of, ""),
		"centralauth": wikidb.CentralAuthSchema(driver, of, ""),
	} {
		server.Exec(t, "CREATE DATABASE "+database+" CHARACTER SET binary")
		t.Cleanup(func() { server.Exec(t, "DROP DATABASE "+database) })
		grants = append(grants, "GRANT SELECT ON "+database+".*") //nolint:unqueryvet // a grant, of all tables
		db, err := sql.Open(driver, server.RootDSN(database))
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range append(schema, parity.Rows(t, release, database)...) {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v\n%.200s", database, err, statement)
			}
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	server.CreateUser(t, farmUser, farmPassword, grants...)
	return server
}

func mustRelease(t *testing.T, release string) validator.Release {
	t.Helper()
	r, err := validator.ParseRelease(release)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
