package grants

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// consumerColumns are what verification reads of an app, then what issuing needs
// besides.
var consumerColumns = append(
	store.ConsumerColumns(), "c.oarc_version", "c.oarc_callback_url", "c.oarc_callback_is_prefix", "c.oarc_description",
	"c.oarc_deleted", "c.oarc_oauth2_allowed_grants", "c.oarc_oauth2_is_confidential",
)

// issuingCells is where the cells of issuing begin.
var issuingCells = len(store.ConsumerColumns())

const consumerTable = "{oauth_registered_consumer} c"

// Consumer returns the app with the key.
func (t *Tables) Consumer(ctx context.Context, key string) (*authserver.Consumer, error) {
	if key == "" || len(key) > maxKey {
		return nil, nil
	}
	return t.consumer(ctx, func(tx *store.Tx) string { return tx.Dialect().Equal("c.oarc_consumer_key", "$1") },
		func(c *authserver.Consumer) bool { return c.Key == key }, key)
}

// ConsumerByID returns the app with the id.
func (t *Tables) ConsumerByID(ctx context.Context, id uint64) (*authserver.Consumer, error) {
	return t.consumer(ctx, func(*store.Tx) string { return fmt.Sprintf("c.oarc_id = %d", id) },
		func(c *authserver.Consumer) bool { return c.ID == id })
}

// consumer returns the app of a condition. is compares again, byte for byte,
// because a column's collation may take other keys for equal.
func (t *Tables) consumer(
	ctx context.Context, condition func(*store.Tx) string, is func(*authserver.Consumer) bool, values ...string,
) (found *authserver.Consumer, err error) {
	err = t.read(ctx, func(tx *store.Tx) error {
		found = nil
		return tx.Query(selectFrom(tx, consumerColumns, consumerTable, condition(tx)), values, func(cells []sql.RawBytes) error {
			c, err := readConsumer(cells, t.release)
			if err == nil && is(c) {
				found = c
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func readConsumer(cells []sql.RawBytes, release validator.Release) (*authserver.Consumer, error) {
	base, err := store.ReadConsumer(cells, release)
	if err != nil {
		return nil, err
	}
	more := cells[issuingCells:]
	grants, _ := authserver.ParseGrantList(cells[store.CellGrants]) // else it is Broken
	types, _ := validator.ParseGrants(more[5])                      // NULL for an app of OAuth 1
	return &authserver.Consumer{
		Consumer: *base, AppVersion: string(more[0]), CallbackURL: string(more[1]),
		CallbackIsPrefix: len(more[2]) > 0 && isSet(more[2]), Description: string(more[3]), Deleted: isSet(more[4]),
		Grants: grants, HasRSAKey: len(cells[store.CellRSAKey]) > 0, GrantTypes: types, Confidential: isSet(more[6]),
	}, nil
}

// isSet is PHP's view of a small number, and true for what is not a number: such
// an app is suppressed, and must show its secret.
func isSet(b sql.RawBytes) bool { return string(b) != "0" }

// selectFrom is a SELECT of columns as text.
func selectFrom(tx *store.Tx, columns []string, from, where string) string {
	list := slices.Clone(columns)
	for i, c := range list {
		list[i] = asText(tx.Dialect(), c)
	}
	return "SELECT " + join(list) + " FROM " + from + " WHERE " + where
}
