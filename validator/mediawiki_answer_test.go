package validator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestWriteMediaWiki(t *testing.T) {
	const (
		invalid = "The authorization headers in your request are not valid: Nonce already used"
		denied  = `{"error":"rest-read-denied","httpCode":403,"httpReason":"Forbidden"}`
		help    = `"See https://www.mediawiki.org/wiki/OAuth for how requests are authorized."`
		first   = `{"error":{"code":"mwoauth-invalid-authorization","info":"` + invalid + `","*":` + help + `}}`
		second  = `{"error":{"code":"mwoauth-invalid-authorization","info":"` + invalid + `","docref":` + help + `}}`
		rest    = `{"errorKey":"mwoauth-invalid-authorization","messageTranslations":{"en":"` + invalid + `"},"httpCode":403,"httpReason":"Forbidden"}`
	)
	for _, tt := range []struct {
		name        string
		reason      Reason
		release     Release
		path, query string
		status      int // 0: nothing is written
		want        string
	}{
		{"the Action API", NonceUsed, Release139, "/w/api.php", "action=query&format=json", 200, first},
		{"formatversion 1", NonceUsed, Release139, "/api.php", "format=json&formatversion=1", 200, first},
		{"formatversion 2", NonceUsed, Release147, "/w/api.php", "format=json&formatversion=2", 200, second},
		{"formatversion latest, spelled otherwise", NonceUsed, Release147, "/w/api.php", "format=json&%66ormatversion=l%61test", 200, second},
		{"the last formatversion", NonceUsed, Release147, "/w/api.php", "format=json&formatversion=2&formatversion=1", 200, first},
		{"the REST API, since 1.44", NonceUsed, 44, "/w/rest.php/v1/page/x", "", 403, rest},
		{"the REST API, up to 1.43", NonceUsed, Release143, "/w/rest.php/v1/page/x", "", 403, denied},
		{"a page named like it", NonceUsed, Release147, "/w/rest.php/api.php/x", "", 403, rest},
		{"elsewhere", NonceUsed, Release147, "/w/index.php", "", 0, ""},
		{"in the middle", NonceUsed, Release147, "/w/api.php/x", "", 0, ""},
		{"a longer name", NonceUsed, Release147, "/w/xapi.php", "", 0, ""},
		{"the store is down", StoreUnavailable, Release147, "/w/api.php", "", 0, ""},
		{"the nonces are full", NonceShareUsedUp, Release147, "/w/rest.php/v1", "", 0, ""},
		{"too large", FormTooLarge, Release147, "/w/api.php", "", 0, ""},
		{"another method", MethodNotAllowed, Release147, "/w/api.php", "", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD"} {
				w := httptest.NewRecorder()
				w.Code = 0
				wrote := WriteMediaWiki(w, httptest.NewRequest(method, "/", nil), Decision{Reason: tt.reason}, MediaWikiSite{"enwiki", tt.release}, tt.path, tt.query)
				if wrote != (tt.status != 0) || w.Code != tt.status {
					t.Fatalf("wrote %v, status %d", wrote, w.Code)
				}
				want := tt.want
				if method == "HEAD" {
					want = ""
				}
				if got := w.Body.String(); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				if !wrote {
					if len(w.Header()) > 0 {
						t.Errorf("headers %v", w.Header())
					}
					continue
				}
				h := w.Header()
				if !strings.HasPrefix(h.Get("Content-Type"), "application/json") || h.Get("Cache-Control") != "no-store" || h.Get("Content-Length") == "0" || h.Get("WWW-Authenticate") != "" {
					t.Errorf("headers %v", h)
				}
				if code := h.Get("MediaWiki-API-Error"); (code == "mwoauth-invalid-authorization") != (tt.status == 200) {
					t.Errorf("MediaWiki-API-Error %q", code)
				}
			}
		})
	}
}

// Each reason that is the client's has a code and a text in the Action API, and
// names the wiki where MediaWiki does.
func TestWriteMediaWikiOfEachReason(t *testing.T) {
	for _, reason := range Reasons()[1:] {
		w := httptest.NewRecorder()
		wrote := WriteMediaWiki(w, httptest.NewRequest("GET", "/", nil), Decision{Reason: reason}, MediaWikiSite{"enwiki", Release147}, "/w/api.php", "format=json")
		if status := reason.Status(); wrote != (status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden) {
			t.Errorf("%v: wrote %v", reason, wrote)
		}
		if !wrote {
			continue
		}
		var body struct{ Error struct{ Code, Info string } }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		want := Decision{Reason: reason}.mediaWikiError("enwiki", time.Now())
		if body.Error.Code != want.Code || body.Error.Info != want.Info || w.Header().Get("MediaWiki-API-Error") != want.Code {
			t.Errorf("%v: %+v", reason, body)
		}
	}
}

// TestWriteMediaWikiOfBlockedUser holds every reason about a lock or a block of the
// user to the one error that MediaWiki has for them: bots read its code.
func TestWriteMediaWikiOfBlockedUser(t *testing.T) {
	found := 0
	for _, reason := range Reasons() {
		name := reason.String()
		if !strings.HasPrefix(name, "user_") || !strings.Contains(name, "locked") {
			continue
		}
		found++
		got := Decision{Reason: reason}.mediaWikiError("enwiki", time.Now())
		if want := (Decision{Reason: UserBlocked}).mediaWikiError("enwiki", time.Now()); got != want || got.Code != mwBlockedUser {
			t.Errorf("%v: %+v, want %+v", reason, got, want)
		}
	}
	if found < 3 {
		t.Errorf("%d reasons about locks and blocks, want at least 3", found)
	}
}

// TestSent names the timestamp or nonce that a refusal is about, and nothing of
// the request for another reason.
func TestSent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *scene)
		reason Reason
		want   string
	}{
		{"timestamp", func(s *scene) { s.now = testNow.Add(time.Hour) }, TimestampExpired, "1700000000"},
		{"timestamp that no memory takes", func(s *scene) { s.nonces.err = ErrNonceExpired }, TimestampExpired, "1700000000"},
		{"nonce", func(s *scene) { s.nonces.seen = map[string]bool{consumerKey + " " + accessToken + " abc123": true} }, NonceUsed, "abc123"},
		{"signature", func(s *scene) { s.creds.TokenSecret = "x" }, BadSignature, ""},
		{"none", func(*scene) {}, OK, ""},
	} {
		s := newScene()
		tt.change(s)
		if d := s.run(t); d.Reason != tt.reason || d.Sent != tt.want {
			t.Errorf("%s: %v, %q", tt.name, d.Reason, d.Sent)
		}
	}
}
