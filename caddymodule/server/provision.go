package server

import (
	"cmp"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/grants"
)

// lease is the share of one configuration in the pools, with the servers that work
// with it.
type lease struct {
	*pools.Lease
	servers map[string]*authserver.Server // by wiki id
	apis    []*wikiAPI                    // none: off
}

// Provision fills in the configuration and takes what it needs from the pools. It
// does not ask the database, so that Caddy starts without it. Validate returns
// what is wrong with the configuration.
func (h *Handler) Provision(ctx caddy.Context) error {
	log := ctx.Logger()
	h.logger, h.log = log, newEventLog(log)
	if err := pools.Register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if err := metrics.register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	h.cfg, h.mistakes = h.resolve()
	if h.mistakes != nil {
		return nil //nolint:nilerr // Validate returns the mistakes
	}
	h.warn(log)
	l, err := h.open()
	if err != nil {
		return err
	}
	h.lease.Store(l)
	return nil
}

// warn logs settings that are hardly meant as they are.
func (h *Handler) warn(log *zap.Logger) {
	wiki := zap.String("wiki", h.Wiki)
	for _, p := range []string{h.Session.Name, h.Session.ID} {
		if saidByClients(p) {
			log.Warn("session caddy: the placeholder holds what a client sends: anybody can be any user, unless a proxy in front removes "+
				"it from requests and sets it itself", wiki, zap.String("placeholder", p))
		}
	}
	if h.PrivateKey == "" {
		log.Info("no private_key: OAuth 2 is not served", wiki)
	}
	for _, c := range h.Consumers {
		for id := range h.cfg.issuing {
			for _, name := range c.Grants {
				if _, known := h.cfg.issuing[id].Grants[name]; !known {
					log.Warn("an app asks for a grant that the wiki does not know: describe it with the subdirective grant", zap.String("wiki", id),
						zap.String("consumer", c.Key), zap.String("grant", name))
				}
			}
		}
	}
}

// open takes a held lease, and makes the server of each wiki.
func (h *Handler) open() (_ *lease, err error) {
	log := cmp.Or(h.logger, zap.NewNop())
	s := &h.cfg
	taken, err := pools.Open(&s.site, log)
	if err != nil {
		return nil, err
	}
	l := &lease{Lease: taken, servers: make(map[string]*authserver.Server, len(s.site.Served))}
	defer func() {
		if err != nil {
			l.Release()
		}
	}()
	writer, err := taken.Database(&s.site, s.writer, log)
	if err != nil {
		return nil, fmt.Errorf("writer: %w", err)
	}
	state, err := takeState(taken, writer, s.stateSize, log)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	for id, c := range s.issuing {
		w := taken.Wikis[id]
		var tables authserver.Tables = grants.New(writer, w.Tables)
		if w.Consumers {
			tables = authserver.Configured(tables, s.consumers)
		}
		var public authserver.PublicUsers
		if s.api != nil {
			host := s.api.Host
			if s.site.Placeholder != "" {
				host = c.Policy.BaseHost
			}
			api := newWikiAPI(s.api.URL, host, nil, wikiTimeout)
			l.apis, public = append(l.apis, api), api
		}
		l.servers[id], err = authserver.New(c, authserver.Parts{
			Tables: tables, State: state, Nonces: w.Nonces, Verifier: w.Verifier, Sessions: s.sessions[id], Public: public,
			Marks: marks{},
		})
		if err != nil {
			return nil, fmt.Errorf("wiki %s: %w", id, err)
		}
	}
	return l, nil
}

// enter returns the handler's lease, held. A request that reaches the handler after
// its configuration was cleaned up takes a lease of its own.
func (h *Handler) enter() (*lease, error) {
	if l := h.lease.Load(); l != nil && l.Hold() {
		return l, nil
	}
	return h.open()
}

// Validate returns everything that is wrong with the configuration at once.
func (h *Handler) Validate() error { return h.mistakes }

// Cleanup releases the lease. Requests that hold it keep it until they end.
func (h *Handler) Cleanup() error {
	if l := h.lease.Swap(nil); l != nil {
		for _, api := range l.apis {
			api.close()
		}
		l.Release()
	}
	for _, sessions := range h.cfg.sessions {
		if s, ok := sessions.(mediaWikiSessions); ok {
			s.api.close()
		}
	}
	return nil
}
