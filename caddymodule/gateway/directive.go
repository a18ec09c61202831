package gateway

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
)

// parseGlobalOption reads the global option, which holds the settings that sites
// leave out.
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	h := new(Handler)
	err := h.UnmarshalCaddyfile(d)
	return h, errors.Join(config.CheckGlobal(d, h.site(), existing), err)
}

// parseDirective reads the directive of a site, and completes it by the global
// option.
func parseDirective(d httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(Handler)
	err := h.UnmarshalCaddyfile(d.Dispenser)
	mode := h.Mode
	global, ok := d.Option("oauth").(*Handler)
	if ok {
		mode = cmp.Or(mode, global.Mode)
	}
	d.Reset()
	d.Next()
	for _, mistake := range h.withoutEffect(mode, false) {
		err = errors.Join(err, d.WrapErr(mistake))
	}
	if ok {
		h.inherit(global)
	}
	if missing := h.site().Missing(); err == nil && h.Mode != modeStrip && len(missing) > 0 {
		d.Reset()
		d.Next()
		err = d.Errf("oauth needs %s", strings.Join(missing, ", "))
	}
	return h, err
}

// inherit takes every setting that h leaves out from global.
func (h *Handler) inherit(global *Handler) {
	preflights := h.CORS // it belongs to CORSPreflight
	if h.CORSPreflight == "" {
		preflights = global.CORS
	}
	require := slices.Concat(global.Require, h.Require)
	config.Inherit(h, global)
	h.CORS, h.Require = preflights, require
}
