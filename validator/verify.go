package validator

import (
	"cmp"
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// Verifier decides about requests. It may be used by many goroutines.
type Verifier struct {
	policy Policy
	store  Store
	nonces Nonces
	tokens Tokens
	now    func() time.Time
}

// New returns a Verifier. In the policy, a TimestampWindow, MaxFormSize or MaxBodySize of zero stands for its default.
func New(p Policy, s Store, n Nonces, t Tokens) *Verifier {
	p.TimestampWindow = cmp.Or(p.TimestampWindow, DefaultTimestampWindow)
	p.MaxFormSize = cmp.Or(p.MaxFormSize, DefaultMaxFormSize)
	p.MaxBodySize = cmp.Or(p.MaxBodySize, DefaultMaxBodySize)
	p.siteMACs = newMACs(p.SiteKey)
	return &Verifier{policy: p, store: s, nonces: n, tokens: t, now: time.Now}
}

// maxUnprovenForm bounds a form that is read before anything is known of the client, because it holds the
// credential itself, in bytes.
const maxUnprovenForm = 64 << 10

// Verify decides about one request. It asks the store for facts, once more after a body that came slowly, and
// before a refusal that newer facts could turn. It reads the body only where the signature covers it. Whether an
// Anonymous verdict may pass is the caller's to say.
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
	// The body, once it is read.
	body []byte
	read bool
	// What the parameters of a form take besides the form.
	copies  share
	parsing bool
}

var trials = sync.Pool{New: func() any { return new(trial) }}

// end puts the trial back. Nothing of a credential stays behind, and no room of a large form.
func (t *trial) end() {
	params := t.c.params[:cap(t.c.params)]
	clear(params)
	if t.copies.budget != nil {
		t.copies.end()
	}
	if t.parsing {
		<-largeForms
	}
	*t = trial{}
	if len(params) <= 64 {
		t.c.params = params[:0]
	}
	trials.Put(t)
}

// try decides. Everything that takes the client's time comes before the clock is read, the rules are asked and the
// nonce is used up: otherwise a client could choose when its timestamp is compared and when its nonce counts.
func (v *Verifier) try(ctx context.Context, t *trial) Decision {
	p, c := &v.policy, &t.c
	if reason := c.parse(p, &t.r); reason != OK {
		return c.deny(reason)
	}
	if c.Protocol == NoProtocol {
		return Decision{Verdict: Anonymous, Reason: NoCredentials}
	}
	t.h.now = v.now()
	if reason := v.prepare(ctx, t); reason != OK {
		return c.refuse(reason)
	}
	if err := v.lookup(ctx, t); err != nil {
		return c.failed(ctx, StoreUnavailable, err)
	}
	if c.form == formSigned && t.known() {
		if d, ok := v.receive(ctx, t, p.MaxFormSize, FormTooLarge); !ok {
			return d
		}
	}
	d := v.decide(ctx, t)
	if d.Verdict != Allow || c.Protocol != OAuth1 {
		return d
	}
	if c.bodyHash != "" {
		if d = v.checkBody(ctx, t, d); d.Verdict != Allow {
			return d
		}
	}
	return v.useNonce(ctx, c, d)
}

// checkBody compares the body with the hash that was signed for it. The signature covers the hash, so that a body
// which is not a form is read for a client that has proven its credential, and then decided about anew.
func (v *Verifier) checkBody(ctx context.Context, t *trial, d Decision) Decision {
	if !t.read {
		var ok bool
		if d, ok = v.receive(ctx, t, v.policy.MaxBodySize, BodyTooLarge); !ok {
			return d
		}
		if !hashes(t.c.bodyHash, t.body) {
			return t.c.deny(BadBodyHash)
		}
		return v.decide(ctx, t)
	}
	if !hashes(t.c.bodyHash, t.body) {
		return t.c.deny(BadBodyHash)
	}
	return d
}

// prepare does what needs no lookup: it verifies a bearer token, reads a form that holds the credential, and
// asks the rules that need no facts, so that a stale or misshapen request costs no query.
func (v *Verifier) prepare(ctx context.Context, t *trial) Reason {
	p, c := &v.policy, &t.c
	if c.Protocol == OAuth2 {
		var reason Reason
		if c.Token, reason = v.tokens.Verify(c.Bearer); reason != OK {
			return reason
		}
	}
	if c.form == formHoldsOAuth {
		reason := t.receive(BodyLimit{Size: min(maxUnprovenForm, p.MaxFormSize)}, FormTooLarge)
		if reason == OK {
			reason = t.readForm(ctx, p)
		}
		if reason != OK {
			return reason
		}
		t.h.now = v.now()
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

// lookup asks the store for the facts. A consumer key or token of another shape than every key has is in no table:
// it costs no query.
func (v *Verifier) lookup(ctx context.Context, t *trial) (err error) {
	c := &t.c
	t.f = Facts{}
	if c.Protocol == OAuth1 {
		if !isKey(c.oauth[fieldConsumerKey]) {
			return nil
		}
		if token := c.oauth[fieldToken]; !isKey(token) && !v.policy.reader().missing(token) {
			c.strangeToken = true
			return nil
		}
	}
	t.f, err = v.store.Lookup(ctx, t.key(&v.policy))
	return err
}

func (t *trial) key(p *Policy) Key {
	key := t.c.key(p)
	key.Client = t.r.ClientIP
	return key
}

// known reports whether the store knows consumer and token, and that they belong together.
func (t *trial) known() bool {
	consumer, acceptance := t.f.Consumer, t.f.Acceptance
	return consumer != nil && acceptance != nil && acceptance.ConsumerID == consumer.ID
}

// maxBodyTime is how long a body may take before the facts are looked up again.
const maxBodyTime = time.Second

// receive reads the body of a client that the store knows. If that took long, the facts are looked up again,
// because a decision rests on facts that are as new as the cache's. When ok is false the decision is final.
func (v *Verifier) receive(ctx context.Context, t *trial, size int64, tooLarge Reason) (d Decision, ok bool) {
	start := v.now()
	limit := BodyLimit{Size: size, Known: true, UserID: t.f.Acceptance.UserID}
	reason := t.receive(limit, tooLarge)
	if reason == OK && t.c.form == formSigned {
		reason = t.readForm(ctx, &v.policy)
	}
	if reason != OK {
		return t.c.refuse(reason), false
	}
	if v.now().Sub(start) > maxBodyTime {
		if err := v.lookup(ctx, t); err != nil {
			return t.c.failed(ctx, StoreUnavailable, err), false
		}
	}
	return Decision{}, true
}

// receive reads the body, if there is one.
func (t *trial) receive(limit BodyLimit, tooLarge Reason) Reason {
	t.read = true
	if t.r.Body == nil {
		return OK
	}
	var err error
	t.body, err = t.r.Body(limit)
	t.copies = share{budget: bodies, owner: owner{limit.UserID, limit.Known}}
	switch {
	case err == nil:
		return OK
	case errors.Is(err, ErrBodyTooLarge):
		return tooLarge
	case errors.Is(err, ErrBodyTimeout):
		return BodyTimeout
	case errors.Is(err, ErrBodyAborted):
		return ClientClosedRequest
	case errors.Is(err, ErrBodiesBusy):
		return BodiesBusy
	}
	return MalformedForm
}

// largeForms bounds the forms over largeForm bytes whose parameters are held at one time: they may take three times
// as much as the form. A form waits only for others that have arrived.
var largeForms = make(chan struct{}, 4)

const largeForm = 64 << 10

// readForm takes the body into the claim.
func (t *trial) readForm(ctx context.Context, p *Policy) Reason {
	if len(t.body) > largeForm {
		select {
		case largeForms <- struct{}{}:
			t.parsing = true
		case <-ctx.Done():
			return ClientClosedRequest
		}
	}
	form := unsafe.String(unsafe.SliceData(t.body), len(t.body)) //nolint:gosec // nobody changes a body that was read
	if t.copies.budget != nil {
		t.copies.charge(formCost(form))
	}
	return p.reader().readForm(&t.c, form)
}

// formCost is what the parameters of a form take besides the form, in bytes.
func formCost(form string) (bytes int64) {
	for piece := range strings.SplitSeq(form, "&") {
		bytes += int64(unsafe.Sizeof(param{}))
		name, value, _ := strings.Cut(piece, "=")
		for _, text := range [...]string{name, value} {
			if length, same := recodedLength(text, true); !same {
				bytes += int64(length)
			}
		}
	}
	return bytes
}

// decide reads the clock and asks the rules. Before a refusal that rests on facts, a store that keeps answers is
// asked for newer ones, because what was granted a moment ago should count as soon as what was withdrawn.
func (v *Verifier) decide(ctx context.Context, t *trial) Decision {
	d := v.decideOnce(ctx, t)
	if d.Verdict != Deny || !t.h.onFacts {
		return d
	}
	store, ok := v.store.(Refresher)
	if !ok || t.f == (Facts{}) {
		return d
	}
	facts, newer, err := store.Refresh(ctx, t.key(&v.policy), t.f)
	if err != nil || !newer {
		return d // facts that cannot be had newer are what other requests pass on
	}
	t.f = facts
	return v.decideOnce(ctx, t)
}

func (v *Verifier) decideOnce(ctx context.Context, t *trial) Decision {
	if app := t.f.Consumer; t.c.Protocol == OAuth1 && app != nil && app.RSAKey != nil && t.c.oauth[fieldSignatureMethod] == rsaSHA1 {
		if reason := checks.enter(ctx, app.Key); reason != OK {
			return t.c.refuse(reason)
		}
		defer checks.leave(app.Key)
	}
	t.h = hearing{p: &v.policy, c: &t.c, f: &t.f, now: v.now()}
	return t.h.decide()
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
		return c.failed(ctx, NoncesUnavailable, err)
	case !fresh:
		return c.deny(NonceUsed)
	}
	return d
}

// refuse is deny for the reasons that prepare and the reading of a body have. A network that failed is not the app's
// fault, so its key is not told; and no room for a body is no refusal of the credential.
func (c *Claim) refuse(reason Reason) Decision {
	d := c.deny(reason)
	switch reason {
	case ClientClosedRequest, BodyTimeout:
		d.Consumer = ""
	case BodiesBusy:
		d.Verdict = Unavailable
	case TokenNotYetValid:
		d.Early = c.early
	}
	return d
}

// failed is the decision when a store or the memory of nonces could not find out; often because the client has left.
func (c *Claim) failed(ctx context.Context, reason Reason, err error) Decision {
	if errors.Is(ctx.Err(), context.Canceled) {
		return c.refuse(ClientClosedRequest)
	}
	d := c.decision(Unavailable, reason)
	d.Err = err
	return d
}
