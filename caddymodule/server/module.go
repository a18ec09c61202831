package server

import (
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
)

func init() {
	caddy.RegisterModule(new(Handler))
	httpcaddyfile.RegisterHandlerDirective("oauth_server", parseDirective)
}

// Handler issues credentials for the apps of a MediaWiki site, in the place of
// MediaWiki's OAuth extension: it answers the handshake of OAuth 1.0a and the
// endpoints of OAuth 2, asks users for their consent, and writes the extension's
// tables. Requests for other paths pass.
//
// The handler `oauth`, behind it or elsewhere, verifies the credentials that it
// issues. Settings that both know have the same meaning in both.
//
// Every setting that is a text may hold placeholders of the configuration, such as
// `{env.X}` and `{file./path}`. One that is unknown or empty is an error.
type Handler struct {
	// The database with the tables of MediaWiki's OAuth extension, as of `oauth`: the account that reads. Required.
	Store *config.Store `json:"store,omitempty"`

	// Id of the wiki, or for a farm one placeholder of the request that names it. Required.
	Wiki string `json:"wiki,omitempty"`

	// The wikis of a farm, by id. Issuer and session are those of the wiki that was asked.
	Wikis map[string]config.Wiki `json:"wikis,omitempty"`

	// Where user ids come from.
	Users *config.Users `json:"users,omitempty"`

	// The release of MediaWiki that is played: `1.35` to `1.47`. Required.
	MediaWiki string `json:"mediawiki,omitempty"`

	// `standard` (default) or `mediawiki`: how a signed request is read, as by `oauth`.
	Rules string `json:"rules,omitempty"`

	// `$wgOAuthSecretKey` of the wiki, or its `$wgSecretKey` when that is not set; `none` when the wiki uses secrets as
	// they are stored. Required.
	SecretKey string `json:"secret_key,omitempty"`

	// `$wgOAuth2PublicKey` of the wiki: PEM, or paths of PEM files. The public half of `private_key` is one of them.
	PublicKey []string `json:"public_key,omitempty"`

	// `$wgServer`: what clients sign, and where our own pages are, as `scheme://host[:port][/path]`. Default: what the
	// request says is signed, and our own pages are at the issuer's host.
	BaseURL string `json:"base_url,omitempty"`

	// Apps that are kept in configuration (`$wgOAuthStaticApps`), since MediaWiki 1.47.
	Consumers []config.Consumer `json:"consumers,omitempty"`

	// Which blocked users get no credentials: `on`, `sitewide` or `off`, as in `oauth`.
	BlockDisablesLogin config.Blocks `json:"block_disables_login,omitempty"`

	// How far an OAuth 1.0a timestamp may be from the present, either way; 1s to 1h. Default: 5m.
	TimestampWindow caddy.Duration `json:"timestamp_window,omitempty"`

	// How far the `nbf` and `iat` of a bearer token may be ahead of this host's clock, as in `oauth`.
	ClockSkew *caddy.Duration `json:"clock_skew,omitempty"`

	// Size of the largest signed form body, in bytes. Default: 8 MiB.
	MaxFormSize int64 `json:"max_form_size,omitempty"`

	// What a trusted proxy is that tells no address of a client: `proxy` (default) or `client`, as in `oauth`.
	TrustedPeer string `json:"trusted_peer,omitempty"`

	// What is remembered of the database and of verified tokens. It is shared with `oauth`.
	Cache *config.Cache `json:"cache,omitempty"`

	// The memory of OAuth 1.0a nonces. It is shared with `oauth`.
	Nonces *config.Nonces `json:"nonces,omitempty"`

	// Realm of the challenges. Default: `OAuth`, as MediaWiki's.
	Realm string `json:"realm,omitempty"`

	// The account that writes acceptances and access tokens, on the primary. Required.
	Writer *Writer `json:"writer,omitempty"`

	// `$wgOAuth2PrivateKey` of the wiki: PEM, or the path of a PEM file. Its public half must be among `public_key`.
	// Without it there is no OAuth 2.
	PrivateKey string `json:"private_key,omitempty"`

	// What tokens and statements name as their issuer (`iss`): https, or http on loopback, without query and fragment.
	// Default: scheme and host of `base_url` (`$wgCanonicalServer`). In a farm it is that of each wiki.
	Issuer string `json:"issuer,omitempty"`

	// The protocols that are served: `1.0a` and `2.0`. Default: both, and `1.0a` alone without a private key.
	Protocols []string `json:"protocols,omitempty"`

	// The paths that are answered. Default: those of MediaWiki and the plain ones.
	Endpoints *Endpoints `json:"endpoints,omitempty"`

	// How it is known who is at the browser. Required.
	Session *Session `json:"session,omitempty"`

	// Where a user signs in: a URL, or a path of this site. `{return}` in it stands for the page to come back to,
	// percent-encoded. Default: with `session mediawiki` and `endpoints mediawiki`, the wiki's own Special:UserLogin, which
	// leads back; otherwise a user who is not signed in gets a page that says so, with status 401.
	Login string `json:"login,omitempty"`

	// Where the wiki tells public data of users that its tables do not hold: rights, implicit groups and the count of
	// edits. Default: statements about users hold what the tables say.
	WikiAPI *WikiAPI `json:"wiki_api,omitempty"`

	// The memory of request tokens. All handlers of one OAuth database share it, also across reloads.
	State *State `json:"state,omitempty"`

	// Keys that seal codes and refresh tokens, and protect forms: texts of at least 32 characters. The first seals, all
	// open. Default: a key that is derived from `secret_key`. Required where that is `none`.
	StateKey []string `json:"state_key,omitempty"`

	// How long what is issued may be used.
	Lifetimes *Lifetimes `json:"lifetimes,omitempty"`

	// Which OAuth 2 apps must send a code challenge (PKCE): `public` (default), those that keep no secret; `all`; `off`.
	RequirePKCE string `json:"require_pkce,omitempty"`

	// `on`: the redirect URI of an app on `http://127.0.0.1` or `http://[::1]` may have any port. Default: `on` from
	// MediaWiki 1.46 on, as there.
	LoopbackPort string `json:"loopback_port,omitempty"`

	// `on` (default) redirects a request for an access token of OAuth 1.0a to https, if `base_url` names no scheme
	// (`$wgMWOAuthSecureTokenTransfer`).
	SecureTokenTransfer string `json:"secure_token_transfer,omitempty"`

	// Grants of the wiki besides those of MediaWiki itself, and other words or rights for those.
	Grants []Grant `json:"grants,omitempty"`

	// `on` (default) adds the issuer to authorization responses of OAuth 2 (RFC 9207).
	AuthorizationResponseISS string `json:"authorization_response_iss,omitempty"`

	// Refuses whatever writes (`$wgMWOAuthReadOnly`).
	ReadOnly bool `json:"read_only,omitempty"`

	cfg      settings
	mistakes error // found by Provision, returned by Validate
	lease    atomic.Pointer[lease]
	logger   *zap.Logger
	log      *eventLog
}

// Writer is how the tables are written. Driver, TLS and names are those of the
// store.
type Writer struct {
	// Where the primary is, in the form of the store's DSN and with its database, but with an account of its own. A file
	// of SQLite has no accounts: it is the path that the store names.
	DSN string `json:"dsn,omitempty"`

	// Bound of one statement. Default: 2s.
	QueryTimeout caddy.Duration `json:"query_timeout,omitempty"`

	// Bound of open connections. Default: 8.
	MaxOpenConns int `json:"max_open_conns,omitempty"`

	// Age at which a connection is replaced. Default: 5m.
	ConnMaxLifetime caddy.Duration `json:"conn_max_lifetime,omitempty"`
}

// Endpoints are the paths that are answered.
type Endpoints struct {
	// `mediawiki`: the pages of Special:OAuth, and `rest.php/oauth2/`. What MediaWiki could take for its own handshake is
	// refused, so that the wiki does not issue tokens at the same time; the registration of apps is left to the wiki.
	// `plain`: `/oauth/initiate` and the like, and `/oauth2/authorize` and the like. Both answer alike. Our own pages are
	// at the first.
	Kinds []string `json:"kinds,omitempty"`

	// `$wgScriptPath`, or `/` for the root. Default: `/w`.
	ScriptPath string `json:"script_path,omitempty"`

	// `$wgArticlePath` without `$1`. Default: `/wiki/`.
	ArticlePath string `json:"article_path,omitempty"`

	// The wiki's own names of the namespace Special, such as `Spezial`, or whole names of the page, such as
	// `Spezial:OAuth`. `Special`, `OAuth` and `MWOAuth` are names on every wiki.
	SpecialPage []string `json:"special_page,omitempty"`
}

// Session says how it is known who is at the browser.
type Session struct {
	// `caddy`: an authentication handler that ran before this one has set placeholders of the request. `mediawiki`: the
	// wiki is asked, with the cookies, the user agent and the address of the browser. Required.
	Kind string `json:"kind,omitempty"`

	// For `caddy`: the placeholder that holds the user's name on the wiki, such as `{http.auth.user.id}`. If it is unset or
	// empty, the user is not signed in. Required.
	Name string `json:"name,omitempty"`

	// For `caddy`: the placeholder that holds the user's central id, if there is one. A user whose id is another in the
	// wiki's tables is refused.
	ID string `json:"id,omitempty"`

	// For `mediawiki`: the URL of the wiki's api.php: https, or http on loopback. Name and id of the user who is signed in
	// there must be those of the wiki's tables. Required.
	URL string `json:"url,omitempty"`

	// For `mediawiki`: the host that is asked for there. Default: the URL's, and in a farm that of the wiki's base_url.
	Host string `json:"host,omitempty"`

	// For `mediawiki`: the certificates that sign the server's, as PEM or the path of a PEM file. Default: the system's.
	CA string `json:"ca,omitempty"`

	// For `mediawiki`: how long an answer may take, 100ms to 30s. Without one the user gets a page with status 503.
	// Default: 2s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
}

// WikiAPI is the wiki's api.php.
type WikiAPI struct {
	// Its URL: https, or http on loopback.
	URL string `json:"url,omitempty"`

	// The host that is asked for there. Default: the URL's, and in a farm that of the wiki's base_url.
	Host string `json:"host,omitempty"`
}

// State is the memory of request tokens.
type State struct {
	// `memory` (default): of this process.
	Backend string `json:"backend,omitempty"`

	// The most memory that request tokens may take, in bytes: about 1 KiB each. One app, and all apps of one owner, may
	// hold an eighth of it. Of handlers that share one memory, the first decides. Default: 64 MiB.
	Size int64 `json:"size,omitempty"`
}

// Lifetimes are how long what is issued may be used.
type Lifetimes struct {
	// Default: 10m.
	RequestToken caddy.Duration `json:"request_token,omitempty"`

	// Default: 10m.
	Code caddy.Duration `json:"code,omitempty"`

	// A duration, or `infinity`. Default: 1h (`$wgOAuth2GrantExpirationInterval`).
	AccessToken string `json:"access_token,omitempty"`

	// A duration, or `infinity`. Default: that of the release (`$wgOAuth2RefreshTokenTTL`): 1m up to MediaWiki 1.41, and
	// a month from 1.42 on.
	RefreshToken string `json:"refresh_token,omitempty"`

	// How long a refresh token that was used answers with the token that it was exchanged for. Default: not at all.
	RefreshGrace caddy.Duration `json:"refresh_grace,omitempty"`
}

// Grant is a grant that the wiki knows (`$wgGrantPermissions`).
type Grant struct {
	// Its name.
	Name string `json:"name,omitempty"`

	// What it allows, in words for the consent page.
	Describe string `json:"describe,omitempty"`

	// The rights that it allows. Default: those of MediaWiki, for a grant of its own.
	Rights []string `json:"rights,omitempty"`

	// Keeps it off the consent page.
	Hidden bool `json:"hidden,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.oauth_server",
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
