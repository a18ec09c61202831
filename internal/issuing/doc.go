// Package issuing replays what a real MediaWiki did when it issued tokens against
// the directive oauth_server: the handshake of OAuth 1.0a, OAuth 2, and the rows
// that they write. It holds tests alone.
package issuing
