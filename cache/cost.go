package cache

import (
	"unsafe"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// entryOverhead is the memory that ristretto spends on one entry, in bytes: its
// places in three maps, measured on the heap where they have just grown. A test
// holds all estimates against the heap.
const entryOverhead = 272

// factsCost estimates the bytes that an entry of facts holds on the heap.
func factsCost(f *validator.Facts) int64 {
	n := entryOverhead + int64(unsafe.Sizeof(entry[validator.Facts]{})) + consumerCost(f.Consumer)
	if f.Accepted != f.Consumer {
		n += consumerCost(f.Accepted)
	}
	if f.Token != nil {
		n += int64(unsafe.Sizeof(*f.Token))
	}
	if a := f.Acceptance; a != nil {
		n += int64(unsafe.Sizeof(*a)) + stringCost(a.Wiki) + stringCost(a.Secret) + stringsCost(a.Grants)
	}
	n += userCost(f.User)
	if f.Subject != f.User {
		n += userCost(f.Subject)
	}
	return n
}

func consumerCost(c *validator.Consumer) int64 {
	if c == nil {
		return 0
	}
	n := int64(unsafe.Sizeof(*c)) + stringCost(c.Key) + stringCost(c.Name) + stringCost(c.Wiki) + stringCost(c.Secret)
	n += int64(c.Restrictions.Size())
	if c.RSAKey != nil && c.RSAKey.N != nil {
		n += int64(unsafe.Sizeof(*c.RSAKey)) + 64 + int64(c.RSAKey.N.BitLen()/8)
	}
	return n
}

func userCost(u *validator.User) int64 {
	if u == nil {
		return 0
	}
	n := int64(unsafe.Sizeof(*u)) + stringCost(u.Name)
	for _, g := range u.Groups {
		n += int64(unsafe.Sizeof(g)) + stringCost(g.Name)
	}
	return n
}

// tokenCost estimates the bytes that an entry of a token holds on the heap.
func tokenCost(t *validator.Token) int64 {
	return entryOverhead + int64(unsafe.Sizeof(entry[validator.Token]{})) +
		stringCost(t.ID) + stringCost(t.Audience) + stringCost(t.Subject) + stringsCost(t.Scopes)
}

func stringsCost(list []string) int64 {
	var n int64
	for _, s := range list {
		n += int64(unsafe.Sizeof(s)) + stringCost(s)
	}
	return n
}

// stringCost rounds up as the allocator does.
func stringCost(s string) int64 { return int64(len(s)+15) &^ 15 }
