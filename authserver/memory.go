package authserver

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"
)

// Memory is a State of one process. Nothing is dropped before its time. One app,
// and all apps of one owner, may hold an eighth of it. The last eighth is for apps
// that hold few, and that of an app's share for its clients that hold few, because
// an app that is installed has a secret that anybody can read.
type Memory struct {
	size int64
	now  func() time.Time

	mu      sync.Mutex
	tokens  map[string]*memoryToken
	ends    *list.List // of *memoryToken; those of one life time end in the order of the list
	used    int64      // bytes
	holders map[holder]*holding
}

// memoryToken is a request token with what becomes of it.
type memoryToken struct {
	RequestToken
	element  *list.Element
	claimed  uint64 // user who is approving it; 0: nobody
	claimEnd time.Time
	failures int
	spent    bool // exchanged; it stays for its life, so that it is told from an unknown one
}

// holder is who holds room: an app, the owner of apps, or a client of an app.
type holder struct {
	app      string
	owner    uint64
	ofClient bool
	client   netip.Addr
}

type holding struct{ tokens, bytes int64 }

const (
	// tokenBytes is what a request token takes besides its callback, in bytes: the
	// token itself, and its places in the maps and the list.
	tokenBytes = 1024
	// few is how many request tokens an app may hold while one place is free.
	few = 64
	// maxWrongVerifiers is how many wrong verifiers use a request token up.
	maxWrongVerifiers = 10
	// claimLife bounds an approval that is not finished: the database's time-out,
	// and some more.
	claimLife = 30 * time.Second
)

// NewMemory returns an empty memory of at most size bytes. A clock of nil is
// time.Now.
func NewMemory(size int64, now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	return &Memory{size: size, now: now, tokens: map[string]*memoryToken{}, ends: list.New(), holders: map[holder]*holding{}}
}

// Bytes returns the bytes in use and the size.
func (m *Memory) Bytes() (used, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	return m.used, m.size
}

// Create implements [State].
func (m *Memory) Create(_ context.Context, t RequestToken) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	kept := &memoryToken{RequestToken: t}
	if !m.fits(kept) {
		return ErrStateFull
	}
	m.tokens[t.Key] = kept
	kept.element = m.ends.PushBack(kept)
	m.account(kept, 1)
	return nil
}

func (t *memoryToken) cost() int64 { return tokenBytes + int64(len(t.Callback)) }

func (t *memoryToken) holders() [3]holder {
	return [3]holder{{app: t.ConsumerKey}, {owner: t.OwnerID}, {app: t.ConsumerKey, ofClient: true, client: t.Client}}
}

// fits reports whether there is room for a token. The caller holds mu.
func (m *Memory) fits(t *memoryToken) bool {
	if m.used+t.cost() > m.size {
		return false
	}
	reserved := m.used+t.cost() > m.size-m.size/8
	holders := t.holders()
	for n, h := range holders {
		held := m.holders[h]
		if held == nil || held.tokens < few {
			continue
		}
		most := m.size / 8
		if n == len(holders)-1 { // a client, within what the app holds
			held, most = m.holders[holders[0]], most-most/8
		}
		if reserved || held.bytes+t.cost() > most {
			return false
		}
	}
	return true
}

// account adds or removes the room that a token takes. The caller holds mu.
func (m *Memory) account(t *memoryToken, sign int64) {
	m.used += sign * t.cost()
	for _, h := range t.holders() {
		held := m.holders[h]
		if held == nil {
			held = new(holding)
			m.holders[h] = held
		}
		held.tokens += sign
		held.bytes += sign * t.cost()
		if held.tokens == 0 {
			delete(m.holders, h)
		}
	}
}

// sweep drops what has ended. The caller holds mu.
func (m *Memory) sweep() {
	now := m.now()
	for e := m.ends.Front(); e != nil; e = m.ends.Front() {
		t, ok := e.Value.(*memoryToken)
		if !ok || now.Before(t.Expires) {
			return
		}
		m.ends.Remove(e)
		delete(m.tokens, t.Key)
		m.account(t, -1)
	}
}

// find returns a token that has not ended. One that was exchanged is returned with
// the error that says so. The caller holds mu.
func (m *Memory) find(key string) (*memoryToken, error) {
	m.sweep()
	switch t := m.tokens[key]; {
	case t == nil || !m.now().Before(t.Expires):
		return nil, ErrNoRequestToken
	case t.spent:
		return t, ErrRequestTokenUsed
	default:
		return t, nil
	}
}

// RequestToken implements [State].
func (m *Memory) RequestToken(_ context.Context, key string) (RequestToken, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := m.find(key)
	if t == nil {
		return RequestToken{}, err
	}
	return t.RequestToken, err
}

// Claim implements [State].
func (m *Memory) Claim(_ context.Context, key string, userID uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := m.find(key)
	switch {
	case err != nil:
		return err
	case t.Approval != nil, t.claimed != 0 && m.now().Before(t.claimEnd):
		return ErrAlreadyApproved
	}
	t.claimed, t.claimEnd = userID, m.now().Add(claimLife)
	return nil
}

// Release implements [State].
func (m *Memory) Release(_ context.Context, key string, userID uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, err := m.find(key); err == nil && t.claimed == userID {
		t.claimed = 0
	}
}

// Approve implements [State].
func (m *Memory) Approve(_ context.Context, key string, a RequestApproval) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := m.find(key)
	switch {
	case err != nil:
		return err
	case t.Approval != nil || t.claimed != a.UserID:
		return ErrAlreadyApproved
	}
	t.claimed, t.Approval, t.Expires = 0, &a, a.Expires
	m.renew(t)
	return nil
}

// renew puts a token to where its new end belongs. The caller holds mu.
func (m *Memory) renew(t *memoryToken) {
	e := m.ends.Back()
	for e != nil {
		if other, ok := e.Value.(*memoryToken); ok && other != t && !other.Expires.After(t.Expires) {
			m.ends.MoveAfter(t.element, e)
			return
		}
		e = e.Prev()
	}
	m.ends.MoveToFront(t.element)
}

// Exchange implements [State].
func (m *Memory) Exchange(_ context.Context, key, verifier string) (RequestApproval, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := m.find(key)
	switch {
	case err != nil:
		return RequestApproval{}, err
	case t.Approval == nil:
		return RequestApproval{}, ErrNotApproved
	case !sameSecret(verifier, t.Approval.Verifier):
		if t.failures++; t.failures >= maxWrongVerifiers {
			t.spent = true
		}
		return RequestApproval{}, ErrWrongVerifier
	}
	t.spent = true
	return *t.Approval, nil
}
