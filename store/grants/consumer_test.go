package grants_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// checkConsumer reads apps by key and by id, and holds that
// what verification reads of them is the same.
func checkConsumer(t *testing.T, s *scene) {
	reader := s.Store(t)
	for _, app := range []wikidb.Consumer{s.app1, s.app2} {
		for what, find := range map[string]func() (*authserver.Consumer, error){
			"by key": func() (*authserver.Consumer, error) { return s.Consumer(t.Context(), app.Key) },
			"by id":  func() (*authserver.Consumer, error) { return s.ConsumerByID(t.Context(), app.ID) },
		} {
			got, err := find()
			if err != nil || got == nil {
				t.Fatalf("%s: %+v, %v", what, got, err)
			}
			facts, err := reader.Lookup(t.Context(), validator.Key{Protocol: validator.OAuth1, Consumer: app.Key})
			if err != nil || !reflect.DeepEqual(*facts.Consumer, got.Consumer) {
				t.Errorf("%s: issuing reads %+v\nverification %+v, %v", what, got.Consumer, facts.Consumer, err)
			}
			want := authserver.Consumer{
				Consumer: got.Consumer, CallbackURL: "https://app.example/callback", AppVersion: "1.0",
				Grants: authserver.Grants("basic", "editpage"), Confidential: true,
			}
			if app.Version == 2 {
				want.GrantTypes = []string{"authorization_code", "refresh_token", "client_credentials"}
			}
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("%s\n got %+v\nwant %+v", what, *got, want)
			}
		}
	}
}

// TestConsumerColumns reads each column that issuing needs besides.
func TestConsumerColumns(t *testing.T) {
	each(t, func(t *testing.T, s *scene) {
		for set, check := range map[string]func(c *authserver.Consumer) bool{
			"oarc_callback_url = 'https://a.example/?x'":                   func(c *authserver.Consumer) bool { return c.CallbackURL == "https://a.example/?x" },
			"oarc_callback_is_prefix = '1'":                                func(c *authserver.Consumer) bool { return c.CallbackIsPrefix },
			"oarc_callback_is_prefix = '0'":                                func(c *authserver.Consumer) bool { return !c.CallbackIsPrefix },
			"oarc_callback_is_prefix = ''":                                 func(c *authserver.Consumer) bool { return !c.CallbackIsPrefix },
			"oarc_callback_is_prefix = NULL":                               func(c *authserver.Consumer) bool { return !c.CallbackIsPrefix },
			"oarc_description = 'Écrit <b>'":                               func(c *authserver.Consumer) bool { return c.Description == "Écrit <b>" },
			"oarc_version = '2.1'":                                         func(c *authserver.Consumer) bool { return c.AppVersion == "2.1" },
			"oarc_deleted = 1":                                             func(c *authserver.Consumer) bool { return c.Deleted },
			"oarc_rsa_key = 'x'":                                           func(c *authserver.Consumer) bool { return c.HasRSAKey && c.RSAKey == nil },
			"oarc_rsa_key = NULL":                                          func(c *authserver.Consumer) bool { return !c.HasRSAKey },
			"oarc_oauth2_is_confidential = 0":                              func(c *authserver.Consumer) bool { return !c.Confidential },
			"oarc_oauth2_allowed_grants = NULL":                            func(c *authserver.Consumer) bool { return c.GrantTypes == nil },
			"oarc_oauth2_allowed_grants = 'null'":                          func(c *authserver.Consumer) bool { return c.GrantTypes == nil },
			"oarc_oauth2_allowed_grants = '[\"refresh_token\"]'":           func(c *authserver.Consumer) bool { return reflect.DeepEqual(c.GrantTypes, []string{"refresh_token"}) },
			"oarc_oauth2_allowed_grants = '{\"1\":\"refresh_token\"}'":     func(c *authserver.Consumer) bool { return reflect.DeepEqual(c.GrantTypes, []string{"refresh_token"}) },
			"oarc_grants = '{\"0\":\"useoauth\",\"2\":\"editprotected\"}'": func(c *authserver.Consumer) bool { return c.Grants.Stored() == `{"0":"useoauth","2":"editprotected"}` },
			"oarc_grants = 'null'":                                         func(c *authserver.Consumer) bool { return c.Broken && c.Grants.Names == nil },
			"oarc_secret_key = NULL":                                       func(c *authserver.Consumer) bool { return c.Secret == "" },
		} {
			s.Exec(t, "UPDATE "+s.Table("oauth_registered_consumer")+" SET "+set+" WHERE oarc_id = 2")
			c, err := s.ConsumerByID(t.Context(), 2)
			if err != nil || c == nil || !check(c) {
				t.Errorf("%s: %+v, %v", set, c, err)
			}
		}
	})
}

// TestConsumerKeys finds no app by a key that is not its own, byte for byte.
func TestConsumerKeys(t *testing.T) {
	s := only(t)
	s.Exec(t, "ALTER TABLE "+s.Table("oauth_registered_consumer")+" MODIFY oarc_consumer_key VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL")
	key := "ABCDEFABCDEFABCDEFABCDEFABCDEFAB"
	s.Exec(t, "UPDATE "+s.Table("oauth_registered_consumer")+" SET oarc_consumer_key = '"+key+"' WHERE oarc_id = 2")
	if c, err := s.Consumer(t.Context(), key); c == nil || err != nil {
		t.Fatalf("%+v, %v", c, err)
	}
	for _, other := range []string{"", strings.ToLower(key), key + " ", key[1:], key + "x", "' OR '1'='1", "$1", "{oauth_registered_consumer}", strings.Repeat("k", 1<<16), "\xff\x00"} {
		if c, err := s.Consumer(t.Context(), other); c != nil || err != nil {
			t.Errorf("key %.40q: %+v, %v", other, c, err)
		}
	}
	for _, id := range []uint64{0, 3, 1<<64 - 1} {
		if c, err := s.ConsumerByID(t.Context(), id); c != nil || err != nil {
			t.Errorf("id %d: %+v, %v", id, c, err)
		}
	}
}

// TestConfigured has an app in the configuration before the tables.
func TestConfigured(t *testing.T) {
	each(t, func(t *testing.T, s *scene) {
		app := authserver.Consumer{Consumer: validator.Consumer{ID: 2, Key: "configured", Stage: validator.Disabled}, Description: "of the configuration"}
		tables := authserver.Configured(s.Tables, []authserver.Consumer{app})
		app.Stage = validator.Approved
		for what, find := range map[string]func() (*authserver.Consumer, error){
			"by key": func() (*authserver.Consumer, error) { return tables.Consumer(t.Context(), "configured") },
			"by id":  func() (*authserver.Consumer, error) { return tables.ConsumerByID(t.Context(), 2) },
		} {
			got, err := find()
			if err != nil || got == nil || !reflect.DeepEqual(*got, app) {
				t.Errorf("%s: %+v, %v", what, got, err)
				continue
			}
			got.Description = "changed by the caller"
		}
		if got, err := tables.Consumer(t.Context(), s.app1.Key); err != nil || got == nil || got.ID != 1 {
			t.Errorf("of the tables: %+v, %v", got, err)
		}
		if got, err := tables.ConsumerByID(t.Context(), 1); err != nil || got == nil || got.Key != s.app1.Key {
			t.Errorf("of the tables: %+v, %v", got, err)
		}
		s.accept(t, s.approval(s.alice, s.app2))
		list, err := tables.AcceptancesOf(t.Context(), s.alice, 9)
		if err != nil || len(list) != 1 || list[0].Consumer.Key != "configured" {
			t.Errorf("%+v, %v", list, err)
		}
		if authserver.Configured(s.Tables, nil) != authserver.Tables(s.Tables) {
			t.Error("without apps there is nothing to put in front")
		}
	})
}

// checkUsers reads users with their profiles. Package store tests more of them.
func checkUsers(t *testing.T, s *scene) {
	for what, find := range map[string]func() (*authserver.User, error){
		"by id":   func() (*authserver.User, error) { return s.UserByID(t.Context(), s.alice) },
		"by name": func() (*authserver.User, error) { return s.UserByName(t.Context(), "Alice") },
	} {
		u, err := find()
		if err != nil || u == nil || u.CentralID != s.alice || u.Name != "Alice" || !u.Local || !u.Attached || !u.Profile.HasPrivate {
			t.Errorf("%s: %+v, %v", what, u, err)
		}
	}
	if u, err := s.UserByName(t.Context(), "Nobody"); u != nil || err != nil {
		t.Errorf("%+v, %v", u, err)
	}
}
