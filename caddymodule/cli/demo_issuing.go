package cli

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

const (
	// demoUser is the user who is asked for consent.
	demoUser = "Bob"
	// demoNewApp is the section of the OAuth 1.0a app in the credentials file.
	demoNewApp = "new"
	// demoIssues begins the part of issuing in what is printed.
	demoIssues = "Tokens are issued here too."
)

// demoIssuing is what the demonstration needs for issuing tokens.
type demoIssuing struct {
	password, hash string // of demoUser
	authorize      string // path and query of the OAuth 2 app's request for a code
	verifier       string // of its code challenge
}

// addIssuing adds an app of each protocol that no user has approved yet, the first
// with this id, and the password of the user who can.
func (w *demoWiki) addIssuing(id uint64) error {
	app1, app2 := wikidb.NewConsumer(id, demoAlice), wikidb.NewConsumer(id+1, demoAlice)
	app1.Name, app1.Callback = "New app", w.base+"/callback"
	app2.Name, app2.Callback, app2.Version = "New OAuth 2 app", w.base+"/callback", 2
	w.rows = append(w.rows, app1, app2)
	w.apps = append(w.apps, demoApp{demoNewApp, map[string]string{
		"consumer_key": app1.Key, "consumer_secret": sign.Secret(w.siteKey, app1.Secret),
	}})

	// A password of 128 random bits needs no slow hash.
	password := wikidb.RandomHex(16)
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return err
	}
	verifier := wikidb.RandomHex(32)
	challenge := sha256.Sum256([]byte(verifier))
	w.issuing = demoIssuing{
		password: password, hash: string(hash), verifier: verifier,
		authorize: fmt.Sprintf("/oauth2/authorize?response_type=code&client_id=%s&state=%s&code_challenge=%s&code_challenge_method=S256",
			app2.Key, wikidb.RandomHex(8), base64.RawURLEncoding.EncodeToString(challenge[:])),
	}
	// Secrets reach curl in files, and so in no argument, which other users can see.
	if err := w.writeFile("bob.curl", curlUser(demoUser, password)); err != nil {
		return err
	}
	return w.writeFile("app.curl", curlUser(app2.Key, sign.Secret(w.siteKey, app2.Secret)))
}

// curlUser is a configuration of curl with name and password for HTTP Basic.
func curlUser(name, password string) string { return fmt.Sprintf("user = \"%s:%s\"\n", name, password) }

// signIn is the address that signs the user in. Path and query of a page follow.
func (w *demoWiki) signIn() string {
	return w.base + "/sign-in/" + base64.StdEncoding.EncodeToString([]byte(demoUser+":"+w.issuing.password))
}

// demoStep is a step of a handshake: a title, and lines for the shell that follow
// those of the steps before.
type demoStep struct{ title, lines string }

var demoSteps = []demoStep{
	{"what the lines below share", `demo={dir} wiki={wiki} api='{target}' bob={signIn}
sign() { {caddy} oauth sign --credentials "$demo/credentials" --app new "$@" | sh; }
allow() { curl -sS -K "$demo/bob.curl" "$1" | sed -n 's/<input type="hidden" name="\(.*\)" value="\(.*\)">/data-urlencode = "\1=\2"/p' | curl -sS -K "$demo/bob.curl" -K - -d approve=1 -o /dev/null -w '%{redirect_url}\n' "$1"; }
field() { printf '%s\n' "$2" | sed 's/.*[?&"]'"$1"'["=:]\{1,\}\([^&"]*\).*/\1/'; }
exchange() { printf 'data = "%s"\n' "$1" | curl -sS -K - -K "$demo/app.curl" "$wiki/oauth2/access_token"; }
call() { printf 'header = "Authorization: Bearer %s"\n' "$(field access_token "$1")" | curl -sS -K - "$2"; }`},

	{"OAuth 1.0a, 1: the app gets a request token", `request=$(sign --callback oob "$wiki/oauth/initiate"); printf '%s\n' "$request"`},
	{"OAuth 1.0a, 2: Bob allows it, here; or in a browser, by the next line in place of this one", `back=$(allow "$wiki/oauth/authorize?${request%%&*}"); echo "$back"`},
	{"open what this prints, and paste the address that it ends at as back='...'", `echo "$bob/oauth/authorize?${request%%&*}"`},
	{"OAuth 1.0a, 3: the app gets an access token", `access=$(printf %s "$request" | sign --token-file - --verifier "$(field oauth_verifier "$back")" "$wiki/oauth/token"); printf '%s\n' "$access"`},
	{"OAuth 1.0a, 4: the token passes, as Bob", `printf %s "$access" | sign --token-file - "$wiki$api"`},
	{"OAuth 1.0a, 5: the app asks who Bob is, and gets a statement that is signed with its secret", `printf %s "$access" | sign --token-file - "$wiki/oauth/identify"; echo`},

	{"OAuth 2, 1: Bob allows it, here; or in a browser, by the first link above: then paste the address that it ends at as back='...'", `back=$(allow "$wiki{authorize}"); echo "$back"`},
	{"OAuth 2, 2: the app gets an access token and a refresh token for the code", `tokens=$(exchange "grant_type=authorization_code&code=$(field code "$back")&code_verifier={verifier}"); printf '%s\n' "$tokens"`},
	{"OAuth 2, 3: the access token passes, as Bob", `call "$tokens" "$wiki$api"`},
	{"OAuth 2, 4: the app asks who Bob is", `call "$tokens" "$wiki/oauth2/resource/profile"; echo`},
	{"OAuth 2, 5: the app refreshes", `next=$(exchange "grant_type=refresh_token&refresh_token=$(field refresh_token "$tokens")"); printf '%s\n' "$next"`},
	{"OAuth 2, 6: the new access token passes, as Bob", `call "$next" "$wiki$api"`},
	{"OAuth 2, 7: the old one is refused (401 token_revoked)", `call "$tokens" "$wiki$api"; echo`},
	{"OAuth 2, 8: the app gets an access token for itself (client credentials)", `own=$(exchange grant_type=client_credentials); printf '%s\n' "$own"`},
	{"OAuth 2, 9: it passes, without a user", `call "$own" "$wiki$api"`},
}

// issuingText is what the demonstration prints of issuing.
func (w *demoWiki) issuingText(caddy string) string {
	values := strings.NewReplacer(
		"{dir}", shellQuote(w.dir), "{wiki}", shellQuote(w.base), "{target}", demoTarget, "{signIn}", shellQuote(w.signIn()),
		"{caddy}", shellQuote(caddy), "{authorize}", w.issuing.authorize, "{verifier}", w.issuing.verifier,
	)
	var text strings.Builder
	fmt.Fprintf(&text, `%[4]s This link signs %[1]s in, and asks him about an app:

%[2]s%[3]s

And this one lists the apps that %[1]s has allowed, so that he can take it back:

%[2]s/oauth2/apps

The lines below get tokens by both protocols. Paste them into one shell in this order, because each needs what others got before.
`, demoUser, w.signIn(), w.issuing.authorize, demoIssues)
	for _, step := range demoSteps {
		fmt.Fprintf(&text, "\n# %s\n%s\n", step.title, values.Replace(step.lines))
	}
	text.WriteString("\n")
	return text.String()
}
