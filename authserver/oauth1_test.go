package authserver

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/cache/nonces"
	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

const signedApp = "dddddddddddddddddddddddddddddddd"

// scene1 is a scene with an app of OAuth 1.0a.
func newScene1(t testing.TB, change ...func(*Config)) *scene {
	t.Helper()
	s := newScene(t, change...)
	memory := nonces.New(nonces.Config{Size: 1 << 20})
	s.nonces = memory
	s.clock = time.Now()
	s.tables.consumers = append(s.tables.consumers, &Consumer{
		Consumer: validator.Consumer{
			ID: 4, Key: signedApp, Name: "Signed", OwnerID: 1, Wiki: "*", Version: 1, Stage: validator.Approved, Secret: "stored-dddd",
			Restrictions: validator.ParseRestrictions([]byte(`{"IPAddresses":["0.0.0.0/0","::/0"]}`), validator.Release139),
		},
		CallbackURL: "https://app.example/cb", CallbackIsPrefix: true, Grants: Grants("basic", "editpage"), Confidential: true,
	})
	return s
}

var lastNonce struct {
	sync.Mutex
	n int
}

// sign sends a signed request to an endpoint.
func (s *scene) sign(t testing.TB, e Endpoint, tokenSecret string, change func(p map[string]string)) Answer {
	t.Helper()
	lastNonce.Lock()
	lastNonce.n++
	nonce := strconv.Itoa(lastNonce.n)
	lastNonce.Unlock()
	p := map[string]string{
		"oauth_consumer_key": signedApp, "oauth_signature_method": "HMAC-SHA1", "oauth_timestamp": strconv.FormatInt(time.Now().Unix(), 10),
		"oauth_nonce": nonce, "oauth_version": "1.0",
	}
	if change != nil {
		change(p)
	}
	var pairs, header []string
	for name, value := range p {
		pairs = append(pairs, escape(name)+"="+escape(value))
		header = append(header, fmt.Sprintf("%s=%q", name, escape(value)))
	}
	slices.Sort(pairs)
	base := "POST&" + escape(siteURL+"/x") + "&" + escape(strings.Join(pairs, "&"))
	mac := hmac.New(sha1.New, []byte(s.secret(signedApp)+"&"+tokenSecret))
	mac.Write([]byte(base))
	header = append(header, fmt.Sprintf("oauth_signature=%q", escape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, siteURL+"/x", nil)
	r.Header.Set("Authorization", "OAuth "+strings.Join(header, ", "))
	sent := validator.FromHTTP(httptest.NewRecorder(), r)
	sent.Scheme = "https"
	return s.Serve(t.Context(), Request{Endpoint: e, HTTP: r, Sent: sent})
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// pair reads the raw answer of /initiate or /token.
func pair(t testing.TB, a Answer) (key, secret string) {
	t.Helper()
	v, err := url.ParseQuery(string(a.Body))
	if err != nil || v.Get("oauth_token") == "" {
		t.Fatalf("no token: %d %s", a.Status, a.Body)
	}
	return v.Get("oauth_token"), v.Get("oauth_token_secret")
}

func callback(c string) func(map[string]string) {
	return func(p map[string]string) { p["oauth_callback"] = c }
}

// approve1 plays the browser at /authorize.
func (s *scene) press(t testing.TB, user, token, button string) Answer {
	t.Helper()
	a := s.send(t, Authorize, user, "oauth_token="+token, nil, nil)
	if a.Page == nil || a.Page.Kind != ConsentPage {
		return a
	}
	form := url.Values{button: {"x"}}
	for _, f := range a.Page.Consent.Fields {
		form.Set(f.Name, f.Value)
	}
	return s.send(t, Authorize, user, "", form, nil)
}

func verifierOf(t testing.TB, a Answer) string {
	t.Helper()
	u, err := url.Parse(a.Location)
	if err != nil || u.Query().Get("oauth_verifier") == "" {
		t.Fatalf("no verifier: %+v %+v", a, a.Page)
	}
	return u.Query().Get("oauth_verifier")
}

func TestHandshake(t *testing.T) {
	s := newScene1(t)
	token, secret := pair(t, s.sign(t, Initiate, "", callback("https://app.example/cb?x=1")))
	exchange := func(verifier string) Answer {
		return s.sign(t, TokenExchange, secret, func(p map[string]string) { p["oauth_token"], p["oauth_verifier"] = token, verifier })
	}
	wantReason(t, exchange("x"), BadRequestToken)
	a := s.press(t, "Alice", token, approveButton)
	verifier := verifierOf(t, a)
	if !strings.HasPrefix(a.Location, "https://app.example/cb?x=1&oauth_verifier=") || a.Status != http.StatusSeeOther {
		t.Errorf("%d %s", a.Status, a.Location)
	}
	wantReason(t, s.press(t, "Bob", token, approveButton), RequestTokenUsed)
	wantReason(t, exchange("x"), BadVerifier)
	access, accessSecret := pair(t, exchange(verifier))
	row := s.tables.acceptances[0]
	if access != row.Token || accessSecret != s.cfg.Policy.EffectiveSecret(row.Secret) || row.UserID != 3 {
		t.Errorf("%s of %+v", access, row)
	}
	wantReason(t, exchange(verifier), RequestTokenUsed)

	// A second authorization keeps token and secret.
	token, secret = pair(t, s.sign(t, Initiate, "", callback(outOfBand)))
	verifier = verifierOf(t, s.press(t, "Alice", token, approveButton))
	if again, _ := pair(t, exchange(verifier)); again != access {
		t.Error("a second authorization made another token")
	}
}

func TestHandshakeRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(p map[string]string)
		app    func(c *Consumer)
		want   Reason
		text   string
	}{
		{"version", func(p map[string]string) { p["oauth_version"] = "2.0" }, nil, ProtocolError, "OAuth version &#039;2.0&#039; not supported"},
		{"consumer", func(p map[string]string) { p["oauth_consumer_key"] = "x" }, nil, ProtocolError, "Invalid consumer"},
		{"owner-only", nil, func(c *Consumer) { c.OwnerOnly = true }, OwnerOnlyApp, "#E010"},
		{"no key", nil, func(c *Consumer) { c.Secret = "" }, AppWithoutKey, "#E011"},
		{"address", nil, func(c *Consumer) {
			c.Restrictions = validator.ParseRestrictions([]byte(`{"IPAddresses":["10.0.0.0/8"]}`), validator.Release139)
		}, WrongAddress, "invalid IP address"},
		{"old", func(p map[string]string) { p["oauth_timestamp"] = "1" }, nil, ProtocolError, "Expired timestamp, yours 1, ours "},
		{"no time", func(p map[string]string) { delete(p, "oauth_timestamp") }, nil, ProtocolError, "Missing timestamp"},
		{"no nonce", func(p map[string]string) { delete(p, "oauth_nonce") }, nil, ProtocolError, "Missing nonce"},
		{"method", func(p map[string]string) { p["oauth_signature_method"] = "PLAINTEXT" }, nil, ProtocolError, "&#039;PLAINTEXT&#039; not supported"},
		{"signature", nil, func(c *Consumer) { c.Secret = "another" }, ProtocolError, "Invalid signature"},
		{"callback", func(p map[string]string) { p["oauth_callback"] = "https://evil.example/" }, nil, CallbackNotPrefix, "prefix of the supplied callback"},
		{"no callback", func(p map[string]string) { delete(p, "oauth_callback") }, func(c *Consumer) { c.CallbackIsPrefix = false }, CallbackNotOOB, "(case-sensitive)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene1(t)
			if tt.app != nil {
				tt.app(s.tables.consumers[3])
			}
			a := s.sign(t, Initiate, "", func(p map[string]string) {
				p["oauth_callback"] = outOfBand
				if tt.change != nil {
					tt.change(p)
				}
			})
			wantReason(t, a, tt.want)
			if a.Status != 200 || !strings.HasPrefix(string(a.Body), "Error: ") || !strings.Contains(string(a.Body), tt.text) {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
}

// What cannot be approved is refused before a page is shown.
func TestAuthorize1Refusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		user   string
		change func(s *scene)
		query  string // instead of the token
		want   Reason
	}{
		{"unknown token", "Alice", nil, "oauth_token=x", UnknownApp},
		{"unknown token of a known app", "Alice", nil, "oauth_token=x&oauth_consumer_key=" + signedApp, RequestTokenNotFound},
		{"disabled", "Alice", func(s *scene) { s.tables.consumers[3].Stage = validator.Disabled }, "", AppNotUsable},
		{"proposed", "Alice", func(s *scene) { s.tables.consumers[3].Stage = validator.Proposed }, "", AppNotUsable},
		{"suppressed", "Alice", func(s *scene) { s.tables.consumers[3].Deleted = true }, "", UnknownApp},
		{"of another wiki", "Alice", func(s *scene) { s.tables.consumers[3].Wiki = "dewiki" }, "", AppNotUsable},
		{"of OAuth 2", "Alice", func(s *scene) { s.tables.consumers[3].Version = 2 }, "", AppNotUsable},
		{"owner-only", "Alice", func(s *scene) { s.tables.consumers[3].OwnerOnly = true }, "", OwnerOnlyApp},
		{"registered script", "Alice", func(s *scene) { s.tables.consumers[3].CallbackURL = "javascript:alert(1)" }, "", AppNotUsable},
		{"nobody", "", nil, "", NotSignedIn},
		{"expired", "Alice", func(s *scene) { s.clock = s.clock.Add(10 * time.Minute) }, "", UnknownApp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene1(t)
			token, _ := pair(t, s.sign(t, Initiate, "", callback(outOfBand)))
			if tt.change != nil {
				tt.change(s)
			}
			query := tt.query
			if query == "" {
				query = "oauth_token=" + token
			}
			a := s.send(t, Authorize, tt.user, query, nil, nil)
			wantReason(t, a, tt.want)
			if len(s.tables.acceptances) != 0 || a.Location != "" {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	s := newScene1(t)
	token, _ := pair(t, s.sign(t, Initiate, "", callback(outOfBand)))
	if a := s.press(t, "Alice", token, cancelButton); a.Page == nil || a.Page.Kind != CancelledPage || len(s.tables.acceptances) != 0 {
		t.Errorf("%+v", a)
	}
	verifierOf(t, s.press(t, "Alice", token, approveButton))
}

// A database that fails leaves the request token as it was.
func TestApprovalFails(t *testing.T) {
	s := newScene1(t)
	token, _ := pair(t, s.sign(t, Initiate, "", callback(outOfBand)))
	page := s.send(t, Authorize, "Alice", "oauth_token="+token, nil, nil)
	form := url.Values{approveButton: {"x"}}
	for _, f := range page.Page.Consent.Fields {
		form.Set(f.Name, f.Value)
	}
	s.tables.acceptError = fmt.Errorf("connection lost")
	if a := s.send(t, Authorize, "Alice", "", form, nil); a.Status != 503 {
		t.Errorf("%d", a.Status)
	}
	s.tables.acceptError = nil
	verifierOf(t, s.send(t, Authorize, "Alice", "", form, nil))
}

// A user sees what each app may do, and takes it back.
func TestApps(t *testing.T) {
	s := newScene1(t)
	var heard []Change
	s.marks = marksFunc(func(c ...Change) { heard = append(heard, c...) })
	code := s.consent(t, wantCode+confidential, approveButton).Get("code")
	s.token(t, s.withCode(code)...)
	heard = nil
	page := s.send(t, Apps, "Alice", "", nil, nil)
	if page.Page == nil || len(page.Page.Apps) != 1 {
		t.Fatalf("%+v", page)
	}
	form := url.Values{withdrawButton: {"x"}}
	for _, f := range page.Page.Apps[0].Fields {
		form.Set(f.Name, f.Value)
	}
	if s.send(t, Apps, "Bob", "", form, nil); len(s.tables.acceptances) != 1 {
		t.Error("Bob withdrew what Alice allowed")
	}
	if a := s.send(t, Apps, "Alice", "", form, nil); a.Page.Kind != WithdrawnPage || len(s.tables.acceptances) != 0 || len(s.tables.tokens) != 0 {
		t.Errorf("%+v", a)
	}
	if len(heard) != 2 {
		t.Errorf("heard of %v: want the acceptance and its token", heard)
	}
}

type marksFunc func(...Change)

func (f marksFunc) Changed(c ...Change) { f(c...) }

// Plain http is redirected before a secret would travel, where the wiki's server
// has no scheme of its own.
func TestSecureTransfer(t *testing.T) {
	for _, tt := range []struct {
		name             string
		on               bool
		scheme, base, to string
		host             string
	}{
		{"on", true, "http", "", "https://wiki.example.org/x", "wiki.example.org"},
		{"off", false, "http", "", "", "wiki.example.org"},
		{"https", true, "https", "", "", "wiki.example.org"},
		{"full server", true, "http", "http", "", "wiki.example.org"},
		{"server is what the request says", true, "http", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene1(t, func(c *Config) {
				c.SecureTokenTransfer, c.Policy.BaseScheme, c.Policy.BaseHost = tt.on, tt.base, tt.host
			})
			got := s.secureTransfer(Request{Sent: validator.Request{Scheme: tt.scheme, Host: "wiki.example.org", Target: "/x"}})
			if got != tt.to {
				t.Errorf("%q, want %q", got, tt.to)
			}
			for proto, want := range map[string]string{"https": "", "HTTPS": tt.to, "http": tt.to} {
				sent := validator.Request{Scheme: tt.scheme, ForwardedProto: proto, Host: "wiki.example.org", Target: "/x"}
				if got := s.secureTransfer(Request{Sent: sent}); got != want {
					t.Errorf("X-Forwarded-Proto %q: %q, want %q", proto, got, want)
				}
			}
			got = s.secureTransfer(Request{Sent: validator.Request{Scheme: tt.scheme, Host: "wiki.example.org", Target: "/x?a=\xff\"ü"}})
			if tt.to != "" && got != tt.to+"?a=%FF%22%C3%BC" {
				t.Errorf("raw bytes: %q", got)
			}
		})
	}
}
