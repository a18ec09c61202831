package wikidb

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Names of drivers, as in store.Config.
const (
	MySQL    = "mysql"
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// kind is the type of a column.
type kind int

const (
	serial    kind = iota // the primary key, counted by the database
	number                // unsigned
	flag                  // a small number
	bytes32               // at most that many bytes
	bytes255              //
	name128               // at most that many bytes, or characters that compare as bytes, up to 1.38
	name255               //
	text255               // at most 255 characters, in the table's character set
	small                 // a blob of at most 255 bytes
	blob                  // a blob of at most 64 KiB
	timestamp             // 14 digits; of the OAuth tables up to 1.38 it has room for 14 bytes
	expiry                // 14 digits, or "infinity"
)

var mysqlTypes = [...]string{
	serial: "INT UNSIGNED AUTO_INCREMENT PRIMARY KEY", number: "INT UNSIGNED", flag: "TINYINT UNSIGNED",
	bytes32: "VARBINARY(32)", bytes255: "VARBINARY(255)",
	name128: "VARBINARY(128)", name255: "VARBINARY(255)", text255: "VARCHAR(255)",
	small: "TINYBLOB", blob: "BLOB", timestamp: "BINARY(14)", expiry: "VARBINARY(14)",
}

// mysqlTypes135 are the types of the OAuth tables up to 1.38, where they differ.
var mysqlTypes135 = map[kind]string{
	name128: "VARCHAR(128) BINARY", name255: "VARCHAR(255) BINARY", timestamp: "VARBINARY(14)",
}

var sqliteTypes = [...]string{
	serial: "INTEGER PRIMARY KEY AUTOINCREMENT", number: "INTEGER UNSIGNED", flag: "SMALLINT",
	bytes32: "BLOB", bytes255: "BLOB", name128: "BLOB", name255: "BLOB", text255: "VARCHAR(255)",
	small: "BLOB", blob: "BLOB", timestamp: "BLOB", expiry: "BLOB",
}

var postgresTypes = [...]string{
	serial: "SERIAL PRIMARY KEY", number: "INT", flag: "SMALLINT",
	bytes32: "TEXT", bytes255: "TEXT", name128: "TEXT", name255: "TEXT", text255: "VARCHAR(255)",
	small: "TEXT", blob: "TEXT", timestamp: "TIMESTAMPTZ", expiry: "TIMESTAMPTZ",
}

// OldUserTable is the name of PostgreSQL's table of users up to 1.36.
const OldUserTable = "mwuser"

type column struct {
	name string
	kind kind
	null bool
}

type index struct {
	columns string // separated by commas
	unique  bool
}

type table struct {
	name    string
	columns []column
	primary string // columns of the primary key, where no column is serial
	indexes []index
}

var consumers = table{
	name: "oauth_registered_consumer",
	columns: []column{
		{name: "oarc_id", kind: serial},
		{name: "oarc_consumer_key", kind: bytes32},
		{name: "oarc_name", kind: name128},
		{name: "oarc_user_id", kind: number},
		{name: "oarc_version", kind: bytes32},
		{name: "oarc_callback_url", kind: blob},
		{name: "oarc_callback_is_prefix", kind: small, null: true},
		{name: "oarc_description", kind: blob},
		{name: "oarc_email", kind: name255},
		{name: "oarc_email_authenticated", kind: timestamp, null: true},
		{name: "oarc_developer_agreement", kind: flag},
		{name: "oarc_owner_only", kind: flag},
		{name: "oarc_wiki", kind: bytes32},
		{name: "oarc_grants", kind: blob},
		{name: "oarc_registration", kind: timestamp},
		{name: "oarc_secret_key", kind: bytes32, null: true},
		{name: "oarc_rsa_key", kind: blob, null: true},
		{name: "oarc_restrictions", kind: blob},
		{name: "oarc_stage", kind: flag},
		{name: "oarc_stage_timestamp", kind: timestamp},
		{name: "oarc_deleted", kind: flag},
		{name: "oarc_oauth_version", kind: flag},
		{name: "oarc_oauth2_allowed_grants", kind: blob, null: true},
		{name: "oarc_oauth2_is_confidential", kind: flag},
	},
	indexes: []index{
		{"oarc_consumer_key", true},
		{"oarc_name,oarc_user_id,oarc_version", true},
		{"oarc_user_id", false},
		{"oarc_stage,oarc_stage_timestamp", false},
	},
}

var acceptances = table{
	name: "oauth_accepted_consumer",
	columns: []column{
		{name: "oaac_id", kind: serial},
		{name: "oaac_wiki", kind: name255},
		{name: "oaac_user_id", kind: number},
		{name: "oaac_consumer_id", kind: number},
		{name: "oaac_access_token", kind: bytes32},
		{name: "oaac_access_secret", kind: bytes32},
		{name: "oaac_grants", kind: blob},
		{name: "oaac_accepted", kind: timestamp},
		{name: "oaac_oauth_version", kind: flag},
	},
	indexes: []index{
		{"oaac_access_token", true},
		{"oaac_user_id,oaac_consumer_id,oaac_wiki", true},
		{"oaac_consumer_id,oaac_user_id", false},
		{"oaac_user_id,oaac_id", false},
	},
}

var tokens = table{
	name: "oauth2_access_tokens",
	columns: []column{
		{name: "oaat_id", kind: serial},
		{name: "oaat_identifier", kind: text255},
		{name: "oaat_expires", kind: expiry},
		{name: "oaat_acceptance_id", kind: number},
		{name: "oaat_revoked", kind: flag},
	},
	indexes: []index{{"oaat_identifier", true}, {"oaat_acceptance_id", false}},
}

var users = table{
	name: "user",
	columns: []column{
		{name: "user_id", kind: serial},
		{name: "user_name", kind: bytes255},
		// MediaWiki has the first two as NOT NULL. Recorded rows lack them.
		{name: "user_real_name", kind: bytes255, null: true},
		{name: "user_email", kind: small, null: true},
		{name: "user_email_authenticated", kind: timestamp, null: true},
		{name: "user_registration", kind: timestamp, null: true},
		{name: "user_editcount", kind: number, null: true},
	},
	indexes: []index{{"user_name", true}},
}

var groups = table{
	name: "user_groups",
	columns: []column{
		{name: "ug_user", kind: number},
		{name: "ug_group", kind: bytes255},
		{name: "ug_expiry", kind: expiry, null: true},
	},
	primary: "ug_user,ug_group",
	indexes: []index{{"ug_group", false}, {"ug_expiry", false}},
}

// ipblocks holds the blocks of releases up to 1.42.
var ipblocks = table{
	name: "ipblocks",
	columns: []column{
		{name: "ipb_id", kind: serial},
		{name: "ipb_address", kind: bytes255},
		{name: "ipb_user", kind: number},
		{name: "ipb_timestamp", kind: timestamp},
		{name: "ipb_auto", kind: flag},
		{name: "ipb_expiry", kind: expiry},
		{name: "ipb_deleted", kind: flag},
		{name: "ipb_parent_block_id", kind: number, null: true},
		{name: "ipb_sitewide", kind: flag},
	},
	indexes: []index{{"ipb_address,ipb_user,ipb_auto", true}, {"ipb_user", false}, {"ipb_expiry", false}},
}

// blocks and blockTargets hold the blocks from 1.43 on; one target may have
// several.
var blocks = table{
	name: "block",
	columns: []column{
		{name: "bl_id", kind: serial},
		{name: "bl_target", kind: number},
		{name: "bl_timestamp", kind: timestamp},
		{name: "bl_expiry", kind: expiry},
		{name: "bl_deleted", kind: flag},
		{name: "bl_parent_block_id", kind: number, null: true},
		{name: "bl_sitewide", kind: flag},
	},
	indexes: []index{{"bl_target", false}, {"bl_expiry", false}, {"bl_parent_block_id", false}},
}

var blockTargets = table{
	name: "block_target",
	columns: []column{
		{name: "bt_id", kind: serial},
		{name: "bt_address", kind: small, null: true},
		{name: "bt_user", kind: number, null: true},
		{name: "bt_user_text", kind: bytes255, null: true},
		{name: "bt_auto", kind: flag},
		{name: "bt_count", kind: number},
	},
	indexes: []index{{"bt_user", false}},
}

// NewBlocks reports whether the release keeps blocks in block and block_target
// rather than in ipblocks.
func NewBlocks(release validator.Release) bool { return release >= 43 }

func wikiTables(release validator.Release) []table {
	if NewBlocks(release) {
		return []table{users, groups, blocks, blockTargets}
	}
	return []table{users, groups, ipblocks}
}

// Schema are the statements that make a wiki with its own OAuth tables.
func Schema(driver string, release validator.Release, prefix string) []string {
	return append(OAuthSchema(driver, release, prefix), WikiSchema(driver, release, prefix)...)
}

// OAuthSchema are the statements that make the tables of the OAuth extension.
func OAuthSchema(driver string, release validator.Release, prefix string) []string {
	if release < 39 {
		return define(driver, mysqlTypes135, prefix, consumers, acceptances, tokens)
	}
	return define(driver, nil, prefix, consumers, acceptances, tokens)
}

// WikiSchema are the statements that make the tables of a wiki without those of
// the OAuth extension.
func WikiSchema(driver string, release validator.Release, prefix string) []string {
	return define(driver, nil, prefix, wikiTables(release)...)
}

// CentralAuthSchema are the statements that make the tables of CentralAuth.
func CentralAuthSchema(driver string, release validator.Release, prefix string) []string {
	tables, types := []table{globalUsers, attachments, localNames, globalGroups}, map[kind]string(nil)
	if release < 39 {
		tables[0], types = globalUsers135, mysqlTypes135
	}
	if release < 38 {
		tables[3] = globalGroups135
	}
	return define(driver, types, prefix, tables...)
}

func define(driver string, types map[kind]string, prefix string, tables ...table) []string {
	var statements []string
	for _, t := range tables {
		statements = append(statements, t.define(driver, types, prefix)...)
	}
	return statements
}

func (t table) define(driver string, other map[kind]string, prefix string) []string {
	types, options := mysqlTypes[:], " ENGINE=InnoDB DEFAULT CHARSET=binary"
	quote := "`"
	switch driver {
	case SQLite:
		types, other, options = sqliteTypes[:], nil, ""
	case Postgres:
		types, other, options, quote = postgresTypes[:], nil, "", `"`
	}
	named := func(name string) string { return quote + prefix + name + quote }
	var parts, after []string
	for _, c := range t.columns {
		part := c.name + " " + cmp.Or(other[c.kind], types[c.kind])
		if c.kind != serial && !c.null {
			part += " NOT NULL"
		}
		parts = append(parts, part)
	}
	if t.primary != "" {
		parts = append(parts, "PRIMARY KEY ("+t.primary+")")
	}
	for i, x := range t.indexes {
		unique := ""
		if x.unique {
			unique = "UNIQUE "
		}
		// SQLite and PostgreSQL have one name space for the indexes of a database.
		after = append(after, fmt.Sprintf("CREATE %sINDEX %s ON %s (%s)",
			unique, named(fmt.Sprintf("%s_%d", t.name, i)), named(t.name), x.columns))
	}
	create := "CREATE TABLE " + named(t.name) + " (" + strings.Join(parts, ", ") + ")" + options
	return append([]string{create}, after...)
}
