package storetest

import (
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// globalPeople are users in all states that CentralAuth has for them.
func (b *builder) globalPeople() {
	c1, c2 := b.consumer(1, nil), b.consumer(2, nil)
	own := b.token(0, 0)
	const here, attached = 1, 2
	stored := []wikidb.Row{wikidb.Group{Name: "sysop", Expiry: past}, wikidb.Block{Expiry: future}}
	for _, p := range []struct {
		row    wikidb.GlobalUser
		is     int
		locked bool
	}{
		{wikidb.GlobalUser{Name: "Nowhere"}, 0, false},
		{wikidb.GlobalUser{Name: "Namesake"}, here, false},
		{wikidb.GlobalUser{Name: "Not yet here"}, attached, false},
		{wikidb.GlobalUser{Name: "Everywhere"}, here | attached, false},
		{wikidb.GlobalUser{Name: "Locked nowhere", Locked: true}, 0, true},
		{wikidb.GlobalUser{Name: "Namesake of a locked one", Locked: true}, here, false},
		{wikidb.GlobalUser{Name: "Locked and not yet here", Locked: true}, attached, true},
		{wikidb.GlobalUser{Name: "Locked", Locked: true}, here | attached, true},
		{wikidb.GlobalUser{Name: "Hidden from lists", Hidden: wikidb.HiddenFromLists}, here | attached, false},
		{wikidb.GlobalUser{Name: "Suppressed", Hidden: wikidb.Suppressed, Locked: true}, here | attached, true},
		{wikidb.GlobalUser{Name: "Suppressed namesake", Hidden: wikidb.Suppressed}, here, false},
		{wikidb.GlobalUser{Name: "O'Neill \"Ö\" \\ 日本"}, here | attached, false},
	} {
		u := b.globalUser(p.row)
		u.Locked = p.locked
		if p.row.Hidden != 0 {
			u.Hidden = validator.Never
		}
		if p.is&here != 0 {
			b.account(b.id(), u.Name, stored...)
			u.Local, u.Blocked = true, futureExpiry
			u.Groups = []validator.Group{{Name: "sysop", Expires: pastExpiry}}
		}
		b.globalGroups(u, p.is&attached != 0)
		// Neither makes the name theirs here.
		b.rows = append(b.rows, wikidb.Attachment{Wiki: "dewiki", Name: u.Name}, wikidb.Attachment{Wiki: "enwiki", Name: u.Name + "x"})
		if p.is&attached != 0 {
			b.rows = append(b.rows, wikidb.Attachment{Wiki: "enwiki", Name: u.Name, GlobalID: u.CentralID})
			u.Attached = true
		}
		b.expectUser(c1, c2, own, u)
	}
	// A name is another one in another case.
	u := b.globalUser(wikidb.GlobalUser{Name: "Case"})
	b.account(b.id(), "CASE", stored...)
	b.rows = append(b.rows, wikidb.Attachment{Wiki: "enwiki", Name: "CASE"}, wikidb.Attachment{Wiki: "ENWIKI", Name: "Case"})
	b.expectUser(c1, c2, own, u)
}

// globalGroups makes a user a member of global groups, which count where the
// account is attached.
func (b *builder) globalGroups(u *validator.User, count bool) {
	end := func(e validator.Expiry) validator.Expiry {
		if b.release < 38 {
			return validator.Never
		}
		return e
	}
	b.rows = append(
		b.rows, wikidb.GlobalGroup{UserID: u.CentralID, Name: "former", Expiry: past},
		wikidb.GlobalGroup{UserID: u.CentralID, Name: "steward"}, wikidb.GlobalGroup{UserID: u.CentralID, Name: "sysop", Expiry: future},
	)
	if !count {
		return
	}
	groups := []validator.Group{{Name: "former", Expires: end(pastExpiry)}, {Name: "steward", Expires: validator.Never}}
	if u.Local {
		groups = append([]validator.Group{{Name: "sysop", Expires: end(futureExpiry)}}, groups...)
	} else {
		groups = append(groups, validator.Group{Name: "sysop", Expires: end(futureExpiry)})
	}
	u.Groups = groups
}
