package pools

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mwoauth/caddy-mwoauth/store"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

type answering func() (validator.Facts, error)

func (a answering) Lookup(context.Context, validator.Key) (validator.Facts, error) { return a() }

func TestAMismatchIsToldOnce(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	var facts validator.Facts
	var err error
	w := watched{answering(func() (validator.Facts, error) { return facts, err }), "tables", new(schemaLog), zap.New(core)}
	ask := func(protocol validator.Protocol) string {
		for range 50 {
			_, _ = w.Lookup(t.Context(), validator.Key{Wiki: "enwiki", Protocol: protocol})
		}
		var said []string
		for _, entry := range logs.TakeAll() {
			said = append(said, fmt.Sprintf("%s %v %s", entry.Level, entry.ContextMap()["wiki"], entry.ContextMap()["error"]))
		}
		return strings.Join(said, "; ")
	}
	missing := func(message string) error {
		return fmt.Errorf("wrapped: %w", &store.SchemaError{Wiki: "enwiki", Message: message})
	}
	found := validator.Facts{Consumer: new(validator.Consumer), Acceptance: new(validator.Acceptance)}
	for i, step := range []struct {
		facts    validator.Facts
		err      error
		protocol validator.Protocol
		want     string // a part of the only line; empty: none
	}{
		{found, nil, validator.OAuth1, ""},
		{validator.Facts{}, missing("x"), validator.OAuth1, `error enwiki wrapped: wiki "enwiki": missing: x`},
		{validator.Facts{}, missing("x"), validator.OAuth1, ""},
		{validator.Facts{}, errors.New("down"), validator.OAuth1, ""}, // not known to be mended
		{validator.Facts{}, missing("y"), validator.OAuth1, `missing: y`},
		{validator.Facts{}, missing("x"), validator.OAuth1, ""},
		{found, nil, validator.OAuth2, ""},             // reads other tables
		{validator.Facts{}, nil, validator.OAuth1, ""}, // may not have read all
		{found, nil, validator.OAuth1, "info enwiki"},
		{found, nil, validator.OAuth1, ""},
		{validator.Facts{}, missing("x"), validator.OAuth1, "missing: x"},
		{validator.Facts{}, errors.Join(errors.New("no answer within 667ms"), missing("x")), validator.OAuth1, ""}, // of a replica
	} {
		facts, err = step.facts, step.err
		got := ask(step.protocol)
		if !strings.Contains(got, step.want) || (got == "") != (step.want == "") || strings.Contains(got, "; ") {
			t.Errorf("step %d: logged %q, want %q", i, got, step.want)
		}
	}
}

func TestEventsAreLogged(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	d := new(database)
	d.tell(store.Event{Text: "nobody listens"})
	d.log.Store(zap.New(core))
	d.tell(store.Event{Trouble: true, Text: "bad", Server: "tcp(db:3306)", Wiki: "enwiki", Err: errors.New("refused")})
	d.tell(store.Event{Text: "good", Server: "tcp(db:3306)"})
	got := logs.AllUntimed()
	if len(got) != 2 || got[0].Level != zapcore.WarnLevel || got[1].Level != zapcore.InfoLevel ||
		got[0].ContextMap()["server"] != "tcp(db:3306)" || got[0].ContextMap()["wiki"] != "enwiki" || got[0].ContextMap()["error"] != "refused" {
		t.Errorf("logged %+v", got)
	}
}
