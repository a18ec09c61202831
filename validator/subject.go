package validator

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/php"
)

// oddSubject stands for a sub that is neither a text nor a number. It names no
// user, but it is not absent either. No JSON text equals it.
const oddSubject = "\xff"

// readSubject returns a sub as text. It is empty for a value that is empty to
// PHP.
func readSubject(sub any) string {
	odd := true
	switch sub := sub.(type) {
	case string:
		return sub
	case json.Number:
		if f, err := sub.Float64(); f != 0 || err != nil {
			return string(sub)
		}
		return ""
	case nil:
		odd = false
	case bool:
		odd = sub
	case []any:
		odd = len(sub) > 0
	case php.Object:
		odd = len(sub) > 0
	}
	if odd {
		return oddSubject
	}
	return ""
}

// subjectID reads the user id of a sub, for releases that check it: "123", or
// "mw:local:enwiki:123" with the scope of this wiki's users. The id is 0 if the
// release does not look for the user. ok is false for a sub of another scope.
func subjectID(p *Policy, sub string) (id uint64, ok bool) {
	if p.Release < 46 || sub == "" {
		return 0, true
	}
	text := sub
	if strings.HasPrefix(sub, "mw:") {
		colon := strings.LastIndexByte(sub, ':')
		if sub[:colon] != "mw:"+p.userScope() {
			return 0, false
		}
		text = sub[colon+1:]
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if p.Release == 46 { // it holds a sub that begins with "mw:" to its form, and asks of none whose it is
		return 0, err == nil || text == sub
	}
	return id, err == nil
}

// userScope returns the scope of the user ids, as MediaWiki 1.45 and later
// write it.
func (p *Policy) userScope() string {
	if p.Users == CentralAuth {
		return "CentralAuth:"
	}
	return "local:" + strings.ReplaceAll(p.Wiki, ":", "-")
}

func knownSubject(in *ruleInput) Reason {
	id, ok := subjectID(in.policy, in.claim.Token.Subject)
	if !ok || id != 0 && (in.facts.Subject == nil || !in.facts.Subject.Attached) {
		return UnknownSubject
	}
	return OK
}

// namesUser reports whether releases up to 1.45 refuse a client's own token
// because of its sub. PHP makes a number of the sub, which must be 0. With
// central ids it looks for the user, and crashes if that user does not exist.
func namesUser(p *Policy, sub string) bool {
	switch {
	case sub == "" || sub == "0":
		return false
	case sub == oddSubject || p.CentralIDs():
		return true
	}
	f, _ := php.LeadingNumber(sub)
	return math.Trunc(f) != 0
}
