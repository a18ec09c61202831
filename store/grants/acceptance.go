package grants

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
)

var acceptanceColumns = []string{
	"a.oaac_id", "a.oaac_wiki", "a.oaac_user_id", "a.oaac_consumer_id", "a.oaac_access_token", "a.oaac_access_secret",
	"a.oaac_grants", "a.oaac_accepted", "a.oaac_oauth_version",
}

const acceptanceTable = "{oauth_accepted_consumer} a"

// times are the columns that hold times.
var times = []string{"a.oaac_accepted", "t.oaat_expires"}

func asText(d store.Dialect, column string) string {
	if slices.Contains(times, column) {
		return d.Time(column)
	}
	return d.Text(column)
}

func join(list []string) string { return strings.Join(list, ", ") }

func readAcceptance(c []sql.RawBytes) (a authserver.Acceptance, err error) {
	number := func(column string, b sql.RawBytes) uint64 {
		n, failed := strconv.ParseUint(string(b), 10, 64)
		if failed != nil && err == nil {
			err = fmt.Errorf("column %s is not a number", column)
		}
		return n
	}
	a = authserver.Acceptance{
		ID: number("oaac_id", c[0]), Wiki: string(c[1]), UserID: number("oaac_user_id", c[2]),
		ConsumerID: number("oaac_consumer_id", c[3]), Token: string(c[4]), Secret: string(c[5]), Accepted: readTime(c[7]),
	}
	if version, failed := strconv.ParseUint(string(c[8]), 10, 8); failed == nil {
		a.Version = uint8(version)
	}
	a.Grants, _ = authserver.ParseGrantList(c[6]) // a list that cannot be read covers nothing
	return a, err
}

// acceptances reads the acceptances of a condition.
func acceptances(tx *store.Tx, where string) (list []authserver.Acceptance, err error) {
	err = tx.Query(selectFrom(tx, acceptanceColumns, acceptanceTable, where), nil, func(cells []sql.RawBytes) error {
		a, err := readAcceptance(cells)
		list = append(list, a)
		return err
	})
	return list, err
}

func ofUser(userID, consumerID uint64) string {
	return fmt.Sprintf("a.oaac_user_id = %d AND a.oaac_consumer_id = %d ORDER BY a.oaac_id", userID, consumerID)
}

// Acceptances returns the acceptances of a user for an app, on every wiki.
func (t *Tables) Acceptances(ctx context.Context, userID, consumerID uint64) (list []authserver.Acceptance, err error) {
	err = t.read(ctx, func(tx *store.Tx) (err error) {
		list, err = acceptances(tx, ofUser(userID, consumerID))
		return err
	})
	return list, err
}

// AcceptancesOf returns the acceptances of a user with their apps, newest first.
func (t *Tables) AcceptancesOf(ctx context.Context, userID uint64, limit int) (list []authserver.Accepted, err error) {
	columns := slices.Concat(acceptanceColumns, consumerColumns)
	from := acceptanceTable + " LEFT JOIN " + consumerTable + " ON c.oarc_id = a.oaac_consumer_id"
	where := fmt.Sprintf("a.oaac_user_id = %d ORDER BY a.oaac_id DESC LIMIT %d", userID, max(limit, 0))
	err = t.read(ctx, func(tx *store.Tx) error {
		list = nil
		return tx.Query(selectFrom(tx, columns, from, where), nil, func(cells []sql.RawBytes) (err error) {
			var a authserver.Accepted
			if a.Acceptance, err = readAcceptance(cells); err != nil {
				return err
			}
			cells = cells[len(acceptanceColumns):]
			if a.Consumer.ID = a.ConsumerID; cells[0] != nil {
				c, err := readConsumer(cells, t.release)
				if err != nil {
					return err
				}
				a.Consumer = *c
			}
			list = append(list, a)
			return nil
		})
	})
	return list, err
}

// Accept writes that a user allows an app to do something.
func (t *Tables) Accept(ctx context.Context, a authserver.Approval) (row authserver.Acceptance, err error) {
	values, err := storedApproval(a)
	if err != nil {
		return row, err
	}
	err = t.transact(ctx, func(tx *store.Tx) error {
		all, err := acceptances(tx, ofUser(a.UserID, a.ConsumerID))
		if err != nil {
			return err
		}
		ids := matching(all, a)
		if len(ids) == 0 {
			err = insertAcceptance(tx, a, values)
		} else {
			err = updateAcceptances(tx, ids, a, values)
		}
		if err != nil {
			return err
		}
		if all, err = acceptances(tx, ofUser(a.UserID, a.ConsumerID)); err != nil {
			return err
		}
		if ids = matching(all, a); len(ids) == 0 {
			return errors.New("the acceptance that was written is not there")
		}
		row = all[slices.IndexFunc(all, func(have authserver.Acceptance) bool { return have.ID == ids[0] })]
		return nil
	})
	if err != nil {
		return authserver.Acceptance{}, err
	}
	return row, nil
}

// matching returns the ids of the acceptances that an approval is about, the one
// that counts here first: that of the app's wiki, which is this one for an app of
// all wikis, then that of all wikis.
func matching(all []authserver.Acceptance, a authserver.Approval) (ids []uint64) {
	first := a.Wiki
	if first == "*" {
		first = a.ThisWiki
	}
	for _, wiki := range slices.Compact([]string{first, "*"}) {
		for _, have := range all {
			if have.Wiki == wiki {
				ids = append(ids, have.ID)
			}
		}
	}
	return ids
}

// approvalValues are the values of an approval as the tables keep them.
type approvalValues struct{ grants, accepted string }

func storedApproval(a authserver.Approval) (v approvalValues, err error) {
	v.grants = a.Grants.Stored()
	v.accepted, err = storedTime(a.Accepted)
	switch {
	case err != nil:
		return v, err
	case a.UserID == 0, a.ConsumerID == 0, a.UserID > maxID, a.ConsumerID > maxID:
		return v, errors.New("an approval needs the ids of a user and an app")
	}
	return v, errors.Join(
		fits("oaac_wiki", a.Wiki, maxWiki), fits("oaac_access_token", a.Token, maxKey),
		fits("oaac_access_secret", a.Secret, maxKey), fits("oaac_grants", v.grants, maxBlob),
	)
}

// insertAcceptance writes a new row. Two approvals at once both find none; the
// second INSERT meets the unique key of user, app and wiki, and begins again.
func insertAcceptance(tx *store.Tx, a authserver.Approval, v approvalValues) error {
	_, err := tx.Exec(fmt.Sprintf("INSERT INTO {oauth_accepted_consumer} (oaac_user_id, oaac_consumer_id, oaac_oauth_version, "+
		"oaac_wiki, oaac_access_token, oaac_access_secret, oaac_grants, oaac_accepted) VALUES (%d, %d, %d, $1, $2, $3, $4, %s)",
		a.UserID, a.ConsumerID, a.Version, tx.Dialect().StoredTime("$5")), a.Wiki, a.Token, a.Secret, v.grants, v.accepted)
	if errors.Is(err, store.ErrDuplicate) {
		return store.ErrAgain
	}
	return err
}

// updateAcceptances gives rows the grants of an approval. A row that is alone
// becomes that of the app's wiki.
func updateAcceptances(tx *store.Tx, ids []uint64, a authserver.Approval, v approvalValues) error {
	for _, id := range slices.Sorted(slices.Values(ids)) {
		locked, err := lockAcceptance(tx, id)
		switch {
		case err != nil:
			return err
		case locked == nil || locked.UserID != a.UserID || locked.ConsumerID != a.ConsumerID:
			return store.ErrAgain // it was withdrawn in between
		}
		wiki := locked.Wiki
		if len(ids) == 1 {
			wiki = a.Wiki
		}
		_, err = tx.Exec(fmt.Sprintf("UPDATE {oauth_accepted_consumer} SET oaac_grants = $1, oaac_wiki = $2, oaac_oauth_version = %d "+
			"WHERE oaac_id = %d", a.Version, id), v.grants, wiki)
		switch {
		case errors.Is(err, store.ErrDuplicate): // a row of the app's wiki was made in between
			return store.ErrAgain
		case err != nil:
			return err
		}
	}
	return nil
}

// lockAcceptance reads an acceptance so that it stays as it is until the
// transaction ends. Every transaction locks the acceptance before its tokens, so
// that two never wait for each other. It returns nil if there is none.
func lockAcceptance(tx *store.Tx, id uint64) (*authserver.Acceptance, error) {
	list, err := acceptances(tx, fmt.Sprintf("a.oaac_id = %d", id)+tx.Dialect().Lock())
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// Withdraw deletes an acceptance of the user and its token rows. With an error it
// returns what may be deleted.
func (t *Tables) Withdraw(ctx context.Context, userID, acceptanceID uint64) (gone authserver.Withdrawn, found bool, err error) {
	err = t.transact(ctx, func(tx *store.Tx) error {
		gone, found = authserver.Withdrawn{}, false
		a, err := lockAcceptance(tx, acceptanceID)
		if err != nil || a == nil || a.UserID != userID || userID == 0 {
			return err
		}
		where := fmt.Sprintf("t.oaat_acceptance_id = %d", acceptanceID)
		err = tx.Query(selectFrom(tx, []string{"t.oaat_identifier"}, tokenTable, where)+tx.Dialect().Lock(), nil, func(cells []sql.RawBytes) error {
			gone.JTIs = append(gone.JTIs, string(cells[0]))
			return nil
		})
		if err != nil {
			return err
		}
		if _, err := tx.Exec(fmt.Sprintf("DELETE FROM {oauth2_access_tokens} WHERE oaat_acceptance_id = %d", acceptanceID)); err != nil {
			return err
		}
		if _, err := tx.Exec(fmt.Sprintf("DELETE FROM {oauth_accepted_consumer} WHERE oaac_id = %d", acceptanceID)); err != nil {
			return err
		}
		gone.Acceptance, found = *a, true
		return nil
	})
	return gone, found && err == nil, err
}
