// Package mwoauth is what xcaddy builds into Caddy: the directive oauth (module
// http.handlers.oauth), which checks the OAuth 1.0a signatures and OAuth 2
// bearer tokens of a MediaWiki site in front of any backend, and the driver for
// MySQL and MariaDB.
//
//	xcaddy build --with github.com/caddy-mwoauth/caddy-mwoauth
//
// PostgreSQL and SQLite are packages of their own: --with
// github.com/caddy-mwoauth/caddy-mwoauth/store/postgres or store/sqlite. The
// decisions without Caddy are in package validator.
package mwoauth

import (
	_ "github.com/caddy-mwoauth/caddy-mwoauth/caddymodule" // registers with Caddy
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/mysql" // registers with store
)
