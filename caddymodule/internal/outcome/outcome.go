// Package outcome publishes a decision to the rest of the request and to the
// logs.
package outcome

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/idheaders"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/logs"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Outcome is a decision as the rest of the request sees it: in placeholders and
// in the access log. Both are made when they are asked for, which most requests
// never do.
type Outcome struct {
	validator.Decision
	// Wiki is the id of the wiki that the request is for.
	Wiki string
	// Prefix is the folded prefix of the identity headers.
	Prefix string
}

const variable = "oauth.outcome"

const userPlaceholder = "http.auth.user."

// Publish makes placeholders and access-log fields of a decision.
func Publish(r *http.Request, now Outcome) {
	ctx := r.Context()
	repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	if now.Verdict == validator.Allow {
		// A replacer looks at values that were set one by one before it asks us.
		// What another handler set for the user before, such as groups, must not
		// appear together with our id.
		repl.DeleteByPrefix(userPlaceholder)
	}
	if before, ok := caddyhttp.GetVar(ctx, variable).(*Outcome); ok {
		*before = now // the replacer and the log have it already
		return
	}
	o := &now
	caddyhttp.SetVar(ctx, variable, o)
	repl.Map(o.placeholder)
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); !ok || server == nil || server.Logs == nil {
		return // no access log would write the fields
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Object("oauth", o))
	}
}

// Allowed reports whether a handler has let the request pass by its credential.
func Allowed(r *http.Request) bool {
	o, ok := caddyhttp.GetVar(r.Context(), variable).(*Outcome)
	return ok && o.Verdict == validator.Allow
}

// Decided reports whether another handler has decided about the request
// already, and set the identity headers of the prefix.
func Decided(r *http.Request, prefix string) bool {
	o, ok := caddyhttp.GetVar(r.Context(), variable).(*Outcome)
	return ok && o.Prefix == prefix
}

// placeholder gives {http.oauth.reason}, and {http.auth.user.*} of a proven
// identity. Where none is proven they are known and empty: Caddy leaves an
// unknown one in a header as it is written.
func (o *Outcome) placeholder(key string) (any, bool) {
	if key == "http.oauth.reason" {
		return o.Reason.String(), true
	}
	name, found := strings.CutPrefix(key, userPlaceholder)
	if !found {
		return nil, false
	}
	id, protocol := new(validator.Identity), validator.NoProtocol
	if o.Verdict == validator.Allow {
		id, protocol = &o.Identity, o.Protocol
	}
	switch name {
	case "id":
		if id.UserID == 0 {
			return "", true
		}
		return strconv.FormatUint(id.UserID, 10), true
	case "name":
		return id.UserName, true
	case "groups":
		return idheaders.EncodeList(id.Groups), true
	case "grants":
		return idheaders.EncodeList(id.Grants), true
	case "consumer_key":
		return id.ConsumerKey, true
	case "consumer_name":
		return id.ConsumerName, true
	case "version":
		return protocol.Version(), true
	case "wiki":
		return id.Wiki, true
	case "pages":
		return idheaders.EncodeList(id.Pages), true
	}
	return nil, false
}

// MarshalLogObject gives the fields of the access log. Caddy adds user_id itself.
func (o *Outcome) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString("outcome", o.Verdict.String())
	e.AddString("reason", o.Reason.String())
	e.AddString("protocol", o.Protocol.String())
	e.AddString("wiki", logs.Bounded(o.Wiki))
	if o.Verdict == validator.Allow {
		e.AddString("user_name", o.Identity.UserName)
		e.AddString("consumer_key", o.Identity.ConsumerKey)
	} else if o.Consumer != "" {
		e.AddString("consumer_key", logs.Bounded(o.Consumer))
	}
	return nil
}
