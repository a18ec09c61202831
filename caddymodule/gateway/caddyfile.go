package gateway

import (
	"errors"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
)

// UnmarshalCaddyfile reads one directive, or the global option of the same
// name, and reports all its mistakes at once. Syntax:
//
//	oauth [<matcher>] {
//	    store mysql|postgres|sqlite <dsn> {
//	        replica           <dsn...>
//	        table_prefix      <prefix>
//	        oauth_database    <name>
//	        tls {
//	            ca          <file>
//	            cert        <file>
//	            key         <file>
//	            server_name <name>
//	        }
//	        query_timeout     <duration>
//	        max_open_conns    <number>
//	        conn_max_lifetime <duration>
//	    }
//	    wiki                 <wiki id>
//	    wiki                 {placeholder of the request} {
//	        <wiki id> {
//	            database     <name>
//	            table_prefix <prefix>
//	            base_url     <scheme://host[:port][/path]>|<//host[:port][/path]>
//	            mediawiki    1.35|...|1.47
//	            dsn          <dsn>
//	        }
//	    }
//	    users                local {
//	        shared_ids
//	    }
//	    users                centralauth [<database>] {
//	        dsn <dsn>
//	    }
//	    mediawiki            1.35|...|1.47
//	    rules                standard|mediawiki
//	    secret_key           <key>|none
//	    public_key           <PEM or path...>
//	    base_url             <scheme://host[:port][/path]>|<//host[:port][/path]>
//	    mode                 required|optional|strip
//	    consumer <key> {
//	        id            <number>
//	        name          <text>
//	        version       <text>
//	        owner         <central user id>
//	        oauth_version 1|2
//	        grants        <grant...>
//	        secret_key    <raw secret>
//	        rsa_key       <PEM or path>
//	        wiki          <wiki id>|*
//	        restrictions  <JSON>
//	        owner_only
//	        callback_url  <url>
//	        callback_is_prefix
//	        description   <text>
//	        grant_types   <grant type...>
//	        confidential
//	    }
//	    require              grant|group|consumer <value...>
//	    block_disables_login on|sitewide|off
//	    timestamp_window     <duration>
//	    clock_skew           <duration>
//	    max_form_size        <size>
//	    max_body_size        <size>
//	    handshake            verify
//	    handshake            pass {
//	        script_path  <path>
//	        article_path <path>
//	        special_page <name...>
//	    }
//	    trusted_peer         proxy|client
//	    cors_preflight       check|pass
//	    cors_preflight       answer {
//	        origins <scheme://host[:port]...>
//	        methods <method...>
//	        headers <name...>
//	        max_age <duration>
//	    }
//	    credentials          keep|strip
//	    cache {
//	        size         <size>
//	        ttl          <duration>
//	        negative_ttl <duration>
//	        max_stale    <duration>
//	    }
//	    nonces               memory [size <size>]
//	    headers              <prefix>|off
//	    errors               problem|mediawiki|caddy
//	    realm                <text>
//	}
//
// store, wiki, mediawiki and secret_key are required, but for `mode strip`. A
// subdirective that the site leaves out is taken, whole, from the global
// option; require lines of both hold. Only require and consumer may be
// repeated. A size is a number of bytes, or one with a unit: B, kB, KiB, MB,
// MiB, GB or GiB.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	var mistakes []error
	if d.NextArg() {
		mistakes = append(mistakes, d.Errf("oauth takes no argument but a matcher: unexpected %s", grammar.Named(d.Val())))
		d.RemainingArgs()
	}
	return errors.Join(append(mistakes, grammar.ReadBlock(d, h.subdirectives(), slices.Concat(config.Repeated, []string{"require"})...))...)
}

func (h *Handler) subdirectives() map[string]grammar.Subdirective {
	all := h.site().Subdirectives()
	maps.Copy(all, map[string]grammar.Subdirective{
		"mode":           grammar.Choice(&h.Mode, modeWords),
		"require":        config.ReadRequire(&h.Require),
		"clock_skew":     grammar.DurationOrZero(&h.ClockSkew),
		"max_body_size":  grammar.Size(&h.MaxBodySize),
		"handshake":      h.readHandshake,
		"trusted_peer":   grammar.Choice(&h.TrustedPeer, config.PeerWords),
		"cors_preflight": h.readPreflight,
		"credentials":    grammar.Choice(&h.Credentials, credentialsWords),
		"headers":        grammar.Text(&h.Headers, checkPrefix),
		"errors":         grammar.Choice(&h.Errors, errorsWords),
	})
	return all
}
