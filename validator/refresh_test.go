package validator

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
)

// freshStore has newer facts than it answers with.
type freshStore struct {
	fakeStore
	newer     *Facts
	err       error
	refreshed int
}

func (s *freshStore) Refresh(_ context.Context, _ Key, known Facts) (Facts, bool, error) {
	s.refreshed++
	if s.err != nil {
		return Facts{}, false, s.err
	}
	if s.newer == nil {
		return known, false, nil
	}
	return *s.newer, true, nil
}

// TestRefusalsRestOnFreshFacts has the store hold newer facts, in which what a
// request is refused for is mended. It passes then; and a refusal that rests on
// the request alone asks for nothing.
func TestRefusalsRestOnFreshFacts(t *testing.T) {
	turned := 0
	for _, table := range []struct {
		scene    func() *scene
		refusals []refusal
	}{{newScene, slices.Concat(oauth1Refusals, commonRefusals)}, {newBearerScene, slices.Concat(bearerRefusals, commonRefusals)}} {
		for _, tt := range table.refusals {
			s, good := table.scene(), table.scene()
			tt.change(s)
			mended := good.facts
			store := &freshStore{fakeStore: fakeStore{facts: s.facts, err: s.store.err}}
			v := s.verifier()
			v.store = store
			r := s.ready(t)
			if d := v.Verify(t.Context(), r); d.Reason != tt.want {
				t.Errorf("%s: %v, want %v", tt.name, d.Reason, tt.want)
			}
			onRequest := tt.want.Status() == 400 || slices.Contains([]Reason{TimestampExpired, TokenExpired, TokenNotYetValid, NoScopes, NonceUsed, StoreUnavailable}, tt.want)
			inFacts := !reflect.DeepEqual(s.facts, mended)
			if onRequest && store.refreshed > 0 || !onRequest && inFacts && s.facts != (Facts{}) && store.refreshed != 1 {
				t.Errorf("%s: newer facts are asked for %d times", tt.name, store.refreshed)
			}
			if store.refreshed == 0 {
				continue
			}
			store.err = errors.New("down")
			if d := v.Verify(t.Context(), r); d.Reason != tt.want {
				t.Errorf("%s, and there are no newer facts: %v, want %v", tt.name, d.Reason, tt.want)
			}
			store.err, store.newer, store.refreshed = nil, &mended, 0
			want := s.verifier()
			want.store = &fakeStore{facts: mended}
			if d := v.Verify(t.Context(), r); d.Reason != want.Verify(t.Context(), r).Reason && d.Verdict != Allow || store.refreshed != 1 {
				t.Errorf("%s, with newer facts: %v, asked %d times", tt.name, d.Reason, store.refreshed)
			} else if d.Verdict == Allow {
				turned++
			}
		}
	}
	if turned < 40 {
		t.Errorf("%d refusals are turned by newer facts", turned)
	}
}

// TestConfiguredAsksForNewerFacts puts the configured consumers into newer
// facts too.
func TestConfiguredAsksForNewerFacts(t *testing.T) {
	s := newScene()
	app := *s.facts.Consumer
	s.facts.Consumer, s.facts.Accepted = nil, nil
	stale, mended := s.facts, s.facts
	stale.Acceptance = &Acceptance{ID: 5, ConsumerID: 1, UserID: 9, Wiki: "*", Secret: "x"}
	next := &freshStore{fakeStore: fakeStore{facts: stale}}
	store := Configured(next, []Consumer{app})
	v := s.verifier()
	v.store = store
	r := s.ready(t)
	if d := v.Verify(t.Context(), r); d.Reason != BadSignature || next.refreshed != 1 {
		t.Errorf("%v, asked %d times", d.Reason, next.refreshed)
	}
	next.newer = &mended
	if d := v.Verify(t.Context(), r); d.Verdict != Allow || next.refreshed != 2 {
		t.Errorf("%v, asked %d times", d.Reason, next.refreshed)
	}
	// Facts that are the same are not newer, with a consumer that was put in by
	// hand or without.
	next.newer = &stale
	facts, err := store.Lookup(t.Context(), Key{Consumer: consumerKey})
	if err != nil {
		t.Fatal(err)
	}
	if _, newer, err := store.(Refresher).Refresh(t.Context(), Key{Consumer: consumerKey}, facts); newer || err != nil {
		t.Errorf("newer: %v, %v", newer, err)
	}
	// A store that keeps nothing is not asked.
	if _, newer, err := Configured(&fakeStore{}, []Consumer{app}).(Refresher).Refresh(t.Context(), Key{}, facts); newer || err != nil {
		t.Errorf("without a cache: %v, %v", newer, err)
	}
}
