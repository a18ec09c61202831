package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// newPair starts two gateways with one database, as while one is replaced by the
// other.
func newPair(t *testing.T) [2]*issuer {
	t.Helper()
	first := issuerOf(t, harness.Options{OwnProcess: true}, account{block: "query_timeout 1m"})
	second := *first
	o := first.Options()
	second.Gateway = harness.New(t, o)
	return [2]*issuer{first, &second}
}

// together sends a form to the token endpoints of both gateways. Both have looked for
// the token before either writes it, because the user's acceptance is locked until
// then.
func together(t *testing.T, pair [2]*issuer, app wikidb.Consumer, pairs ...string) (answers [2]*harness.Answer) {
	t.Helper()
	db := pair[0].Wiki.Rows.Conn
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it was committed
	lock := fmt.Sprintf("SELECT 1 FROM oauth_accepted_consumer WHERE oaac_user_id = 8 AND oaac_consumer_id = %d FOR UPDATE", app.ID)
	if _, err := tx.ExecContext(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	for n, i := range pair {
		r := i.tokenRequest(t, "/oauth2/", basic(app.Key, i.secret(app)), pairs...)
		go func() {
			a, err := i.Try(r)
			if err != nil {
				t.Error(err)
			}
			answers[n] = a
			ended <- struct{}{}
		}()
	}
	// The server makes its list of transactions anew only after 100 ms without a
	// reader.
	waiting := 0
	for end := time.Now().Add(30 * time.Second); waiting < 2 && time.Now().Before(end); time.Sleep(150 * time.Millisecond) {
		row := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
		if err := row.Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	<-ended
	<-ended
	if t.Failed() {
		t.FailNow()
	}
	if waiting != 2 {
		t.Fatalf("%d requests were at hand at once", waiting)
	}
	return answers
}

// winner returns the tokens of the one answer that succeeds, and the other answer.
func winner(t *testing.T, answers [2]*harness.Answer) (won tokens, other *harness.Answer) {
	t.Helper()
	first, second := answerOf(t, answers[0]), answerOf(t, answers[1])
	switch {
	case first.Access != "" && second.Access == "":
		return first, answers[1]
	case first.Access == "" && second.Access != "":
		return second, answers[0]
	}
	t.Fatalf("not one of two exchanges succeeds: %s, %s", answers[0].Body, answers[1].Body)
	return won, nil
}

// Of two exchanges of a code or refresh token at two gateways at once exactly one
// succeeds, and its token works at both. A later exchange at the other gateway is a
// replay, which ends the authorization.
func TestIssuingAtTwoGateways(t *testing.T) {
	pair := newPair(t)
	app := pair[0].app2
	works := func(token string, want bool) {
		t.Helper()
		for n, i := range pair {
			if a := i.Get(t, "/w/api.php", "Bearer "+token, "Cache-Control", "no-cache"); (a.Status == http.StatusOK) != want {
				t.Errorf("gateway %d: %d %s, want a pass: %v", n, a.Status, a.Reason, want)
			}
		}
	}
	back := query(t, pair[1].press(t, "/oauth2/authorize?response_type=code&client_id="+app.Key+pkce, "approve"))
	exchange := []string{"grant_type", "authorization_code", "code", back.Get("code"), "code_verifier", codeVerifier}
	won, other := winner(t, together(t, pair, app, exchange...))
	if !strings.Contains(string(other.Body), "Authorization code has been revoked") {
		t.Errorf("the other exchange: %d %s", other.Status, other.Body)
	}
	works(won.Access, true)
	next, other := winner(t, together(t, pair, app, "grant_type", "refresh_token", "refresh_token", won.Refresh))
	if !strings.Contains(string(other.Body), "Token has been revoked") {
		t.Errorf("the other refresh: %d %s", other.Status, other.Body)
	}
	works(next.Access, true)
	last := pair[1].token(t, "/oauth2/", "grant_type", "refresh_token", "refresh_token", next.Refresh)
	works(last.Access, true)

	if replay := pair[1].token(t, "/oauth2/", exchange...); replay.Error != "invalid_request" {
		t.Errorf("a replay at the other gateway: %+v", replay)
	}
	if again := pair[0].token(t, "/oauth2/", "grant_type", "refresh_token", "refresh_token", last.Refresh); again.Access != "" || again.Error == "" {
		t.Errorf("after a replay at the other gateway: %+v", again)
	}
}
