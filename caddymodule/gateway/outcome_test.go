package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-mwoauth/caddy-mwoauth/caddymodule/internal/outcome"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

func TestPlaceholders(t *testing.T) {
	s := newShell(t, &Handler{}, allow())
	if _, err := s.serve(t, get("/")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"http.auth.user.id": "42", "http.auth.user.name": "Zoë, 50%", "http.auth.user.groups": "sysop,a%2Cb",
		"http.auth.user.grants": "basic,editpage", "http.auth.user.consumer_key": "0123456789abcdef0123456789abcdef",
		"http.auth.user.consumer_name": "My app", "http.auth.user.version": "1.0a", "http.auth.user.wiki": "enwiki",
		"http.oauth.reason": "ok",
	} {
		if got, found := s.repl.GetString(name); got != want || !found {
			t.Errorf("{%s} is %q, %v", name, got, found)
		}
	}
	if _, found := s.repl.Get("http.auth.user.email"); found {
		t.Error("an unknown placeholder is known")
	}

	alone := allow()
	alone.Identity.UserID = 0
	s = newShell(t, &Handler{}, alone)
	if _, err := s.serve(t, get("/")); err != nil {
		t.Fatal(err)
	}
	if id, found := s.repl.GetString("http.auth.user.id"); id != "" || !found {
		t.Errorf("id of a client's own token is %q", id)
	}

	// Where nobody is proven they are empty: a header made of an unknown one
	// would say "{http.auth.user.id}".
	for _, d := range []validator.Decision{anonymous, deny(validator.BadSignature)} {
		d.Identity, d.Protocol = allow().Identity, validator.OAuth1 // as if the core had left it there
		s = newShell(t, &Handler{Mode: modeOptional}, d)
		if _, err := s.serve(t, get("/")); err != nil {
			t.Fatal(err)
		}
		if got := s.repl.ReplaceKnown("{http.auth.user.id},{http.auth.user.groups},{http.auth.user.version}", ""); got != ",," {
			t.Errorf("%s: id, groups and version are %q", d.Verdict, got)
		}
	}
}

// What another handler has said of its user before must not stand beside our id.
func TestPlaceholdersOfAnotherHandlerGo(t *testing.T) {
	s := newShell(t, &Handler{}, allow())
	inner := s.next
	var repl *caddy.Replacer
	outer := newShell(t, &Handler{Mode: modeStrip}, anonymous)
	outer.next = func(w http.ResponseWriter, r *http.Request) error {
		repl = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		repl.Set("http.auth.user.id", "admin")
		repl.Set("http.auth.user.email", "admin@wiki.example")
		return s.ServeHTTP(w, r, inner)
	}
	if _, err := outer.serve(t, get("/")); err != nil {
		t.Fatal(err)
	}
	id, _ := repl.GetString("http.auth.user.id")
	if email, found := repl.GetString("http.auth.user.email"); id != "42" || found {
		t.Errorf("id %q, email %q", id, email)
	}
}

func TestTheSecondHandlerCounts(t *testing.T) {
	first, second := newShell(t, &Handler{Mode: modeOptional}, anonymous), newShell(t, &Handler{}, deny(validator.WrongWiki))
	first.next = func(w http.ResponseWriter, r *http.Request) error { return second.ServeHTTP(w, r, second.next) }
	if _, err := first.serve(t, get("/")); err != nil {
		t.Fatal(err)
	}
	if got, _ := first.repl.GetString("http.oauth.reason"); got != "wrong_wiki" {
		t.Errorf("reason %q", got)
	}
}

func TestAccessLogFields(t *testing.T) {
	unproven := deny(validator.UnknownConsumer)
	unproven.Consumer = strings.Repeat("k", 100) + "\xff"
	for _, test := range []struct {
		decision validator.Decision
		want     map[string]any
	}{
		{allow(), map[string]any{
			"outcome": "allow", "reason": "ok", "protocol": "oauth1", "user_name": "Zoë, 50%",
			"consumer_key": "0123456789abcdef0123456789abcdef", "wiki": "enwiki",
		}},
		{unproven, map[string]any{
			"outcome": "deny", "reason": "unknown_consumer", "protocol": "oauth1", "consumer_key": strings.Repeat("k", 64), "wiki": "enwiki",
		}},
		{validator.Decision{Verdict: validator.Anonymous}, map[string]any{"outcome": "anonymous", "reason": "ok", "protocol": "none", "wiki": "enwiki"}},
	} {
		e := zapcore.NewMapObjectEncoder()
		if err := (&outcome.Outcome{Decision: test.decision, Wiki: "enwiki"}).MarshalLogObject(e); err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(e.Fields)
		want, _ := json.Marshal(test.want)
		if string(got) != string(want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// logged decodes the lines that a handler wrote.
func (s *shell) logged(tb testing.TB) []map[string]any {
	tb.Helper()
	var all []map[string]any
	for line := range strings.Lines(s.logs.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			tb.Fatal(err)
		}
		all = append(all, fields)
	}
	return all
}

func TestRefusalsAreLogged(t *testing.T) {
	bad := deny(validator.BadSignature)
	bad.Consumer = "evil\nkey\xff" + strings.Repeat("x", 100)
	s := newShell(t, &Handler{}, bad)
	r := get("/?oauth_signature=SIGNATURE&access_token=TOKEN")
	r.Header.Set("Authorization", `OAuth oauth_token="TOKEN", oauth_signature="SIGNATURE"`)
	if _, err := s.serve(t, r); err != nil {
		t.Fatal(err)
	}
	lines := s.logged(t)
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	for name, want := range map[string]any{
		"level": "info", "msg": "refused: bad_signature", "reason": "bad_signature", "protocol": "oauth1", "client_ip": "192.0.2.1", "wiki": "enwiki",
		"consumer_key": "evil\nkey?" + strings.Repeat("x", 64-9),
	} {
		if lines[0][name] != want {
			t.Errorf("%s is %q, want %q", name, lines[0][name], want)
		}
	}
	if text := s.logs.String(); strings.Contains(text, "SIGNATURE") || strings.Contains(text, "TOKEN") {
		t.Errorf("a credential is logged: %s", text)
	}
}

func TestPassesAreNotLogged(t *testing.T) {
	for _, d := range []validator.Decision{allow(), anonymous} {
		s := newShell(t, &Handler{Mode: modeOptional}, d)
		if _, err := s.serve(t, get("/")); err != nil {
			t.Fatal(err)
		}
		if s.logs.Len() > 0 {
			t.Errorf("logged %s", s.logs)
		}
	}
}

func TestTheCauseOf503IsLogged(t *testing.T) {
	d := deny(validator.StoreUnavailable)
	d.Verdict, d.Err = validator.Unavailable, errors.New("tcp(db1): connection refused")
	s := newShell(t, &Handler{Errors: errorsCaddy}, d)
	// Caddy would log each 5xx that is returned, with the whole request.
	response, err := s.serve(t, get("/"))
	if err != nil || problemIn(t, response).Reason != "store_unavailable" || response.Header.Get("Retry-After") == "" {
		t.Errorf("returned %v, status %d", err, response.StatusCode)
	}
	if lines := s.logged(t); len(lines) != 1 || lines[0]["level"] != "error" || lines[0]["error"] != "tcp(db1): connection refused" {
		t.Errorf("logged %s", s.logs)
	}
}

func TestLogIsSampledByReason(t *testing.T) {
	s := newShell(t, &Handler{}, deny(validator.UnknownToken))
	for range 50 {
		if _, err := s.serve(t, get("/")); err != nil {
			t.Fatal(err)
		}
	}
	// At most ten a second: a loaded machine may need some seconds for fifty
	// requests, but not five.
	if n := len(s.logged(t)); n < 10 || n >= 50 {
		t.Errorf("%d lines of 50 refusals", n)
	}
	s.logs.Reset()
	s.core.decision = deny(validator.BadSignature)
	if _, err := s.serve(t, get("/")); err != nil {
		t.Fatal(err)
	}
	if lines := s.logged(t); len(lines) != 1 || lines[0]["reason"] != "bad_signature" {
		t.Errorf("a flood of one reason hides another: %s", s.logs)
	}
}
