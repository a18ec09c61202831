package validator

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/php"
)

// Restrictions tells from where a consumer may be used (MWRestrictions JSON in
// oarc_restrictions).
type Restrictions struct {
	// Broken reports whether MediaWiki would not load the consumer because of
	// them.
	Broken bool
	// Pages are the only pages that the consumer may change; empty means all.
	// It may read every page. The backend must enforce this.
	Pages      []string
	everywhere bool
	networks   []netip.Prefix
}

// ParseRestrictions reads the JSON of a consumer's restrictions as the release
// does. 1.42 introduced Pages. Up to that release an unknown member, or an
// entry that is not an address, breaks the whole; from 1.43 on they are
// skipped. 1.42 itself was not measured, so it is read by the stricter rules,
// which refuse an app rather than widen what it may do.
func ParseRestrictions(raw []byte, release Release) Restrictions {
	broken := Restrictions{Broken: true}
	v, err := php.DecodeJSON(raw)
	members, ok := v.(php.Object)
	if err != nil || !ok {
		return broken
	}
	var r Restrictions
	known := 1
	if pages := members["Pages"]; pages != nil && release >= 42 { // null is as good as absent
		items, isArray := arrayValues(pages)
		if r.Pages = appendTexts(nil, items...); !isArray || len(r.Pages) != len(items) {
			return broken
		}
	}
	if _, found := members["Pages"]; found && release >= 42 {
		known++
	}
	lenient := release >= Release143
	if !lenient && len(members) != known {
		return broken
	}
	entries, isArray := members["IPAddresses"].([]any)
	if lenient {
		entries, isArray = arrayValues(members["IPAddresses"])
	}
	if !isArray {
		return broken
	}
	if r.networks, ok = parseNetworks(entries, lenient); !ok {
		return broken
	}
	r.everywhere = slices.Contains(r.networks, netip.MustParsePrefix("0.0.0.0/0")) &&
		slices.Contains(r.networks, netip.MustParsePrefix("::/0"))
	return r
}

// arrayValues returns the values of a list or of an object, which are both
// arrays to PHP.
func arrayValues(v any) (values []any, ok bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case php.Object:
		return v.Values(), true
	default:
		return nil, false
	}
}

// parseNetworks reads the entries of IPAddresses. A lenient release skips an
// entry that is not an address, but fails at a list or an object among the
// entries.
func parseNetworks(entries []any, lenient bool) (networks []netip.Prefix, ok bool) {
	for _, entry := range entries {
		if _, isArray := arrayValues(entry); isArray {
			return nil, false
		}
		s, _ := entry.(string)
		network, ok := parseNetwork(s, lenient)
		switch {
		case ok:
			networks = append(networks, network)
		case !lenient:
			return nil, false
		}
	}
	return networks, true
}

// parseNetwork reads an address, or an address and the length of a mask. A
// lenient release accepts zeros before the length, as in /08.
func parseNetwork(s string, lenient bool) (netip.Prefix, bool) {
	address, length, masked := strings.Cut(s, "/")
	if masked && lenient && length != "" {
		if length = strings.TrimLeft(length, "0"); length == "" {
			length = "0"
		}
	}
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Zone() != "" {
		return netip.Prefix{}, false
	}
	if !masked {
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	bits, err := strconv.ParseUint(length, 10, 8)
	if err != nil || strconv.FormatUint(bits, 10) != length {
		return netip.Prefix{}, false
	}
	network, err := ip.Prefix(int(bits))
	return network, err == nil
}

// Everywhere reports whether every address is allowed, so that the client's
// address need not be known.
func (r Restrictions) Everywhere() bool { return r.everywhere }

// Size returns the bytes that r holds in addition to the struct itself, for
// callers that bound memory.
func (r Restrictions) Size() int {
	size := cap(r.networks)*32 + cap(r.Pages)*16
	for _, page := range r.Pages {
		size += len(page)
	}
	return size
}

// allows reports whether a client at ip may use the consumer. IPv4 and IPv6 are
// kept apart, as in MediaWiki, except for an IPv4 client that a dual-stack
// listener shows as ::ffff:a.b.c.d.
func (r Restrictions) allows(ip netip.Addr) bool {
	if r.Broken {
		return false
	}
	if r.everywhere {
		return true
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(r.networks, func(p netip.Prefix) bool { return p.Contains(ip) })
}
