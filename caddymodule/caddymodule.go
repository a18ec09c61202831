// Package caddymodule registers the module of this project with Caddy: the
// directive oauth and the command `caddy oauth`. The packages below it are all
// that knows Caddy.
package caddymodule

import (
	_ "github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/cli"     // registers the command
	_ "github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/gateway" // registers the directive
	_ "github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/server"  // registers the directive oauth_server
)
