package config

import (
	"encoding/json"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/grammar"
)

const (
	usersLocal       = "local"
	usersCentralAuth = "centralauth"

	rulesStandard = "standard"
	// RulesMediaWiki is the word of the rules that follow MediaWiki.
	RulesMediaWiki = "mediawiki"

	blocksOn       = "on"
	blocksSitewide = "sitewide"
	blocksOff      = "off"

	peerProxy = "proxy"
	// PeerClient is the word of a trusted peer that may be the client itself.
	PeerClient = "client"

	// noSecretKey is the secret_key of a wiki that uses secrets as stored.
	noSecretKey = "none"
)

var (
	usersWords  = grammar.Words{Setting: "users", Built: []string{usersLocal, usersCentralAuth}}
	rulesWords  = grammar.Words{Setting: "rules", Built: []string{rulesStandard, RulesMediaWiki}}
	noncesWords = grammar.Words{Setting: "nonces", Built: []string{"memory"}, Later: []string{"redis"}, Unquoted: true}
	blocksWords = grammar.Words{Setting: "block_disables_login", Built: []string{blocksOn, blocksSitewide, blocksOff}}
	// PeerWords are those of trusted_peer.
	PeerWords    = grammar.Words{Setting: "trusted_peer", Built: []string{peerProxy, PeerClient}}
	requireWords = grammar.Words{Setting: "require", Built: requirementWords()}
)

// Blocks is `on`, `sitewide` or `off`.
type Blocks string

// UnmarshalJSON reads the word, or true for on and false for off.
func (b *Blocks) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "true":
		*b = blocksOn
		return nil
	case "false":
		*b = blocksOff
		return nil
	}
	return json.Unmarshal(text, (*string)(b))
}
