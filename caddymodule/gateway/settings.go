package gateway

import (
	"cmp"

	"github.com/rs/cors"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/idheaders"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikipath"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// settings are the fields of a Handler with defaults filled in, placeholders
// replaced and files read.
type settings struct {
	site             config.Settings
	mode             string
	headers          idheaders.Headers
	passPreflight    bool
	cors             *cors.Cors     // nil: the gateway answers no preflights itself
	handshake        *wikipath.Wiki // finds what is left to the wiki; nil: nothing
	peerMayBeClient  bool
	stripCredentials bool
	answer           string // of refusals
	challenges       validator.Challenges
}

const defaultPrefix = "X-OAuth-"

// site returns the fields that both directives have.
func (h *Handler) site() config.Site {
	return config.Site{
		Store:              &h.Store,
		Wiki:               &h.Wiki,
		Wikis:              &h.Wikis,
		Users:              &h.Users,
		MediaWiki:          &h.MediaWiki,
		Rules:              &h.Rules,
		SecretKey:          &h.SecretKey,
		PublicKey:          &h.PublicKey,
		BaseURL:            &h.BaseURL,
		Consumers:          &h.Consumers,
		BlockDisablesLogin: &h.BlockDisablesLogin,
		TimestampWindow:    &h.TimestampWindow,
		MaxFormSize:        &h.MaxFormSize,
		Cache:              &h.Cache,
		Nonces:             &h.Nonces,
		Realm:              &h.Realm,
	}
}

// resolve fills in and checks the configuration. It returns all mistakes at once.
func (h *Handler) resolve() (settings, error) {
	r := config.NewResolver("oauth")
	s := settings{
		mode:             r.Choice(modeWords, h.Mode),
		headers:          resolveHeaders(r, h.Headers),
		peerMayBeClient:  r.Choice(config.PeerWords, h.TrustedPeer) == config.PeerClient,
		passPreflight:    r.Choice(preflightWords, h.CORSPreflight) == preflightPass,
		stripCredentials: r.Choice(credentialsWords, h.Credentials) == credentialsStrip,
		answer:           r.Choice(errorsWords, h.Errors),
		handshake:        resolveHandshake(r, h.Handshake),
	}
	if s.mode == modeStrip {
		return s, r.Err()
	}
	s.cors = resolveCORS(r, h)
	s.site = r.Site(h.site(), h.policy(r))
	s.challenges = validator.NewChallenges(s.site.Realm, s.site.Policy.Require)
	return s, r.Err()
}

// policy resolves those parts of the policy that only this directive has.
func (h *Handler) policy(r *config.Resolver) validator.Policy {
	return validator.Policy{
		MaxBodySize: r.BodySize("max_body_size", h.MaxBodySize, validator.DefaultMaxBodySize),
		ClockSkew:   r.ClockSkew(h.ClockSkew, h.Rules),
		Require:     r.Require(h.Require),
	}
}

func resolveHeaders(r *config.Resolver, value string) idheaders.Headers {
	prefix := r.Checked("headers", value, checkPrefix)
	if value == headersOff {
		return idheaders.New(defaultPrefix, false)
	}
	return idheaders.New(cmp.Or(prefix, defaultPrefix), true)
}
