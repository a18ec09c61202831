package config

import "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

// init places both directives, oauth_server directly before oauth. Caddy lets a
// plugin place its directive next to one of Caddy's own alone, so the order of
// these two lines decides, and they stand in one package.
func init() {
	httpcaddyfile.RegisterDirectiveOrder("oauth_server", httpcaddyfile.Before, "basic_auth")
	httpcaddyfile.RegisterDirectiveOrder("oauth", httpcaddyfile.Before, "basic_auth")
}
