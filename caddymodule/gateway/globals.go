package gateway

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// parseGlobalOption reads the global option, which holds the settings that sites leave out.
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	h := new(Handler)
	err := h.UnmarshalCaddyfile(d)
	// Caddy writes placeholders out in sites alone.
	wiki := caddyfile.Segment{{Text: h.Wiki}}
	httpcaddyfile.NewShorthandReplacer().ApplyToSegment(&wiki)
	h.Wiki = wiki[0].Text
	if existing != nil {
		d.Reset()
		d.Next()
		err = errors.Join(d.Err("the global option oauth is given more than once"), err)
	}
	return h, err
}

// parseDirective reads the directive of a site, and completes it by the global option.
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
	if missing := h.missing(); err == nil && len(missing) > 0 {
		d.Reset()
		d.Next()
		err = d.Errf("oauth needs %s", strings.Join(missing, ", "))
	}
	return h, err
}

// inherit takes every setting that h leaves out from global.
func (h *Handler) inherit(global *Handler) {
	wikis := h.Wikis // they go with wiki
	if h.Wiki == "" {
		wikis = global.Wikis
	}
	preflights := h.CORS // likewise
	if h.CORSPreflight == "" {
		preflights = global.CORS
	}
	h.Require = slices.Concat(global.Require, h.Require)
	own, from := reflect.ValueOf(h).Elem(), reflect.ValueOf(global).Elem()
	for i := range own.NumField() {
		if field := own.Type().Field(i); field.IsExported() && own.Field(i).IsZero() {
			own.Field(i).Set(from.Field(i))
		}
	}
	h.Wikis, h.CORS = wikis, preflights
}

// missing names the required settings that are not there.
func (h *Handler) missing() []string {
	if h.Mode == modeStrip {
		return nil
	}
	var names []string
	for _, required := range []struct {
		name  string
		found bool
	}{
		{"store", h.Store != nil},
		{"wiki", h.Wiki != ""},
		{"mediawiki", h.MediaWiki != "" || h.releasesByWiki()},
		{"secret_key", h.SecretKey != ""},
	} {
		if !required.found {
			names = append(names, required.name)
		}
	}
	return names
}

// releasesByWiki says whether every wiki of a farm names its release.
func (h *Handler) releasesByWiki() bool {
	for _, w := range h.Wikis {
		if w.MediaWiki == "" {
			return false
		}
	}
	return len(h.Wikis) > 0
}
