// Package authserver issues the credentials that package validator checks: it
// plays the server's part of MediaWiki's OAuth 1.0a handshake and of OAuth 2.
//
// A [Server] answers one [Request] for one [Endpoint] with an [Answer]. It knows
// neither Caddy nor SQL nor HTML. It reads and writes the tables of MediaWiki's
// OAuth extension through a [Tables], keeps request tokens in a [State], and asks
// the caller who is at the browser. A page for a person is returned as data
// ([Page]); the caller renders it.
//
// What the server decides, and the words that it answers with, are those of
// MediaWiki 1.39, where they were recorded. Where MediaWiki is unsafe, the server
// is not: docs/differences.md has a row for each case.
package authserver
