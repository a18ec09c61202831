package store

import (
	"database/sql"
	"slices"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// consumerColumns are the columns of an app that every lookup reads. The secret
// and the RSA key follow where they are needed.
var consumerColumns = []string{
	"c.oarc_id", "c.oarc_consumer_key", "c.oarc_name", "c.oarc_user_id", "c.oarc_wiki", "c.oarc_oauth_version",
	"c.oarc_stage", "c.oarc_owner_only", "c.oarc_grants", "c.oarc_restrictions",
}

// Positions of a consumer's cells that others read too.
const (
	CellGrants = 8
	CellRSAKey = 11
)

// ConsumerColumns returns the columns of oauth_registered_consumer c that
// ReadConsumer reads, in its order.
func ConsumerColumns() []string {
	return append(slices.Clone(consumerColumns), "c.oarc_secret_key", "c.oarc_rsa_key")
}

// ReadConsumer makes a consumer of the cells of ConsumerColumns, as a lookup
// does. An id that is not a number is an error.
func ReadConsumer(cells []sql.RawBytes, release validator.Release) (*validator.Consumer, error) {
	var n numbers
	c := n.consumer(cells, release)
	return c, n.err
}

func (n *numbers) consumer(c []sql.RawBytes, release validator.Release) *validator.Consumer {
	_, ok := validator.ParseGrants(c[CellGrants])
	consumer := &validator.Consumer{
		ID: n.id("oarc_id", c[0]), Key: string(c[1]), Name: string(c[2]), OwnerID: n.id("oarc_user_id", c[3]),
		Wiki: string(c[4]), Version: small(c[5]), Stage: validator.Stage(small(c[6])), OwnerOnly: flag(c[7]),
		Broken: !ok, Restrictions: validator.ParseRestrictions(c[9], release), Secret: string(c[10]),
	}
	if len(c[CellRSAKey]) > 0 {
		consumer.RSAKey = validator.ParseConsumerKey(c[CellRSAKey])
	}
	return consumer
}
