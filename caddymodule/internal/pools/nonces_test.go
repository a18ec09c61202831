package pools

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache/nonces"
	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/config"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// TestTheMemoryOfNoncesIsWatched fills a memory, and looks for the line in the
// log of the latest configuration and for the figures.
func TestTheMemoryOfNoncesIsWatched(t *testing.T) {
	emptied(t)
	h := &fields{Store: &config.Store{Driver: "mysql", DSN: "u:p@tcp(db)/wiki"}, Nonces: &config.Nonces{Size: 1 << 20}}
	s := h.settings(t)
	core, lines := observer.New(zapcore.DebugLevel)
	first := open(t, s)
	second, err := Open(s, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	first.Release()
	memory := noncesOf(t, second)

	refused := 0
	for user := uint64(1); refused == 0; user++ {
		for i := range 64 {
			use := validator.NonceUse{UserID: user, Nonce: strconv.Itoa(i), Key: validator.Key{Token: strconv.FormatUint(user, 10)}}
			use.Until = time.Now().Add(5 * time.Minute)
			if fresh, err := memory.Use(t.Context(), use); err != nil {
				refused++
			} else if !fresh {
				t.Fatal("a replay")
			}
		}
	}
	warned := lines.FilterMessageSnippet("nearly full").All()
	if len(warned) != 1 || warned[0].Level != zapcore.WarnLevel || !strings.Contains(warned[0].Message, "nonces memory size") {
		t.Fatalf("logged %v", warned)
	}
	if bytes, capacity := warned[0].ContextMap()["bytes"].(int64), warned[0].ContextMap()["capacity_bytes"].(int64); bytes*5 < capacity*4 || bytes > capacity*81/100 {
		t.Errorf("warned at %d of %d bytes", bytes, capacity)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(&metrics.memories)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	if got["caddy_oauth_nonces_used_ratio"] < 1 || got["caddy_oauth_nonces_capacity_bytes"] < 800<<10 || got["caddy_oauth_nonces_capacity_bytes"] > 1<<20 {
		t.Errorf("%v", got)
	}
	for event, want := range map[nonces.Event]string{nonces.Relieved: "no longer", nonces.ClockBack: "clock was set back"} {
		memory.notify(event, nonces.Stats{})
		if lines.FilterMessageSnippet(want).Len() != 1 {
			t.Errorf("no line with %q", want)
		}
	}
}

// noncesOf returns the memory of nonces that a lease has taken.
func noncesOf(t *testing.T, l *Lease) *nonceMemory {
	t.Helper()
	memory, _, _ := nonceMemories.LoadOrNew(l.keys()[2], nil)
	if _, err := nonceMemories.Delete(l.keys()[2]); err != nil {
		t.Fatal(err)
	}
	m, ok := memory.(*nonceMemory)
	if !ok {
		t.Fatalf("a %T", memory)
	}
	return m
}

// TestAnotherNameOfTheServer replays a request to a site that names the same
// database by another address, as after a switch of the primary.
func TestAnotherNameOfTheServer(t *testing.T) {
	use := validator.NonceUse{UserID: 1, Nonce: "n", Until: time.Now().Add(time.Minute)}
	for i, dsn := range []string{"u:p@tcp(db1)/alias", "u:p@tcp(db2)/alias"} {
		l := open(t, (&fields{Store: &config.Store{Driver: "mysql", DSN: dsn}}).settings(t))
		defer l.Release()
		if fresh, err := noncesOf(t, l).Use(t.Context(), use); fresh != (i == 0) || err != nil {
			t.Errorf("%s: %t, %v", dsn, fresh, err)
		}
	}
}
