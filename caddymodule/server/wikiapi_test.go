package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
)

const aliceAnswer = `{"batchcomplete":true,"query":{"users":[{"userid":3,"name":"Alice","editcount":42,
	"implicitgroups":["*","user","autoconfirmed"],"groups":["*","user","autoconfirmed","sysop","bot"],"rights":["read","edit"]}]}}`

// api is a wiki_api whose wiki answers as the test says.
func api(t *testing.T, host string, answer http.HandlerFunc) *wikiAPI {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	a := newWikiAPI(server.URL+"/w/api.php", host, nil, wikiTimeout)
	t.Cleanup(a.close)
	return a
}

func TestWikiAPI(t *testing.T) {
	asked := 0
	a := api(t, "wiki.example", func(w http.ResponseWriter, r *http.Request) {
		asked++
		q := r.URL.Query()
		if r.Host != "wiki.example" || r.URL.Path != "/w/api.php" || q.Get("ususers") != "Alice" || q.Get("usprop") != "groups|rights|implicitgroups|editcount" {
			t.Errorf("asked %s %s", r.Host, r.URL)
		}
		if len(r.Cookies()) > 0 || r.Header.Get("Authorization") != "" {
			t.Errorf("a credential is sent: %v", r.Header)
		}
		fmt.Fprint(w, aliceAnswer)
	})
	clock := time.Unix(1_700_000_000, 0)
	a.now = func() time.Time { return clock }
	for range 3 {
		u, err := a.PublicUser(t.Context(), "Alice")
		if err != nil || u.EditCount != 42 || !reflect.DeepEqual(u.Groups, []string{"sysop", "bot", "*", "user", "autoconfirmed"}) || len(u.Rights) != 2 {
			t.Fatalf("%+v, %v", u, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times within a minute", asked)
	}
	clock = clock.Add(wikiKept)
	if _, err := a.PublicUser(t.Context(), "Alice"); err != nil || asked != 2 {
		t.Errorf("after a minute: asked %d times, %v", asked, err)
	}
}

// What is not an answer about the user is an error, and is not kept.
func TestWikiAPIErrors(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"status 500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"status 302": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"larger than": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat(" ", wikiMaxAnswer), aliceAnswer)
		},
		"not JSON":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"with an error": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"error":{"code":"readapidenied"}}`) },
		"does not know": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"query":{"users":[{"name":"Alice","missing":true}]}}`)
		},
		"the user": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.ReplaceAll(aliceAnswer, "Alice", "Bob"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			a := api(t, "", func(w http.ResponseWriter, r *http.Request) {
				asked++
				if r.URL.Path != "/w/api.php" {
					t.Errorf("asked %s", r.URL)
				}
				answer(w, r)
			})
			for range 2 {
				if _, err := a.PublicUser(t.Context(), "Alice"); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "Alice") {
					t.Errorf("error %v", err)
				}
			}
			if asked != 2 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
	a := newWikiAPI("http://127.0.0.1:1/w/api.php", "", nil, wikiTimeout)
	if _, err := a.PublicUser(t.Context(), "Alice"); err == nil || strings.Contains(err.Error(), "ususers") {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := a.PublicUser(t.Context(), "A|B"); err == nil || !strings.Contains(err.Error(), "no name") {
		t.Errorf("two names: %v", err)
	}
}

// The empty name is whoever is not signed in.
func TestWikiAPIOfNobody(t *testing.T) {
	const answer = `{"query":{"userinfo":{"id":0,"name":"192.0.2.1","anon":true,"rights":["read","edit"]}}}`
	for body, want := range map[string]string{
		answer: "",
		strings.Replace(answer, `"id":0`, `"id":7`, 1): "takes the gateway for a user",
		strings.Replace(answer, `"anon":true,`, ``, 1): "takes the gateway for a user",
		`{"error":{"code":"readapidenied"}}`:           "with an error",
		`<html>`:                                       "not JSON",
		`{"query":{}}`:                                 "takes the gateway for a user",
	} {
		a := api(t, "", func(w http.ResponseWriter, r *http.Request) {
			if q := r.URL.Query(); q.Get("meta") != "userinfo" || q.Get("uiprop") != "rights" || q.Has("ususers") || len(r.Cookies()) > 0 {
				t.Errorf("asked %s", r.URL)
			}
			fmt.Fprint(w, body)
		})
		u, err := a.PublicUser(t.Context(), "")
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", body, err, want)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(u.Rights, []string{"read", "edit"}) {
			t.Errorf("%s: %+v, %v", body, u, err)
		}
	}
}

func TestWikiAPIIsBounded(t *testing.T) {
	a := newWikiAPI("http://127.0.0.1:1/", "", nil, wikiTimeout)
	for i := range wikiMaxKept + 5 {
		a.keep(fmt.Sprint(i), readUserOrFail(t))
	}
	if n := len(a.known); n == 0 || n > wikiMaxKept {
		t.Errorf("%d users are kept", n)
	}
}

func TestCheckAPI(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://wiki.example/w/api.php":      true,
		"http://127.0.0.1:8080/w/api.php":     true,
		"http://[::1]/w/api.php":              true,
		"http://localhost/w/api.php":          true,
		"http://wiki.example/w/api.php":       false,
		"http://127.0.0.1.example/w/api.php":  false,
		"ftp://127.0.0.1/":                    false,
		"https://user:hunter2@wiki.example/w": false,
		"https://wiki.example/?a=b":           false,
		"https://wiki.example/#a":             false,
		"https:///w":                          false,
		"/w/api.php":                          false,
		"":                                    false,
	} {
		err := checkAPI("wiki_api")(address)
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func readUserOrFail(t *testing.T) (u authserver.PublicUser) {
	t.Helper()
	u, err := readUser([]byte(aliceAnswer), "Alice")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// The wiki's answer is not ours: whatever it holds, it is an error or one user.
func FuzzReadUser(f *testing.F) {
	f.Add([]byte(aliceAnswer))
	f.Add([]byte(`{"query":{"users":[{"userid":3,"name":"Alice","groups":null}]}}`))
	f.Add([]byte(`{"error":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if u, err := readUser(body, "Alice"); err == nil && u.Groups == nil {
			t.Error("groups would be written as null")
		}
	})
}
