package store

import (
	"database/sql"
	"fmt"
	"strconv"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// result is what the rows of a lookup said, in whatever order they came.
type result struct {
	release       validator.Release
	central       bool   // users are CentralAuth's
	wiki          string // wiki id
	consumers     []*validator.Consumer
	token         *validator.AccessToken
	identifier    string
	acceptance    *validator.Acceptance
	acceptedToken string
	user, subject userRows
}

func (f *result) add(kind int, c []sql.RawBytes) error {
	var n numbers
	switch kind {
	case rowConsumer:
		f.consumers = append(f.consumers, n.consumer(c, f.release))
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
	default:
		p := &f.user
		if kind >= rowSubject {
			p, kind = &f.subject, kind-subjectOffset
		}
		p.add(kind, &n, c)
	}
	return n.err
}

// accepted is the acceptance of the key. Keys are compared here, byte for byte:
// the collation of a column that was not made as MediaWiki makes it may have
// found the row of another key.
func (f *result) accepted(key validator.Key) *validator.Acceptance {
	switch {
	case key.Protocol == validator.OAuth2 && (f.token == nil || f.identifier != key.Token || f.token.AcceptanceID == 0):
		return nil
	case key.Protocol == validator.OAuth1 && f.acceptedToken != key.Token:
		return nil
	}
	return f.acceptance
}

// userID is the id of the acceptance's user; 0: nobody's.
func (f *result) userID(key validator.Key) uint64 {
	if a := f.accepted(key); a != nil {
		return a.UserID
	}
	return 0
}

// facts puts the rows together.
func (f *result) facts(key validator.Key) validator.Facts {
	var facts validator.Facts
	for _, c := range f.consumers {
		if c.Key == key.Consumer {
			facts.Consumer = c
		}
	}
	if key.Protocol == validator.OAuth2 {
		if f.identifier == key.Token {
			facts.Token = f.token
		}
		facts.Subject = f.subject.user(key.Subject, f)
	}
	facts.Acceptance = f.accepted(key)
	if facts.Acceptance == nil {
		return facts
	}
	for _, c := range f.consumers {
		if c.ID == facts.Acceptance.ConsumerID && (c == facts.Consumer || key.Protocol == validator.OAuth2) {
			facts.Accepted = c
		}
	}
	facts.User = f.user.user(facts.Acceptance.UserID, f)
	return facts
}

// flag is PHP's view of a small number, and true for anything else.
func flag(b sql.RawBytes) bool { return string(b) != "0" }

// small is a number up to 255. Another text becomes 255, which names no stage
// and no version.
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
