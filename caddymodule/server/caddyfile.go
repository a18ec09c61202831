package server

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
)

// UnmarshalCaddyfile reads one directive, and reports all its mistakes at once.
// Syntax:
//
//	oauth_server [<matcher>] {
//	    # as in oauth, also from the global option oauth
//	    store                mysql <dsn> { ... }
//	    wiki                 <wiki id>|{placeholder of the request} { ... }
//	    users                local|centralauth ...
//	    mediawiki            1.35|...|1.47
//	    rules                standard|mediawiki
//	    secret_key           <key>|none
//	    public_key           <PEM or path...>
//	    base_url             <scheme://host[:port][/path]>|<//host[:port][/path]>
//	    consumer <key> {
//	        ... and
//	        grant_types authorization_code|refresh_token|client_credentials...
//	    }
//	    block_disables_login on|sitewide|off
//	    timestamp_window     <duration>
//	    clock_skew           <duration>
//	    max_form_size        <size>
//	    trusted_peer         proxy|client
//	    cache                { ... }
//	    nonces               memory [size <size>]
//	    realm                <text>
//
//	    writer <dsn> {
//	        query_timeout     <duration>
//	        max_open_conns    <number>
//	        conn_max_lifetime <duration>
//	    }
//	    private_key <PEM or path>
//	    issuer <url>
//	    protocols 1.0a|2.0...
//	    endpoints mediawiki|plain... {
//	        script_path  <path>
//	        article_path <path>
//	        special_page <name...>
//	    }
//	    session caddy {
//	        name <placeholder of the request>
//	        id   <placeholder of the request>
//	    }
//	    session mediawiki <url> {
//	        host    <name>
//	        ca      <PEM or path>
//	        timeout <duration>
//	    }
//	    login <url>
//	    wiki_api <url> {
//	        host <name>
//	    }
//	    state memory [size <size>]
//	    state_key <key...>
//	    lifetimes {
//	        request_token <duration>
//	        code          <duration>
//	        access_token  <duration>|infinity
//	        refresh_token <duration>|infinity
//	        refresh_grace <duration>
//	    }
//	    require_pkce public|all|off
//	    loopback_port on|off
//	    secure_token_transfer on|off
//	    grant <name> {
//	        describe <text>
//	        rights   <right...>
//	        hidden
//	    }
//	    authorization_response_iss on|off
//	    read_only
//	}
//
// store, wiki, mediawiki, secret_key, writer and session are required. A
// subdirective that oauth has too, and that the site leaves out, is taken, whole,
// from the global option. Only consumer and grant may be repeated. messages and
// state redis are not built yet.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	var mistakes []error
	if d.NextArg() {
		mistakes = append(mistakes, d.Errf("oauth_server takes no argument but a matcher: unexpected %s", grammar.Named(d.Val())))
		d.RemainingArgs()
	}
	return errors.Join(append(mistakes, grammar.ReadBlock(d, h.subdirectives(), slices.Concat(config.Repeated, []string{"grant"})...))...)
}

func (h *Handler) subdirectives() map[string]grammar.Subdirective {
	all := h.site().Subdirectives()
	maps.Copy(all, map[string]grammar.Subdirective{
		"clock_skew":   grammar.DurationOrZero(&h.ClockSkew),
		"trusted_peer": grammar.Choice(&h.TrustedPeer, config.PeerWords),
	})
	maps.Copy(all, h.issuingSubdirectives())
	return all
}

// site returns the fields that both directives have.
func (h *Handler) site() config.Site {
	return config.Site{
		Store:              &h.Store,
		Wiki:               &h.Wiki,
		Wikis:              &h.Wikis,
		Users:              &h.Users,
		MediaWiki:          &h.MediaWiki,
		Rules:              &h.Rules,
		SecretKey:          &h.SecretKey,
		PublicKey:          &h.PublicKey,
		BaseURL:            &h.BaseURL,
		Consumers:          &h.Consumers,
		BlockDisablesLogin: &h.BlockDisablesLogin,
		TimestampWindow:    &h.TimestampWindow,
		MaxFormSize:        &h.MaxFormSize,
		Cache:              &h.Cache,
		Nonces:             &h.Nonces,
		Realm:              &h.Realm,
	}
}

// parseDirective reads the directive of a site, and completes it by the global
// option oauth.
func parseDirective(d httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(Handler)
	err := h.UnmarshalCaddyfile(d.Dispenser)
	config.Inherit(h, d.Option("oauth"))
	if missing := append(h.site().Missing(), h.missing()...); err == nil && len(missing) > 0 {
		d.Reset()
		d.Next()
		err = d.Errf("oauth_server needs %s", strings.Join(missing, ", "))
	}
	return h, err
}
