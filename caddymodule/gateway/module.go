// Package gateway is the Caddy module http.handlers.oauth with its directive
// oauth. What it asks the core is in package validator.
package gateway

import (
	"encoding/json"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
)

func init() {
	caddy.RegisterModule(new(Handler))
	httpcaddyfile.RegisterHandlerDirective("oauth", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("oauth", httpcaddyfile.Before, "basic_auth")
	httpcaddyfile.RegisterGlobalOption("oauth", parseGlobalOption)
}

// Handler checks the OAuth 1.0a signatures and OAuth 2 bearer tokens of a MediaWiki site, by the tables of
// MediaWiki's OAuth extension, and hands the handlers after it a proven identity in request headers.
//
// Request headers (with the default prefix, each absent when it has nothing to say): `X-OAuth-User-Id` (central
// id), `X-OAuth-User-Name`, `X-OAuth-Groups`, `X-OAuth-Grants`, `X-OAuth-Consumer-Key`, `X-OAuth-Consumer-Name`,
// `X-OAuth-Version` (`1.0a` or `2.0`), `X-OAuth-Wiki`, `X-OAuth-Owner-Only` (`true`), `X-OAuth-Pages` (the only
// pages that the app may change; it may read all. Absent: no restriction). Whatever a client sends under such names, in any spelling
// that a backend could take for them, is removed first, from headers and trailers, also where a request passes without
// a credential. In values, bytes outside 0x20 to 0x7E, `%`, outer blanks and, within lists, `,` are percent-encoded.
//
// Placeholders:
//
// Placeholder | Description
// ------------|------------
// `{http.auth.user.id}` | Central user id; empty for a client's own token
// `{http.auth.user.name}` | User name
// `{http.auth.user.groups}` | Stored, unexpired groups, comma-separated and encoded as in the header
// `{http.auth.user.grants}` | Grants, likewise
// `{http.auth.user.consumer_key}` | Key of the consumer
// `{http.auth.user.consumer_name}` | Name of the consumer
// `{http.auth.user.version}` | `1.0a` or `2.0`
// `{http.auth.user.wiki}` | Id of the wiki
// `{http.auth.user.pages}` | The only pages that the app may act on, comma-separated; empty also when it may on all
// `{http.oauth.reason}` | Why the request was refused, as a stable name; `ok` when it was not
//
// Where no identity is proven, those of the user are empty. `mode strip` sets none.
//
// Every setting that is a text may hold placeholders of the configuration, such as `{env.X}` and
// `{file./path}`. One that is unknown or empty is an error.
type Handler struct {
	// The database with the tables of MediaWiki's OAuth extension. Required.
	Store *Store `json:"store,omitempty"`

	// Id of the wiki that requests are for: 1 to 64 of A-Z, a-z, 0-9, `_` and `-`. For a farm, one placeholder of
	// the request that names it, such as `{http.request.host.labels.2}` or one that the handler `map` has set. A
	// request for a wiki that is not among `wikis` is refused before anything is looked up. Required.
	Wiki string `json:"wiki,omitempty"`

	// The wikis of a farm, by id. They share the cache and the memory of nonces, but never an answer.
	Wikis map[string]Wiki `json:"wikis,omitempty"`

	// Where user ids come from.
	Users *Users `json:"users,omitempty"`

	// The release of MediaWiki whose rules hold: `1.35` to `1.47`. Required.
	MediaWiki string `json:"mediawiki,omitempty"`

	// `standard` (default): RFC 5849, 6750 and 9110 say how a credential is read and signed, MediaWiki says
	// who may do what. `mediawiki`: it is read and signed as MediaWiki does, quirks included.
	Rules string `json:"rules,omitempty"`

	// `$wgOAuthSecretKey` of the wiki, or its `$wgSecretKey` when that is not set; `none` when the wiki uses
	// secrets as they are stored. The key `0` is none to MediaWiki: up to 1.41 it takes `$wgSecretKey` instead,
	// so this is an error; from 1.42 on it means `none`. Use `{file.*}` or `{env.*}` to keep it out of the configuration. Required.
	SecretKey string `json:"secret_key,omitempty"`

	// `$wgOAuth2PublicKey` of the wiki: PEM, or paths of PEM files, read when the configuration is loaded.
	// Several during a change of keys. Without any, every bearer token is refused.
	PublicKey []string `json:"public_key,omitempty"`

	// What clients sign (`$wgServer`), as `scheme://host[:port][/path]`, with a path where a proxy in front takes
	// that prefix away. Default: scheme and host of the request, or
	// what a trusted proxy says in `X-Forwarded-Proto` and `X-Forwarded-Host`. With `//host[:port]` only the
	// scheme is the request's; under the rules of MediaWiki anybody's `X-Forwarded-Proto: https` makes it https,
	// which must then be what was signed.
	BaseURL string `json:"base_url,omitempty"`

	// What becomes of a request without credentials: `required` (default) refuses it, `optional` passes it as
	// anonymous. A credential that does not hold is refused by both. `strip` passes every request unverified
	// and only takes the identity headers away: for paths that the site leaves open.
	Mode string `json:"mode,omitempty"`

	// Apps that are kept in configuration (`$wgOAuthStaticApps`), since MediaWiki 1.47. They come before those of the
	// database.
	Consumers []Consumer `json:"consumers,omitempty"`

	// What the identity must have, apart from being proven. All must hold. In mode `optional` they bind those who send
	// a credential; without one a request passes as anonymous. A value that no identity can have is an error: the
	// groups `*`, `user` and `autoconfirmed`, which nobody is stored in, and grants that are read as others.
	Require []Requirement `json:"require,omitempty"`

	// Which blocked users are refused. `on`: those whom `$wgBlockDisablesLogin` refuses, which up to 1.41 includes
	// users who are blocked from a single page. `sitewide`: those who are blocked from the whole wiki, in every
	// release. `off`: none. Default: `on` under the rules `standard`, and `off`, as in MediaWiki itself, under
	// `mediawiki`. In JSON, true is `on` and false `off`.
	BlockDisablesLogin Blocks `json:"block_disables_login,omitempty"`

	// How far an OAuth 1.0a timestamp may be from the present, either way; 1s to 1h. Default: 5m.
	TimestampWindow caddy.Duration `json:"timestamp_window,omitempty"`

	// How far the `nbf` and `iat` of a bearer token may be ahead of this host's clock, because the wiki that wrote
	// them has a clock of its own; at most 1m. `exp` is not prolonged. Default: 1s, and 0, as in MediaWiki itself,
	// under the rules `mediawiki`.
	ClockSkew *caddy.Duration `json:"clock_skew,omitempty"`

	// Size of the largest signed form body, in bytes. It is held in memory until the backend has read it.
	// Default: 8 MiB.
	MaxFormSize int64 `json:"max_form_size,omitempty"`

	// Size of the largest body that a client binds by `oauth_body_hash`, in bytes. It is read and compared with
	// the hash before it is passed, and held in memory as a form is. Default: 32 MiB.
	MaxBodySize int64 `json:"max_body_size,omitempty"`

	// What becomes of the requests that MediaWiki's OAuth extension judges by itself. Default: they are verified.
	Handshake *Handshake `json:"handshake,omitempty"`

	// What a trusted proxy is that tells no address of a client. `proxy` (default): its clients' addresses are not
	// known, and apps that are bound to addresses are refused (`address_untrusted`). `client`: without a header of
	// Caddy's `client_ip_headers` the peer is the client itself; only where the proxy sends one with each request.
	TrustedPeer string `json:"trusted_peer,omitempty"`

	// What becomes of a CORS preflight, which a browser sends without a credential. `check` (default) treats it
	// like any other request: `mode required` refuses it. `answer` answers it here, as `cors` says. `pass` hands
	// it to the handlers after this one, without body, cookies, Authorization and headers that name another
	// method: only for a backend that does nothing at OPTIONS.
	CORSPreflight string `json:"cors_preflight,omitempty"`

	// The origins whose web apps may send requests, with `cors_preflight` `answer`. Answers and refusals to them
	// carry CORS headers, which replace those of the backend. Other origins get none, and their preflights 403.
	CORS *CORS `json:"cors,omitempty"`

	// `keep` (default) leaves the credential on the request, `strip` takes it out of a request that passes:
	// the Authorization header and the oauth_ parameters of the query. A credential in a form stays, because the
	// body is passed byte for byte.
	Credentials string `json:"credentials,omitempty"`

	// What is remembered of the database and of verified tokens. Handlers that agree in all of it share the
	// memory.
	Cache *Cache `json:"cache,omitempty"`

	// The memory of OAuth 1.0a nonces. All handlers of one OAuth database share it, also across reloads.
	Nonces *Nonces `json:"nonces,omitempty"`

	// Prefix of the identity headers; default: `X-OAuth-`. `off`: none are set; names with the default prefix
	// are still removed.
	Headers string `json:"headers,omitempty"`

	// How a refusal is answered: `problem` (default) writes RFC 9457 JSON. `mediawiki` writes what MediaWiki would
	// have answered at a path that ends in api.php (status 200, `MediaWiki-API-Error`, and the error as JSON) or that
	// has a segment rest.php (403, as the release does), for what is the client's fault; else as `problem`. `caddy`
	// sets the challenges and returns an error for handle_errors; a 503 is the problem document there too.
	Errors string `json:"errors,omitempty"`

	// Realm of the challenges. Default: `MediaWiki`.
	Realm string `json:"realm,omitempty"`

	settings
	mistakes error // found by Provision, told by Validate
	lease    atomic.Pointer[lease]
	log      *outcome.Log
	logger   *zap.Logger
}

// CORS is what the gateway answers to the preflights of browsers.
type CORS struct {
	// Origins as browsers send them: `https://app.example.org`, with a port that is not the scheme's own. The first
	// label may be `*`, for one or more labels; `*` alone is every origin. Required.
	Origins []string `json:"origins,omitempty"`

	// Methods that they may use. Default: GET, POST, HEAD.
	Methods []string `json:"methods,omitempty"`

	// Request headers that they may send; `Authorization` must be among them. Default: `Authorization`.
	Headers []string `json:"headers,omitempty"`

	// How long browsers may remember the answer; 1s to 24h. Default: their own, five seconds.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
}

// Blocks is `on`, `sitewide` or `off`.
type Blocks string

// UnmarshalJSON reads the word, or true for on and false for off.
func (b *Blocks) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "true":
		*b = blocksOn
		return nil
	case "false":
		*b = off
		return nil
	}
	return json.Unmarshal(text, (*string)(b))
}

// Store is a database with MediaWiki's tables.
type Store struct {
	// `mysql` or `sqlite`.
	Driver string `json:"driver,omitempty"`

	// Where the database is, in the driver's own form: `user:password@tcp(host:port)/database` or a path.
	DSN string `json:"dsn,omitempty"`

	// DSNs of replicas, read in turn. What a replica does not have is asked of the primary.
	Replicas []string `json:"replicas,omitempty"`

	// Prefix of table names (`$wgDBprefix`).
	TablePrefix string `json:"table_prefix,omitempty"`

	// The database that holds the OAuth tables, when it is not the DSN's own.
	OAuthDatabase string `json:"oauth_database,omitempty"`

	// TLS to the database server.
	TLS *TLS `json:"tls,omitempty"`

	// Bound of one query. Default: 2s.
	QueryTimeout caddy.Duration `json:"query_timeout,omitempty"`

	// Bound of open connections per server. Default: 16.
	MaxOpenConns int `json:"max_open_conns,omitempty"`

	// Age at which a connection is replaced. Default: 5m.
	ConnMaxLifetime caddy.Duration `json:"conn_max_lifetime,omitempty"`
}

// TLS says how the database server is trusted, and what it is shown. Files are read when the configuration is
// loaded.
type TLS struct {
	// PEM file of the authorities that the server's certificate is checked against. Default: the system's.
	CA string `json:"ca,omitempty"`

	// PEM file of the client's certificate.
	Cert string `json:"cert,omitempty"`

	// PEM file of the client's key.
	Key string `json:"key,omitempty"`

	// Name that the server's certificate must have. Default: the host of the DSN.
	ServerName string `json:"server_name,omitempty"`
}

// Users says where user ids come from.
type Users struct {
	// `local` (default): the wiki's own user table. `centralauth`: the global accounts of CentralAuth.
	Source string `json:"source,omitempty"`

	// For `local`: the ids in the OAuth tables are central ones, as in a wiki whose `$wgMWOAuthCentralWiki` names itself.
	// A user id that the wiki does not have is then refused as `unknown_user`, where MediaWiki up to 1.45 otherwise takes
	// such a request for nobody's. A wiki whose OAuth tables are in another database than its own has central ids
	// without it, and so has `centralauth`, which does not take it.
	SharedIDs bool `json:"shared_ids,omitempty"`

	// The database with CentralAuth's tables (`$wgCentralAuthDatabase`). It may be left out where `dsn` names it.
	// SQLite has none: the tables are in the file of `dsn`, or of the store.
	Database string `json:"database,omitempty"`

	// Where CentralAuth's tables are, when that is another server than the store's. What the store says of TLS
	// and connections, but not its replicas, holds for it too.
	DSN string `json:"dsn,omitempty"`
}

// Wiki is one wiki of a farm. What it leaves out is as the handler and its store have it. The OAuth tables are the
// store's in any case.
type Wiki struct {
	// The database with the wiki's own tables, on the store's server or that of `dsn`.
	Database string `json:"database,omitempty"`

	// Prefix of the names of its own tables. Those of OAuth keep the store's.
	TablePrefix string `json:"table_prefix,omitempty"`

	// What clients sign (`$wgServer`).
	BaseURL string `json:"base_url,omitempty"`

	// The release of MediaWiki whose rules hold.
	MediaWiki string `json:"mediawiki,omitempty"`

	// Where the wiki's own tables are, when that is another server than the store's. What the store says of TLS and
	// connections, but not its replicas, holds for it too.
	DSN string `json:"dsn,omitempty"`
}

// Consumer is an app that is kept in the wiki's configuration, with the settings that it has there.
type Consumer struct {
	// `consumerKey`: 32 lower-case hexadecimal digits, unlike any other's. Required.
	Key string `json:"key,omitempty"`

	// `id`, unlike any other's. Required.
	ID int `json:"id,omitempty"`

	// `name`. Required.
	Name string `json:"name,omitempty"`

	// `version` of the app. It decides nothing here.
	Version string `json:"version,omitempty"`

	// `userId`: central user id of the owner. Required.
	Owner int `json:"owner,omitempty"`

	// `oauthVersion`: 1 or 2. Required.
	OAuthVersion int `json:"oauth_version,omitempty"`

	// `grants` that the app asks for. They decide nothing here: what a user has granted counts, or a token's scopes.
	Grants []string `json:"grants,omitempty"`

	// `secretKey`, as it is there: clients of a wiki with a site key sign with another, made from it.
	SecretKey string `json:"secret_key,omitempty"`

	// `rsaKey`: PEM, or the path of a PEM file. At most 4096 bits, and an exponent of at most 65537.
	RSAKey string `json:"rsa_key,omitempty"`

	// `wiki`: the only wiki that the app may be used on. Default: `*`, all.
	Wiki string `json:"wiki,omitempty"`

	// `restrictions` as JSON. Default: `{"IPAddresses":["0.0.0.0/0","::/0"]}`, none.
	Restrictions string `json:"restrictions,omitempty"`

	// `ownerOnly`: nobody but the owner may use it.
	OwnerOnly bool `json:"owner_only,omitempty"`
}

// Requirement holds when the identity has one of the values.
type Requirement struct {
	// `grant`, `group` or `consumer` (its key).
	Kind string `json:"kind,omitempty"`

	// Any one of them will do.
	Values []string `json:"values,omitempty"`
}

// Cache bounds what is remembered.
type Cache struct {
	// Memory in bytes. Default: 64 MiB.
	Size int64 `json:"size,omitempty"`

	// How long a credential that was found is fresh. Default: 1m.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How long it is remembered that a credential was not found. Default: 5s.
	NegativeTTL caddy.Duration `json:"negative_ttl,omitempty"`

	// How long a credential that was found may be used while the database cannot be asked. Default: 5m.
	MaxStale caddy.Duration `json:"max_stale,omitempty"`
}

// Nonces bounds the memory of nonces.
type Nonces struct {
	// `memory` (default): of this process.
	Backend string `json:"backend,omitempty"`

	// The most memory that nonces may take, in bytes: 32 for each nonce and for each user who holds one. It is
	// allocated as it is needed. One user may hold a tenth of it. Of handlers that share one memory, the first
	// decides. Default: 192 MiB.
	Size int64 `json:"size,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.oauth",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
