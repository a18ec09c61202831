package e2e_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// inQuery is a target with the parameters of a signed header in its query.
func inQuery(target, authorization string) string {
	query := strings.NewReplacer(`"`, "", ", ", "&").Replace(strings.TrimPrefix(authorization, "OAuth "))
	if strings.Contains(target, "?") {
		return target + "&" + query
	}
	return target + "?" + query
}

func TestSeveralCredentials(t *testing.T) {
	// Requests without a credential pass here: one with several must not be
	// taken for one of them.
	g := harness.New(t, harness.Options{Settings: []string{"mode optional"}})
	w := g.Wiki
	oauth := func() string { return "Authorization: " + harness.Sign(t, w.HMAC, "GET", g.URL("/"), "") }
	signedQuery := func() string { return inQuery("/", harness.Sign(t, w.HMAC, "GET", g.URL("/"), "")) }
	bearer := "Authorization: " + w.Bearer(t, w.OAuth2)
	for _, tt := range []struct {
		name    string
		target  string
		headers []string
		want    string
	}{
		{"one OAuth", "/", []string{oauth()}, "ok"},
		{"one in the query", signedQuery(), nil, "ok"},
		{"two OAuth", "/", []string{oauth(), oauth()}, "several_credentials"},
		{"OAuth and Bearer", "/", []string{oauth(), bearer}, "several_credentials"},
		{"Bearer and OAuth", "/", []string{bearer, oauth()}, "several_credentials"},
		{"Bearer twice", "/", []string{bearer, bearer}, "several_credentials"},
		{"OAuth and Basic", "/", []string{oauth(), "Authorization: Basic eDp5"}, "several_credentials"},
		{"Basic and Bearer", "/", []string{"authorization: Basic eDp5", bearer}, "several_credentials"},
		{"empty and Bearer", "/", []string{"Authorization:", bearer}, "several_credentials"},
		{"header and query", signedQuery(), []string{oauth()}, "several_credentials"},
		{"Bearer and query", signedQuery(), []string{bearer}, "several_credentials"},
		{"Basic and query", signedQuery(), []string{"Authorization: Basic eDp5"}, "several_credentials"},
		{"Bearer and an encoded name in the query", "/?%6Fauth_signature=x", []string{bearer}, "several_credentials"},
		{"two in one line", "/", []string{oauth() + ", " + strings.TrimPrefix(bearer, "Authorization: ")}, "malformed_header"},
		{"two bearer tokens in one line", "/", []string{bearer + ", " + strings.TrimPrefix(bearer, "Authorization: ")}, "malformed_header"},
		{"folded line", "/", []string{bearer, " Basic eDp5"}, "malformed_header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := g.Send(t, "GET", g.Raw("GET "+tt.target, tt.headers, ""))
			a.Want(t, tt.want)
			if tt.want != "ok" && a.Status != http.StatusBadRequest {
				t.Errorf("status %d, want 400", a.Status)
			}
		})
	}
	body := strings.TrimPrefix(inQuery("", harness.Sign(t, w.HMAC, "POST", g.URL("/"), "")), "?")
	r := g.Request(t, "POST", g.URL("/"), body, "Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", harness.Sign(t, w.HMAC, "POST", g.URL("/"), body))
	g.Do(t, r).Want(t, "split_parameters")
}

// seeds are requests with a good credential of Alice's, and requests with one
// that is broken.
func seeds(t *testing.T, g *harness.Gateway) (good, broken []string) {
	t.Helper()
	w := g.Wiki
	const form = "action=edit&text=%C3%A9+x"
	formType := "Content-Type: application/x-www-form-urlencoded"
	forged := w.HMAC
	forged.Credentials.ConsumerSecret = wikidb.RandomHex(20)
	forgedToken := *w
	forgedToken.IssuerKey = harness.NewKey(2048)
	for _, s := range []struct {
		app    harness.App
		bearer string
		to     *[]string
	}{
		{w.HMAC, w.Bearer(t, w.OAuth2), &good},
		{forged, forgedToken.Bearer(t, w.OAuth2), &broken},
	} {
		sign := func(method, target, form string) string { return harness.Sign(t, s.app, method, g.URL(target), form) }
		*s.to = append(
			*s.to,
			g.Raw("GET /w/api.php?action=query", []string{"Authorization: " + sign("GET", "/w/api.php?action=query", "")}, ""),
			g.Raw("GET "+inQuery("/x?a=1", sign("GET", "/x?a=1", "")), nil, ""),
			g.Raw("POST /", []string{"Authorization: " + sign("POST", "/", form), formType, "Content-Length: 25"}, form),
			g.Raw("GET /", []string{"Authorization: " + s.bearer}, ""),
		)
	}
	return good, broken
}

// mutate changes a request at random: bytes, pieces, lines, or what separates them.
func mutate(random *rand.Rand, request string, others []string) string {
	b := []byte(request)
	for range 1 + random.IntN(3) {
		if len(b) < 2 {
			return string(b)
		}
		at := random.IntN(len(b))
		switch random.IntN(9) {
		case 0:
			b[at] ^= 1 << random.IntN(8)
		case 1:
			b = append(b[:at], b[at+1:]...)
		case 2:
			sign := " \t\r\n\x00\",=&?#%;+/:\\.-_Aa0é"[random.IntN(24)]
			b = append(b[:at], append([]byte{sign}, b[at:]...)...)
		case 3: // a piece once more
			end := min(len(b), at+random.IntN(60))
			b = append(b[:end], append([]byte(string(b[at:end])), b[end:]...)...)
		case 4: // a piece less
			end := min(len(b), at+random.IntN(60))
			b = append(b[:at], b[end:]...)
		case 5, 6: // lines
			lines := strings.Split(string(b), "\r\n")
			i, other := random.IntN(len(lines)), strings.Split(others[random.IntN(len(others))], "\r\n")
			switch random.IntN(4) {
			case 0:
				lines[i] = strings.ToUpper(lines[i])
			case 1:
				lines = append(lines[:i], lines[min(i+1, len(lines)):]...)
			case 2:
				lines[i] += "\r\n" + other[random.IntN(len(other))]
			case 3:
				lines[i] = other[random.IntN(len(other))]
			}
			b = []byte(strings.Join(lines, "\r\n"))
		case 7:
			old := []string{"OAuth ", "Bearer ", "oauth_", "HMAC-SHA1", `="`, `", `, "Authorization", "GET", "\r\n\r\n", "."}[random.IntN(10)]
			now := []string{"", " ", "oauth ", "X-OAuth-User-Id: 1\r\n", "PLAINTEXT", "none", "RSA-SHA1", "\x00", "OAuth"}[random.IntN(9)]
			b = []byte(strings.Replace(string(b), old, now, 1+random.IntN(2)))
		case 8:
			b = []byte(strings.Replace(string(b), "Host:", "X-OAuth-User-Id: 1\r\nX-OAuth-User-Name: "+foreignValue+"\r\nHost:", 1))
		}
	}
	return string(b)
}

// carriesCredential reports whether a request that the backend sees must have
// been verified.
func carriesCredential(s harness.Seen) bool {
	for _, line := range s.Header["Authorization"] {
		words := strings.FieldsFunc(line, func(r rune) bool { return r <= ' ' || r == ',' })
		if len(words) > 0 && (strings.EqualFold(words[0], "OAuth") || strings.EqualFold(words[0], "Bearer")) {
			return true
		}
	}
	_, query, _ := strings.Cut(s.Target, "?")
	for piece := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(piece, "="); name == "oauth_signature" {
			return true
		}
	}
	return false
}

// TestMalformedInputAllowed sends requests that were changed at random where
// anonymous ones pass. No request without a valid credential gets an identity,
// and none with a broken one arrives at all.
func TestMalformedInputAllowed(t *testing.T) {
	g := harness.New(t, harness.Options{Settings: []string{"mode optional"}})
	good, broken := seeds(t, g)
	for _, request := range good {
		g.Send(t, strings.Fields(request)[0], request).Want(t, "ok")
	}
	good, broken2 := seeds(t, g)
	broken = append(broken, broken2...)
	for _, request := range broken {
		if a := g.Send(t, strings.Fields(request)[0], request); a.Seen != nil || a.Status != http.StatusUnauthorized {
			t.Fatalf("a broken credential: %d\n%s", a.Status, request)
		}
	}
	g.Backend.Seen()

	run := func(seeds []string, count int) {
		random := rand.New(rand.NewPCG(1, 2))
		work := make(chan string)
		var workers sync.WaitGroup
		for range 16 {
			workers.Go(func() {
				for request := range work {
					// What the client is told does not matter here, and many
					// are told nothing: the request never ends.
					_ = g.Throw(request)
				}
			})
		}
		for range count {
			work <- mutate(random, seeds[random.IntN(len(seeds))], append(good, broken...))
		}
		close(work)
		workers.Wait()
	}
	run(broken, 1000)
	anonymous := 0
	for _, s := range g.Backend.Seen() {
		anonymous++
		if carriesCredential(s) {
			t.Errorf("a broken credential arrives: %+v", s)
		}
		for name := range s.Header {
			if strings.HasPrefix(strings.ToLower(name), "x-oauth") {
				t.Errorf("a request without a credential arrives with %s: %+v", name, s)
			}
		}
	}
	if anonymous == 0 {
		t.Error("no changed request arrives: the test proves nothing")
	}

	// A good credential may survive a change of what it does not cover. Then
	// the user is Alice.
	run(good, 1000)
	proven := 0
	for _, s := range g.Backend.Seen() {
		user := s.Header["X-Oauth-User-Id"]
		switch {
		case len(user) == 1 && user[0] == "7" && s.Header.Get("X-Oauth-User-Name") == "Alice":
			proven++
		case len(user) != 0:
			t.Errorf("identity %q: %+v", user, s)
		case carriesCredential(s):
			t.Errorf("a broken credential arrives: %+v", s)
		}
	}
	if proven == 0 {
		t.Error("no good credential survives: the test proves nothing")
	}
}

func TestStandardLibraryParsers(t *testing.T) {
	g := harness.New(t, harness.Options{})
	w := g.Wiki
	// What url.ParseQuery drops or joins is signed as it is, and arrives.
	for _, query := range []string{"a;b=1", "a=1;b=2&c=%3B", "x=1&x=1&x=0", "=&a=&=b", "a=b=c", "a+b=%2B+", "%61=%41"} {
		a := g.Signed(t, w.HMAC, "/?"+query)
		a.Want(t, "ok")
		if a.Seen != nil && a.Seen.Target != "/?"+query {
			t.Errorf("target %q, want %q", a.Seen.Target, "/?"+query)
		}
		// A pair more, of the kind that it would have dropped, and the
		// signature no longer holds.
		g.Get(t, "/?"+query+"&z;y=1", harness.Sign(t, w.HMAC, "GET", g.URL("/?"+query), "")).Want(t, "bad_signature")
	}
	const form = "a;b=1&x=2&x=1&=&c=%2B+"
	post := func(body string) *harness.Answer {
		r := g.Request(t, "POST", g.URL("/"), body, "Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", harness.Sign(t, w.HMAC, "POST", g.URL("/"), form))
		return g.Do(t, r)
	}
	post(form).Want(t, "ok")
	post(form+"&z;y=1").Want(t, "bad_signature")
	// encoding/json would take any of these for exp, jti, aud, alg.
	for _, changed := range []map[string]any{
		{"exp": 1, "EXP": 4102444800, "Exp": 4102444800},
		{"jti": nil, "JTI": w.OAuth2.JTI},
		{"aud": nil, "Aud": w.OAuth2.Consumer.Key},
	} {
		if a := g.Get(t, "/", "Bearer "+w.Token(t, w.OAuth2, changed)); a.Status != http.StatusUnauthorized || a.Seen != nil {
			t.Errorf("%v: %d", changed, a.Status)
		}
	}
}
