package validator

import (
	"net/netip"
	"slices"
	"strings"
)

// Restrictions says from where a consumer may be used (MWRestrictions JSON in oarc_restrictions).
type Restrictions struct {
	// Broken says that MediaWiki would not load the consumer because of them.
	Broken bool
	// Pages are the only pages that may be acted on; nil: all. The backend is to see to it.
	Pages      []string
	everywhere bool
	networks   []netip.Prefix
}

// ParseRestrictions reads the JSON of a consumer's restrictions as the release does. 1.42 brought Pages; up to 1.46
// a member that is not known, and an address that is none, are refused, and 1.47 passes both over.
func ParseRestrictions(raw []byte, release Release) Restrictions {
	broken := Restrictions{Broken: true}
	v, err := decodeJSON(raw)
	members, ok := v.(object)
	if err != nil || !ok {
		return broken
	}
	list, ok := members["IPAddresses"].([]any)
	if !ok {
		return broken
	}
	r := Restrictions{}
	known := 1
	if pages, found := members["Pages"]; found && release >= 42 {
		known++
		items, isList := pages.([]any)
		if r.Pages = appendTexts([]string{}, items...); !isList || len(r.Pages) != len(items) {
			return broken
		}
	}
	strict := release < 47
	if strict && len(members) != known {
		return broken
	}
	for _, item := range list {
		s, _ := item.(string)
		prefix, ok := parsePrefix(s)
		switch {
		case ok:
			r.networks = append(r.networks, prefix)
		case strict:
			return broken
		}
	}
	r.everywhere = slices.Contains(r.networks, netip.MustParsePrefix("0.0.0.0/0")) &&
		slices.Contains(r.networks, netip.MustParsePrefix("::/0"))
	return r
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err == nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// Everywhere says whether every address is allowed, so that nobody need know the client's.
func (r Restrictions) Everywhere() bool { return r.everywhere }

// Size returns the bytes that r holds beside itself, for who has to bound them.
func (r Restrictions) Size() int {
	size := cap(r.networks)*32 + cap(r.Pages)*16
	for _, page := range r.Pages {
		size += len(page)
	}
	return size
}

// allows says whether a client at ip may use the consumer. IPv4 and IPv6 are kept apart, as MediaWiki does,
// but for an IPv4 client that a dual-stack listener shows as ::ffff:a.b.c.d.
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
