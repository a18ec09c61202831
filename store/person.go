package store

import (
	"database/sql"
	"slices"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// userRows is what the rows said of one user.
type userRows struct {
	central         central
	account         account
	groups          []validator.Group // of the account
	globalGroups    []validator.Group
	blocked, hidden validator.Expiry
	partlyBlocked   validator.Expiry
	profile         Profile
}

// account is a user of the wiki; without an id there is none.
type account struct {
	id   uint64
	name string
}

// central is an account of CentralAuth's; without an id there is none.
type central struct {
	id                   uint64
	name                 string
	locked, hidden       bool
	attached, attachment string // wiki id and name of the row of localuser
}

// add takes a row of one of the kinds from rowUser on.
func (p *userRows) add(kind int, n *numbers, c []sql.RawBytes) {
	switch kind {
	case rowUser:
		p.account = account{n.id("user_id", c[0]), string(c[1])}
	case rowGroup:
		p.groups = appendGroup(p.groups, c)
	case rowBlock:
		p.block(c)
	case rowCentral:
		p.central = central{n.id("gu_id", c[0]), string(c[1]), flag(c[2]), flag(c[3]), string(c[4]), string(c[5])}
	case rowProfile:
		p.profile = readProfile(c)
	case rowCentralGroup:
		p.globalGroups = appendGroup(p.globalGroups, c)
	}
}

func appendGroup(groups []validator.Group, c []sql.RawBytes) []validator.Group {
	expires := validator.Never
	if c[1] != nil {
		var ok bool
		if expires, ok = validator.ParseExpiry(c[1]); !ok {
			return groups // a membership until nobody knows when is none
		}
	}
	return append(groups, validator.Group{Name: string(c[0]), Expires: expires})
}

func (p *userRows) block(c []sql.RawBytes) {
	expires, ok := validator.ParseExpiry(c[0])
	if !ok {
		expires = validator.Never
	}
	switch {
	case string(c[1]) == "2":
		p.partlyBlocked = max(p.partlyBlocked, expires)
	case flag(c[1]):
		p.blocked = max(p.blocked, expires)
	}
	if flag(c[2]) {
		p.hidden = max(p.hidden, expires)
	}
}

// complete reports whether the sets of tables have all that there can be of a
// person.
func (p *userRows) complete(read tableSets) bool {
	return (read&centralTables == 0 || p.central.id != 0) && (read&wikiTables == 0 || p.account.id != 0)
}

// user is the user of the id, by the wiki's own table or by CentralAuth's; nil:
// there is none.
func (p *userRows) user(id uint64, f *result) *validator.User {
	switch {
	case id == 0:
		return nil
	case f.central:
		return p.global(id, f.wiki)
	case p.account.id != id:
		return nil
	}
	return &validator.User{
		CentralID: id, Name: p.account.name, Local: true, Attached: true,
		Groups: p.groups, Blocked: p.blocked, PartlyBlocked: p.partlyBlocked, Hidden: p.hidden,
	}
}

// global is a user of CentralAuth's. Names are compared here, byte for byte, as
// keys are. Blocks are the wiki's; they do not hide a name that CentralAuth
// shows.
func (p *userRows) global(id uint64, wiki string) *validator.User {
	c := p.central
	if c.id != id || c.name == "" {
		return nil
	}
	u := &validator.User{CentralID: id, Name: c.name, Attached: c.attached == wiki && c.attachment == c.name}
	if c.hidden {
		u.Hidden = validator.Never
	}
	if p.account.id != 0 && p.account.name == c.name {
		u.Local, u.Groups, u.Blocked, u.PartlyBlocked = true, p.groups, p.blocked, p.partlyBlocked
	}
	if u.Attached {
		u.Groups = merge(u.Groups, p.globalGroups)
	}
	// A local account of that name that is not theirs is not locked with theirs.
	u.Locked = c.locked && (u.Attached || !u.Local)
	return u
}

// merge adds groups that may be there already: the later expiry holds.
func merge(groups, more []validator.Group) []validator.Group {
	groups = slices.Clip(groups)
	for _, g := range more {
		i := slices.IndexFunc(groups, func(other validator.Group) bool { return other.Name == g.Name })
		if i < 0 {
			groups = append(groups, g)
		} else {
			groups = slices.Clone(groups)
			groups[i].Expires = max(groups[i].Expires, g.Expires)
		}
	}
	return groups
}
