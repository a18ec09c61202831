package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// query is one lookup, ready to be asked of a server.
type query struct {
	text    string
	args    []any
	key     validator.Key
	release validator.Release
}

// run asks the server. Everything that it answers is turned into facts here, once; what cannot be read is taken
// for what refuses more.
func (q query) run(ctx context.Context, db *sql.DB) (validator.Facts, error) {
	rows, err := db.QueryContext(ctx, q.text, q.args...)
	if err != nil {
		return validator.Facts{}, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err has told
	var kind int
	var cells [width]sql.RawBytes
	dest := make([]any, 0, 1+width)
	dest = append(dest, &kind)
	for i := range cells {
		dest = append(dest, &cells[i])
	}
	f := found{release: q.release}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return validator.Facts{}, err
		}
		if err := f.add(kind, cells[:]); err != nil {
			return validator.Facts{}, err
		}
	}
	if err := rows.Err(); err != nil {
		return validator.Facts{}, err
	}
	return f.facts(q.key), nil
}

// found is what the rows of a lookup said, in whatever order they came.
type found struct {
	release       validator.Release
	consumers     []*validator.Consumer
	token         *validator.AccessToken
	identifier    string
	acceptance    *validator.Acceptance
	acceptedToken string
	user, subject person
}

type person struct {
	id              uint64
	row             *validator.User
	groups          []validator.Group
	blocked, hidden validator.Expiry
}

func (f *found) add(kind int, c []sql.RawBytes) error {
	var n numbers
	switch kind {
	case rowConsumer:
		f.consumers = append(f.consumers, f.consumer(&n, c))
	case rowToken:
		f.token = &validator.AccessToken{AcceptanceID: n.id("oaat_acceptance_id", c[0]), Revoked: flag(c[2])}
		f.identifier = string(c[1])
	case rowAcceptance:
		grants, ok := validator.ParseGrants(c[5])
		f.acceptance = &validator.Acceptance{
			ID: n.id("oaac_id", c[0]), ConsumerID: n.id("oaac_consumer_id", c[2]), UserID: n.id("oaac_user_id", c[3]),
			Wiki: string(c[4]), Grants: grants, Broken: !ok, Secret: string(c[6]),
		}
		f.acceptedToken = string(c[1])
	case rowUser:
		f.user.found(&n, c)
	case rowGroup:
		f.user.group(c)
	case rowBlock:
		f.user.block(c)
	case rowSubject:
		f.subject.found(&n, c)
	case rowSubjectGroup:
		f.subject.group(c)
	case rowSubjectBlock:
		f.subject.block(c)
	}
	return n.err
}

func (f *found) consumer(n *numbers, c []sql.RawBytes) *validator.Consumer {
	_, ok := validator.ParseGrants(c[8])
	consumer := &validator.Consumer{
		ID: n.id("oarc_id", c[0]), Key: string(c[1]), Name: string(c[2]), OwnerID: n.id("oarc_user_id", c[3]),
		Wiki: string(c[4]), Version: small(c[5]), Stage: validator.Stage(small(c[6])), OwnerOnly: flag(c[7]),
		Broken: !ok, Restrictions: validator.ParseRestrictions(c[9], f.release), Secret: string(c[10]),
	}
	if len(c[11]) > 0 {
		consumer.RSAKey = validator.ParseConsumerKey(c[11])
	}
	return consumer
}

func (p *person) found(n *numbers, c []sql.RawBytes) {
	p.id = n.id("user_id", c[0])
	p.row = &validator.User{CentralID: p.id, Name: string(c[1]), Local: true, Attached: true}
}

func (p *person) group(c []sql.RawBytes) {
	expires := validator.Never
	if c[1] != nil {
		var ok bool
		if expires, ok = validator.ParseExpiry(c[1]); !ok {
			return // a membership until nobody knows when is none
		}
	}
	p.groups = append(p.groups, validator.Group{Name: string(c[0]), Expires: expires})
}

func (p *person) block(c []sql.RawBytes) {
	expires, ok := validator.ParseExpiry(c[0])
	if !ok {
		expires = validator.Never
	}
	if flag(c[1]) {
		p.blocked = max(p.blocked, expires)
	}
	if flag(c[2]) {
		p.hidden = max(p.hidden, expires)
	}
}

func (p *person) is(id uint64) *validator.User {
	if p.row == nil || p.id != id || id == 0 {
		return nil
	}
	p.row.Groups, p.row.Blocked, p.row.Hidden = p.groups, p.blocked, p.hidden
	return p.row
}

// facts puts the rows together. Keys are compared here, byte for byte: the collation of a column that was not
// made as MediaWiki makes it may have found the row of another key.
func (f *found) facts(key validator.Key) validator.Facts {
	var facts validator.Facts
	for _, c := range f.consumers {
		if c.Key == key.Consumer {
			facts.Consumer = c
		}
	}
	if key.Protocol == validator.OAuth2 {
		if f.token == nil || f.identifier != key.Token {
			f.token, f.acceptance = nil, nil
		}
		facts.Token = f.token
		if f.acceptance != nil && f.token.AcceptanceID != 0 {
			facts.Acceptance = f.acceptance
		}
		facts.Subject = f.subject.is(key.Subject)
	} else if f.acceptance != nil && f.acceptedToken == key.Token {
		facts.Acceptance = f.acceptance
	}
	if facts.Acceptance == nil {
		return facts
	}
	for _, c := range f.consumers {
		if c.ID == facts.Acceptance.ConsumerID {
			facts.Accepted = c
		}
	}
	facts.User = f.user.is(facts.Acceptance.UserID)
	return facts
}

// flag is PHP's view of a small number, and true for what is none.
func flag(b sql.RawBytes) bool { return string(b) != "0" }

// small is a number up to 255. What is none becomes 255, which names no stage and no version.
func small(b sql.RawBytes) uint8 {
	n, err := strconv.ParseUint(string(b), 10, 8)
	if err != nil {
		return 255
	}
	return uint8(n)
}

// numbers reads ids and keeps the first error.
type numbers struct{ err error }

func (n *numbers) id(column string, b sql.RawBytes) uint64 {
	id, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil && n.err == nil {
		n.err = fmt.Errorf("column %s is %q: want a number", column, b)
	}
	return id
}
