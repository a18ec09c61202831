package wikidb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Texts that many rows share.
const (
	everywhere = `{"IPAddresses":["0.0.0.0/0","::/0"]}` // restrictions that restrict nothing
	Infinity   = "infinity"                             // the expiry of what does not end
	longAgo    = "20200101000000"
)

// DB is where rows go.
type DB struct {
	Conn    *sql.DB
	Driver  string // Postgres; else it makes no difference
	Release validator.Release
	Prefix  string
	OldUser bool   // the table of users is OldUserTable
	OAuth   string // database of the OAuth tables, when it is not the connection's own
	Central string // database of CentralAuth's tables, which then have no prefix, likewise
}

// Row is a row of one of the tables: a Consumer, Acceptance, Token, User, Group
// or Block, or a GlobalUser, Attachment or GlobalGroup of CentralAuth's.
type Row interface{ write(w *writer) }

// Insert writes the rows: all of them, or none.
func (db DB) Insert(ctx context.Context, rows ...Row) error {
	tx, err := db.Conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	w := &writer{ctx: ctx, tx: tx, db: db}
	for _, r := range rows {
		r.write(w)
	}
	if w.err != nil {
		_ = tx.Rollback() // the first error is what matters
		return w.err
	}
	return tx.Commit()
}

type writer struct {
	ctx context.Context //nolint:containedctx // a writer lives as long as one Insert
	tx  *sql.Tx
	db  DB
	err error
}

type values map[string]any

func (w *writer) insert(t table, v values) (id int64) {
	if w.err != nil {
		return 0
	}
	var names, marks []string
	var args []any
	for _, c := range t.columns {
		if value, ok := v[c.name]; ok {
			args = append(args, w.db.value(c, value))
			names, marks = append(names, c.name), append(marks, w.db.mark(len(args)))
		}
	}
	if len(args) != len(v) {
		w.err = fmt.Errorf("row of %s names a column that the table lacks: %v", t.name, v)
		return 0
	}
	if id, w.err = w.run("INSERT INTO "+w.db.table(t)+
		" ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(marks, ", ")+")", t.columns[0], args); w.err != nil {
		w.err = fmt.Errorf("row of %s: %w", t.name, w.err)
	}
	return id
}

// run inserts a row, and returns the value of the column when that is serial.
func (w *writer) run(statement string, first column, args []any) (id int64, err error) {
	if w.db.Driver == Postgres && first.kind == serial {
		err = w.tx.QueryRowContext(w.ctx, statement+" RETURNING "+first.name, args...).Scan(&id)
		return id, err
	}
	result, err := w.tx.ExecContext(w.ctx, statement, args...)
	if err != nil || w.db.Driver == Postgres {
		return 0, err
	}
	return result.LastInsertId()
}

func (db DB) mark(n int) string {
	if db.Driver == Postgres {
		return "$" + strconv.Itoa(n)
	}
	return "?"
}

// value turns a value into one that PostgreSQL takes for the column: flags are
// numbers there, and times are no digits.
func (db DB) value(c column, value any) any {
	if db.Driver != Postgres {
		return value
	}
	switch v := value.(type) {
	case bool:
		if v {
			return 1
		}
		return 0
	case string:
		if c.kind == timestamp || c.kind == expiry {
			if at, err := time.Parse("20060102150405", v); err == nil {
				return at
			}
		}
	}
	return value
}

func (db DB) table(t table) string {
	quote := "`"
	if db.Driver == Postgres {
		quote = `"`
	}
	if db.Central != "" && t.isCentral() {
		return quote + db.Central + quote + "." + quote + t.name + quote
	}
	name := quote + db.Prefix + t.name + quote
	if db.OldUser && t.name == users.name {
		name = quote + db.Prefix + OldUserTable + quote
	}
	if db.OAuth != "" && strings.HasPrefix(t.name, "oauth") {
		name = quote + db.OAuth + quote + "." + name
	}
	return name
}

// RandomHex is n random bytes in hexadecimal: MediaWiki's keys, tokens and
// secrets have 16, its jti 40.
func RandomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// Consumer is a row of oauth_registered_consumer. NewConsumer makes an ordinary
// one.
type Consumer struct {
	ID           uint64
	Key          string
	Name         string
	OwnerID      uint64
	OwnerOnly    bool
	Wiki         string
	Grants       string // JSON
	Secret       string
	RSAKey       string // PEM
	Restrictions string // JSON
	Stage        validator.Stage
	Deleted      bool
	Version      int // of OAuth
	Callback     string
}

// NewConsumer is an approved OAuth 1 consumer with a random key and secret that
// may be used everywhere.
func NewConsumer(id, owner uint64) Consumer {
	return Consumer{
		ID: id, Key: RandomHex(16), Name: fmt.Sprintf("App %d", id), OwnerID: owner, Wiki: "*",
		Grants: `["useoauth","editpage"]`, Secret: RandomHex(16), Restrictions: everywhere,
		Stage: validator.Approved, Version: 1, Callback: "https://app.example/callback",
	}
}

func (c Consumer) write(w *writer) {
	var allowed any
	if c.Version == 2 {
		allowed = `["authorization_code","refresh_token","client_credentials"]`
	}
	w.insert(consumers, values{
		"oarc_id": c.ID, "oarc_consumer_key": c.Key, "oarc_name": c.Name, "oarc_user_id": c.OwnerID,
		"oarc_version": "1.0", "oarc_callback_url": c.Callback, "oarc_callback_is_prefix": nil,
		"oarc_description": "", "oarc_email": "owner@app.example", "oarc_email_authenticated": longAgo,
		"oarc_developer_agreement": 1, "oarc_owner_only": c.OwnerOnly, "oarc_wiki": c.Wiki, "oarc_grants": c.Grants,
		"oarc_registration": longAgo, "oarc_secret_key": c.Secret, "oarc_rsa_key": c.RSAKey,
		"oarc_restrictions": c.Restrictions, "oarc_stage": int(c.Stage), "oarc_stage_timestamp": longAgo,
		"oarc_deleted": c.Deleted, "oarc_oauth_version": c.Version, "oarc_oauth2_allowed_grants": allowed,
		"oarc_oauth2_is_confidential": 1,
	})
}

// Acceptance is a row of oauth_accepted_consumer.
type Acceptance struct {
	ID         uint64
	Wiki       string
	UserID     uint64
	ConsumerID uint64
	Token      string
	Secret     string
	Grants     string // JSON
	Version    int    // of OAuth
}

// NewAcceptance is the user's authorization of all that the consumer asks for,
// with a random token and secret.
func NewAcceptance(id uint64, c Consumer, user uint64) Acceptance {
	return Acceptance{
		ID: id, Wiki: c.Wiki, UserID: user, ConsumerID: c.ID, Token: RandomHex(16), Secret: RandomHex(16),
		Grants: c.Grants, Version: c.Version,
	}
}

func (a Acceptance) write(w *writer) {
	w.insert(acceptances, values{
		"oaac_id": a.ID, "oaac_wiki": a.Wiki, "oaac_user_id": a.UserID, "oaac_consumer_id": a.ConsumerID,
		"oaac_access_token": a.Token, "oaac_access_secret": a.Secret, "oaac_grants": a.Grants,
		"oaac_accepted": longAgo, "oaac_oauth_version": a.Version,
	})
}

// Token is a row of oauth2_access_tokens. It does not expire by itself: the JWT
// does.
type Token struct {
	Identifier   string // jti
	AcceptanceID uint64
	Revoked      int
}

func (t Token) write(w *writer) {
	w.insert(tokens, values{
		"oaat_identifier": t.Identifier, "oaat_expires": Infinity,
		"oaat_acceptance_id": t.AcceptanceID, "oaat_revoked": t.Revoked,
	})
}

// User is a row of user.
type User struct {
	ID              uint64
	Name            string
	RealName, Email string
	Confirmed       string // when the e-mail was confirmed, 14 digits; empty: it was not
	Registered      string // 14 digits; empty: it is not known
	EditCount       uint64
}

func (u User) write(w *writer) {
	v := values{
		"user_id": u.ID, "user_name": u.Name, "user_real_name": u.RealName, "user_email": u.Email, "user_editcount": u.EditCount,
	}
	if u.Confirmed != "" {
		v["user_email_authenticated"] = u.Confirmed
	}
	if u.Registered != "" {
		v["user_registration"] = u.Registered
	}
	w.insert(users, v)
}

// Group is a row of user_groups.
type Group struct {
	UserID uint64
	Name   string
	Expiry string // 14 digits; empty: it does not expire
}

func (g Group) write(w *writer) {
	var expires any
	if g.Expiry != "" {
		expires = g.Expiry
	}
	w.insert(groups, values{"ug_user": g.UserID, "ug_group": g.Name, "ug_expiry": expires})
}

// Block is a block of a user: a row of ipblocks, or of block and block_target,
// by the release.
type Block struct {
	UserID  uint64
	Name    string // of the user
	Expiry  string // 14 digits, or Infinity
	Partial bool   // not of the whole site
	Hidden  bool   // the name is hidden
}

func (b Block) write(w *writer) {
	if !NewBlocks(w.db.Release) {
		w.insert(ipblocks, values{
			"ipb_address": b.Name, "ipb_user": b.UserID, "ipb_timestamp": longAgo, "ipb_auto": 0,
			"ipb_expiry": b.Expiry, "ipb_deleted": b.Hidden, "ipb_parent_block_id": nil, "ipb_sitewide": !b.Partial,
		})
		return
	}
	target := w.insert(blockTargets, values{
		"bt_user": b.UserID, "bt_user_text": b.Name, "bt_auto": 0, "bt_count": 1,
	})
	w.insert(blocks, values{
		"bl_target": target, "bl_timestamp": longAgo, "bl_expiry": b.Expiry, "bl_deleted": b.Hidden,
		"bl_parent_block_id": nil, "bl_sitewide": !b.Partial,
	})
}
