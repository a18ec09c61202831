package gateway

import (
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/golden"
)

func TestCaddyfile(t *testing.T) { golden.Test(t) }

func TestJSONRoundTrip(t *testing.T) { golden.TestRoundTrips[Handler](t, "oauth", 5) }

func FuzzCaddyfile(f *testing.F) { golden.Fuzz[Handler](f, "oauth") }

// handlersIn decodes the oauth handlers of an adapted configuration.
func handlersIn(tb testing.TB, config []byte) []*Handler {
	tb.Helper()
	return golden.Handlers[Handler](tb, config, "oauth")
}
