package authserver

import (
	"context"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Configured returns tables that know apps which are kept in the wiki's
// configuration ($wgOAuthStaticApps), and asks next for all else. As in MediaWiki
// they come before the database, by key and by id, and are approved.
func Configured(next Tables, apps []Consumer) Tables {
	if len(apps) == 0 {
		return next
	}
	c := configured{Tables: next, byKey: map[string]*Consumer{}, byID: map[uint64]*Consumer{}}
	for _, app := range apps {
		app.Stage = validator.Approved
		c.byKey[app.Key], c.byID[app.ID] = &app, &app
	}
	return c
}

type configured struct {
	Tables
	byKey map[string]*Consumer
	byID  map[uint64]*Consumer
}

func (c configured) Consumer(ctx context.Context, key string) (*Consumer, error) {
	if app := c.byKey[key]; app != nil {
		return copyOf(app), nil
	}
	return c.Tables.Consumer(ctx, key)
}

func (c configured) ConsumerByID(ctx context.Context, id uint64) (*Consumer, error) {
	if app := c.byID[id]; app != nil {
		return copyOf(app), nil
	}
	return c.Tables.ConsumerByID(ctx, id)
}

func (c configured) AcceptancesOf(ctx context.Context, userID uint64, limit int) ([]Accepted, error) {
	list, err := c.Tables.AcceptancesOf(ctx, userID, limit)
	for i := range list {
		if app := c.byID[list[i].ConsumerID]; app != nil {
			list[i].Consumer = *app
		}
	}
	return list, err
}

func copyOf(app *Consumer) *Consumer {
	c := *app
	return &c
}
