package validator_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Keys and tokens are 32 lower-case hexadecimal digits.
const (
	appKey = "0123456789abcdef0123456789abcdef"
	token  = "fedcba9876543210fedcba9876543210"
)

// tables is a store that knows one app and one user's acceptance of it.
type tables struct{}

func (tables) Lookup(_ context.Context, key validator.Key) (validator.Facts, error) {
	if key.Consumer != appKey || key.Token != token {
		return validator.Facts{}, nil // a missing row is a fact, not an error
	}
	app := &validator.Consumer{
		ID: 1, Key: appKey, Name: "My app", Wiki: "*", Version: 1, Stage: validator.Approved, Secret: "stored-app-secret",
		Restrictions: validator.ParseRestrictions([]byte(`{"IPAddresses":["0.0.0.0/0","::/0"]}`), validator.Release139),
	}
	return validator.Facts{
		Consumer: app, Accepted: app,
		Acceptance: &validator.Acceptance{ID: 1, ConsumerID: 1, UserID: 7, Wiki: "*", Secret: "stored-token-secret", Grants: []string{"basic", "editpage"}},
		User:       &validator.User{CentralID: 7, Name: "Alice", Local: true, Attached: true},
	}, nil
}

// memory keeps nonces for as long as the program runs: package cache has one
// that forgets in time.
type memory struct{ seen sync.Map }

func (m *memory) Use(_ context.Context, use validator.NonceUse) (bool, error) {
	_, used := m.seen.LoadOrStore([3]string{use.Key.Consumer, use.Key.Token, use.Nonce}, true)
	return !used, nil
}

// A net/http server that lets only proven requests through.
func Example() {
	policy := validator.Policy{
		Wiki:    "enwiki",
		Release: validator.Release139,
		// No SiteKey: clients of this wiki sign with the secrets as they are
		// stored.
	}
	// No keys: all bearer tokens are refused.
	verifier := validator.New(policy, tables{}, &memory{}, validator.NewJWT(nil, policy))

	server := httptest.NewServer(verifier.Middleware("my wiki", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := validator.IdentityFrom(r.Context())
		fmt.Fprintf(w, "hello %s, by %s, with %v", id.UserName, id.ConsumerName, id.Grants)
	})))
	defer server.Close()

	header, _ := sign.Header(sign.Credentials{
		ConsumerKey: appKey, ConsumerSecret: "stored-app-secret", Token: token, TokenSecret: "stored-token-secret",
	}, "GET", server.URL+"/page?id=1", nil, sign.Options{})
	for range 2 {
		r, _ := http.NewRequest(http.MethodGet, server.URL+"/page?id=1", nil)
		r.Header.Set("Authorization", header)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		fmt.Println(response.StatusCode, string(body))
	}
	// Output:
	// 200 hello Alice, by My app, with [basic editpage]
	// 401 {"type":"about:blank","title":"Unauthorized","status":401,"detail":"Nonce already used.","reason":"nonce_used"}
}

// Without a server: the core decides about a description of a request.
func ExampleVerifier_Verify() {
	policy := validator.Policy{Wiki: "enwiki", Release: validator.Release139}
	verifier := validator.New(policy, tables{}, &memory{}, validator.NewJWT(nil, policy))
	decision := verifier.Verify(context.Background(), validator.Request{
		Method: "GET", Scheme: "https", Host: "wiki.example.org", Target: "/w/api.php",
		Authorization: []string{`OAuth oauth_consumer_key="` + appKey + `", oauth_token="` + token + `"`},
	})
	fmt.Println(decision.Verdict, decision.Reason, decision.Reason.Status())
	// Output: deny missing_timestamp 400
}
