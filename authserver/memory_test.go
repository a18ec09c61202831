package authserver

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// memoryScene is a memory with a clock that stands still.
type memoryScene struct {
	*Memory
	clock time.Time
}

func newMemoryScene() *memoryScene {
	s := &memoryScene{clock: time.Unix(1_800_000_000, 0)}
	s.Memory = NewMemory(1<<20, func() time.Time { return s.clock })
	return s
}

func (s *memoryScene) create(t testing.TB, key, app string, owner uint64) error {
	t.Helper()
	return s.Create(t.Context(), RequestToken{
		Key: key, ConsumerKey: app, OwnerID: owner, Callback: outOfBand, Expires: s.clock.Add(10 * time.Minute),
	})
}

func wantError(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error %v, want %v", got, want)
	}
}

func TestMemoryLife(t *testing.T) {
	s, ctx := newMemoryScene(), t.Context()
	if err := s.create(t, "k", "app", 1); err != nil {
		t.Fatal(err)
	}
	_, err := s.Exchange(ctx, "k", "v")
	wantError(t, err, ErrNotApproved)
	wantError(t, s.Claim(ctx, "k", 7), nil)
	wantError(t, s.Claim(ctx, "k", 8), ErrAlreadyApproved)
	wantError(t, s.Approve(ctx, "k", RequestApproval{UserID: 8}), ErrAlreadyApproved)
	s.Release(ctx, "k", 7)
	wantError(t, s.Claim(ctx, "k", 8), nil)
	// A life of ten minutes begins anew with the approval.
	s.clock = s.clock.Add(20 * time.Second)
	wantError(t, s.Approve(ctx, "k", RequestApproval{UserID: 8, Verifier: "v", AccessToken: "a", Expires: s.clock.Add(10 * time.Minute)}), nil)
	wantError(t, s.Claim(ctx, "k", 7), ErrAlreadyApproved)
	s.clock = s.clock.Add(10*time.Minute - time.Second)
	_, err = s.Exchange(ctx, "k", "x")
	wantError(t, err, ErrWrongVerifier)
	a, err := s.Exchange(ctx, "k", "v")
	if err != nil || a.AccessToken != "a" || a.UserID != 8 {
		t.Errorf("%+v, %v", a, err)
	}
	_, err = s.Exchange(ctx, "k", "v")
	wantError(t, err, ErrRequestTokenUsed)
	s.clock = s.clock.Add(time.Second)
	_, err = s.RequestToken(ctx, "k")
	wantError(t, err, ErrNoRequestToken)
	if used, _ := s.Bytes(); used != 0 || len(s.tokens) != 0 || len(s.holders) != 0 {
		t.Errorf("%d bytes, %d tokens, %d holders are left", used, len(s.tokens), len(s.holders))
	}
}

func TestTenWrongVerifiers(t *testing.T) {
	s, ctx := newMemoryScene(), t.Context()
	wantError(t, s.create(t, "k", "app", 1), nil)
	wantError(t, s.Claim(ctx, "k", 7), nil)
	wantError(t, s.Approve(ctx, "k", RequestApproval{UserID: 7, Verifier: "v", Expires: s.clock.Add(time.Minute)}), nil)
	for range maxWrongVerifiers {
		_, err := s.Exchange(ctx, "k", "x")
		wantError(t, err, ErrWrongVerifier)
	}
	_, err := s.Exchange(ctx, "k", "v")
	wantError(t, err, ErrRequestTokenUsed)
}

func TestOneExchangeOfMany(t *testing.T) {
	s, ctx := newMemoryScene(), t.Context()
	wantError(t, s.create(t, "k", "app", 1), nil)
	wantError(t, s.Claim(ctx, "k", 7), nil)
	wantError(t, s.Approve(ctx, "k", RequestApproval{UserID: 7, Verifier: "v", Expires: s.clock.Add(time.Minute)}), nil)
	var wg sync.WaitGroup
	good := make(chan bool, 100)
	for range 100 {
		wg.Go(func() {
			if _, err := s.Exchange(ctx, "k", "v"); err == nil {
				good <- true
			}
		})
	}
	wg.Wait()
	if len(good) != 1 {
		t.Errorf("%d exchanges succeeded", len(good))
	}
}

// One app, and all apps of one owner, hold an eighth; others go on.
func TestMemoryShares(t *testing.T) {
	for name, holder := range map[string]func(i int) (string, uint64){
		"one app":   func(int) (string, uint64) { return "app", 1 },
		"one owner": func(i int) (string, uint64) { return fmt.Sprint("app", i), 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newMemoryScene()
			full := false
			for i := range 1000 {
				app, owner := holder(i)
				if err := s.create(t, fmt.Sprint(i), app, owner); err != nil {
					wantError(t, err, ErrStateFull)
					full = true
					break
				}
			}
			if used, size := s.Bytes(); !full || used > size/8 {
				t.Errorf("full %t, %d of %d bytes", full, used, size)
			}
			wantError(t, s.create(t, "other", "other", 2), nil)
		})
	}
}

// Any number of greedy apps leaves room for apps that hold few.
func TestMemoryReserve(t *testing.T) {
	s := newMemoryScene()
	for i := range 20_000 {
		_ = s.create(t, fmt.Sprint(i), fmt.Sprint("greedy", i%12), uint64(100+i%12))
	}
	for i := range few {
		wantError(t, s.create(t, fmt.Sprint("new", i), "newcomer", 2), nil)
	}
}

// A client of an app fills the app's share. Clients from other networks still get
// request tokens of the app.
func TestMemoryLeavesRoomForClients(t *testing.T) {
	s := newMemoryScene()
	create := func(client string) error {
		return s.Create(t.Context(), RequestToken{
			Key: randomHex(16), ConsumerKey: "app", OwnerID: 1, Client: validator.Network(netip.MustParseAddr(client)), Expires: s.clock.Add(time.Minute),
		})
	}
	var err error
	for i := 0; i < 20_000 && err == nil; i++ {
		err = create(fmt.Sprintf("2001:db8::%x", 1+i)) // of one network
	}
	wantError(t, err, ErrStateFull)
	for range 3 {
		wantError(t, create("192.0.2.1"), nil)
	}
	wantError(t, create("2001:db8::ffff"), ErrStateFull)
	for i := range 20_000 {
		_ = create(fmt.Sprintf("10.0.%d.%d", i/256%256, i%256))
	}
	if used, size := s.Bytes(); used > size/8 {
		t.Errorf("the app holds %d of %d bytes", used, size)
	}
	s.clock = s.clock.Add(time.Hour)
	if used, _ := s.Bytes(); used != 0 || len(s.holders) != 0 {
		t.Errorf("%d bytes and %d holders are left", used, len(s.holders))
	}
}
