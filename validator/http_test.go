package validator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

func TestMiddleware(t *testing.T) {
	s := newScene()
	v := s.verifier()
	server := httptest.NewServer(v.Middleware(`the "wiki"`, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		id := IdentityFrom(r.Context())
		_, _ = io.WriteString(w, id.UserName+" by "+id.ConsumerName+" says "+string(body))
	})))
	defer server.Close()
	send := func(method, form, auth string) *http.Response {
		r, err := http.NewRequest(method, server.URL+"/w/api.php?a=b", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		return response
	}
	signed := func(method, form, nonce string) string {
		value, err := sign.Header(s.creds, method, server.URL+"/w/api.php?a=b", []byte(form), sign.Options{Nonce: nonce, Timestamp: s.options.Timestamp})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}

	response := send("POST", "text=%c3%a9+1", signed("POST", "text=%c3%a9+1", "n1"))
	body, err := io.ReadAll(response.Body)
	if want := "Alice by App says text=%c3%a9+1"; err != nil || response.StatusCode != 200 || string(body) != want {
		t.Errorf("%d %q %v, want %q", response.StatusCode, body, err, want)
	}
	if vary := response.Header.Get("Vary"); vary != "Authorization" {
		t.Errorf("Vary: %q", vary)
	}

	response = send("POST", "text=1", signed("POST", "text=2", "n2"))
	var problem struct {
		Type, Title, Detail, Reason string
		Status                      int
	}
	if err := json.NewDecoder(response.Body).Decode(&problem); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 401 || problem.Status != 401 || problem.Reason != "bad_signature" || problem.Title != "Unauthorized" ||
		problem.Detail != BadSignature.Detail() || problem.Type != "about:blank" || response.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %+v", response.StatusCode, problem)
	}
	challenges := response.Header.Values("WWW-Authenticate")
	if len(challenges) != 2 || challenges[0] != `OAuth realm="the \"wiki\""` ||
		challenges[1] != `Bearer realm="the \"wiki\"", error="invalid_token", error_description="The signature does not match the request."` {
		t.Errorf("%q", challenges)
	}
	if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("Vary") != "Authorization" {
		t.Errorf("%v", response.Header)
	}

	response = send("HEAD", "", "")
	if response.StatusCode != 401 || response.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("%d %v", response.StatusCode, response.Header)
	}
}

// TestPrivate keeps an answer out of shared caches, which know a request by its
// URL, when the URL holds the credential.
func TestPrivate(t *testing.T) {
	s := newScene()
	handler := s.verifier().Middleware("x", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	const target = "/w/api.php?a=b"
	value, err := sign.Header(s.creds, "GET", "http://example.com"+target, nil, s.options)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", target+"&"+strings.NewReplacer("OAuth ", "", `"`, "", ", ", "&").Replace(value), nil))
	if control := w.Header().Get("Cache-Control"); w.Code != 200 || control != "private" {
		t.Errorf("%d, Cache-Control %q: %s", w.Code, control, w.Body)
	}
}

func TestChallenges(t *testing.T) {
	challenges := NewChallenges("r", []Requirement{{RequireGrant, []string{"basic"}}})
	for reason, want := range map[Reason]http.Header{
		NoCredentials:     {"Cache-Control": {"no-store"}, "Www-Authenticate": {`OAuth realm="r"`, `Bearer realm="r"`}},
		MissingGrant:      {"Cache-Control": {"no-store"}, "Www-Authenticate": {`Bearer realm="r", error="insufficient_scope", error_description="A required grant is missing.", scope="basic"`}},
		WrongWiki:         {"Cache-Control": {"no-store"}},
		StoreUnavailable:  {"Cache-Control": {"no-store"}, "Retry-After": {"1"}},
		NonceShareUsedUp:  {"Cache-Control": {"no-store"}, "Retry-After": {"60"}},
		FormTooLarge:      {"Cache-Control": {"no-store"}},
		MalformedHeader:   {"Cache-Control": {"no-store"}, "Www-Authenticate": {`Bearer realm="r", error="invalid_request", error_description="The Authorization header cannot be read."`}},
		AddressNotAllowed: {"Cache-Control": {"no-store"}},
	} {
		got := http.Header{}
		challenges.Set(got, reason)
		if a, b := must(json.Marshal(got)), must(json.Marshal(want)); string(a) != string(b) {
			t.Errorf("%v: got %s, want %s", reason, a, b)
		}
	}
	h := http.Header{}
	challenges.Set(h, MethodNotAllowed)
	if allow := h.Get("Allow"); !strings.Contains(allow, "GET") || strings.Contains(allow, "CONNECT") {
		t.Errorf("Allow: %q", allow)
	}
}

func TestStripQuery(t *testing.T) {
	for query, want := range map[string]string{
		"":    "",
		"a=b": "a=b",
		"a=%zz&oauth_token=x&&b=+&oauth_signature=y%3D": "a=%zz&&b=+",
		"%6fauth%5Ftoken=x&c":                           "c",
		"+oauth_token=x&%20%20oauth_nonce=1&c=d":        "c=d",
		"oauth%5Ftoken%zz=1&xoauth_token=2&OAuth_token": "xoauth_token=2&OAuth_token",
	} {
		if got := StripQuery(query); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}
