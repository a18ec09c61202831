package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Profile is what the row of a user says besides the name.
type Profile struct {
	EditCount int64
	// Registered is user_registration, 14 digits, or empty.
	Registered     string
	EmailConfirmed bool
	Email          string
	RealName       string
	// HasPrivate reports whether the account may read e-mail and real name.
	HasPrivate bool
}

// profileLevel is how much of a profile a statement reads.
type profileLevel uint8

const (
	noProfile profileLevel = iota
	publicProfile
	privateProfile
)

// Columns of a profile that an account may be without.
const emailColumn, realNameColumn = "user_email", "user_real_name"

// firstProfileCell is behind the cells of all other rows of a user.
const firstProfileCell = 6

// profileColumns are the columns of the kind's profile, or nil. Those that an
// account may be without are last, so that any other one that is missing is the
// one that the server names. They are below no column of another row, because
// MySQL would fill those up to the length of a BINARY column.
func (t tables) profileColumns() []string {
	columns := append(slices.Repeat([]string{"NULL"}, firstProfileCell), "u.user_editcount", t.dialect.Time("u.user_registration"), t.dialect.Time("u.user_email_authenticated"))
	switch t.profile {
	case publicProfile:
		return columns
	case privateProfile:
		return append(columns, "u."+emailColumn, "u."+realNameColumn)
	}
	return nil
}

func readProfile(c []sql.RawBytes) Profile {
	c = c[firstProfileCell:]
	edits, err := strconv.ParseInt(string(c[0]), 10, 64)
	if err != nil {
		edits = 0 // NULL, until MediaWiki has counted them
	}
	p := Profile{EditCount: edits, EmailConfirmed: isTime(c[2]), HasPrivate: c[4] != nil}
	if isTime(c[1]) {
		p.Registered = string(c[1])
	}
	if p.HasPrivate {
		p.Email, p.RealName = string(c[3]), string(c[4])
		p.EmailConfirmed = p.EmailConfirmed && p.Email != ""
	}
	return p
}

func isTime(b sql.RawBytes) bool {
	e, ok := validator.ParseExpiry(b)
	return ok && e != validator.Never
}

// named are the users of a name: of CentralAuth's table, where the statement
// reads that, or of the wiki's own.
func (t tables) named() userSource {
	p, name := userSource{of: t}, slotUserName.String()
	if t.tableSets&centralTables != 0 {
		p = p.join(t.global("globaluser")+" n", t.dialect.Equal("n.gu_name", name))
		p.id = "n.gu_id"
		return p
	}
	p = p.join(t.user("n"), t.dialect.Equal("n.user_name", name))
	p.id = "n.user_id"
	return p
}

// User returns the user with the central id, as the wiki knows them, and their
// profile. Only primaries are asked. A user who does not exist is nil.
func (s *Store) User(ctx context.Context, id uint64) (*validator.User, Profile, error) {
	if id == 0 {
		return nil, Profile{}, s.err
	}
	return s.findUser(ctx, id, "")
}

// UserByName is like User, for a name in MediaWiki's own form.
func (s *Store) UserByName(ctx context.Context, name string) (*validator.User, Profile, error) {
	if name == "" {
		return nil, Profile{}, s.err
	}
	return s.findUser(ctx, 0, name)
}

func (s *Store) findUser(ctx context.Context, id uint64, name string) (*validator.User, Profile, error) {
	if s.err != nil {
		return nil, Profile{}, s.err
	}
	level := privateProfile
	if s.publicOnly.Load() {
		level = publicProfile
	}
	u, profile, err := s.readUser(ctx, id, name, level)
	missing, ok := errors.AsType[*SchemaError](err)
	if level != privateProfile || !ok || !missing.mayBePrivate() {
		return u, profile, err
	}
	u, profile, publicErr := s.readUser(ctx, id, name, publicProfile)
	if _, ok := errors.AsType[*SchemaError](publicErr); ok {
		return nil, Profile{}, err // more than that is missing
	}
	if publicErr == nil {
		s.tellPublicOnly(missing)
	}
	return u, profile, publicErr
}

// mayBePrivate reports whether what is missing are columns of a profile that an
// account may be without. PostgreSQL tells the table alone.
func (e *SchemaError) mayBePrivate() bool {
	switch e.column {
	case emailColumn, realNameColumn:
		return true
	case "":
		return e.table == "user"
	}
	return false
}

// tellPublicOnly decides that profiles are read without e-mail and real name, and
// tells it once, over reloads too.
func (s *Store) tellPublicOnly(missing error) {
	s.publicOnly.Store(true)
	if _, told := s.pool.told.LoadOrStore("public profiles "+s.Identity(), true); told {
		return
	}
	s.pool.cfg.Notify(Event{
		Wiki: s.wiki.ID, Err: missing,
		Text: "the account may not read e-mail addresses and real names: what apps learn of users is without them",
	})
}

// readUser asks the servers of a user's tables, one after the other.
func (s *Store) readUser(ctx context.Context, id uint64, name string, level profileLevel) (*validator.User, Profile, error) {
	f := result{release: s.wiki.Release, central: s.wiki.Users == validator.CentralAuth, wiki: s.wiki.ID}
	first := true
	for _, st := range s.stages {
		st.tableSets &^= oauthTables
		if st.tableSets == 0 {
			continue
		}
		q := s.userQuery(&st, id, name, &f, level)
		q.from = source{client: clientID(validator.AskerOf(ctx).Client)}
		q.kind.byName = first && name != ""
		if !first && f.user.central.id == 0 {
			break // no user has the name, or the id
		}
		first = false
		var err error
		if f, err = st.pool.read(ctx, q); err != nil {
			return nil, Profile{}, err
		}
	}
	if id == 0 {
		id = f.user.central.id
		if !f.central {
			id = f.user.account.id
		}
	}
	u := f.user.user(id, &f)
	if u == nil || name != "" && u.Name != name {
		return nil, Profile{}, nil
	}
	if !u.Local {
		return u, Profile{}, nil
	}
	return u, f.user.profile, nil
}

// userQuery prepares the stage of a user alone.
func (s *Store) userQuery(st *stage, id uint64, name string, before *result, level profileLevel) *query {
	q := &query{
		store: s, stage: st, key: validator.Key{Primary: true}, kind: s.statementKind(st.tableSets, validator.NoProtocol, 0),
		values: s.names, before: before,
	}
	q.kind.user = true
	if st.tableSets&wikiTables != 0 {
		q.kind.profile = level
	}
	q.values[slotUser], q.values[slotWikiID] = idText(id), s.wiki.ID
	q.values[slotUserName] = clip(name, 255)
	if name == "" || before.user.central.id != 0 {
		q.values[slotUserName] = before.user.central.name
	}
	return q
}
