package authserver

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// GrantList is the grants of an app or of an acceptance, in the names that are in
// use ("basic", not "useoauth"). MediaWiki keeps them as a PHP array. An array with
// gaps in its keys is written as a JSON object, and its keys are kept.
type GrantList struct {
	Names []string
	// keys are the array's keys where they are not 0, 1, 2, …
	keys []string
}

// Grants returns the grants of a list without gaps.
func Grants(names ...string) GrantList { return GrantList{Names: names} }

// ParseGrantList reads a stored list of grants (oarc_grants, oaac_grants). ok is
// false for anything that MediaWiki cannot load.
func ParseGrantList(raw []byte) (g GrantList, ok bool) {
	if g.Names, ok = validator.ParseGrants(raw); !ok {
		return GrantList{}, false
	}
	if keys := objectKeys(raw); len(keys) == len(g.Names) && !sequential(keys) {
		g.keys = keys
	}
	return g, true
}

// objectKeys returns the keys of a JSON object in their order, or nil.
func objectKeys(raw []byte) []string {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var keys []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil
		}
		if _, err := d.Token(); err != nil {
			return nil
		}
		if key, ok := key.(string); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

func sequential(keys []string) bool {
	for i, key := range keys {
		if key != strconv.Itoa(i) {
			return false
		}
	}
	return true
}

// Has reports whether the list holds the grant.
func (g GrantList) Has(name string) bool { return slices.Contains(g.Names, name) }

// Covers reports whether the list holds each of the grants.
func (g GrantList) Covers(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !g.Has(name) })
}

// Equal reports whether two lists hold the same grants, in any order.
func (g GrantList) Equal(other GrantList) bool { return g.Covers(other.Names) && other.Covers(g.Names) }

// MarshalJSON writes the names in use, as an object if the array has gaps.
func (g GrantList) MarshalJSON() ([]byte, error) { return g.encode(g.Names) }

// Stored returns the list as the tables keep it.
func (g GrantList) Stored() string {
	stored := make([]string, len(g.Names))
	for i, name := range g.Names {
		stored[i] = validator.StoredGrant(name)
	}
	out, err := g.encode(stored)
	if err != nil {
		return "[]" // texts can always be encoded
	}
	return string(out)
}

func (g GrantList) encode(names []string) ([]byte, error) {
	if g.keys == nil {
		return encodeJSON(append([]string{}, names...))
	}
	claims := make([]claim, len(names))
	for i, name := range names {
		claims[i] = claim{g.keys[i], name}
	}
	return encodeClaims(claims)
}
