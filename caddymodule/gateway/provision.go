package gateway

import (
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
)

// Provision fills in the configuration and takes what it needs from the pools. It
// does not ask the database, so that Caddy starts without it. Validate returns
// what is wrong with the configuration.
func (h *Handler) Provision(ctx caddy.Context) error {
	log := ctx.Logger()
	h.logger, h.log = log, outcome.NewLog(log)
	if err := pools.Register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	h.cfg, h.mistakes = h.resolve()
	h.warn(log)
	if h.mistakes != nil || h.cfg.mode == modeStrip {
		return nil //nolint:nilerr // Validate returns the mistakes
	}
	l, err := pools.Open(&h.cfg.site, log)
	if err != nil {
		return err
	}
	h.lease.Store(l)
	if one, other, found := h.cfg.site.SharedTables(); found {
		log.Warn("two wikis read the same tables of users: give them a database, table_prefix or dsn of their own",
			zap.String("wiki", one), zap.String("wiki_too", other))
	}
	if len(h.cfg.site.Keys) == 0 {
		log.Info("no public_key: every bearer token is refused", zap.String("wiki", h.Wiki))
	}
	return nil
}

// warn logs the settings without effect that the directive has from the global
// option, or from a configuration in JSON.
func (h *Handler) warn(log *zap.Logger) {
	for _, mistake := range h.withoutEffect(h.Mode, true) {
		log.Warn(mistake.Error(), zap.String("wiki", h.Wiki))
	}
}

// Validate returns everything that is wrong with the configuration at once.
func (h *Handler) Validate() error { return h.mistakes }

// Cleanup releases the lease. Requests that hold it keep it until they end.
func (h *Handler) Cleanup() error {
	if l := h.lease.Swap(nil); l != nil {
		l.Release()
	}
	return nil
}
