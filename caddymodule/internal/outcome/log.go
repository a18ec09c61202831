package outcome

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/logs"
	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// Log writes one line per refusal, sampled by reason.
type Log struct{ log *zap.Logger }

// NewLog returns a Log that writes to a logger.
func NewLog(log *zap.Logger) *Log { return &Log{logs.Sampled(log)} }

// refusalMessages has a message per reason, by which the sampler tells them apart.
var refusalMessages = func() []string {
	var all []string
	for _, reason := range validator.Reasons() {
		all = append(all, "refused: "+reason.String())
	}
	return all
}()

// Refused logs a refusal, and the cause if it is not the client's fault. What
// explain returns helps an operator to find the cause, and is made only if the
// line is written.
func (l *Log) Refused(r *http.Request, d *validator.Decision, wiki string, explain func(*http.Request, *validator.Decision, string) []zap.Field) {
	level := zapcore.InfoLevel
	if d.Verdict == validator.Unavailable {
		level = zapcore.ErrorLevel
		if r.Context().Err() != nil || isMismatch(d.Err) {
			level = zapcore.DebugLevel // the client has left, or the store has logged it already
		}
	}
	entry := l.log.Check(level, refusalMessages[d.Reason])
	if entry == nil {
		return
	}
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	entry.Write(append([]zap.Field{
		zap.String("reason", d.Reason.String()),
		zap.String("protocol", d.Protocol.String()),
		zap.String("consumer_key", logs.Bounded(d.Consumer)),
		zap.String("client_ip", ip),
		zap.String("wiki", logs.Bounded(wiki)), // of a farm: what the request makes of it
		earlyBy(d),
		zap.Error(d.Err),
	}, explain(r, d, wiki)...)...)
}

// earlyBy is the time by which a bearer token came too early. A moment is the
// difference of two clocks, which clock_skew allows for.
func earlyBy(d *validator.Decision) zap.Field {
	if d.Reason != validator.TokenNotYetValid {
		return zap.Skip()
	}
	return zap.Duration("early_by", d.Early)
}

// isMismatch reports whether the tables of a wiki are not what they should be.
func isMismatch(err error) bool {
	_, mismatch := errors.AsType[*store.SchemaError](err)
	return mismatch
}
