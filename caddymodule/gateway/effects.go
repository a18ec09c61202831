package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// use is what a setting of the directive, by the name of its field, is for.
type use struct {
	// name is what a Caddyfile calls it; empty: as the JSON does.
	name string
	// inStrip reports that it has an effect in mode strip too, which verifies
	// nothing.
	inStrip bool
	// ofWiki marks settings that say what the wiki is. All sites take them from
	// the global option, so they are no mistake in a site that needs none.
	ofWiki bool
}

var uses = map[string]use{
	"Mode":               {inStrip: true},
	"Headers":            {inStrip: true},
	"Handshake":          {inStrip: true},
	"Store":              {ofWiki: true},
	"Wiki":               {ofWiki: true},
	"Wikis":              {name: "wiki", ofWiki: true},
	"Users":              {ofWiki: true},
	"MediaWiki":          {ofWiki: true},
	"Rules":              {ofWiki: true},
	"SecretKey":          {ofWiki: true},
	"PublicKey":          {ofWiki: true},
	"BaseURL":            {ofWiki: true},
	"Consumers":          {name: "consumer", ofWiki: true},
	"Cache":              {ofWiki: true},
	"Nonces":             {ofWiki: true},
	"Require":            {},
	"BlockDisablesLogin": {},
	"TimestampWindow":    {},
	"ClockSkew":          {},
	"MaxFormSize":        {},
	"MaxBodySize":        {},
	"TrustedPeer":        {},
	"CORSPreflight":      {},
	"CORS":               {name: "cors_preflight"},
	"Credentials":        {},
	"Errors":             {},
	"Realm":              {},
}

// withoutEffect returns a mistake for each setting of h that has no effect in a
// mode, and what to write instead. Of the settings that come from the global
// option it leaves out those of the wiki.
func (h *Handler) withoutEffect(mode string, inherited bool) (mistakes []error) {
	v := reflect.ValueOf(h).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		row, known := uses[field.Name]
		if !known || v.Field(i).IsZero() || inherited && row.ofWiki || field.Name == "CORS" && h.CORSPreflight != "" {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		name = cmp.Or(row.name, name)
		if mode == modeStrip && !row.inStrip {
			mistakes = append(mistakes, fmt.Errorf("%s has no effect in mode strip, which verifies nothing: leave it out, or use mode required or optional", name))
		}
	}
	if mode == modeOptional && (h.CORSPreflight == preflightCheck || h.CORSPreflight == preflightPass) {
		mistakes = append(mistakes, fmt.Errorf("cors_preflight %s has no effect in mode optional, which passes every request without a credential: leave it out, or use cors_preflight answer", h.CORSPreflight))
	}
	if h.BaseURL != "" && len(h.Wikis) > 0 && !inherited {
		for _, w := range h.Wikis {
			if w.BaseURL == "" {
				return mistakes
			}
		}
		mistakes = append(mistakes, errors.New("base_url has no effect, because every wiki has its own: leave it out"))
	}
	return mistakes
}
