package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// A query is one UNION ALL of small SELECTs, each by unique or primary keys
// (memberships and blocks by the index on their user). A chain of LEFT JOINs
// would need as few round trips, but would send the consumer's texts, up to 64
// KiB each, once more with every group.
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

	subjectOffset = rowSubject - rowUser
)

// width is the number of columns after the first: as many as the widest row has.
const width = 12

// tableSets are the sets of tables that may be on servers of their own.
type tableSets uint8

const (
	oauthTables tableSets = 1 << iota
	centralTables
	wikiTables
)

// statementKind is everything that the text of a statement depends on, apart
// from the names and the values in it.
type statementKind struct {
	driver    string // its name
	tableSets tableSets
	protocol  validator.Protocol // of the OAuth tables
	// user and subject report who is asked for. A statement that reads the OAuth
	// tables always asks for the acceptance's user.
	user, subject bool
	central       bool // users are CentralAuth's
	sitewide      bool // only blocks of the whole site count: from 1.42 on
	variant       schemaVariant
	byName        bool         // the user is asked for by name, without the OAuth tables
	profile       profileLevel // what is read of the user's profile
}

// text builds the statement.
func (k statementKind) text() string {
	d, err := driverByName(k.driver)
	if err != nil {
		panic(err) // a pool was opened by it
	}
	t := tables{statementKind: k, dialect: d.Dialect()}
	var branches []string
	user := userSource{of: t, id: slotUser.String(), name: slotUserName.String()}
	switch {
	case k.tableSets&oauthTables != 0:
		branches, user = t.oauth()
	case k.byName:
		user = t.named()
	}
	if k.user || k.tableSets&oauthTables != 0 {
		branches = append(branches, t.userRows(rowUser, user)...)
	}
	if k.subject {
		branches = append(branches, t.userRows(rowSubject, userSource{of: t, id: slotSubject.String(), name: slotSubjectName.String()})...)
	}
	return strings.Join(branches, " UNION ALL ")
}

// tables selects from the tables of a kind.
type tables struct {
	statementKind
	dialect Dialect
}

func (t tables) wiki(table string) string { return slotWiki.String() + table + t.dialect.Quote() }

func (t tables) inOAuth(table string) string { return slotOAuth.String() + table + t.dialect.Quote() }

func (t tables) global(table string) string { return slotCentral.String() + table + t.dialect.Quote() }

// user is the wiki's table of users.
func (t tables) user(alias string) string {
	if t.variant&oldUserTable != 0 {
		return t.wiki(t.dialect.OldUserTable()) + " " + alias
	}
	return t.wiki("user") + " " + alias
}

// oauth selects from the OAuth tables, and says who the acceptance's user is.
func (t tables) oauth() (branches []string, user userSource) {
	consumers, acceptances := t.inOAuth("oauth_registered_consumer"), t.inOAuth("oauth_accepted_consumer")
	//nolint:gosec // names of columns
	secret, rsaKey, tokenSecret := "c.oarc_secret_key", "c.oarc_rsa_key", "a.oaac_access_secret"
	accepted := acceptances + " a"
	matched := t.dialect.Equal("a.oaac_access_token", slotToken.String())
	if t.protocol == validator.OAuth2 {
		secret, rsaKey, tokenSecret = "NULL", "NULL", "NULL"
		accepted = t.inOAuth("oauth2_access_tokens") + " t JOIN " + acceptances + " a ON a.oaac_id = t.oaat_acceptance_id"
		matched = t.dialect.Equal("t.oaat_identifier", slotToken.String())
	}
	consumer := append(slices.Clone(consumerColumns), secret, rsaKey)
	named := t.dialect.Equal("c.oarc_consumer_key", slotConsumer.String())

	branches = []string{
		t.branch(rowConsumer, consumer, consumers+" c", named),
		t.branch(rowConsumer, consumer, accepted+" JOIN "+consumers+" c ON c.oarc_id = a.oaac_consumer_id", matched+" AND NOT ("+named+")"),
	}
	if t.protocol == validator.OAuth2 {
		branches = append(branches, t.branch(rowToken, []string{"t.oaat_acceptance_id", "t.oaat_identifier", "t.oaat_revoked"},
			t.inOAuth("oauth2_access_tokens")+" t", matched))
	}
	branches = append(branches, t.branch(rowAcceptance, []string{
		"a.oaac_id", "a.oaac_access_token", "a.oaac_consumer_id", "a.oaac_user_id", "a.oaac_wiki", "a.oaac_grants", tokenSecret,
	}, accepted, matched))
	// User 0 is nobody, but every block of an IP address is a block of ipb_user
	// 0.
	return branches, userSource{of: t, tables: []string{accepted}, conditions: []string{matched, "a.oaac_user_id > 0"}, id: "a.oaac_user_id"}
}

// userSource leads to users that a SELECT reaches: the tables and conditions
// that lead to them, and expressions for their id and, with CentralAuth, their
// name.
type userSource struct {
	of                 tables
	tables, conditions []string
	id, name           string
}

func (p userSource) join(table string, conditions ...string) userSource {
	p.tables = append(slices.Clone(p.tables), table)
	p.conditions = append(slices.Clone(p.conditions), conditions...)
	return p
}

// branch selects of p.
func (p userSource) branch(kind int, columns ...string) string {
	return p.of.branch(kind, columns, strings.Join(p.tables, ", "), strings.Join(p.conditions, " AND "))
}

// userRows selects what the sets of tables say of a user, as rows of the kinds
// from first on.
func (t tables) userRows(first int, p userSource) (branches []string) {
	if t.tableSets&centralTables != 0 {
		branches = append(branches, t.globalUser(first, p)...)
		// The rows of a wiki on the same server are reached by the name that is
		// found here.
		p = p.join(t.global("globaluser")+" gu", "gu.gu_id = "+p.id)
		p.name = "gu.gu_name"
	}
	if t.tableSets&wikiTables == 0 {
		return branches
	}
	account := p.join(t.user("u"), "u.user_id = "+p.id)
	if t.central {
		account = p.join(t.user("u"), t.dialect.Equal("u.user_name", p.name))
		p = account
		p.id = "u.user_id"
	}
	if columns := t.profileColumns(); columns != nil {
		branches = append(branches, account.branch(first+rowProfile-rowUser, columns...))
	}
	return append(branches, account.branch(first, "u.user_id", "u.user_name"),
		p.join(t.wiki("user_groups")+" g", "g.ug_user = "+p.id).branch(first+rowGroup-rowUser, "g.ug_group", t.dialect.Time("g.ug_expiry")),
		t.blocks(first+rowBlock-rowUser, p))
}

// blocks selects blocks of a user of the wiki.
func (t tables) blocks(kind int, p userSource) string {
	// 1: of the whole site, which counts in every release. 2: of a part of it,
	// which counts up to 1.41. 0: one that does not count.
	sitewide := func(column string) string {
		if !t.sitewide {
			return "2 - " + column
		}
		return column
	}
	if t.variant&blockTables == 0 {
		return p.join(t.wiki("ipblocks")+" b", "b.ipb_user = "+p.id).
			branch(kind, t.dialect.Time("b.ipb_expiry"), sitewide("b.ipb_sitewide"), "b.ipb_deleted")
	}
	return p.join(t.wiki("block_target")+" bt", "bt.bt_user = "+p.id).join(t.wiki("block")+" b", "b.bl_target = bt.bt_id").
		branch(kind, t.dialect.Time("b.bl_expiry"), sitewide("b.bl_sitewide"), "b.bl_deleted")
}

// globalUser selects what CentralAuth knows of a user. A row of localuser is
// the attachment of that name on that wiki.
func (t tables) globalUser(first int, p userSource) []string {
	hidden, expires := "CASE WHEN LENGTH(gu.gu_hidden) > 0 THEN 1 ELSE 0 END", "NULL"
	if t.variant&hiddenLevel != 0 {
		hidden = "gu.gu_hidden_level"
	}
	if t.variant&groupExpiry != 0 {
		expires = t.dialect.Time("gug.gug_expiry")
	}
	attached := t.global("globaluser") + " gu LEFT JOIN " + t.global("localuser") + " lu ON " +
		t.dialect.Equal("lu.lu_wiki", slotWikiID.String()) + " AND " + t.dialect.Equal("lu.lu_name", "gu.gu_name")
	return []string{
		p.join(attached, "gu.gu_id = "+p.id).
			branch(first+rowCentral-rowUser, "gu.gu_id", "gu.gu_name", "gu.gu_locked", hidden, "lu.lu_wiki", "lu.lu_name"),
		p.join(t.global("global_user_groups")+" gug", "gug.gug_user = "+p.id).
			branch(first+rowCentralGroup-rowUser, "gug.gug_group", expires),
	}
}

// branch is one SELECT, filled up to width.
func (t tables) branch(kind int, columns []string, from, where string) string {
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
