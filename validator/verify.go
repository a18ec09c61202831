package validator

import (
	"cmp"
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

// Verifier decides about requests. It may be used by many goroutines.
type Verifier struct {
	policy Policy
	store  Store
	nonces Nonces
	tokens Tokens
	now    func() time.Time
}

// New returns a Verifier. In the policy, a TimestampWindow or MaxFormSize of zero stands for its default.
func New(p Policy, s Store, n Nonces, t Tokens) *Verifier {
	p.TimestampWindow = cmp.Or(p.TimestampWindow, DefaultTimestampWindow)
	p.MaxFormSize = cmp.Or(p.MaxFormSize, DefaultMaxFormSize)
	p.siteMACs = newMACs(p.SiteKey)
	return &Verifier{policy: p, store: s, nonces: n, tokens: t, now: time.Now}
}

// maxUnprovenForm bounds a form that is read before anything is known of the client, because it holds the
// credential itself, in bytes.
const maxUnprovenForm = 64 << 10

// Verify decides about one request. It asks the store at most once, and reads the body only where the
// signature covers it. Whether an Anonymous verdict may pass is the caller's to say.
func (v *Verifier) Verify(ctx context.Context, r Request) Decision {
	t := trials.Get().(*trial)
	defer t.end()
	t.r = r
	t.h = hearing{p: &v.policy, c: &t.c, f: &t.f}
	return v.try(ctx, t)
}

// trial is what is known of one request while it is looked at. It is used again for another, empty.
type trial struct {
	r Request
	c Claim
	f Facts
	h hearing
}

var trials = sync.Pool{New: func() any { return new(trial) }}

// end puts the trial back. Nothing of a credential stays behind, and no room of a large form.
func (t *trial) end() {
	params := t.c.params[:cap(t.c.params)]
	clear(params)
	*t = trial{}
	if len(params) <= 64 {
		t.c.params = params[:0]
	}
	trials.Put(t)
}

func (v *Verifier) try(ctx context.Context, t *trial) Decision {
	p, c := &v.policy, &t.c
	if reason := c.parse(p, &t.r); reason != OK {
		return c.deny(reason)
	}
	if c.Protocol == NoProtocol {
		return Decision{Verdict: Anonymous, Reason: NoCredentials}
	}
	t.h.now = v.now()
	if reason := v.prepare(t); reason != OK {
		return c.deny(reason)
	}
	key := c.key(p)
	key.Client = t.r.ClientIP
	var err error
	if t.f, err = v.store.Lookup(ctx, key); err != nil {
		return c.unavailable(StoreUnavailable, err)
	}
	// Only now, that consumer and token are known: a stranger's form costs us nothing.
	if c.form == formSigned && t.f.Consumer != nil && t.f.Acceptance != nil {
		if reason := c.readForm(p, &t.r, p.MaxFormSize); reason != OK {
			return c.deny(reason)
		}
	}
	t.h.now = v.now() // lookup and form may have taken their time
	d := t.h.decide()
	if d.Verdict == Allow && c.Protocol == OAuth1 {
		if reason := c.checkBody(&t.r, p.MaxFormSize); reason != OK {
			return c.deny(reason)
		}
		return v.useNonce(ctx, c, d)
	}
	return d
}

// prepare does what needs no lookup: it verifies a bearer token, reads a form that holds the credential, and
// asks the rules that need no facts, so that a stale or misshapen request costs no query.
func (v *Verifier) prepare(t *trial) Reason {
	p, c := &v.policy, &t.c
	if c.Protocol == OAuth2 {
		var reason Reason
		if c.Token, reason = v.tokens.Verify(c.Bearer); reason != OK {
			return reason
		}
	}
	if c.form == formHoldsOAuth {
		if reason := c.readForm(p, &t.r, min(maxUnprovenForm, p.MaxFormSize)); reason != OK {
			return reason
		}
	}
	for _, rule := range proofs[c.Protocol] {
		switch {
		case p.Rules == MediaWiki && (!rule.free || c.form == formSigned):
			return OK // its first objection counts; and a form yet to be read has a say in what the query holds
		case !rule.free:
			continue
		}
		if reason := rule.objection(&t.h); reason != OK {
			return reason
		}
	}
	return OK
}

// readForm takes the body into the claim.
func (c *Claim) readForm(p *Policy, r *Request, limit int64) Reason {
	body, reason := readBody(r, limit)
	if reason != OK {
		return reason
	}
	return p.reader().readForm(c, string(body))
}

// checkBody compares the body with the hash that was signed for it, if one was.
func (c *Claim) checkBody(r *Request, limit int64) Reason {
	if c.bodyHash == "" {
		return OK
	}
	body, reason := readBody(r, limit)
	if reason == OK && !hashes(c.bodyHash, body) {
		return BadBodyHash
	}
	return reason
}

func readBody(r *Request, limit int64) ([]byte, Reason) {
	if r.Form == nil {
		return nil, OK
	}
	body, err := r.Form(limit)
	switch {
	case errors.Is(err, ErrFormTooLarge):
		return nil, FormTooLarge
	case err != nil:
		return nil, MalformedForm
	}
	return body, OK
}

// useNonce uses up the nonce of a request that would pass. It comes last: a stranger, who cannot sign, can
// neither fill the memory nor burn the nonce of somebody else's request. The nonce is kept for as long as the
// timestamp stays in the window, the whole of its last second included.
func (v *Verifier) useNonce(ctx context.Context, c *Claim, d Decision) Decision {
	p := &v.policy
	seconds, _ := p.reader().timestamp(c.oauth[fieldTimestamp])
	issued := time.Unix(int64(math.Ceil(seconds)), 0)
	fresh, err := v.nonces.Use(ctx, NonceUse{
		Key:    c.key(p),
		UserID: d.Identity.UserID,
		Nonce:  c.oauth[fieldNonce],
		Issued: issued,
		Until:  issued.Add(time.Second + p.TimestampWindow),
	})
	switch {
	case errors.Is(err, ErrNonceExpired):
		return c.deny(TimestampExpired)
	case errors.Is(err, ErrNonceShare):
		return c.deny(NonceShareUsedUp)
	case err != nil:
		return c.unavailable(NoncesUnavailable, err)
	case !fresh:
		return c.deny(NonceUsed)
	}
	return d
}

func (c *Claim) unavailable(reason Reason, err error) Decision {
	d := c.decision(Unavailable, reason)
	d.Err = err
	return d
}
