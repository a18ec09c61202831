// Command caddy is Caddy with this module built in, as xcaddy would build it.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-mwoauth/caddy-mwoauth"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/postgres"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/sqlite"
)

func main() { caddycmd.Main() }
