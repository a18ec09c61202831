package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/mariadb"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/packets"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// The handshake of OAuth 1.0a begins again when the process was killed between two
// of its steps: request tokens are lost, and access tokens are not.
func TestIssuingHandshakeBeginsAgain(t *testing.T) {
	i := issuerOf(t, harness.Options{OwnProcess: true}, account{}, "state memory")
	app := sign.Credentials{ConsumerKey: i.app1.Key, ConsumerSecret: i.secret(i.app1)}
	begin := func() (c sign.Credentials, target string) {
		t.Helper()
		request := tokenPair(t, i.signed(t, "/oauth/initiate", app, sign.Options{Callback: "oob"}))
		c = app
		c.Token, c.TokenSecret = request.Get("oauth_token"), request.Get("oauth_token_secret")
		return c, "/oauth/authorize?oauth_consumer_key=" + c.ConsumerKey + "&oauth_token=" + c.Token
	}
	lost := func(step string, a *harness.Answer) {
		t.Helper()
		if !strings.Contains(string(a.Body), "E004") || a.Seen != nil {
			t.Errorf("%s after the process was killed: %d %s, want E004", step, a.Status, a.Body)
		}
	}
	bob := basic("Bob", "bob-password")
	_, target := begin()
	i.Kill()
	i.Start(t)
	lost("the consent page", i.Get(t, target, bob))
	_, target = begin()
	form := i.form(t, target)
	i.Kill()
	i.Start(t)
	lost("Approve", i.submit(t, target, form, "Bob"))
	c, target := begin()
	back := query(t, i.press(t, target, "approve"))
	i.Kill()
	i.Start(t)
	lost("the exchange", i.signed(t, "/oauth/token", c, sign.Options{Verifier: back.Get("oauth_verifier")}))

	c, target = begin()
	back = query(t, i.press(t, target, "approve"))
	access := tokenPair(t, i.signed(t, "/oauth/token", c, sign.Options{Verifier: back.Get("oauth_verifier")}))
	c.Token, c.TokenSecret = access.Get("oauth_token"), access.Get("oauth_token_secret")
	i.Kill()
	i.Start(t)
	if a := i.signed(t, "/w/api.php?action=query", c, sign.Options{}); a.Identity("User-Name") != "Bob" {
		t.Errorf("the access token after the process was killed: %d %s", a.Status, a.Body)
	}
	if identity := i.signed(t, "/oauth/identify", c, sign.Options{}); strings.Count(string(identity.Body), ".") != 2 {
		t.Errorf("identify: %d %s", identity.Status, identity.Body)
	}
}

// killable is an issuer in a process of its own. A proxy sees the packets between
// it and the database, of the account that writes.
type killable struct {
	*issuer
	proxy  *packets.Proxy
	passed int // packets of the last request of killAt
}

func newKillable(t *testing.T, own ...string) *killable {
	t.Helper()
	server := mariadb.Start(t).TCPAddr()
	k := &killable{proxy: packets.NewProxy(t, server, packets.ReadMySQL)}
	k.issuer = issuerOf(t, harness.Options{OwnProcess: true}, account{through: func(dsn string) string {
		return strings.Replace(dsn, server, k.proxy.Addr, 1)
	}}, own...)
	return k
}

// killAt sends a request, and kills the process in place of a packet. It returns nil
// if there was no answer, and whether the process was killed.
func (k *killable) killAt(t *testing.T, packets int, r *http.Request) (a *harness.Answer, killed bool) {
	t.Helper()
	k.proxy.CutAfter(packets, k.Kill)
	a, err := k.Try(r)
	killed, k.passed = k.proxy.WasCut(), k.proxy.Passed()
	k.proxy.CutAfter(0, nil)
	if killed {
		k.Start(t)
	}
	if err != nil && !killed {
		t.Fatal(err)
	}
	if err == nil && killed {
		t.Fatalf("answered %d although the process was killed before", a.Status)
	}
	return a, killed
}

// kills calls step for each moment at which the process is killed: some of the
// packets that read, and each of the last ones, which write and commit. A step
// without a kill tells how many packets there are.
func (k *killable) kills(t *testing.T, step func(t *testing.T, packets int) (killed bool)) {
	t.Helper()
	if step(t, 1<<30) {
		t.Fatal("killed without a reason")
	}
	all := k.passed
	var points []int
	for p := range all {
		if p%8 == 0 || p > all-14 {
			points = append(points, p)
		}
	}
	n := 0
	for _, packets := range points {
		if step(t, packets) {
			n++
		}
	}
	t.Logf("%d packets; killed at %d of them", all, n)
	if n < len(points)*3/4 {
		t.Errorf("killed %d times of %d", n, len(points))
	}
}

// answerOf reads an answer of the token endpoint.
func answerOf(t *testing.T, a *harness.Answer) (out tokens) {
	t.Helper()
	if a == nil {
		return out
	}
	if err := json.Unmarshal(a.Body, &out); err != nil {
		t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
	return out
}

// once sends a request for a token until it is answered, and then once more. At most
// one answer has a token. It returns those of the answer, empty if the one
// that nobody was told of has used the code up.
func (k *killable) once(t *testing.T, packets int, pairs ...string) (won tokens, killed bool) {
	t.Helper()
	request := func() *http.Request {
		return k.tokenRequest(t, "/oauth2/", basic(k.app2.Key, k.secret(k.app2)), pairs...)
	}
	first, killed := k.killAt(t, packets, request())
	won = answerOf(t, first)
	if killed {
		won = answerOf(t, k.Do(t, request()))
	}
	works := func(token string) bool {
		return k.Get(t, "/w/api.php", "Bearer "+token, "Cache-Control", "no-cache").Status == http.StatusOK
	}
	if won.Access != "" && !works(won.Access) {
		t.Errorf("after %d packets: the token that was answered does not work", packets)
	}
	return won, killed
}

// live returns how many tokens of OAuth 2 Bob's app has that are not revoked.
func (k *killable) live(t *testing.T) (n int) {
	t.Helper()
	row := k.Wiki.Rows.Conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM oauth2_access_tokens t "+
		"JOIN oauth_accepted_consumer a ON a.oaac_id = t.oaat_acceptance_id WHERE a.oaac_user_id = 8 AND t.oaat_revoked = 0")
	if err := row.Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A process that is killed in the middle of an exchange or a refresh leaves all of it
// or nothing. The same request afterwards succeeds, or is told that it was done. In
// no case do two tokens work.
func TestIssuingKilledAmongExchanges(t *testing.T) {
	k := newKillable(t)
	authorize := "/oauth2/authorize?response_type=code&client_id=" + k.app2.Key + pkce
	code := func() string {
		t.Helper()
		return query(t, k.press(t, authorize, "approve")).Get("code")
	}
	forget := func() {
		k.Wiki.Exec(t, "DELETE t FROM oauth2_access_tokens t JOIN oauth_accepted_consumer a ON a.oaac_id = t.oaat_acceptance_id WHERE a.oaac_user_id = 8")
	}
	exchange := func(code string) []string {
		return []string{"grant_type", "authorization_code", "code", code, "code_verifier", codeVerifier}
	}
	t.Run("code", func(t *testing.T) {
		succeeded, used := 0, 0
		k.kills(t, func(t *testing.T, packets int) bool {
			forget()
			code := code()
			won, killed := k.once(t, packets, exchange(code)...)
			switch {
			case won.Access != "" && k.live(t) == 1:
				succeeded++
			case won.Access == "" && won.Error == "invalid_request" && k.live(t) == 0: // the token that was not answered is revoked
				used++
			default:
				t.Errorf("after %d packets: %+v, %d tokens live", packets, won, k.live(t))
			}
			if again := k.token(t, "/oauth2/", exchange(code)...); again.Access != "" || again.Error == "" {
				t.Errorf("after %d packets the code works twice: %+v", packets, again)
			}
			return killed
		})
		if succeeded < 5 || used < 1 {
			t.Errorf("%d codes succeeded, %d were used up without an answer", succeeded, used)
		}
	})
	t.Run("refresh token", func(t *testing.T) {
		succeeded, used := 0, 0
		k.kills(t, func(t *testing.T, packets int) bool {
			forget()
			first := k.token(t, "/oauth2/", exchange(code())...)
			refresh := []string{"grant_type", "refresh_token", "refresh_token", first.Refresh}
			won, killed := k.once(t, packets, refresh...)
			switch {
			case won.Access != "" && k.live(t) == 1:
				succeeded++
			case won.Access == "" && won.Error == "invalid_request" && k.live(t) == 1: // the successor, which was not answered
				used++
			default:
				t.Errorf("after %d packets: %+v, %d tokens live", packets, won, k.live(t))
			}
			if again := k.token(t, "/oauth2/", refresh...); again.Access != "" || again.Error == "" {
				t.Errorf("after %d packets the refresh token works twice: %+v", packets, again)
			}
			if a := k.Get(t, "/w/api.php", "Bearer "+first.Access, "Cache-Control", "no-cache"); a.Status == http.StatusOK {
				t.Errorf("after %d packets the token before works", packets)
			}
			return killed
		})
		if succeeded < 5 || used < 1 {
			t.Errorf("%d refresh tokens succeeded, %d were used up without an answer", succeeded, used)
		}
	})
}

// With refresh_grace a client whose refresh was done, but not answered, gets the
// successor from the process that is started again.
func TestIssuingKilledWithinRefreshGrace(t *testing.T) {
	k := newKillable(t, "lifetimes {\nrefresh_token 1h\nrefresh_grace 5m\n}")
	back := query(t, k.press(t, "/oauth2/authorize?response_type=code&client_id="+k.app2.Key+pkce, "approve"))
	last := k.token(t, "/oauth2/", "grant_type", "authorization_code", "code", back.Get("code"), "code_verifier", codeVerifier)
	k.kills(t, func(t *testing.T, packets int) bool {
		before := k.live(t)
		next, killed := k.once(t, packets, "grant_type", "refresh_token", "refresh_token", last.Refresh)
		if next.Access == "" || k.live(t) != before {
			t.Fatalf("after %d packets: %+v, %d tokens live, want %d", packets, next, k.live(t), before)
		}
		last = next
		return killed
	})
}

// A process that is killed in the middle of a consent or a withdrawal leaves all of
// it or nothing, and the user can do the same again.
func TestIssuingKilledAmongConsents(t *testing.T) {
	k := newKillable(t)
	target := "/oauth2/authorize?response_type=code&client_id=" + k.app2.Key + pkce
	post := func(target string, form url.Values) *http.Request {
		return k.Request(t, http.MethodPost, k.URL(target), form.Encode(), "Sec-Fetch-Site", "same-origin",
			"Content-Type", "application/x-www-form-urlencoded", "Authorization", basic("Bob", "bob-password"))
	}
	exchange := func(code string) tokens {
		t.Helper()
		return k.token(t, "/oauth2/", "grant_type", "authorization_code", "code", code, "code_verifier", codeVerifier)
	}
	t.Run("consent", func(t *testing.T) {
		k.kills(t, func(t *testing.T, packets int) bool {
			k.Wiki.Exec(t, "DELETE FROM oauth_accepted_consumer WHERE oaac_user_id = 8")
			form := k.form(t, target)
			answer, killed := k.killAt(t, packets, post(target, form))
			if killed {
				answer = k.Do(t, post(target, form)) // the form that was shown before
			}
			got := exchange(query(t, answer).Get("code"))
			k.Get(t, "/w/api.php", "Bearer "+got.Access).Want(t, "ok")
			if n := k.acceptances(t); n != 1 {
				t.Errorf("after %d packets: %d acceptances", packets, n)
			}
			return killed
		})
	})
	t.Run("withdrawal", func(t *testing.T) {
		k.kills(t, func(t *testing.T, packets int) bool {
			got := exchange(query(t, k.press(t, target, "approve")).Get("code"))
			form := k.withdrawal(t)
			answer, killed := k.killAt(t, packets, post("/oauth2/apps", form))
			if killed {
				switch done := k.acceptances(t) == 0; {
				case done && k.live(t) != 0:
					t.Errorf("after %d packets: the acceptance is gone, and a token is left", packets)
				case !done:
					k.Get(t, "/w/api.php", "Bearer "+got.Access).Want(t, "ok")
					answer = k.Do(t, post("/oauth2/apps", form))
				}
			}
			if answer != nil && answer.Status != http.StatusOK {
				t.Errorf("after %d packets: %d %s", packets, answer.Status, answer.Body)
			}
			if a := k.Get(t, "/w/api.php", "Bearer "+got.Access); a.Status == http.StatusOK || k.acceptances(t) != 0 {
				t.Errorf("after %d packets and a withdrawal the token passes", packets)
			}
			return killed
		})
	})
}

// acceptances returns how many apps Bob's account allows something.
func (k *killable) acceptances(t *testing.T) (n int) {
	t.Helper()
	row := k.Wiki.Rows.Conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM oauth_accepted_consumer WHERE oaac_user_id = 8")
	if err := row.Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// withdrawal is the form that withdraws Bob's only app.
func (i *issuer) withdrawal(t *testing.T) url.Values {
	t.Helper()
	form := i.form(t, "/oauth2/apps")
	form.Del("approve")
	form.Set("withdraw", "1")
	return form
}
