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

const tokenTable = "{oauth2_access_tokens} t" //nolint:gosec // the name of a table

var tokenColumns = []string{"t.oaat_identifier", "t.oaat_expires", "t.oaat_acceptance_id", "t.oaat_revoked"}

// Token returns the row of an access token.
func (t *Tables) Token(ctx context.Context, jti string) (found *authserver.Token, err error) {
	if jti == "" || len(jti) > maxJTI {
		return nil, nil
	}
	err = t.read(ctx, func(tx *store.Tx) error {
		found = nil
		where := tx.Dialect().Equal("t.oaat_identifier", "$1")
		return tx.Query(selectFrom(tx, tokenColumns, tokenTable, where), []string{jti}, func(c []sql.RawBytes) error {
			id, err := strconv.ParseUint(string(c[2]), 10, 64)
			if err != nil {
				return errors.New("column oaat_acceptance_id is not a number")
			}
			if string(c[0]) == jti {
				found = &authserver.Token{JTI: jti, Expires: readTime(c[1]), AcceptanceID: id, Revoked: isSet(c[3])}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// IssueToken writes the row of a new access token.
func (t *Tables) IssueToken(ctx context.Context, token authserver.Token, acceptance *authserver.Acceptance) error {
	expires, err := storedToken(token, acceptance)
	if err != nil {
		return err
	}
	return t.transact(ctx, func(tx *store.Tx) error {
		if err := holdAcceptance(tx, acceptance); err != nil {
			return err
		}
		return insertToken(tx, token, expires)
	})
}

// RefreshToken revokes the row of old and writes the row of next.
func (t *Tables) RefreshToken(ctx context.Context, old string, next authserver.Token, acceptance *authserver.Acceptance) error {
	expires, err := storedToken(next, acceptance)
	if err != nil {
		return err
	}
	if old == "" || len(old) > maxJTI {
		return authserver.ErrTokenGone
	}
	return t.transact(ctx, func(tx *store.Tx) error {
		held := holdAcceptance(tx, acceptance)
		if held != nil && !errors.Is(held, authserver.ErrNoAcceptance) {
			return held
		}
		if !tx.Dialect().Holds(old) {
			return authserver.ErrTokenGone
		}
		changed, err := tx.Exec("UPDATE {oauth2_access_tokens} SET oaat_revoked = 1 WHERE "+
			tx.Dialect().Equal("oaat_identifier", "$1")+" AND oaat_revoked = 0", old)
		switch {
		case err != nil:
			return err
		case changed != 1:
			return authserver.ErrTokenGone
		case held != nil:
			return held
		}
		return insertToken(tx, next, expires)
	})
}

// storedToken checks a token and returns its expiry as the tables keep it.
func storedToken(t authserver.Token, a *authserver.Acceptance) (expires string, err error) {
	if expires, err = storedTime(t.Expires); err != nil {
		return "", err
	}
	switch {
	case t.JTI == "":
		return "", errors.New("a token needs an id")
	case a == nil && t.AcceptanceID != 0, a != nil && (t.AcceptanceID != a.ID || a.ID == 0 || a.ID > maxID):
		return "", errors.New("a token must name the acceptance that it is issued for")
	}
	return expires, fits("oaat_identifier", t.JTI, maxJTI)
}

// holdAcceptance locks the acceptance that a token is for. The row must be that of
// the user and the app, and cover the grants.
func holdAcceptance(tx *store.Tx, want *authserver.Acceptance) error {
	if want == nil {
		return nil
	}
	have, err := lockAcceptance(tx, want.ID)
	switch {
	case err != nil:
		return err
	case have == nil, have.UserID != want.UserID, have.ConsumerID != want.ConsumerID, !have.Grants.Covers(want.Grants.Names):
		return authserver.ErrNoAcceptance
	}
	return nil
}

func insertToken(tx *store.Tx, t authserver.Token, expires string) error {
	revoked := 0
	if t.Revoked {
		revoked = 1
	}
	_, err := tx.Exec(fmt.Sprintf("INSERT INTO {oauth2_access_tokens} (oaat_acceptance_id, oaat_revoked, oaat_identifier, oaat_expires) "+
		"VALUES (%d, %d, $1, %s)", t.AcceptanceID, revoked, tx.Dialect().StoredTime("$2")), t.JTI, expires)
	if errors.Is(err, store.ErrDuplicate) {
		return authserver.ErrTokenExists
	}
	return err
}

// minFamily is the shortest prefix that names a family. A shorter one may name
// tokens of others.
const minFamily = 16

// RevokeFamily revokes every access token whose jti begins with the prefix.
func (t *Tables) RevokeFamily(ctx context.Context, prefix string) (revoked int64, err error) {
	if len(prefix) < minFamily || len(prefix) >= maxJTI || strings.Trim(prefix, "0123456789abcdef") != "" {
		return 0, errors.New("the prefix of a family of tokens is at least 16 hexadecimal digits")
	}
	// The range lets the index be used. Every jti that begins with the prefix is in
	// it in any collation, because g comes behind the digits.
	const family = "oaat_identifier >= $1 AND oaat_identifier < $2"
	values := []string{prefix, prefix + "g"}
	err = t.transact(ctx, func(tx *store.Tx) error {
		// A refresh that is under way may write a row where the UPDATE has been. It
		// holds the acceptance, so whoever waits for that sees its row.
		var ids []uint64
		err := tx.Query("SELECT DISTINCT "+tx.Dialect().Text("oaat_acceptance_id")+" FROM {oauth2_access_tokens} WHERE "+family, values,
			func(cells []sql.RawBytes) error {
				id, err := strconv.ParseUint(string(cells[0]), 10, 64)
				ids = append(ids, id)
				return err
			})
		if err != nil {
			return err
		}
		slices.Sort(ids)
		for _, id := range ids {
			if _, err := lockAcceptance(tx, id); err != nil {
				return err
			}
		}
		revoked, err = tx.Exec("UPDATE {oauth2_access_tokens} SET oaat_revoked = 1 WHERE "+family+" AND oaat_revoked = 0", values...)
		return err
	})
	if err != nil {
		return 0, err
	}
	return revoked, nil
}
