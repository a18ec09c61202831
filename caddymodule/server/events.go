package server

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/logs"
)

// eventLog writes one line for each consent, denial, token that is issued,
// refreshed or revoked, and refusal. Refusals of requests that no user stands
// behind are sampled by reason, because strangers make them for nothing; the other
// lines are a record of what happened.
type eventLog struct {
	record    *zap.Logger
	strangers *zap.Logger
}

func newEventLog(log *zap.Logger) *eventLog { return &eventLog{log, logs.Sampled(log)} }

// write writes the line of an event. No event holds a token.
func (l *eventLog) write(r *http.Request, wiki string, e *authserver.Event) {
	log, level, message := l.record, zapcore.InfoLevel, e.Kind.String()
	switch e.Kind {
	case authserver.Shown, authserver.Told:
		level = zapcore.DebugLevel
	case authserver.Refused:
		message = "refused: " + e.Reason
		if e.UserID == 0 {
			log = l.strangers
		}
	case authserver.Unavailable:
		log, level, message = l.strangers, zapcore.ErrorLevel, "refused: "+e.Reason
		if r.Context().Err() != nil {
			level = zapcore.DebugLevel // the client has left: that is why
		}
	}
	entry := log.Check(level, message)
	if entry == nil {
		return
	}
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	fields := []zap.Field{
		zap.String("endpoint", e.Endpoint.String()),
		zap.String("consumer_key", logs.Bounded(e.ConsumerKey)),
		zap.Uint64("user_id", e.UserID),
		zap.String("client_ip", ip),
		zap.String("wiki", wiki),
	}
	if e.Reason != "" {
		fields = append(fields, zap.String("reason", e.Reason))
	}
	entry.Write(append(fields, zap.Error(e.Err))...)
}

// metrics are those of the process: they go on over a reload.
var metrics = newInstruments()

type instruments struct{ events *prometheus.CounterVec }

func newInstruments() *instruments {
	return &instruments{events: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "caddy_oauth_server_events_total",
		Help: "Requests to the endpoints that issue credentials, by what came of them, and why.",
	}, []string{"endpoint", "event", "reason"})}
}

// register adds the collectors to the registry of one configuration, which may
// have several handlers.
func (m *instruments) register(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{m.events, stateCollector{}} {
		err := registry.Register(c)
		if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !already {
			return err
		}
	}
	return nil
}

// count counts an event. Each label has a small, fixed set of values.
func (m *instruments) count(e *authserver.Event) {
	m.events.WithLabelValues(e.Endpoint.String(), e.Kind.String(), e.Reason).Inc()
}
