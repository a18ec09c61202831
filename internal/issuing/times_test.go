package issuing_test

import (
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// TestTimes plays the recorded flows that wait, and those of times.json, which we
// made, through the directive in a bubble whose clock is set: nothing waits there,
// and all that the directive reads of the time is the bubble's. The database is
// SQLite, because what a server of its own does is no part of the bubble.
func TestTimes(t *testing.T) {
	f := readFixtures(t)
	var cases, made []recorded
	readJSON(t, "testdata/cases.json", &cases)
	readJSON(t, "testdata/times.json", &made)
	cases, _ = replayable(cases, true)
	if len(cases) != 4 {
		t.Errorf("%d recorded flows wait, want 4", len(cases))
	}
	const addr = "127.0.0.1:8046"
	db := openSQLite(t, "http://"+addr)
	b := builder{keys: writeKeys(t, f), f: f}
	for _, c := range append(cases, made...) {
		t.Run(c.ID, func(t *testing.T) {
			present := time.Now()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(present))
				p := player{t, f, serve(t, b.directive(c.Variant, addr, db)), "http://" + addr, map[string]string{}}
				for i := range c.Steps {
					p.play(i, &c.Steps[i])
				}
			})
		})
	}
}

// serve returns the handler of a directive.
func serve(t *testing.T, directive string) http.Handler {
	t.Helper()
	module, err := caddy.GetModule("http.handlers.oauth_server")
	if err != nil {
		t.Fatal(err)
	}
	h, ok := module.New().(interface {
		caddyfile.Unmarshaler
		caddy.Provisioner
		caddy.Validator
		caddy.CleanerUpper
		caddyhttp.MiddlewareHandler
	})
	if !ok {
		t.Fatalf("%T is not a handler", h)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(func() {
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	err = h.UnmarshalCaddyfile(caddyfile.NewTestDispenser(directive))
	if err == nil {
		err = h.Provision(ctx)
	}
	if err == nil {
		err = h.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repl := caddy.NewReplacer()
		if user, _, ok := r.BasicAuth(); ok {
			repl.Set("http.auth.user.id", user)
		}
		r = caddyhttp.PrepareRequest(r, repl, w, new(caddyhttp.Server))
		next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
			t.Errorf("%s was passed on", r.URL)
			return nil
		})
		if err := h.ServeHTTP(w, r, next); err != nil {
			t.Error(err)
		}
	})
}

// player plays the steps of a case, as far as cases that wait need it.
type player struct {
	t       *testing.T
	f       fixtures
	handler http.Handler
	base    string
	vars    map[string]string
}

// expected is what was recorded of a step, as far as it is compared.
type expected struct {
	Status            int
	JSON              map[string]any
	Outcome, Location string
	Dialog            bool
}

func (p *player) play(i int, s *step) {
	p.t.Helper()
	var more struct {
		Consumer, Token, Browser string
		TokenSecret              string `json:"token_secret"`
		Seconds                  int
		Expect                   expected
	}
	if err := json.Unmarshal([]byte(p.fill(s.text)), &more); err != nil {
		p.t.Fatal(err)
	}
	var got *httptest.ResponseRecorder
	target := p.fill(s.URL)
	for j, pair := range s.Query {
		target += map[bool]string{true: "?", false: "&"}[j == 0 && !strings.Contains(target, "?")] + url.QueryEscape(pair[0]) + "=" + url.QueryEscape(p.fill(pair[1]))
	}
	switch s.Do {
	case "sleep":
		time.Sleep(time.Duration(more.Seconds) * time.Second)
		return
	case "oauth1":
		got = p.signed(s, more.Consumer, more.Token, more.TokenSecret)
	case "http":
		method, form := http.MethodGet, url.Values{}
		for _, pair := range s.Form {
			method = http.MethodPost
			form.Add(pair[0], p.fill(pair[1]))
		}
		got = p.send(method, target, form, func(h http.Header) {
			for _, pair := range s.Headers {
				h.Set(pair[0], p.fill(pair[1]))
			}
		})
	case "browse":
		got = p.browse(target, more.Browser, s.Press)
	default:
		p.t.Fatalf("step %d: %q is not played here", i+1, s.Do)
	}
	p.save(s.Save, got)
	// Once more, with what this step has saved.
	if err := json.Unmarshal([]byte(p.fill(s.text)), &more); err != nil {
		p.t.Fatal(err)
	}
	p.compare(i, more.Expect, got)
}

// fill puts the values of variables into a text of JSON, or another one.
func (p *player) fill(text string) string {
	return variableUse.ReplaceAllStringFunc(text, func(use string) string {
		name := use[2 : len(use)-2]
		if app, field, found := strings.Cut(strings.TrimPrefix(name, "c:"), "."); found {
			c := p.f.Consumers[app]
			return map[string]string{"key": c.Key, "secret": c.Secret}[field]
		}
		if page, found := strings.CutPrefix(name, "oauth1:"); found {
			return p.base + "/oauth/" + page
		}
		if name == "rest" {
			return p.base
		}
		if v, found := p.vars[name]; found {
			return v
		}
		return use
	})
}

// signed sends a request that is signed by the secret of an app, and of a token.
func (p *player) signed(s *step, app, token, secret string) *httptest.ResponseRecorder {
	var o sign.Options
	for name, value := range s.OAuth {
		switch name {
		case "oauth_callback":
			o.Callback = p.fill(*value)
		case "oauth_verifier":
			o.Verifier = p.fill(*value)
		default:
			p.t.Fatalf("%s is not played here", name)
		}
	}
	target := p.base + "/oauth/" + s.Page + "?format=json"
	c := p.f.Consumers[app]
	header, err := sign.Header(sign.Credentials{ConsumerKey: c.Key, ConsumerSecret: c.Secret, Token: token, TokenSecret: secret},
		http.MethodPost, target, nil, o)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.send(http.MethodPost, target, nil, func(h http.Header) { h.Set("Authorization", header) })
}

func (p *player) send(method, target string, form url.Values, change func(h http.Header)) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(form.Encode()))
	if len(form) > 0 {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	change(r.Header)
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w
}

// browse opens a page, and presses a button of its form if there is one.
func (p *player) browse(target, user, press string) *httptest.ResponseRecorder {
	asUser := func(h http.Header) {
		r := http.Request{Header: h}
		r.SetBasicAuth(user, p.f.Users[user].Password)
		h.Set("Sec-Fetch-Site", "same-origin")
	}
	w := p.send(http.MethodGet, target, nil, asUser)
	fields := hiddenField.FindAllStringSubmatch(w.Body.String(), -1)
	if len(fields) == 0 {
		return w
	}
	form := url.Values{map[string]string{"accept": "approve", "cancel": "cancel"}[press]: {"1"}}
	for _, m := range fields {
		form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return p.send(http.MethodPost, target, form, asUser)
}

// save keeps parts of an answer, and forgets those that it lacks.
func (p *player) save(what map[string]string, w *httptest.ResponseRecorder) {
	var fields map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &fields) // a page has none
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil {
		p.t.Fatal(err)
	}
	for name, how := range what {
		kind, field, _ := strings.Cut(how, ":")
		value := location.Query().Get(field)
		if kind == "json" {
			value, _ = fields[field].(string)
		}
		if p.vars[name] = value; value == "" {
			delete(p.vars, name)
		}
	}
}

func (p *player) compare(i int, want expected, w *httptest.ResponseRecorder) {
	p.t.Helper()
	body, _ := io.ReadAll(w.Body)
	var fields map[string]any
	_ = json.Unmarshal(body, &fields)
	location := w.Header().Get("Location")
	switch want.Outcome {
	case "callback":
		if location != want.Location {
			p.t.Errorf("step %d: to %q, want %q\n%s", i+1, location, want.Location, body)
		}
	case "page":
		if location != "" || w.Code < 400 || w.Code > 499 {
			p.t.Errorf("step %d: %d, to %q, want a page\n%s", i+1, w.Code, location, body)
		}
	default:
		if w.Code != want.Status || want.JSON != nil && !reflect.DeepEqual(fields, want.JSON) {
			p.t.Errorf("step %d: %d %s\nwant %d %v", i+1, w.Code, body, want.Status, want.JSON)
		}
	}
}
