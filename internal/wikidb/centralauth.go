package wikidb

import "slices"

// The tables of CentralAuth from 1.39 on.
var (
	globalUsers = table{
		name: "globaluser",
		columns: []column{
			{name: "gu_id", kind: serial},
			{name: "gu_name", kind: name255, null: true},
			{name: "gu_home_db", kind: bytes255, null: true},
			{name: "gu_locked", kind: flag},
			{name: "gu_hidden_level", kind: number},
			{name: "gu_registration", kind: timestamp, null: true},
		},
		indexes: []index{{"gu_name", true}, {"gu_name,gu_locked", false}},
	}
	attachments = table{
		name: "localuser",
		columns: []column{
			{name: "lu_wiki", kind: name255},
			{name: "lu_name", kind: name255},
			{name: "lu_attached_timestamp", kind: timestamp, null: true},
			{name: "lu_attached_method", kind: bytes32, null: true},
			{name: "lu_local_id", kind: number, null: true},
			{name: "lu_global_id", kind: number, null: true},
		},
		primary: "lu_wiki,lu_name",
		indexes: []index{{"lu_name,lu_wiki", false}},
	}
	localNames = table{
		name:    "localnames",
		columns: []column{{name: "ln_wiki", kind: name255}, {name: "ln_name", kind: name255}},
		primary: "ln_wiki,ln_name",
		indexes: []index{{"ln_name,ln_wiki", false}},
	}
	globalGroups = table{
		name: "global_user_groups",
		columns: []column{
			{name: "gug_user", kind: number},
			{name: "gug_group", kind: bytes255},
			{name: "gug_expiry", kind: expiry, null: true},
		},
		primary: "gug_user,gug_group",
		indexes: []index{{"gug_group", false}},
	}
)

// Those that are otherwise in 1.35: a word says who is hidden, and memberships
// of global groups do not end.
var (
	globalUsers135  = globalUsers.with("gu_hidden_level", column{name: "gu_hidden", kind: bytes255})
	globalGroups135 = globalGroups.with("gug_expiry")
)

// with is the table with other columns in place of one.
func (t table) with(name string, others ...column) table {
	i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
	t.columns = slices.Concat(t.columns[:i], others, t.columns[i+1:])
	return t
}

// isCentral reports whether the table is one of CentralAuth's.
func (t table) isCentral() bool {
	return t.name == globalUsers.name || t.name == attachments.name || t.name == globalGroups.name
}

// Levels at which CentralAuth hides a name.
const (
	HiddenFromLists = 1
	Suppressed      = 2
)

// GlobalUser is a row of globaluser.
type GlobalUser struct {
	ID     uint64
	Name   string
	Locked bool
	Hidden int // HiddenFromLists, Suppressed, or 0
}

func (g GlobalUser) write(w *writer) {
	v := values{"gu_id": g.ID, "gu_name": g.Name, "gu_home_db": "metawiki", "gu_locked": g.Locked, "gu_registration": longAgo}
	if w.db.Release < 39 {
		v["gu_hidden"] = []string{"", "lists", "oversight"}[g.Hidden]
		w.insert(globalUsers135, v)
		return
	}
	v["gu_hidden_level"] = g.Hidden
	w.insert(globalUsers, v)
}

// Attachment is a row of localuser: the name is the global user's on that wiki.
type Attachment struct {
	Wiki, Name        string
	LocalID, GlobalID uint64
}

func (a Attachment) write(w *writer) {
	w.insert(attachments, values{
		"lu_wiki": a.Wiki, "lu_name": a.Name, "lu_attached_timestamp": longAgo, "lu_attached_method": "primary",
		"lu_local_id": a.LocalID, "lu_global_id": a.GlobalID,
	})
}

// GlobalGroup is a row of global_user_groups.
type GlobalGroup struct {
	UserID uint64 // central
	Name   string
	Expiry string // 14 digits; empty, and before 1.38: it does not expire
}

func (g GlobalGroup) write(w *writer) {
	v := values{"gug_user": g.UserID, "gug_group": g.Name}
	if w.db.Release < 38 {
		w.insert(globalGroups135, v)
		return
	}
	if g.Expiry != "" {
		v["gug_expiry"] = g.Expiry
	}
	w.insert(globalGroups, v)
}
