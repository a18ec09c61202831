// Package server is the Caddy module http.handlers.oauth_server with its directive
// oauth_server. What is issued, and to whom, is decided by package authserver.
package server
