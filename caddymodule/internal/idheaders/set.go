package idheaders

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// The identity headers, in the order of headerSuffixes.
const (
	headerUserID = iota
	headerUserName
	headerGroups
	headerGrants
	headerConsumerKey
	headerConsumerName
	headerVersion
	headerWiki
	headerOwnerOnly
	headerPages

	numHeaders
)

var headerSuffixes = [numHeaders]string{
	"User-Id", "User-Name", "Groups", "Grants", "Consumer-Key", "Consumer-Name", "Version", "Wiki", "Owner-Only",
	"Pages",
}

// MaxSize bounds names and values of the identity headers together, in
// bytes, because servers refuse requests with large headers, and a server that
// cut them would drop a restriction.
const MaxSize = 8 << 10

// Set sets the identity headers of a decision. It returns false, and sets none,
// when they are too large.
func (h *Headers) Set(to http.Header, d *validator.Decision) bool {
	if !h.set {
		return true
	}
	id := &d.Identity
	values := make([]string, numHeaders) // one allocation for all; each header gets its own slice of it
	if id.UserID != 0 {
		values[headerUserID] = strconv.FormatUint(id.UserID, 10)
		values[headerUserName] = Encode(id.UserName)
		values[headerGroups] = EncodeList(id.Groups)
	}
	values[headerGrants] = EncodeList(id.Grants)
	values[headerConsumerKey] = Encode(id.ConsumerKey)
	values[headerConsumerName] = Encode(id.ConsumerName)
	values[headerVersion] = d.Protocol.Version()
	values[headerWiki] = Encode(id.Wiki)
	if id.OwnerOnly {
		values[headerOwnerOnly] = "true"
	}
	values[headerPages] = EncodeList(id.Pages)
	// A header without a value is absent. But a restriction to a page with an
	// empty name is a restriction: it matches no page.
	present := func(i int) bool { return values[i] != "" || i == headerPages && len(id.Pages) > 0 }
	total := 0
	for i, value := range values {
		if present(i) {
			total += len(h.names[i]) + len(value)
		}
	}
	if total > MaxSize {
		return false
	}
	for i := range values {
		if present(i) {
			to[h.names[i]] = values[i : i+1 : i+1]
		}
	}
	return true
}

// Encode percent-encodes what a header value cannot carry, or would lose: bytes
// outside 0x20 to 0x7E, "%" itself, and outer blanks.
func Encode(s string) string { return escape(s, '%') }

// EncodeList joins values by commas, and percent-encodes a comma in a value: a
// grant named "a,sysop" is one grant.
func EncodeList(list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return escape(list[0], ',')
	}
	size := len(list) - 1
	for _, s := range list {
		size += len(s)
	}
	var b strings.Builder
	b.Grow(size)
	for i, s := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(escape(s, ','))
	}
	return b.String()
}

// escape percent-encodes; also is one more byte that must be.
func escape(s string, also byte) string {
	first, last := outerBlanks(s)
	count := 0
	for i := range len(s) {
		if unsafeByte(s[i], also) || i < first || i >= last {
			count++
		}
	}
	if count == 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+2*count)
	for i := range len(s) {
		if c := s[i]; unsafeByte(c, also) || i < first || i >= last {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func unsafeByte(c, also byte) bool { return c < 0x20 || c > 0x7E || c == '%' || c == also }

// outerBlanks gives the bounds of s without the blanks around it.
func outerBlanks(s string) (first, last int) {
	last = len(s)
	for last > 0 && s[last-1] == ' ' {
		last--
	}
	for first < last && s[first] == ' ' {
		first++
	}
	return first, last
}
