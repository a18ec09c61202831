package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// A query is one UNION ALL of small SELECTs, each by unique or primary keys (memberships and blocks by the index
// on their user). A chain of LEFT JOINs would need as few round trips, but would send the consumer's texts, up
// to 64 KiB each, once more with every group.
//
// The first column says what a row is; the meaning of the others depends on it.
const (
	rowConsumer = iota
	rowToken
	rowAcceptance
	rowUser // from here on: of the acceptance's user
	rowGroup
	rowBlock
	rowCentral
	rowCentralGroup
	rowProfile
	rowSubject // and from here on the same of the JWT's subject

	personRows = rowSubject - rowUser
)

// width is the number of columns after the first: as many as the widest row has.
const width = 12

// parts are the sets of tables that may be on servers of their own.
type parts uint8

const (
	oauthTables parts = 1 << iota
	centralTables
	wikiTables
)

// form is everything that the text of a statement depends on, beside the names and the values in it.
type form struct {
	driver        string // its name
	parts         parts
	protocol      validator.Protocol // of the OAuth tables
	user, subject bool               // who is asked for; the acceptance's user always is, beside the OAuth tables
	central       bool               // users are CentralAuth's
	sitewide      bool               // only blocks of the whole site count: from 1.42 on
	shape         shape
	byName        bool         // the user is asked for by name, beside the OAuth tables
	profile       profileLevel // what is read of the user's profile
}

// text builds the statement.
func (f form) text() string {
	d, err := driverByName(f.driver)
	if err != nil {
		panic(err) // a pool was opened by it
	}
	t := tables{form: f, dialect: d.Dialect()}
	var arms []string
	user := people{of: t, id: placeUser.String(), name: placeUserName.String()}
	switch {
	case f.parts&oauthTables != 0:
		arms, user = t.oauth()
	case f.byName:
		user = t.named()
	}
	if f.user || f.parts&oauthTables != 0 {
		arms = append(arms, t.person(rowUser, user)...)
	}
	if f.subject {
		arms = append(arms, t.person(rowSubject, people{of: t, id: placeSubject.String(), name: placeSubjectName.String()})...)
	}
	return strings.Join(arms, " UNION ALL ")
}

// tables selects from the tables of a form.
type tables struct {
	form
	dialect Dialect
}

func (t tables) wiki(table string) string    { return placeWiki.String() + table + t.dialect.Quote() }
func (t tables) inOAuth(table string) string { return placeOAuth.String() + table + t.dialect.Quote() }
func (t tables) global(table string) string  { return placeCentral.String() + table + t.dialect.Quote() }

// user is the wiki's table of users.
func (t tables) user(alias string) string {
	if t.shape&oldUserTable != 0 {
		return t.wiki(t.dialect.OldUserTable()) + " " + alias
	}
	return t.wiki("user") + " " + alias
}

// oauth selects from the OAuth tables, and says who the acceptance's user is.
func (t tables) oauth() (arms []string, user people) {
	consumers, acceptances := t.inOAuth("oauth_registered_consumer"), t.inOAuth("oauth_accepted_consumer")
	//nolint:gosec // names of columns
	secret, rsaKey, tokenSecret := "c.oarc_secret_key", "c.oarc_rsa_key", "a.oaac_access_secret"
	accepted := acceptances + " a"
	found := t.dialect.Equal("a.oaac_access_token", placeToken.String())
	if t.protocol == validator.OAuth2 {
		secret, rsaKey, tokenSecret = "NULL", "NULL", "NULL"
		accepted = t.inOAuth("oauth2_access_tokens") + " t JOIN " + acceptances + " a ON a.oaac_id = t.oaat_acceptance_id"
		found = t.dialect.Equal("t.oaat_identifier", placeToken.String())
	}
	consumer := append(slices.Clone(consumerColumns), secret, rsaKey)
	named := t.dialect.Equal("c.oarc_consumer_key", placeConsumer.String())

	arms = []string{
		t.arm(rowConsumer, consumer, consumers+" c", named),
		t.arm(rowConsumer, consumer, accepted+" JOIN "+consumers+" c ON c.oarc_id = a.oaac_consumer_id", found+" AND NOT ("+named+")"),
	}
	if t.protocol == validator.OAuth2 {
		arms = append(arms, t.arm(rowToken, []string{"t.oaat_acceptance_id", "t.oaat_identifier", "t.oaat_revoked"},
			t.inOAuth("oauth2_access_tokens")+" t", found))
	}
	arms = append(arms, t.arm(rowAcceptance, []string{
		"a.oaac_id", "a.oaac_access_token", "a.oaac_consumer_id", "a.oaac_user_id", "a.oaac_wiki", "a.oaac_grants", tokenSecret,
	}, accepted, found))
	// User 0 is nobody, but every block of an IP address is a block of ipb_user 0.
	return arms, people{of: t, tables: []string{accepted}, conditions: []string{found, "a.oaac_user_id > 0"}, id: "a.oaac_user_id"}
}

// people are users that a SELECT reaches: the tables and conditions that lead to them, and expressions for their
// id and, with CentralAuth, their name.
type people struct {
	of                 tables
	tables, conditions []string
	id, name           string
}

func (p people) join(table string, conditions ...string) people {
	p.tables = append(slices.Clone(p.tables), table)
	p.conditions = append(slices.Clone(p.conditions), conditions...)
	return p
}

// arm selects of p.
func (p people) arm(kind int, columns ...string) string {
	return p.of.arm(kind, columns, strings.Join(p.tables, ", "), strings.Join(p.conditions, " AND "))
}

// person selects what the parts say of a user, as rows of the kinds from first on.
func (t tables) person(first int, p people) (arms []string) {
	if t.parts&centralTables != 0 {
		arms = append(arms, t.globalUser(first, p)...)
		// The rows of a wiki on the same server are reached by the name that is found here.
		p = p.join(t.global("globaluser")+" gu", "gu.gu_id = "+p.id)
		p.name = "gu.gu_name"
	}
	if t.parts&wikiTables == 0 {
		return arms
	}
	account := p.join(t.user("u"), "u.user_id = "+p.id)
	if t.central {
		account = p.join(t.user("u"), t.dialect.Equal("u.user_name", p.name))
		p = account
		p.id = "u.user_id"
	}
	if columns := t.profileColumns(); columns != nil {
		arms = append(arms, account.arm(first+rowProfile-rowUser, columns...))
	}
	return append(arms, account.arm(first, "u.user_id", "u.user_name"),
		p.join(t.wiki("user_groups")+" g", "g.ug_user = "+p.id).arm(first+rowGroup-rowUser, "g.ug_group", t.dialect.Time("g.ug_expiry")),
		t.blocks(first+rowBlock-rowUser, p))
}

// blocks selects blocks of a user of the wiki.
func (t tables) blocks(kind int, p people) string {
	// 1: of the whole site, which counts in every release. 2: of a part of it,
	// which counts up to 1.41. 0: one that does not count.
	sitewide := func(column string) string {
		if !t.sitewide {
			return "2 - " + column
		}
		return column
	}
	if t.shape&blockTables == 0 {
		return p.join(t.wiki("ipblocks")+" b", "b.ipb_user = "+p.id).
			arm(kind, t.dialect.Time("b.ipb_expiry"), sitewide("b.ipb_sitewide"), "b.ipb_deleted")
	}
	return p.join(t.wiki("block_target")+" bt", "bt.bt_user = "+p.id).join(t.wiki("block")+" b", "b.bl_target = bt.bt_id").
		arm(kind, t.dialect.Time("b.bl_expiry"), sitewide("b.bl_sitewide"), "b.bl_deleted")
}

// globalUser selects what CentralAuth knows of a user. A row of localuser is the attachment of that name on that wiki.
func (t tables) globalUser(first int, p people) []string {
	hidden, expires := "CASE WHEN LENGTH(gu.gu_hidden) > 0 THEN 1 ELSE 0 END", "NULL"
	if t.shape&hiddenLevel != 0 {
		hidden = "gu.gu_hidden_level"
	}
	if t.shape&groupExpiry != 0 {
		expires = t.dialect.Time("gug.gug_expiry")
	}
	attached := t.global("globaluser") + " gu LEFT JOIN " + t.global("localuser") + " lu ON " +
		t.dialect.Equal("lu.lu_wiki", placeWikiID.String()) + " AND " + t.dialect.Equal("lu.lu_name", "gu.gu_name")
	return []string{
		p.join(attached, "gu.gu_id = "+p.id).
			arm(first+rowCentral-rowUser, "gu.gu_id", "gu.gu_name", "gu.gu_locked", hidden, "lu.lu_wiki", "lu.lu_name"),
		p.join(t.global("global_user_groups")+" gug", "gug.gug_user = "+p.id).
			arm(first+rowCentralGroup-rowUser, "gug.gug_group", expires),
	}
}

// arm is one SELECT, filled up to width.
func (t tables) arm(kind int, columns []string, from, where string) string {
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = c
		if c != "NULL" {
			texts[i] = t.dialect.Text(c)
		}
	}
	return fmt.Sprintf("SELECT %d, %s%s FROM %s WHERE %s",
		kind, strings.Join(texts, ", "), strings.Repeat(", NULL", width-len(columns)), from, where)
}
