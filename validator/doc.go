// Package validator decides about HTTP requests that carry a credential of
// MediaWiki's OAuth extension: an OAuth 1.0a signature or an OAuth 2 bearer
// token. It knows neither Caddy nor SQL. A [Store] tells it what the tables
// hold, and a [Nonces] whether a nonce is fresh. The packages store and cache
// have one of each:
//
//	pool, err := store.Open(store.Config{Driver: "mysql", DSN: dsn}) // and import _ ".../store/mysql"
//	wiki := pool.Wiki(store.Wiki{ID: "enwiki", Release: validator.Release139})
//	policy := validator.Policy{Wiki: "enwiki", Release: validator.Release139, SiteKey: key, BlockDisablesLogin: true}
//	verifier := validator.New(policy, wiki, nonces.New(nonces.Config{Size: 64 << 20}), validator.NewJWT(keys, policy))
//	err = http.ListenAndServe(address, verifier.Middleware("my wiki", app))
//
// A cache.Cache goes in front of the store and of the tokens.
package validator
