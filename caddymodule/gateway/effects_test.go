package gateway

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/golden"
)

// TestSettingsByMode tries every setting in every mode: the table of the modes
// knows each field, and a setting without effect is a mistake that names it.
func TestSettingsByMode(t *testing.T) {
	effective := map[string][]string{ // by field: in strip; all have an effect in the others
		modeStrip: {"Mode", "Headers", "Handshake"},
	}
	v := reflect.ValueOf(new(Handler)).Elem()
	tried := 0
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		use, known := uses[field.Name]
		if !known {
			t.Errorf("the table does not know %s", field.Name)
			continue
		}
		for _, mode := range modeWords.Built {
			h := new(Handler)
			setAny(reflect.ValueOf(h).Elem().Field(i))
			var got []string
			for _, mistake := range h.withoutEffect(mode, false) {
				got = append(got, mistake.Error())
			}
			wanted := mode != modeStrip || slices.Contains(effective[modeStrip], field.Name)
			if wanted != (got == nil) {
				t.Errorf("%s in mode %s: %q", field.Name, mode, got)
			}
			if !wanted && (!strings.Contains(got[0], "has no effect in mode strip") || !strings.Contains(got[0], "leave it out")) {
				t.Errorf("%s in mode %s: %q", field.Name, mode, got)
			}
			if inherited := h.withoutEffect(mode, true); (inherited == nil) != (wanted || use.ofWiki) {
				t.Errorf("%s in mode %s, inherited: %v", field.Name, mode, inherited)
			}
			tried++
		}
	}
	if tried < 3*len(uses) {
		t.Errorf("%d tried of %d settings", tried, len(uses))
	}
	for preflight, want := range map[string]bool{"": true, preflightAnswer: true, preflightCheck: false, preflightPass: false} {
		if got := (&Handler{CORSPreflight: preflight}).withoutEffect(modeOptional, false); (got == nil) != want {
			t.Errorf("cors_preflight %q in mode optional: %v", preflight, got)
		}
	}
}

// setAny sets a field to a value that is not its zero.
func setAny(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int64:
		v.SetInt(1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		m.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		v.Set(m)
	}
}

// What a site in mode strip takes from the global option is logged, unless it
// says what the wiki is.
func TestInheritedWithoutEffect(t *testing.T) {
	config, text := golden.Adapt("{\n\toauth {\n\t\tstore sqlite /x\n\t\twiki enwiki\n\t\trequire group sysop\n\t}\n}\n:8080 {\n\toauth {\n\t\tmode strip\n\t}\n}\n")
	if config == nil {
		t.Fatal(text)
	}
	handlers := handlersIn(t, config)
	if len(handlers) != 1 || len(handlers[0].Require) != 1 {
		t.Fatalf("handlers %+v", handlers)
	}
	var logs bytes.Buffer
	handlers[0].warn(zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logs), zapcore.DebugLevel)))
	if got := logs.String(); !strings.Contains(got, "require has no effect in mode strip") || strings.Contains(got, "store has no effect") {
		t.Errorf("logged %q", got)
	}
}
