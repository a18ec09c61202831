package validator

import (
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/php"
)

// ParseGrants reads a stored list of grants (oarc_grants, oaac_grants). PHP
// writes a list with gaps as an object, whose values count. Old names are
// returned as the names in use. ok is false for anything else, which MediaWiki
// cannot load.
func ParseGrants(raw []byte) (grants []string, ok bool) {
	v, err := php.DecodeJSON(raw)
	if err != nil {
		return nil, false
	}
	var items []any
	switch v := v.(type) {
	case []any:
		items = v
	case php.Object:
		items = v.Values()
	default:
		return nil, false
	}
	grants = appendTexts([]string{}, items...)
	for i, name := range grants {
		if now, old := renamedGrants[name]; old {
			grants[i] = now
		}
	}
	return grants, true
}

// renamedGrants maps the names that the tables keep to the names in use.
var renamedGrants = map[string]string{
	"useoauth":        "basic",
	"authonly":        "mwoauth-authonly",
	"authonlyprivate": "mwoauth-authonlyprivate",
}

// StoredGrant returns the name that the tables keep for a grant in use.
func StoredGrant(name string) string {
	for stored, now := range renamedGrants {
		if now == name {
			return stored
		}
	}
	return name
}

// ParseExpiry reads an expiry as MySQL and SQLite keep it: 14 digits, UTC, or
// "infinity". ok is false for anything else; the caller must then choose the
// safe side.
func ParseExpiry(raw []byte) (e Expiry, ok bool) {
	if string(raw) == "infinity" {
		return Never, true
	}
	t, err := time.Parse("20060102150405", string(raw))
	return Expiry(t.Unix()), err == nil
}
