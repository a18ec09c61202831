package server

import (
	"os"
	"reflect"
	"strings"
	"testing"

	_ "github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/gateway" // registers oauth and its global option
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/golden"
	_ "github.com/caddy-mwoauth/caddy-mwoauth/store/mysql" // registers the driver
)

func TestCaddyfile(t *testing.T) { golden.Test(t) }

func TestJSONRoundTrip(t *testing.T) { golden.TestRoundTrips[Handler](t, "oauth_server", 5) }

func FuzzCaddyfile(f *testing.F) { golden.Fuzz[Handler](f, "oauth_server") }

// TestEverySettingHasAField holds the golden file that has every subdirective to
// the fields of the module: it sets each of them.
func TestEverySettingHasAField(t *testing.T) {
	config, text := golden.Adapt(golden.Files(t)["everything"].Caddyfile)
	if config == nil {
		t.Fatal(text)
	}
	all := golden.Handlers[Handler](t, config, "oauth_server")
	if len(all) != 1 {
		t.Fatalf("%d handlers", len(all))
	}
	v := reflect.ValueOf(all[0]).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && v.Field(i).IsZero() && f.Name != "Wikis" {
			t.Errorf("%s is not set", f.Name)
		}
	}
}

// TestSharedWordsAreDocumented finds the subdirectives of both directives in the
// comment of the grammar. gateway's TestManual finds those of this one alone.
func TestSharedWordsAreDocumented(t *testing.T) {
	source, err := os.ReadFile("caddyfile.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, _, _ := strings.Cut(string(source), "func (h *Handler) UnmarshalCaddyfile")
	shared := new(Handler).site().Subdirectives()
	if len(shared) < 10 {
		t.Fatalf("%d subdirectives", len(shared))
	}
	for name := range shared {
		line := "//\t    " + name
		if !strings.Contains(comment, line+" ") && !strings.Contains(comment, line+"\n") {
			t.Errorf("%s is not in the comment of UnmarshalCaddyfile", name)
		}
	}
}
