package store_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/store/storetest"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestUsers finds the users of the conformance suite by id and by name, with the
// account that writes, as a lookup finds them.
func TestUsers(t *testing.T) {
	for _, b := range storetest.Backends {
		if !b.CanWrite() {
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			w := b.Open(t)
			users := w.Users(t)
			s := open(t, w.Writer(t)).Wiki(w.View())
			for _, want := range users {
				byID, _, err := s.User(t.Context(), want.CentralID)
				if err != nil || !reflect.DeepEqual(byID, want) {
					t.Fatalf("user %d:\n got %+v, %v\nwant %+v", want.CentralID, byID, err, want)
				}
				byName, _, err := s.UserByName(t.Context(), want.Name)
				if err != nil || !reflect.DeepEqual(byName, want) {
					t.Fatalf("user %q:\n got %+v, %v\nwant %+v", want.Name, byName, err, want)
				}
			}
			for _, name := range []string{"", "alice", "Alice ", "Nobody", strings.Repeat("a", 1<<16), "a\x00'\"\\\xff"} {
				if u, _, err := s.UserByName(t.Context(), name); u != nil || err != nil {
					t.Errorf("user %.20q: %+v, %v", name, u, err)
				}
			}
			for _, id := range []uint64{0, 9999, 1<<64 - 1} {
				if u, _, err := s.User(t.Context(), id); u != nil || err != nil {
					t.Errorf("user %d: %+v, %v", id, u, err)
				}
			}
		})
	}
}

// TestProfiles reads profiles with and without the right to what is private.
func TestProfiles(t *testing.T) {
	for _, name := range []string{
		"MariaDB 1.39", "MariaDB 1.47 CentralAuth prefixed, OAuth apart", "PostgreSQL 1.39", "PostgreSQL 1.42", "PostgreSQL 1.39 CentralAuth",
	} {
		t.Run(name, func(t *testing.T) {
			w := storetest.Named(t, name).Open(t)
			rows := []wikidb.Row{
				wikidb.User{
					ID: 1, Name: "Alice", RealName: "Alice Example", Email: "alice@example.org", Confirmed: past,
					Registered: past, EditCount: 7,
				},
				wikidb.User{ID: 2, Name: "Bob", Confirmed: past},
				wikidb.User{ID: 3, Name: "Carol", Email: "carol@example.org", Registered: strings.Repeat("\x00", 14)},
			}
			if !w.Holds(storetest.WordAsTime) {
				rows = append(rows[:2], wikidb.User{ID: 3, Name: "Carol", Email: "carol@example.org"})
			}
			if w.CentralAuth {
				for i, name := range []string{"Alice", "Bob", "Carol"} {
					id := uint64(i + 1)
					rows = append(rows, wikidb.GlobalUser{ID: 10 + id, Name: name},
						wikidb.Attachment{Wiki: "enwiki", Name: name, LocalID: id, GlobalID: 10 + id})
				}
				rows = append(rows, wikidb.GlobalUser{ID: 20, Name: "Elsewhere"})
			}
			w.Insert(t, rows...)
			cfg := w.Writer(t)
			var events []store.Event
			cfg.Notify = func(e store.Event) {
				if !w.OldUserTable || !strings.Contains(e.Text, "mwuser") { // which is told once too
					events = append(events, e)
				}
			}
			pool := open(t, cfg)
			check := func(private bool) {
				t.Helper()
				s := pool.Wiki(w.View())
				for name, want := range map[string]store.Profile{
					"Alice": {EditCount: 7, Registered: past, EmailConfirmed: true, Email: "alice@example.org", RealName: "Alice Example", HasPrivate: true},
					"Bob":   {HasPrivate: true},
					"Carol": {Email: "carol@example.org", HasPrivate: true},
				} {
					if !private {
						want.Email, want.RealName, want.HasPrivate = "", "", false
						want.EmailConfirmed = name != "Carol"
					}
					for range 2 {
						u, got, err := s.UserByName(t.Context(), name)
						if err != nil || u == nil || got != want {
							t.Errorf("%s: got %+v of %+v, %v, want %+v", name, got, u, err, want)
						}
					}
				}
			}
			check(true)
			if u, got, err := pool.Wiki(w.View()).UserByName(t.Context(), "Elsewhere"); w.CentralAuth && (err != nil || u == nil || u.Local || got != (store.Profile{})) {
				t.Errorf("a user without an account here: %+v, %+v, %v", u, got, err)
			}
			if len(events) > 0 {
				t.Errorf("events %+v", events)
			}
			w.Revoke(t, "user", "SELECT (user_real_name)")
			check(false)
			w.Revoke(t, "user", "SELECT (user_email)")
			check(false)
			if len(events) != 1 || events[0].Trouble || !strings.Contains(events[0].Text, "without them") {
				t.Errorf("events %+v, want one", events)
			}
			w.Revoke(t, "user", "SELECT (user_editcount)")
			_, _, err := pool.Wiki(w.View()).User(t.Context(), 1)
			if w.CentralAuth {
				_, _, err = pool.Wiki(w.View()).User(t.Context(), 11)
			}
			if validator.FailureOf(err) != validator.TableFailure || !strings.Contains(err.Error(), "GRANT SELECT (user_editcount, ") {
				t.Errorf("without user_editcount: %v", err)
			}
		})
	}
}

const past = "20010203040506"
