package store

import (
	"fmt"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// A lookup is one UNION ALL of small SELECTs, each by unique or primary keys (memberships and blocks by the index
// on their user). A chain of LEFT JOINs would need as few round trips, but would send the consumer's texts, up
// to 64 KiB each, once more with every group.
//
// The first column says what a row is; the meaning of the others depends on it.
const (
	rowConsumer = iota
	rowToken
	rowAcceptance
	rowUser // these three of the acceptance's user
	rowGroup
	rowBlock
	rowSubject // and these of the JWT's subject
	rowSubjectGroup
	rowSubjectBlock
)

// width is the number of columns after the first: as many as the widest row has.
const width = 12

// tables names a wiki's tables.
type tables struct {
	driver      Driver
	wiki, oauth func(table string) string // quote and qualify
	release     validator.Release
}

func (t tables) statement(protocol validator.Protocol, subject bool) string {
	consumers, acceptances := t.oauth("oauth_registered_consumer"), t.oauth("oauth_accepted_consumer")
	//nolint:gosec // names of columns
	secret, rsaKey, tokenSecret := "c.oarc_secret_key", "c.oarc_rsa_key", "a.oaac_access_secret"
	accepted := acceptances + " a"
	found := t.driver.Equal("a.oaac_access_token", placeToken)
	if protocol == validator.OAuth2 {
		secret, rsaKey, tokenSecret = "NULL", "NULL", "NULL"
		accepted = t.oauth("oauth2_access_tokens") + " t JOIN " + acceptances + " a ON a.oaac_id = t.oaat_acceptance_id"
		found = t.driver.Equal("t.oaat_identifier", placeToken)
	}
	consumer := []string{
		"c.oarc_id", "c.oarc_consumer_key", "c.oarc_name", "c.oarc_user_id", "c.oarc_wiki", "c.oarc_oauth_version",
		"c.oarc_stage", "c.oarc_owner_only", "c.oarc_grants", "c.oarc_restrictions", secret, rsaKey,
	}
	named := t.driver.Equal("c.oarc_consumer_key", placeConsumer)

	arms := []string{
		arm(rowConsumer, consumer, consumers+" c", named),
		arm(rowConsumer, consumer, accepted+" JOIN "+consumers+" c ON c.oarc_id = a.oaac_consumer_id", found+" AND NOT ("+named+")"),
	}
	if protocol == validator.OAuth2 {
		arms = append(arms, arm(rowToken, []string{"t.oaat_acceptance_id", "t.oaat_identifier", "t.oaat_revoked"},
			t.oauth("oauth2_access_tokens")+" t", found))
	}
	arms = append(arms, arm(rowAcceptance, []string{
		"a.oaac_id", "a.oaac_access_token", "a.oaac_consumer_id", "a.oaac_user_id", "a.oaac_wiki", "a.oaac_grants", tokenSecret,
	}, accepted, found))
	// User 0 is nobody, but every block of an IP address is a block of ipb_user 0.
	arms = append(arms, t.user(rowUser, accepted+" JOIN ", "a.oaac_user_id", found+" AND a.oaac_user_id > 0")...)
	if subject {
		arms = append(arms, t.user(rowSubject, "", placeSubject, "")...)
	}
	return strings.Join(arms, " UNION ALL ")
}

// user selects a user, the groups and the blocks, as rows of the kinds first, first+1 and first+2. The id is an
// expression over what from joins.
func (t tables) user(first int, from, id, where string) []string {
	// Up to 1.41 every block of the account counts, from 1.42 on only those of the whole site.
	sitewide := func(column string) string {
		if t.release <= 41 {
			return "1"
		}
		return column
	}
	with := func(column string) string {
		condition := column + " = " + id
		if where != "" {
			condition = where + " AND " + condition
		}
		return condition
	}
	arms := []string{
		arm(first, []string{"u.user_id", "u.user_name"}, from+t.wiki("user")+" u", with("u.user_id")),
		arm(first+1, []string{"g.ug_group", "g.ug_expiry"}, from+t.wiki("user_groups")+" g", with("g.ug_user")),
	}
	if t.release <= 42 {
		return append(arms, arm(first+2, []string{"b.ipb_expiry", sitewide("b.ipb_sitewide"), "b.ipb_deleted"},
			from+t.wiki("ipblocks")+" b", with("b.ipb_user")))
	}
	return append(arms, arm(first+2, []string{"b.bl_expiry", sitewide("b.bl_sitewide"), "b.bl_deleted"},
		from+t.wiki("block_target")+" bt JOIN "+t.wiki("block")+" b ON b.bl_target = bt.bt_id", with("bt.bt_user")))
}

// arm is one SELECT, filled up to width. JOIN conditions may stand in WHERE: MySQL's JOIN needs no ON, nor SQLite's.
func arm(kind int, columns []string, from, where string) string {
	return fmt.Sprintf("SELECT %d, %s%s FROM %s WHERE %s",
		kind, strings.Join(columns, ", "), strings.Repeat(", NULL", width-len(columns)), from, where)
}
