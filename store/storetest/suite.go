package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func sprint(v any) string { return fmt.Sprintf("%+v", v) }

// past and future are expiries, as the tables hold them and as facts do.
const (
	past, future                              = "20010203040506", "20990203040506"
	pastExpiry, futureExpiry validator.Expiry = 981173106, 4073774706
)

// suite is all rows and all lookups for a kind of wiki.
func suite(tb testing.TB, kind Backend) ([]wikidb.Row, []testCase) {
	b := &builder{kind: kind, release: kind.Release, central: kind.CentralAuth, users: map[uint64]*validator.User{}}
	alice := b.user("Alice")
	b.protocols(alice.CentralID)
	b.people()
	b.brokenRows(tb, alice.CentralID)
	b.exactKeys(alice.CentralID)
	if b.central {
		b.globalPeople()
	}
	return b.rows, b.cases
}

func (b *builder) protocols(alice uint64) {
	c1, other1 := b.consumer(1, nil), b.consumer(1, func(c *wikidb.Consumer) {
		c.Stage, c.Wiki, c.OwnerOnly, c.OwnerID = validator.Disabled, "dewiki", true, 77
	})
	a1 := b.acceptance(c1, alice, nil)
	key, facts := b.oauth1(c1, a1)
	b.expect("oauth1", key, facts)
	b.expect("oauth1, no consumer", with(key, func(k *validator.Key) { k.Consumer = wikidb.RandomHex(16) }),
		validator.Facts{Acceptance: facts.Acceptance, User: facts.User})
	b.expect("oauth1, no acceptance", with(key, func(k *validator.Key) { k.Token = wikidb.RandomHex(16) }),
		validator.Facts{Consumer: facts.Consumer})
	b.expect("oauth1, nothing", validator.Key{Protocol: validator.OAuth1, Consumer: "none", Token: "none"}, validator.Facts{})
	b.expect("oauth1, acceptance of another consumer", with(key, func(k *validator.Key) { k.Consumer = other1.Key }), validator.Facts{
		Consumer: b.consumerFacts(other1, validator.OAuth1), Acceptance: facts.Acceptance, User: facts.User,
	})
	dangling := b.acceptance(wikidb.Consumer{ID: 9999, Wiki: "*", Grants: c1.Grants, Version: 1}, alice, nil)
	b.expect("oauth1, acceptance of a consumer that is gone", with(key, func(k *validator.Key) { k.Token = dangling.Token }),
		validator.Facts{Consumer: facts.Consumer, Acceptance: b.acceptanceFacts(dangling, validator.OAuth1), User: facts.User})

	c2, other2 := b.consumer(2, nil), b.consumer(2, nil)
	a2 := b.acceptance(c2, alice, nil)
	t2 := b.token(a2.ID, 0)
	key, facts = b.oauth2(c2, a2, t2)
	b.expect("oauth2", key, facts)
	b.expect("oauth2, no client", with(key, func(k *validator.Key) { k.Consumer = wikidb.RandomHex(16) }),
		validator.Facts{Token: facts.Token, Acceptance: facts.Acceptance, Accepted: facts.Accepted, User: facts.User})
	b.expect("oauth2, no token", with(key, func(k *validator.Key) { k.Token = wikidb.RandomHex(40) }), validator.Facts{Consumer: facts.Consumer})
	b.expect("oauth2, OAuth 1 token", with(key, func(k *validator.Key) { k.Token = a2.Token }), validator.Facts{Consumer: facts.Consumer})
	b.expect("oauth2, token of another client", with(key, func(k *validator.Key) { k.Consumer = other2.Key }), validator.Facts{
		Consumer: b.consumerFacts(other2, validator.OAuth2), Token: facts.Token,
		Acceptance: facts.Acceptance, Accepted: facts.Accepted, User: facts.User,
	})
	for _, n := range []int{1, 7} {
		revoked := b.token(a2.ID, n)
		key, facts := b.oauth2(c2, a2, revoked)
		facts.Token.Revoked = true
		b.expect(fmt.Sprintf("oauth2, revoked %d", n), key, facts)
	}
	own := b.token(0, 0)
	b.expect("oauth2, client's own token", with(key, func(k *validator.Key) { k.Token = own.Identifier }),
		validator.Facts{Consumer: facts.Consumer, Token: &validator.AccessToken{}})
	gone := b.token(9999, 0)
	b.expect("oauth2, token of an acceptance that is gone", with(key, func(k *validator.Key) { k.Token = gone.Identifier }),
		validator.Facts{Consumer: facts.Consumer, Token: &validator.AccessToken{AcceptanceID: 9999}})
	t1 := b.token(a1.ID, 0)
	b.expect("oauth2, acceptance of OAuth 1", with(key, func(k *validator.Key) { k.Token = t1.Identifier }), validator.Facts{
		Consumer: facts.Consumer, Token: &validator.AccessToken{AcceptanceID: a1.ID},
		Acceptance: b.acceptanceFacts(a1, validator.OAuth2), Accepted: b.consumerFacts(c1, validator.OAuth2), User: b.users[alice],
	})
}

func with(k validator.Key, change func(*validator.Key)) validator.Key {
	change(&k)
	return k
}

func (b *builder) people() {
	c1, c2 := b.consumer(1, nil), b.consumer(2, nil)
	own := b.token(0, 0)
	partial := validator.Expiry(0)
	if b.release <= 41 {
		partial = validator.Never
	}
	for _, p := range []struct {
		name            string
		rows            []wikidb.Row
		groups          []validator.Group
		blocked, hidden validator.Expiry
		partlyBlocked   validator.Expiry
	}{
		{name: "Nobody special"},
		{name: "Zoë Müller 日本"},
		{
			name: "Groups",
			rows: []wikidb.Row{
				wikidb.Group{Name: "bot"},
				wikidb.Group{Name: "broken", Expiry: "soon"},
				wikidb.Group{Name: "ever", Expiry: wikidb.Infinity},
				wikidb.Group{Name: "past", Expiry: past},
				wikidb.Group{Name: "sysop", Expiry: future},
			},
			groups: []validator.Group{
				{Name: "bot", Expires: validator.Never},
				{Name: "ever", Expires: validator.Never},
				{Name: "past", Expires: pastExpiry},
				{Name: "sysop", Expires: futureExpiry},
			},
		},
		{name: "Blocked", rows: []wikidb.Row{wikidb.Block{Expiry: wikidb.Infinity}}, blocked: validator.Never},
		{name: "Blocked for a time", rows: []wikidb.Row{wikidb.Block{Expiry: future}}, blocked: futureExpiry},
		{name: "Was blocked", rows: []wikidb.Row{wikidb.Block{Expiry: past}}, blocked: pastExpiry},
		{name: "Blocked unreadably", rows: []wikidb.Row{wikidb.Block{Expiry: "0"}}, blocked: validator.Never},
		{name: "Blocked in part", rows: []wikidb.Row{wikidb.Block{Expiry: wikidb.Infinity, Partial: true}}, partlyBlocked: partial},
		{
			name: "Hidden", rows: []wikidb.Row{wikidb.Block{Expiry: wikidb.Infinity, Hidden: true}},
			blocked: validator.Never, hidden: validator.Never,
		},
		{
			name: "Hidden for a time", rows: []wikidb.Row{wikidb.Block{Expiry: future, Hidden: true}},
			blocked: futureExpiry, hidden: futureExpiry,
		},
	} {
		held := slices.DeleteFunc(p.rows, func(row wikidb.Row) bool { return !b.kind.holdsRow(row) })
		if len(held) == 0 && p.rows != nil {
			continue // it is all about what was left out
		}
		u := b.user(p.name, held...)
		u.Groups, u.Blocked, u.PartlyBlocked, u.Hidden = p.groups, p.blocked, p.partlyBlocked, p.hidden
		if b.central {
			u.Hidden = 0 // CentralAuth hides names in its own way
		}
		b.expectUser(c1, c2, own, u)
	}
	if wikidb.NewBlocks(b.release) {
		u := b.user("Blocked thrice", wikidb.Block{Expiry: future}, wikidb.Block{Expiry: past, Hidden: true},
			wikidb.Block{Expiry: wikidb.Infinity, Partial: true})
		u.Blocked, u.Hidden = futureExpiry, pastExpiry
		if b.central {
			u.Hidden = 0
		}
		key, facts := b.oauth1(c1, b.acceptance(c1, u.CentralID, nil))
		b.expect("user Blocked thrice", key, facts)
	}

	// Blocks of addresses are blocks of user 0, and user 0 is nobody.
	b.rows = append(b.rows, wikidb.Block{Name: "192.0.2.1", Expiry: wikidb.Infinity})
	key, facts := b.oauth1(c1, b.acceptance(c1, 0, nil))
	b.expect("user zero", key, facts)
	key, facts = b.oauth1(c1, b.acceptance(c1, 9999, nil))
	b.expect("user gone", key, facts)
	b.expect("subject beyond all ids", validator.Key{Protocol: validator.OAuth2, Consumer: c2.Key, Token: own.Identifier, Subject: 1<<64 - 1},
		validator.Facts{Consumer: b.consumerFacts(c2, validator.OAuth2), Token: &validator.AccessToken{}})
}

// expectUser looks a user up in every way there is.
func (b *builder) expectUser(c1, c2 wikidb.Consumer, own wikidb.Token, u *validator.User) {
	key, facts := b.oauth1(c1, b.acceptance(c1, u.CentralID, nil))
	b.expect("user "+u.Name, key, facts)

	a2 := b.acceptance(c2, u.CentralID, nil)
	key, facts = b.oauth2(c2, a2, b.token(a2.ID, 0))
	key.Subject, facts.Subject = u.CentralID, u
	b.expect("user and subject "+u.Name, key, facts)
	key.Subject, facts.Subject = 9999, nil
	b.expect("user and unknown subject "+u.Name, key, facts)
	b.expect("subject "+u.Name, validator.Key{Protocol: validator.OAuth2, Consumer: c2.Key, Token: own.Identifier, Subject: u.CentralID},
		validator.Facts{Consumer: facts.Consumer, Token: &validator.AccessToken{}, Subject: u})
}

func (b *builder) brokenRows(tb testing.TB, alice uint64) {
	for _, c := range []struct {
		name   string
		change func(*wikidb.Consumer)
	}{
		{"broken grants", func(c *wikidb.Consumer) { c.Grants = `["useoauth"` }},
		{"null grants", func(c *wikidb.Consumer) { c.Grants = `null` }},
		{"grants with gaps", func(c *wikidb.Consumer) { c.Grants = `{"0":"useoauth","2":"editpage"}` }},
		{"no restrictions", func(c *wikidb.Consumer) { c.Restrictions = `` }},
		{"restrictions of a later release", func(c *wikidb.Consumer) { c.Restrictions = `{"IPAddresses":["192.0.2.1","x"],"Pages":[]}` }},
		{"key and restrictions of 64 KiB", func(c *wikidb.Consumer) { c.RSAKey, c.Restrictions = bigKey(tb), bigRestrictions() }},
		{"unusable RSA key", func(c *wikidb.Consumer) { c.RSAKey = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n" }},
		{"no secret", func(c *wikidb.Consumer) { c.Secret = "" }},
		{"proposed", func(c *wikidb.Consumer) { c.Stage = validator.Proposed }},
		{"unknown stage", func(c *wikidb.Consumer) { c.Stage = 200 }},
		{"deleted", func(c *wikidb.Consumer) { c.Deleted = true }},
		{"name of bytes", func(c *wikidb.Consumer) { c.Name = "\xff\x00é\r\n" }},
	} {
		if c.name == "name of bytes" && !b.kind.Holds(NotUTF8) {
			continue
		}
		row := b.consumer(1, c.change)
		key, facts := b.oauth1(row, b.acceptance(row, alice, func(a *wikidb.Acceptance) { a.Grants = `["useoauth","editpage"]` }))
		b.expect("consumer with "+c.name, key, facts)
		if c.name == "key and restrictions of 64 KiB" && facts.Consumer.RSAKey == nil {
			tb.Error("the suite's key is none")
		}
	}
	c := b.consumer(1, nil)
	user := uint64(5000)
	for grants, want := range map[string][]string{
		`["authonly"]`:                      {"mwoauth-authonly"},
		`["authonlyprivate","basic"]`:       {"mwoauth-authonlyprivate", "basic"},
		`{"1":"editpage","3":"highvolume"}`: {"editpage", "highvolume"},
		`[]`:                                {},
		`["a,b","` + strings.Repeat("g", 60000) + `"]`: {"a,b", strings.Repeat("g", 60000)},
		`null`: nil, ``: nil, `"basic"`: nil, `["basic"]x`: nil, "[\"\xff\"]": nil,
	} {
		if !b.kind.holdsText(grants) {
			continue
		}
		user++
		a := b.acceptance(c, user, func(a *wikidb.Acceptance) { a.Grants = grants })
		key, facts := b.oauth1(c, a)
		facts.Acceptance.Grants, facts.Acceptance.Broken = want, want == nil
		b.expect("acceptance with grants "+grants[:min(len(grants), 30)], key, facts)
	}
}

// exactKeys looks up keys that something in between might change, fold or take
// for something else.
func (b *builder) exactKeys(alice uint64) {
	keys := []string{
		"abc", "ABC", "abc ", " abc", "abc\x00", "a\x00bc", "a'bc", "a''bc", `a"bc`, `a\bc`, `a\\bc`, "a%bc", "a_bc", "a?bc", "?1",
		"{token}", "{consumer}", "a\xffbc", "a\xc0\xafbc", "é", "e\u0301", "É", "a/*bc", "-- abc", "#abc", "a\nbc", "a\r\nbc", "0", "00", "1e0",
		"abc\ufffd", "a\ufffdbc", "\x1aabc", "' OR '1'='1", "X'61'", strings.Repeat("k", 32), "",
	}
	for _, k := range keys {
		if !b.kind.holdsText(k) {
			b.expectNothing(k)
			continue
		}
		c1 := b.consumer(2, func(c *wikidb.Consumer) { c.Key = k })
		a := b.acceptance(c1, alice, func(a *wikidb.Acceptance) { a.Token = k })
		t := wikidb.Token{Identifier: k, AcceptanceID: a.ID}
		b.rows = append(b.rows, t)
		key, facts := b.oauth1(c1, a)
		b.expect(fmt.Sprintf("oauth1 key %q", k), key, facts)
		key, facts = b.oauth2(c1, a, t)
		b.expect(fmt.Sprintf("oauth2 key %q", k), key, facts)
	}
	long := strings.Repeat("j", 255)
	b.rows = append(b.rows, wikidb.Token{Identifier: long})
	b.expect("oauth2 jti of 255", validator.Key{Protocol: validator.OAuth2, Consumer: "none", Token: long},
		validator.Facts{Token: &validator.AccessToken{}})
	for _, k := range []string{
		"Abc", "abc  ", "abc\t", "a\x00", "a", "abc\x00\x00", "a%", "%", "_", "a.bc", "a\xfebc", "è", "e", "0.0", "1", "\\",
		strings.Repeat("k", 31), strings.Repeat("k", 33), strings.Repeat("k", 1<<16), strings.Repeat("j", 254), strings.Repeat("j", 256),
	} {
		b.expectNothing(k)
	}
}

// expectNothing asks for a key that no row has.
func (b *builder) expectNothing(k string) {
	for _, p := range []validator.Protocol{validator.OAuth1, validator.OAuth2} {
		b.expect(fmt.Sprintf("%v unknown key %.40q of %d", p, k, len(k)), validator.Key{Protocol: p, Consumer: k, Token: k}, validator.Facts{})
	}
}
