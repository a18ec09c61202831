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

// New returns a Verifier. In the policy, a TimestampWindow, MaxFormSize or
// MaxBodySize of zero means its default.
func New(p Policy, s Store, n Nonces, t Tokens) *Verifier {
	p.TimestampWindow = cmp.Or(p.TimestampWindow, DefaultTimestampWindow)
	p.MaxFormSize = cmp.Or(p.MaxFormSize, DefaultMaxFormSize)
	p.MaxBodySize = cmp.Or(p.MaxBodySize, DefaultMaxBodySize)
	p.siteMACs = newMACs(p.SiteKey)
	return &Verifier{policy: p, store: s, nonces: n, tokens: t, now: time.Now}
}

// maxUnprovenForm bounds a form that holds the credential, in bytes. It is read
// before the store is asked, so its client is not known yet.
const maxUnprovenForm = 64 << 10

// Verify decides about one request. It asks the store for facts. It asks once
// more after a body that arrived slowly, and before a refusal that newer facts
// could change. It reads the body only if the signature covers it. Whether an
// Anonymous verdict may pass is the caller's decision.
func (v *Verifier) Verify(ctx context.Context, r Request) Decision {
	e := evaluations.Get().(*evaluation)
	defer e.end()
	e.request = r
	e.input = ruleInput{policy: &v.policy, claim: &e.claim, facts: &e.facts}
	return v.verify(ctx, e)
}

// evaluation holds the state of one verification. Evaluations are pooled; end
// clears every field, so that nothing of one request reaches the next.
type evaluation struct {
	request Request
	claim   Claim
	facts   Facts
	input   ruleInput
	// body is what was read of the request, if read is true.
	body []byte
	read bool
	// copies counts the memory that the parameters of a form take in addition
	// to the form. parsing reports whether a place in largeForms is taken.
	copies  share
	parsing bool
}

var evaluations = sync.Pool{New: func() any { return new(evaluation) }}

// end puts the evaluation back into the pool. No part of a credential stays in
// it, and no memory of a large form.
func (e *evaluation) end() {
	params := e.claim.params[:cap(e.claim.params)]
	clear(params)
	if e.copies.budget != nil {
		e.copies.end()
	}
	if e.parsing {
		<-largeForms
	}
	*e = evaluation{}
	if len(params) <= 64 {
		e.claim.params = params[:0]
	}
	evaluations.Put(e)
}

// verify decides. Everything that takes the client's time comes before the
// clock is read, the rules are checked and the nonce is used up. Otherwise a
// client could choose when its timestamp is compared and when its nonce counts.
func (v *Verifier) verify(ctx context.Context, e *evaluation) Decision {
	p, c := &v.policy, &e.claim
	if reason := c.parse(p, &e.request); reason != OK {
		return c.deny(reason)
	}
	if c.Protocol == NoProtocol {
		return Decision{Verdict: Anonymous, Reason: NoCredentials}
	}
	e.input.now = v.now()
	if reason := v.prepare(ctx, e); reason != OK {
		return c.refuse(reason)
	}
	if err := v.lookup(ctx, e); err != nil {
		return c.failed(ctx, StoreUnavailable, err)
	}
	if c.form == formSigned && e.known() {
		if d, ok := v.receive(ctx, e, p.MaxFormSize, FormTooLarge); !ok {
			return d
		}
	}
	d := v.decide(ctx, e)
	if d.Verdict != Allow || c.Protocol != OAuth1 {
		return d
	}
	if c.bodyHash != "" {
		if d = v.checkBody(ctx, e, d); d.Verdict != Allow {
			return d
		}
	}
	return v.useNonce(ctx, c, d)
}

// checkBody compares the body with the hash that the signature covers. A body
// that is not a form is read only now, because the client has proven its
// credential. The decision is then made anew, because time has passed.
func (v *Verifier) checkBody(ctx context.Context, e *evaluation, d Decision) Decision {
	if !e.read {
		var ok bool
		if d, ok = v.receive(ctx, e, v.policy.MaxBodySize, BodyTooLarge); !ok {
			return d
		}
		if !hashes(e.claim.bodyHash, e.body) {
			return e.claim.deny(BadBodyHash)
		}
		return v.decide(ctx, e)
	}
	if !hashes(e.claim.bodyHash, e.body) {
		return e.claim.deny(BadBodyHash)
	}
	return d
}

// prepare does what needs no lookup: it verifies a bearer token, reads a form
// that holds the credential, and checks the rules that need no facts. A stale
// or malformed request therefore costs no query.
func (v *Verifier) prepare(ctx context.Context, e *evaluation) Reason {
	p, c := &v.policy, &e.claim
	if c.Protocol == OAuth2 {
		var reason Reason
		if c.Token, reason = v.tokens.Verify(c.Bearer); reason != OK {
			return reason
		}
	}
	if c.form == formHoldsOAuth {
		reason := e.receive(BodyLimit{Size: min(maxUnprovenForm, p.MaxFormSize)}, FormTooLarge)
		if reason == OK {
			reason = e.readForm(ctx, p)
		}
		if reason != OK {
			return reason
		}
		e.input.now = v.now()
	}
	for _, rule := range proofRules[c.Protocol] {
		switch {
		case p.Rules == MediaWiki && (!rule.beforeLookup || c.form == formSigned):
			// Under MediaWiki's rules the first failing check decides the
			// reason. Checks that depend on the form must wait until the form
			// is read.
			return OK
		case !rule.beforeLookup:
			continue
		}
		if reason := rule.check(&e.input); reason != OK {
			return reason
		}
	}
	return OK
}

// lookup asks the store for the facts. Every consumer key and token has one
// shape. A text of another shape is in no table, so it costs no query.
func (v *Verifier) lookup(ctx context.Context, e *evaluation) (err error) {
	c := &e.claim
	e.facts = Facts{}
	if c.Protocol == OAuth1 {
		if !isKey(c.oauth[fieldConsumerKey]) {
			return nil
		}
		if token := c.oauth[fieldToken]; !isKey(token) && !v.policy.reader().missing(token) {
			c.strangeToken = true
			return nil
		}
	}
	e.facts, err = v.store.Lookup(ctx, e.key(&v.policy))
	return err
}

func (e *evaluation) key(p *Policy) Key {
	key := e.claim.key(p)
	key.Client = e.request.ClientIP
	return key
}

// known reports whether the store knows the consumer and the token, and whether
// they belong together.
func (e *evaluation) known() bool {
	consumer, acceptance := e.facts.Consumer, e.facts.Acceptance
	return consumer != nil && acceptance != nil && acceptance.ConsumerID == consumer.ID
}

// maxBodyTime is how long a body may take before the facts are looked up again.
const maxBodyTime = time.Second

// receive reads the body of a client that the store knows. If that took long,
// the facts are looked up again, because a decision must rest on facts as new
// as those of the cache. If ok is false the decision is final.
func (v *Verifier) receive(ctx context.Context, e *evaluation, size int64, tooLarge Reason) (d Decision, ok bool) {
	start := v.now()
	limit := BodyLimit{Size: size, Known: true, UserID: e.facts.Acceptance.UserID}
	reason := e.receive(limit, tooLarge)
	if reason == OK && e.claim.form == formSigned {
		reason = e.readForm(ctx, &v.policy)
	}
	if reason != OK {
		return e.claim.refuse(reason), false
	}
	if v.now().Sub(start) > maxBodyTime {
		if err := v.lookup(ctx, e); err != nil {
			return e.claim.failed(ctx, StoreUnavailable, err), false
		}
	}
	return Decision{}, true
}

// receive reads the body, if there is one.
func (e *evaluation) receive(limit BodyLimit, tooLarge Reason) Reason {
	e.read = true
	if e.request.Body == nil {
		return OK
	}
	var err error
	if !limit.Known {
		limit.Client = e.request.ClientIP
	}
	e.body, err = e.request.Body(limit)
	e.copies = share{budget: bodies, owner: limit.owner()}
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

// largeForms bounds how many forms over largeForm bytes are parsed at one time,
// because their parameters may take three times the memory of the form. A form
// waits only for others that have arrived completely.
var largeForms = make(chan struct{}, 4)

const largeForm = 64 << 10

// readForm adds the parameters of the form to the claim.
func (e *evaluation) readForm(ctx context.Context, p *Policy) Reason {
	if len(e.body) > largeForm {
		select {
		case largeForms <- struct{}{}:
			e.parsing = true
		case <-ctx.Done():
			return ClientClosedRequest
		}
	}
	form := unsafe.String(unsafe.SliceData(e.body), len(e.body)) //nolint:gosec // a body that was read does not change
	if e.copies.budget != nil {
		e.copies.charge(formCost(form))
	}
	return p.reader().readForm(&e.claim, form)
}

// formCost returns the memory that the parameters of a form take in addition to
// the form, in bytes.
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

// decide reads the clock and checks the rules. Before a refusal that rests on
// facts, a store that keeps answers is asked for newer ones, because a grant
// should count as quickly as its withdrawal.
func (v *Verifier) decide(ctx context.Context, e *evaluation) Decision {
	d := v.decideOnce(ctx, e)
	if d.Verdict != Deny || !e.input.refusedByFacts {
		return d
	}
	store, ok := v.store.(Refresher)
	if !ok || e.facts == (Facts{}) {
		return d
	}
	facts, newer, err := store.Refresh(ctx, e.key(&v.policy), e.facts)
	if err != nil || !newer {
		return d // facts that cannot be had newer are what other requests pass on
	}
	e.facts = facts
	return v.decideOnce(ctx, e)
}

func (v *Verifier) decideOnce(ctx context.Context, e *evaluation) Decision {
	if app := e.facts.Consumer; e.claim.Protocol == OAuth1 && app != nil && app.RSAKey != nil && e.claim.oauth[fieldSignatureMethod] == rsaSHA1 {
		if reason := checks.enter(ctx, app.Key); reason != OK {
			return e.claim.refuse(reason)
		}
		defer checks.leave(app.Key)
	}
	e.input = ruleInput{policy: &v.policy, claim: &e.claim, facts: &e.facts, now: v.now()}
	return e.input.decide()
}

// useNonce uses up the nonce of a request that would pass. It comes last: a
// stranger cannot sign, so a stranger can neither fill the memory nor use up
// the nonce of another request. The nonce is kept for as long as the timestamp
// is in the window, including the whole of its last second.
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

// refuse returns a denial with what its reason needs. If the network failed,
// the app is not named, because that is not the fault of the app. A lack of
// memory for bodies does not refuse the credential.
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

// failed returns the decision for an error of the store or of the nonce memory.
// Often the cause is a client that has left.
func (c *Claim) failed(ctx context.Context, reason Reason, err error) Decision {
	if errors.Is(ctx.Err(), context.Canceled) {
		return c.refuse(ClientClosedRequest)
	}
	d := c.decision(Unavailable, reason)
	d.Err = err
	return d
}
