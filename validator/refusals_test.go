package validator

import (
	"crypto/rsa"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// refusal is one change to a scene that passes, and the reason for which it
// then does not.
type refusal struct {
	name   string
	change func(s *scene)
	want   Reason
}

// header gives the request an Authorization line of its own.
func header(lines ...string) func(s *scene) {
	return func(s *scene) { s.unsigned, s.request.Authorization = true, lines }
}

// resigned signs the scene's request and edits the header then.
func resigned(old, now string) func(s *scene) {
	return func(s *scene) {
		value, err := sign.Header(s.creds, "GET", s.url, nil, s.options)
		if err != nil || !strings.Contains(value, old) {
			panic("no " + old + " in " + value)
		}
		header(strings.Replace(value, old, now, 1))(s)
	}
}

// presigned signs the scene's request before the test changes it.
func presigned(s *scene) { resigned("", "")(s) }

var oauth1Refusals = []refusal{
	// What cannot be read.
	{"two lines", func(s *scene) {
		presigned(s)
		s.request.Authorization = append(s.request.Authorization, "Basic x")
	}, SeveralCredentials},
	{"a line of another scheme first", func(s *scene) {
		presigned(s)
		s.request.Authorization = []string{"Basic x", s.request.Authorization[0]}
	}, SeveralCredentials},
	{"the same line twice", func(s *scene) {
		presigned(s)
		s.request.Authorization = append(s.request.Authorization, s.request.Authorization[0])
	}, SeveralCredentials},
	{"header and query", func(s *scene) { s.url += "&oauth_signature=x" }, SeveralCredentials},
	{"header and query, spelled otherwise", func(s *scene) { s.url += "&%6fauth%5Fsignature=x" }, SeveralCredentials},
	{"Basic and query", func(s *scene) { header("Basic x")(s); s.url += "&oauth_signature=x" }, SeveralCredentials},
	{"scheme alone", header("OAuth"), MissingConsumerKey},
	{"scheme and tab", resigned("OAuth ", "OAuth\t"), MalformedHeader},
	{"no quote at the end", resigned(`"1.0"`, `"1.0`), MalformedHeader},
	{"blanks around =", resigned(`oauth_token=`, `oauth_token = `), MalformedHeader},
	{"other separators", resigned(`", `, `"; `), MalformedHeader},
	{"no separator", resigned(`", `, `" `), MalformedHeader},
	{"single quotes", resigned(`oauth_version="1.0"`, `oauth_version='1/0'`), MalformedHeader},
	{"a backslash at the end", header(`OAuth oauth_token="\`), MalformedHeader},
	{"two schemes in one line", resigned("OAuth ", "OAuth Bearer x, "), MalformedHeader},
	{"a long line", resigned("OAuth ", "OAuth "+strings.Repeat(" ", maxHeader)), MalformedHeader},
	{"two content types", func(s *scene) { s.request.ContentType = []string{"text/plain", "application/x-www-form-urlencoded"} }, MalformedHeader},
	{"fragment", func(s *scene) { s.request.Target = "/w/api.php?a=b#c" }, MalformedTarget},
	{"fragment before a signature in the query", func(s *scene) { header()(s); s.request.Target = "/w/api.php?a#b&oauth_signature=x" }, MalformedTarget},
	{"asterisk", func(s *scene) { s.request.Target = "*" }, MalformedTarget},
	// Go takes a scheme without an authority, and goes to the first path; what
	// is signed is in its query.
	{"the signed URL within another", func(s *scene) {
		s.request.Target = "https:/w/api.php?action=delete&a=" + strings.TrimPrefix(apiURL, "https")
	}, MalformedTarget},
	{"the signed URL within a target without a slash", func(s *scene) {
		s.request.Target = "x:delete?a=" + strings.TrimPrefix(apiURL, "https")
	}, MalformedTarget},
	{"a signature in the query of a target without an authority", func(s *scene) {
		header()(s)
		s.request.Target = "https:/w/api.php?oauth_signature=x"
	}, MalformedTarget},
	{"no host", func(s *scene) { presigned(s); s.url = "https:///w/api.php" }, MalformedTarget},
	{"too many parameters in the query", func(s *scene) { s.url += strings.Repeat("&a", maxParameters) }, MalformedTarget},
	{"too many parameters in the form", func(s *scene) { s.request.Method, s.form = "POST", strings.Repeat("a&", maxParameters) }, MalformedForm},
	{"form that breaks off", func(s *scene) {
		s.request.Method, s.form = "POST", "a=1"
		s.request.ContentType = []string{"application/x-www-form-urlencoded"}
		s.request.Body = func(BodyLimit) ([]byte, error) { return nil, errors.New("invalid chunk") }
	}, MalformedForm},
	{"form too large", func(s *scene) {
		s.request.Method, s.form = "POST", "a=1"
		s.request.ContentType = []string{"application/x-www-form-urlencoded"}
		s.request.Body = func(BodyLimit) ([]byte, error) { return nil, ErrBodyTooLarge }
	}, FormTooLarge},
	{"form that comes too slowly", brokenBody(ErrBodyTimeout), BodyTimeout},
	{"form of a client that hangs up", brokenBody(ErrBodyAborted), ClientClosedRequest},
	{"no memory for the form", brokenBody(ErrBodiesBusy), BodiesBusy},
	{"hashed body too large", func(s *scene) { hashedBody(s); s.request.Body = failing(ErrBodyTooLarge) }, BodyTooLarge},
	{"hashed body that comes too slowly", func(s *scene) { hashedBody(s); s.request.Body = failing(ErrBodyTimeout) }, BodyTimeout},
	{"hashed body of a client that hangs up", func(s *scene) { hashedBody(s); s.request.Body = failing(ErrBodyAborted) }, ClientClosedRequest},
	{"no memory for the hashed body", func(s *scene) { hashedBody(s); s.request.Body = failing(ErrBodiesBusy) }, BodiesBusy},
	{"credential in a form that comes too slowly", func(s *scene) { brokenBody(ErrBodyTimeout)(s); header(`OAuth realm=""`)(s) }, BodyTimeout},
	{"a form to PHP alone, by a comma", formOfType("application/x-www-form-urlencoded, x"), MalformedHeader},
	{"a form to PHP alone, by a blank", formOfType("application/x-www-form-urlencoded x; charset=utf-8"), MalformedHeader},
	{"a form to PHP alone, in capitals", formOfType("Application/X-WWW-Form-Urlencoded,multipart/form-data"), MalformedHeader},
	{"token twice", resigned("OAuth ", `OAuth oauth_token="x", `), DuplicateParameter},
	{"token twice, spelled otherwise", resigned("OAuth ", `OAuth oauth%5ftoken="x", `), DuplicateParameter},
	{"nonce in the query too", func(s *scene) { s.url += "&oauth_nonce=x" }, SplitParameters},
	{"nonce in the form too", func(s *scene) { s.request.Method, s.form = "POST", "a=1&oauth_nonce=x" }, SplitParameters},
	{"version in the form alone", func(s *scene) { s.request.Method, s.form = "POST", "oauth%5fversion=1.0" }, SplitParameters},
	{"no consumer key", resigned("oauth_consumer_key=", "x="), MissingConsumerKey},
	{"no token", resigned("oauth_token=", "x="), MissingToken},
	{"empty token", resigned(`"`+accessToken+`"`, `""`), MissingToken},
	{"no nonce", resigned("oauth_nonce=", "x="), MissingNonce},
	{"no timestamp", resigned("oauth_timestamp=", "x="), MissingTimestamp},
	{"no signature", resigned("oauth_signature=", "x="), MissingSignature},
	{"no method", resigned("oauth_signature_method=", "x="), MissingSignatureMethod},
	{"name in capitals", resigned("oauth_token=", "OAUTH_TOKEN="), MissingToken},
	{"version 2", resigned(`"1.0"`, `"2.0"`), UnsupportedVersion},
	{"empty version", resigned(`"1.0"`, `""`), UnsupportedVersion},
	{"PLAINTEXT", resigned("HMAC-SHA1", "PLAINTEXT"), UnsupportedMethod},
	{"HMAC-SHA256", resigned("HMAC-SHA1", "HMAC-SHA256"), UnsupportedMethod},
	{"method in small letters", resigned("HMAC-SHA1", "hmac-sha1"), UnsupportedMethod},
	{"timestamp in words", func(s *scene) { s.options.Timestamp = "now" }, MalformedTimestamp},
	{"timestamp with a fraction", func(s *scene) { s.options.Timestamp = "1700000000.0" }, MalformedTimestamp},
	{"timestamp with a sign", func(s *scene) { s.options.Timestamp = "+1700000000" }, MalformedTimestamp},
	{"timestamp zero", func(s *scene) { s.options.Timestamp = "0" }, MalformedTimestamp},

	// What proves nothing.
	{"none", header(), NoCredentials},
	{"another scheme", header("Basic x"), NoCredentials},
	{"another scheme that begins alike", header("OAuthX x"), NoCredentials},
	{"unknown consumer", func(s *scene) { s.facts.Consumer = nil }, UnknownConsumer},
	{"unknown token", func(s *scene) { s.facts.Acceptance = nil }, UnknownToken},
	{"token of another consumer", func(s *scene) { s.facts.Acceptance.ConsumerID = 2 }, UnknownToken},
	{"timestamp too old", func(s *scene) { s.now = testNow.Add(301 * time.Second) }, TimestampExpired},
	{"timestamp ahead", func(s *scene) { s.now = testNow.Add(-301 * time.Second) }, TimestampExpired},
	{"timestamp beyond every clock", func(s *scene) { s.options.Timestamp = strings.Repeat("9", 30) }, TimestampExpired},
	{"smaller window", func(s *scene) { s.policy.TimestampWindow = time.Second; s.now = testNow.Add(2 * time.Second) }, TimestampExpired},
	{"wrong consumer secret", func(s *scene) { s.creds.ConsumerSecret = "x" }, BadSignature},
	{"wrong token secret", func(s *scene) { s.creds.TokenSecret = "x" }, BadSignature},
	{"stored secrets", func(s *scene) { s.creds.ConsumerSecret, s.creds.TokenSecret = consumerSecret, tokenSecret }, BadSignature},
	{"empty secrets, no site key", func(s *scene) {
		s.policy.SiteKey, s.facts.Consumer.Secret, s.facts.Acceptance.Secret = "", "", ""
		s.creds.ConsumerSecret, s.creds.TokenSecret = "", ""
	}, BadSignature},
	{"empty token secret, no site key", func(s *scene) {
		s.policy.SiteKey, s.facts.Acceptance.Secret = "", ""
		s.creds.ConsumerSecret, s.creds.TokenSecret = consumerSecret, ""
	}, BadSignature},
	{"other method", func(s *scene) { s.unsigned = false; s.request.Target = "/w/api.php?action=query&format=xml" }, BadSignature},
	{"other host", func(s *scene) { s.request.Host = "evil.example.org" }, BadSignature},
	{"other scheme", func(s *scene) { s.request.Scheme = "http" }, BadSignature},
	{"other port", func(s *scene) { s.request.Host = "wiki.example.org:444" }, BadSignature},
	{"host that is not the base URL's", func(s *scene) { s.policy.BaseScheme, s.policy.BaseHost = "https", "other.example.org" }, BadSignature},
	{"form not signed", func(s *scene) {
		presigned(s)
		s.request.Method, s.form = "GET", "a=1"
	}, BadSignature},
	{"unpadded signature", resigned(`%3D"`, `"`), BadSignature},
	{"RSA without a key", func(s *scene) { s.creds.RSAKey = appKey(); s.facts.Consumer.RSAKey = nil }, BadSignature},
	{"RSA with another key", func(s *scene) { s.creds.RSAKey = newRSAKey(1024) }, BadSignature},
	{"HMAC signature called RSA", resigned("HMAC-SHA1", rsaSHA1), BadSignature},
	{"hash of another body", func(s *scene) {
		s.request.Method, s.form, s.request.ContentType = "POST", `{"a":1}`, []string{"application/json"}
		s.unsigned = true
		s.request.Authorization = []string{bodyHashHeader}
	}, BadBodyHash},
	{"hash of a body that was taken away", func(s *scene) {
		s.request.Method, s.unsigned = "POST", true
		s.request.Authorization = []string{bodyHashHeader}
	}, BadBodyHash},
	{"nonce used", func(s *scene) { s.nonces.seen = map[string]bool{consumerKey + " " + accessToken + " abc123": true} }, NonceUsed},
	{"grants of the consumer are not a list", func(s *scene) { s.facts.Consumer.Broken = true }, BrokenRow},
	{"grants of the acceptance are not a list", func(s *scene) { s.facts.Acceptance.Broken = true }, BrokenRow},
	{"restrictions that are none", func(s *scene) { s.facts.Consumer.Restrictions = ParseRestrictions(nil, Release139) }, BrokenRow},

	// What could not be decided.
	{"nonce share used up", func(s *scene) { s.nonces.err = ErrNonceShare }, NonceShareUsedUp},
	{"nonces unavailable", func(s *scene) { s.nonces.err = errors.New("full") }, NoncesUnavailable},
}

var bearerRefusals = []refusal{
	{"no blank", header("BearerX"), MalformedHeader},
	{"tab", header("Bearer\tx"), MalformedHeader},
	{"nothing", header("Bearer"), MalformedHeader},
	{"colon", header("Bearer: x"), MalformedHeader},
	{"two tokens", header("Bearer x, y"), MalformedHeader},
	{"bearer and OAuth 1 in the query", func(s *scene) { s.url += "&oauth_signature=x" }, SeveralCredentials},
	{"bearer and OAuth 1", header("Bearer x", `OAuth realm=""`), SeveralCredentials},
	{"no JWT", header("Bearer x"), MalformedToken},
	{"fragment", func(s *scene) { s.request.Target = "/w/api.php?a=b#c" }, MalformedTarget},
	{"scheme and no authority", func(s *scene) { s.request.Target = "http:/w/api.php" }, MalformedTarget},
	{"asterisk", func(s *scene) { s.request.Target = "*" }, MalformedTarget},
	{"client key in capitals", func(s *scene) { s.claims["aud"] = strings.ToUpper("a" + clientKey[1:]); s.facts.Consumer = nil }, UnknownClient},
	{"expired", func(s *scene) { s.now = testNow.Add(time.Hour + 250*time.Millisecond) }, TokenExpired},
	{"expired long ago", func(s *scene) { s.claims["exp"] = -1 }, TokenExpired},
	{"not yet issued", func(s *scene) { s.claims["iat"] = 1_700_000_000.5 }, TokenNotYetValid},
	{"not yet valid", func(s *scene) { s.claims["nbf"] = 1_700_000_005 }, TokenNotYetValid},
	{"no row", func(s *scene) { s.facts.Token = nil }, TokenRevoked},
	{"revoked", func(s *scene) { s.facts.Token.Revoked = true }, TokenRevoked},
	{"no client", func(s *scene) { s.facts.Consumer = nil }, UnknownClient},
	{"client of OAuth 1", func(s *scene) { s.facts.Consumer.Version = 1 }, UnknownClient},
	{"client that cannot be loaded", func(s *scene) {
		c := *s.facts.Consumer
		c.Broken = true
		s.facts.Consumer = &c
	}, BrokenRow},
	{"no scopes", func(s *scene) { s.claims["scopes"] = []string{} }, NoScopes},
	{"unknown scopes", func(s *scene) { s.claims["scopes"] = []any{"useoauth", "BASIC", 1} }, NoScopes},
	{"acceptance withdrawn", func(s *scene) { s.facts.Acceptance = nil }, NoAcceptance},
	{"consumer of the acceptance gone", func(s *scene) { s.facts.Accepted = nil }, BrokenRow},
	{"client alone, names a user", func(s *scene) { clientAlone(s); s.claims["sub"] = "9" }, NoAcceptance},
	{"client alone, names an unknown user", func(s *scene) { clientAlone(s); s.claims["sub"] = []int{9} }, NoAcceptance},
	{"client alone, owner-only", func(s *scene) { clientAlone(s); s.facts.Consumer.OwnerOnly = true }, NoAcceptance},
	{"client alone, disabled", func(s *scene) { clientAlone(s); s.facts.Consumer.Stage = Disabled }, ConsumerNotUsable},
	{"client alone, of another wiki", func(s *scene) { clientAlone(s); s.facts.Consumer.Wiki = "dewiki" }, WrongWiki},
	{"subject unknown, 1.47", func(s *scene) { s.policy.Release = Release147 }, UnknownSubject},
	{"subject of another wiki, 1.47", func(s *scene) {
		s.policy.Release, s.facts.Subject = Release147, s.facts.User
		s.claims["sub"] = "mw:local:dewiki:9"
	}, UnknownSubject},
	{"subject without a number, 1.47", func(s *scene) {
		s.policy.Release, s.facts.Subject = Release147, s.facts.User
		s.claims["sub"] = "mw:local:enwiki:"
	}, UnknownSubject},
	{"client alone with a group required", func(s *scene) {
		clientAlone(s)
		s.policy.Require = []Requirement{{RequireGroup, []string{"sysop"}}}
	}, MissingGroup},
}

func clientAlone(s *scene) {
	s.facts.Token.AcceptanceID, s.facts.Acceptance, s.facts.Accepted, s.facts.User = 0, nil, nil, nil
	s.claims["sub"] = ""
}

// commonRefusals hold for both protocols alike.
var commonRefusals = []refusal{
	{"store down", func(s *scene) { s.store.err = errors.New("down") }, StoreUnavailable},
	{"address", func(s *scene) { s.facts.Consumer.Restrictions = only("198.51.100.0/24") }, AddressNotAllowed},
	{"no address", func(s *scene) {
		s.facts.Consumer.Restrictions = only("192.0.2.0/24")
		s.request.ClientIP = netip.Addr{}
	}, AddressNotAllowed},
	{"address that the client may have chosen", func(s *scene) {
		s.facts.Consumer.Restrictions = only("192.0.2.0/24")
		s.request.SpoofableIP = true
	}, AddressUntrusted},
	{"acceptance for another wiki", func(s *scene) { s.facts.Acceptance.Wiki = "dewiki" }, WrongWiki},
	{"acceptance for a wiki in capitals", func(s *scene) { s.facts.Acceptance.Wiki = "ENWIKI" }, WrongWiki},
	{"acceptance for no wiki", func(s *scene) { s.facts.Acceptance.Wiki = "" }, WrongWiki},
	{"user zero", func(s *scene) { s.facts.Acceptance.UserID, s.facts.User = 0, nil }, UnknownUser},
	{"user gone, shared ids", func(s *scene) { s.facts.User, s.policy.SharedUserIDs = nil, true }, UnknownUser},
	{"user hidden, shared ids", func(s *scene) { s.facts.User.Hidden, s.policy.SharedUserIDs = Never, true }, UnknownUser},
	{"user locked", func(s *scene) { s.facts.User.Locked = true }, UserLocked},
	{"user blocked", func(s *scene) { s.facts.User.Blocked, s.policy.BlockDisablesLogin = Never, true }, UserBlocked},
	{"user blocked from a page", func(s *scene) { s.facts.User.PartlyBlocked, s.policy.BlockDisablesLogin = Never, true }, UserPartiallyBlocked},
	{"user blocked from a page and from the site", func(s *scene) {
		s.facts.User.PartlyBlocked, s.facts.User.Blocked, s.policy.BlockDisablesLogin, s.policy.OnlySitewideBlocks = Never, Never, true, true
	}, UserBlocked},
	{"user blocked for a second more", func(s *scene) {
		s.facts.User.Blocked, s.policy.BlockDisablesLogin = Expiry(s.now.Unix()+1), true
	}, UserBlocked},
	{"proposed", func(s *scene) { s.facts.Consumer.Stage = Proposed }, ConsumerNotUsable},
	{"rejected, by its owner", func(s *scene) { s.facts.Consumer.Stage, s.facts.Consumer.OwnerID = Rejected, 9 }, ConsumerNotUsable},
	{"expired", func(s *scene) { s.facts.Consumer.Stage = Expired }, ConsumerNotUsable},
	{"disabled, by its owner", func(s *scene) { s.facts.Consumer.Stage, s.facts.Consumer.OwnerID = Disabled, 9 }, ConsumerNotUsable},
	{"kept in configuration", func(s *scene) { s.facts.Consumer.Stage, s.facts.Consumer.OwnerID = Placeholder, 9 }, ConsumerNotUsable},
	{"unknown stage", func(s *scene) { s.facts.Consumer.Stage = 9 }, ConsumerNotUsable},
	{"owner-only, by another", func(s *scene) { s.facts.Consumer.OwnerOnly = true }, ConsumerNotUsable},
	{"user gone, owner-only", func(s *scene) { s.facts.User, s.facts.Consumer.OwnerOnly = nil, true }, ConsumerNotUsable},
	{"consumer for another wiki", func(s *scene) { s.facts.Consumer.Wiki = "dewiki" }, ConsumerWrongWiki},
	{"grant required", func(s *scene) { s.policy.Require = []Requirement{{RequireGrant, []string{"delete", "protect"}}} }, MissingGrant},
	{"two grants required", func(s *scene) {
		s.policy.Require = []Requirement{{RequireGrant, []string{"editpage"}}, {RequireGrant, []string{"delete"}}}
	}, MissingGrant},
	{"group required", func(s *scene) { s.policy.Require = []Requirement{{RequireGroup, []string{"bureaucrat"}}} }, MissingGroup},
	{"group required that has expired", func(s *scene) { s.policy.Require = []Requirement{{RequireGroup, []string{"bot"}}} }, MissingGroup},
	{"consumer required", func(s *scene) { s.policy.Require = []Requirement{{RequireConsumer, []string{"x"}}} }, OtherConsumer},
}

// bodyHashHeader signs a POST of {"a":2} to apiURL: hash and signature were
// made by another program.
const bodyHashHeader = `OAuth oauth_consumer_key="11111111111111111111111111111111", oauth_token="22222222222222222222222222222222", ` +
	`oauth_nonce="abc123", oauth_timestamp="1700000000", oauth_signature_method="HMAC-SHA1", oauth_version="1.0", ` +
	`oauth_body_hash="iwaxbQYaKkpMcN9TpDCXDQdFq1s%3D", oauth_signature="Bl5yZydvvGVDDeJYGUTrif5YBE8%3D"`

func only(networks ...string) Restrictions {
	return ParseRestrictions([]byte(`{"IPAddresses":["`+strings.Join(networks, `","`)+`"]}`), Release139)
}

func TestRefusals(t *testing.T) {
	for _, table := range []struct {
		name     string
		scene    func() *scene
		refusals []refusal
	}{
		{"OAuth 1", newScene, slices.Concat(oauth1Refusals, commonRefusals)},
		{"OAuth 2", newBearerScene, slices.Concat(bearerRefusals, commonRefusals)},
	} {
		for _, tt := range table.refusals {
			t.Run(table.name+", "+tt.name, func(t *testing.T) {
				if d := table.scene().run(t); d.Verdict != Allow {
					t.Fatalf("without the change: %v, %v", d.Verdict, d.Reason)
				}
				s := table.scene()
				tt.change(s)
				d := s.run(t)
				if d.Verdict == Allow || d.Reason != tt.want {
					t.Errorf("%v, %v; want %v", d.Verdict, d.Reason, tt.want)
				}
				unavailable := tt.want == StoreUnavailable || tt.want == NoncesUnavailable
				if (d.Verdict == Unavailable) != (unavailable || tt.want == BodiesBusy) || (d.Err != nil) != unavailable {
					t.Errorf("%v with cause %v", d.Verdict, d.Err)
				}
				if d.Identity.UserID != 0 || d.Identity.ConsumerKey != "" {
					t.Errorf("a refusal carries an identity: %+v", d.Identity)
				}
			})
		}
	}
}

// TestEveryReason holds the tables of refusals against the catalogue: each
// reason has a whole row, a name of its own, and a test that reaches it.
func TestEveryReason(t *testing.T) {
	reached := map[Reason]bool{
		OK: true,
		// Reached in caddymodule, where they arise, and in the table of TestJWT.
		ConsumerBusy:     true, // in TestRSAChecks
		MethodNotAllowed: true, PreflightRefused: true, IdentityTooLarge: true, UnknownWiki: true, UnsupportedAlgorithm: true, BadTokenSignature: true,
	}
	for _, tt := range slices.Concat(oauth1Refusals, bearerRefusals, commonRefusals) {
		reached[tt.want] = true
	}
	names := map[string]bool{}
	for _, r := range Reasons() {
		if !reached[r] {
			t.Errorf("%v: no test reaches it", r)
		}
		if names[r.String()] || r.String() == "" || r.Status() == 0 || (r.Detail() == "") != (r == OK) {
			t.Errorf("%q: status %d, detail %q", r, r.Status(), r.Detail())
		}
		if strings.ContainsAny(r.Detail(), "\"\\") {
			t.Errorf("%v: the detail cannot stand in a challenge: %s", r, r.Detail())
		}
		names[r.String()] = true
	}
}

// TestPasses are the near neighbours of refusals.
func TestPasses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		scene  func() *scene
		change func(s *scene)
	}{
		{"timestamp at the window's end", newScene, func(s *scene) { s.now = testNow.Add(300*time.Second + 999*time.Millisecond) }},
		{"timestamp at the window's beginning", newScene, func(s *scene) { s.now = testNow.Add(-300 * time.Second) }},
		{"scheme in other letters", newScene, resigned("OAuth ", "oAUTH ")},
		{"empty list elements", newScene, resigned("OAuth ", "OAuth , ,\t,")},
		{"realm with anything in it", newScene, resigned("OAuth ", `OAuth Realm="oauth_token=\"x\", oauth_nonce=1",`)},
		{"unquoted value", newScene, resigned(`"`+accessToken+`"`, accessToken)},
		{"no version", newScene, func(s *scene) {
			s.unsigned = true
			s.request.Authorization = []string{mwHeader[:strings.Index(mwHeader, ", oauth_version")] + `, oauth_signature="mZvNq9X3pR7a5SutvoYEvkpIWB4%3D"`}
		}},
		{"body hash", newScene, func(s *scene) {
			s.request.Method, s.form, s.request.ContentType = "POST", `{"a":2}`, []string{"application/json"}
			header(bodyHashHeader)(s)
		}},
		{"absolute form", newScene, func(s *scene) { s.request.Target = apiURL }},
		{"base URL", newScene, func(s *scene) {
			s.policy.BaseScheme, s.policy.BaseHost = "https", "wiki.example.org"
			s.request.Scheme, s.request.Host = "http", "backend:8080"
		}},
		{"RSA", newScene, func(s *scene) { s.creds.RSAKey = appKey() }},
		{"restricted to where it comes from", newScene, func(s *scene) { s.facts.Consumer.Restrictions = only("192.0.2.0/24") }},
		{"no restriction, address not certain", newScene, func(s *scene) { s.request.SpoofableIP = true }},
		{"IPv4 on a dual-stack listener", newScene, func(s *scene) {
			s.facts.Consumer.Restrictions = only("192.0.2.0/24")
			s.request.ClientIP = netip.MustParseAddr("::ffff:192.0.2.1")
		}},
		{"this wiki", newScene, func(s *scene) { s.facts.Acceptance.Wiki, s.facts.Consumer.Wiki = "enwiki", "enwiki" }},
		{"proposed, by its owner", newScene, func(s *scene) { s.facts.Consumer.Stage, s.facts.Consumer.OwnerID = Proposed, 9 }},
		{"owner-only, by its owner", newScene, func(s *scene) { s.facts.Consumer.OwnerOnly, s.facts.Consumer.OwnerID = true, 9 }},
		{"block expired", newScene, func(s *scene) { s.facts.User.Blocked, s.policy.BlockDisablesLogin = Expiry(s.now.Unix()), true }},
		{"blocked from a page, where only blocks of the site count", newScene, func(s *scene) {
			s.facts.User.PartlyBlocked, s.policy.BlockDisablesLogin, s.policy.OnlySitewideBlocks = Never, true, true
		}},
		{"block from a page expired", newScene, func(s *scene) {
			s.facts.User.PartlyBlocked, s.policy.BlockDisablesLogin = Expiry(s.now.Unix()), true
		}},
		{"blocked, on a wiki where that does not disable login", newScene, func(s *scene) { s.facts.User.Blocked = Never }},
		{"hidden, own ids", newScene, func(s *scene) { s.facts.User.Hidden = Never }},
		{"one of the values required", newScene, func(s *scene) {
			s.policy.Require = []Requirement{{RequireGrant, []string{"delete", "editpage"}}, {RequireGroup, []string{"sysop"}}, {RequireConsumer, []string{consumerKey}}}
		}},
		{"OAuth 2 client by OAuth 1", newScene, func(s *scene) { s.facts.Consumer.Version = 2 }},
		{"a millisecond before exp", newBearerScene, func(s *scene) { s.now = time.UnixMilli(1_700_003_600_249) }},
		{"no times", newBearerScene, func(s *scene) { delete(s.claims, "exp"); delete(s.claims, "nbf"); delete(s.claims, "iat") }},
		{"exp a thousand years off", newBearerScene, func(s *scene) { s.claims["exp"] = 33_000_000_000.5 }},
		{"exp beyond all time", newBearerScene, func(s *scene) { s.claims["exp"] = 1e308 }},
		{"aud in a list", newBearerScene, func(s *scene) { s.claims["aud"] = []string{clientKey} }},
		{"scopes in an object", newBearerScene, func(s *scene) { s.claims["scopes"] = map[string]string{"3": "basic"} }},
		{"sub of another user", newBearerScene, func(s *scene) { s.claims["sub"] = "12345" }},
		{"client of another wiki, acceptance of this one", newBearerScene, func(s *scene) {
			s.facts.Consumer = &Consumer{ID: 2, Key: "other", Wiki: "dewiki", Version: 2, Stage: Disabled, Restrictions: anywhere()}
		}},
		{"two blanks", newBearerScene, func(s *scene) {
			token, err := sign.JWT(issuerKey(), s.claims)
			if err != nil {
				panic(err)
			}
			header("bearer  " + token)(s)
		}},
		{"second key", newBearerScene, func(s *scene) {
			s.tokens = NewJWT([]*rsa.PublicKey{&newRSAKey(2048).PublicKey, &issuerKey().PublicKey}, Policy{Release: Release139})
		}},
		{"no scopes, 1.47", newBearerScene, func(s *scene) {
			s.policy.Release, s.facts.Subject, s.claims["scopes"] = Release147, s.facts.User, []string{}
		}},
		{"sub with a scope, 1.47", newBearerScene, func(s *scene) {
			s.policy.Release, s.facts.Subject, s.claims["sub"] = Release147, s.facts.User, "mw:local:enwiki:9"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.scene()
			tt.change(s)
			if d := s.run(t); d.Verdict != Allow {
				t.Errorf("%v, %v; want allow", d.Verdict, d.Reason)
			}
		})
	}
}
