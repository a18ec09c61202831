// Package gateway is the Caddy module http.handlers.oauth with its directive
// oauth. What it asks the core is in package validator.
package gateway

import (
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/pools"
)

func init() {
	caddy.RegisterModule(new(Handler))
	httpcaddyfile.RegisterHandlerDirective("oauth", parseDirective)
	httpcaddyfile.RegisterGlobalOption("oauth", parseGlobalOption)
}

// Handler checks the OAuth 1.0a signatures and OAuth 2 bearer tokens of a
// MediaWiki site, by the tables of MediaWiki's OAuth extension, and hands the
// handlers after it a proven identity in request headers.
//
// Request headers (with the default prefix, each absent when it has nothing to
// say): `X-OAuth-User-Id` (central id), `X-OAuth-User-Name`, `X-OAuth-Groups`,
// `X-OAuth-Grants`, `X-OAuth-Consumer-Key`, `X-OAuth-Consumer-Name`,
// `X-OAuth-Version` (`1.0a` or `2.0`), `X-OAuth-Wiki`, `X-OAuth-Owner-Only`
// (`true`), `X-OAuth-Pages` (the only pages that the app may change; it may
// read all. Absent: no restriction). Whatever a client sends under such names,
// in any spelling that a backend could take for them, is removed first, from
// headers and trailers, also where a request passes without a credential. In
// values, bytes outside 0x20 to 0x7E, `%`, outer blanks and, within lists, `,`
// are percent-encoded.
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
// Every setting that is a text may hold placeholders of the configuration, such
// as `{env.X}` and `{file./path}`. One that is unknown or empty is an error.
type Handler struct {
	// The database with the tables of MediaWiki's OAuth extension. Required.
	Store *config.Store `json:"store,omitempty"`

	// Id of the wiki that requests are for: 1 to 64 of A-Z, a-z, 0-9, `_` and
	// `-`. For a farm, one placeholder of the request that names it, such as
	// `{http.request.host.labels.2}` or one that the handler `map` has set. A
	// request for a wiki that is not among `wikis` is refused before anything
	// is looked up. Required.
	Wiki string `json:"wiki,omitempty"`

	// The wikis of a farm, by id. They share the cache and the memory of
	// nonces, but never an answer.
	Wikis map[string]config.Wiki `json:"wikis,omitempty"`

	// Where user ids come from.
	Users *config.Users `json:"users,omitempty"`

	// The release of MediaWiki whose rules hold: `1.35` to `1.47`. Required.
	MediaWiki string `json:"mediawiki,omitempty"`

	// `standard` (default): RFC 5849, 6750 and 9110 say how a credential is
	// read and signed, MediaWiki says who may do what. `mediawiki`: it is read
	// and signed as MediaWiki does, quirks included.
	Rules string `json:"rules,omitempty"`

	// `$wgOAuthSecretKey` of the wiki, or its `$wgSecretKey` when that is not
	// set; `none` when the wiki uses secrets as they are stored. The key `0` is
	// none to MediaWiki: up to 1.41 it takes `$wgSecretKey` instead, so this is
	// an error; from 1.42 on it means `none`. Use `{file.*}` or `{env.*}` to
	// keep it out of the configuration. Required.
	SecretKey string `json:"secret_key,omitempty"`

	// `$wgOAuth2PublicKey` of the wiki: PEM, or paths of PEM files, read when
	// the configuration is loaded. Several during a change of keys. Without
	// any, every bearer token is refused.
	PublicKey []string `json:"public_key,omitempty"`

	// What clients sign (`$wgServer`), as `scheme://host[:port][/path]`, with a
	// path where a proxy in front takes that prefix away. Default: scheme and
	// host of the request, or what a trusted proxy says in `X-Forwarded-Proto`
	// and `X-Forwarded-Host`. With `//host[:port]` only the scheme is the
	// request's; under the rules of MediaWiki anybody's `X-Forwarded-Proto:
	// https` makes it https, which must then be what was signed.
	BaseURL string `json:"base_url,omitempty"`

	// What becomes of a request without credentials: `required` (default)
	// refuses it, `optional` passes it as anonymous. A credential that does not
	// hold is refused by both. `strip` passes every request unverified and only
	// takes the identity headers away: for paths that the site leaves open.
	Mode string `json:"mode,omitempty"`

	// Apps that are kept in configuration (`$wgOAuthStaticApps`), since
	// MediaWiki 1.47. They come before those of the database.
	Consumers []config.Consumer `json:"consumers,omitempty"`

	// What the identity must have, apart from being proven. All must hold. In
	// mode `optional` they bind those who send a credential; without one a
	// request passes as anonymous. A value that no identity can have is an
	// error: the groups `*`, `user` and `autoconfirmed`, which nobody is stored
	// in, and grants that are read as others.
	Require []config.Requirement `json:"require,omitempty"`

	// Which blocked users are refused. `on`: those whom `$wgBlockDisablesLogin`
	// refuses, which up to 1.41 includes users who are blocked from a single
	// page. `sitewide`: those who are blocked from the whole wiki, in every
	// release. `off`: none. Default: `on` under the rules `standard`, and
	// `off`, as in MediaWiki itself, under `mediawiki`. In JSON, true is `on`
	// and false `off`.
	BlockDisablesLogin config.Blocks `json:"block_disables_login,omitempty"`

	// How far an OAuth 1.0a timestamp may be from the present, either way; 1s
	// to 1h. Default: 5m.
	TimestampWindow caddy.Duration `json:"timestamp_window,omitempty"`

	// How far the `nbf` and `iat` of a bearer token may be ahead of this host's
	// clock, because the wiki that wrote them has a clock of its own; at most
	// 1m. `exp` is not prolonged. Default: 1s, and 0, as in MediaWiki itself,
	// under the rules `mediawiki`.
	ClockSkew *caddy.Duration `json:"clock_skew,omitempty"`

	// Size of the largest signed form body, in bytes. It is held in memory
	// until the backend has read it. Default: 8 MiB.
	MaxFormSize int64 `json:"max_form_size,omitempty"`

	// Size of the largest body that a client binds by `oauth_body_hash`, in
	// bytes. It is read and compared with the hash before it is passed, and
	// held in memory as a form is. Default: 32 MiB.
	MaxBodySize int64 `json:"max_body_size,omitempty"`

	// What becomes of the requests that MediaWiki's OAuth extension checks by
	// itself. Default: they are verified.
	Handshake *Handshake `json:"handshake,omitempty"`

	// What a trusted proxy is that tells no address of a client. `proxy`
	// (default): its clients' addresses are not known, and apps that are bound
	// to addresses are refused (`address_untrusted`). `client`: without a
	// header of Caddy's `client_ip_headers` the peer is the client itself; only
	// where the proxy sends one with each request.
	TrustedPeer string `json:"trusted_peer,omitempty"`

	// What becomes of a CORS preflight, which a browser sends without a
	// credential. `check` (default) treats it like any other request: `mode
	// required` refuses it. `answer` answers it here, as `cors` says. `pass`
	// hands it to the handlers after this one, without body, cookies,
	// Authorization and headers that name another method: only for a backend
	// that does nothing at OPTIONS.
	CORSPreflight string `json:"cors_preflight,omitempty"`

	// The origins whose web apps may send requests, with `cors_preflight`
	// `answer`. Answers and refusals to them carry CORS headers, which replace
	// those of the backend. Other origins get none, and their preflights 403.
	CORS *CORS `json:"cors,omitempty"`

	// `keep` (default) leaves the credential on the request, `strip` takes it
	// out of a request that passes: the Authorization header and the oauth_
	// parameters of the query. A credential in a form stays, because the body
	// is passed byte for byte.
	Credentials string `json:"credentials,omitempty"`

	// What is remembered of the database and of verified tokens. Handlers that
	// agree in all of it share the memory.
	Cache *config.Cache `json:"cache,omitempty"`

	// The memory of OAuth 1.0a nonces. All handlers of one OAuth database share
	// it, also across reloads.
	Nonces *config.Nonces `json:"nonces,omitempty"`

	// Prefix of the identity headers; default: `X-OAuth-`. `off`: none are set;
	// names with the default prefix are still removed.
	Headers string `json:"headers,omitempty"`

	// How a refusal is answered: `problem` (default) writes RFC 9457 JSON.
	// `mediawiki` writes what MediaWiki would have answered at a path that ends
	// in api.php (status 200, `MediaWiki-API-Error`, and the error as JSON) or
	// that has a segment rest.php (403, as the release does), for what is the
	// client's fault; else as `problem`. `caddy` sets the challenges and
	// returns an error for handle_errors; a 503 is the problem document there
	// too.
	Errors string `json:"errors,omitempty"`

	// Realm of the challenges. Default: `MediaWiki`.
	Realm string `json:"realm,omitempty"`

	cfg      settings
	mistakes error // found by Provision, returned by Validate
	lease    atomic.Pointer[pools.Lease]
	log      *outcome.Log
	logger   *zap.Logger
}

// CORS is what the gateway answers to the preflights of browsers.
type CORS struct {
	// Origins as browsers send them: `https://app.example.org`, with a port
	// that is not the scheme's own. The first label may be `*`, for one or more
	// labels; `*` alone is every origin. Required.
	Origins []string `json:"origins,omitempty"`

	// Methods that they may use. Default: GET, POST, HEAD.
	Methods []string `json:"methods,omitempty"`

	// Request headers that they may send; `Authorization` must be among them.
	// Default: `Authorization`.
	Headers []string `json:"headers,omitempty"`

	// How long browsers may remember the answer; 1s to 24h. Default: their own,
	// five seconds.
	MaxAge caddy.Duration `json:"max_age,omitempty"`
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
