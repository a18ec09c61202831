// Package e2e tests the whole gateway from end to end: a client, a real Caddy
// with the module, a real MariaDB with MediaWiki's tables, and a real backend.
// See its tests, which docs/security.md lists, and package harness.
package e2e
