package validator

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// mediaWikiParams lists the parameters that MediaWiki would sign, decoded.
func mediaWikiParams(query, form, header string) []string {
	c := Claim{query: query, header: header}
	mediaWikiReader{}.merge(&c, form, MalformedForm)
	c.appendBaseString(nil, nil) // sorts
	var list []string
	for _, p := range c.params {
		list = append(list, decode(p.name)+"="+decode(p.value))
	}
	return list
}

func TestMediaWikiParameters(t *testing.T) {
	for _, tt := range []struct {
		query, form string
		want        []string
	}{
		{"a=1&a=2", "", []string{"a=2"}},
		{"a.b=1", "", []string{"a.b=1", "a_b=1"}},
		{"a b=1", "", []string{"a b=1", "a_b=1"}},
		{"+a=1", "", []string{" a=1", "a=1"}},
		{"a[]=1&a[]=2", "", []string{"a=1", "a=2", "a[]=1", "a[]=2"}},
		{"a[k]=1", "", []string{"a=1", "a[k]=1"}},
		{"a[k]=1&a[k]=2", "", []string{"a=2", "a[k]=1", "a[k]=2"}},
		{"a[x][]=1", "", []string{"a=Array", "a[x][]=1"}},
		{"a=1&a[]=2", "", []string{"a=2", "a[]=2"}},
		{"a[]=2&a=1", "", []string{"a=1", "a[]=2"}},
		{"a[9223372036854775807]=2&a[]=3", "", []string{"a=2", "a[9223372036854775807]=2", "a[]=3"}},
		{"a[9223372036854775807]=2&a[][]=3", "", []string{"a=2", "a[9223372036854775807]=2", "a[][]=3"}},
		{"a[-5]=2&a[]=3&a[0]=4", "", []string{"a=2", "a=4", "a[-5]=2", "a[]=3", "a[0]=4"}},
		{"9223372036854775807=x&9223372036854775808=y&-9223372036854775808=z", "", []string{"0=x", "1=z", "2=x", "3=z", "9223372036854775808=y"}},
		{"a[ ]=2&a[]=3", "", []string{"a=2", "a=3", "a[ ]=2", "a[]=3"}},
		{"a[b]c=1", "", []string{"a=1", "a[b]c=1"}},
		{"a[b][c=1", "", []string{"a=1", "a[b][c=1"}},
		{"l[=1", "", []string{"l[=1", "l_=1"}},
		{"l[x.y=1", "", []string{"l[x.y=1", "l_x_y=1"}},
		{"a]=1", "", []string{"a]=1"}},
		{"[a]=1", "", []string{"[a]=1"}},
		{"a%00b=1", "", []string{"a=1", "a\x00b=1"}},
		{"a=1&", "", []string{"=", "a=1"}},
		{"&&a=1", "", []string{"=", "=", "a=1"}},
		{"=", "", []string{"="}},
		{"", "", nil},
		{"0", "", []string{"0="}},
		{"5=x&b=1", "", []string{"0=x", "1=x", "b=1"}},
		{"-5=x", "", []string{"0=x", "1=x"}},
		{"05=x", "", []string{"05=x"}},
		{"", "5=x", []string{"0=x"}},
		{"", "0", nil},
		{"a", "", []string{"a="}},
		{"a=1", "a=2", []string{"a=2"}},
		{"a[]=1", "a[]=2", []string{"a=1", "a[]=2"}},
		{"", "a=1&a=2", []string{"a=1", "a=2"}},
		{"", "a.b=1&c[]=2", []string{"a.b=1", "c[]=2"}},
		{"oauth_signature=x&a=1", "", []string{"a=1"}},
		{"a;b=1", "", []string{"a;b=1"}},
		{"a=%zz&b=%2", "", []string{"a=%zz", "b=%2"}},
		{strings.Repeat("a[", 65) + "=1&b=2", "", []string{strings.Repeat("a[", 65) + "=1", "b=2", "a_" + strings.Repeat("a_", 64) + "=1"}},
		{"a" + strings.Repeat("[b]", 64) + "=1", "", []string{"a=Array", "a" + strings.Repeat("[b]", 64) + "=1"}},
		{"a" + strings.Repeat("[b]", 65) + "=1", "", []string{"a" + strings.Repeat("[b]", 65) + "=1"}},
	} {
		got := mediaWikiParams(tt.query, tt.form, "")
		slices.Sort(got)
		slices.Sort(tt.want)
		if tt.query == "0" {
			tt.want = []string{"0="} // the raw query is empty to PHP, its variables are not
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("query %q, form %q: %q, want %q", tt.query, tt.form, got, tt.want)
		}
	}
	if got := mediaWikiParams("a.b=1"+strings.Repeat("&c=1", 999)+"&d.e=1", "", ""); slices.Contains(got, "d_e=1") || !slices.Contains(got, "a_b=1") {
		t.Errorf("PHP reads 1000 variables: %q", got)
	}
}

func TestMediaWikiHeader(t *testing.T) {
	for header, want := range map[string][]string{
		`OAuth oauth_token="a", oauth_nonce="b"`:   {"oauth_nonce=b", "oauth_token=a"},
		`OAuth oauth_token="a"oauth_nonce="b"`:     {"oauth_nonce=b", "oauth_token=a"},
		`OAuth oauth_token=a b;c, oauth_nonce=d`:   {"oauth_nonce=d", "oauth_token=a b;c"},
		`OAuth oauth_token=:"a"`:                   {"oauth_token=a"},
		`OAuth oauth_token=:a`:                     {"oauth_token=:a"},
		`OAuth xoauth_token="C"`:                   {"oauth_token=C"},
		`OAuth realm="oauth_nonce=1"`:              {`oauth_nonce=1"`},
		`OAuth oauth_token="a", oauth_token="b"`:   {"oauth_token=b"},
		`OAuth oauth_token="0"`:                    {"oauth_token="},
		`OAuth oauth_token=0`:                      {"oauth_token=0"},
		`OAuth oauth_token=""`:                     {"oauth_token="},
		`OAuth oauth_token="a, oauth_nonce="b"`:    {"oauth_token=a, oauth_nonce="},
		`OAuth oauth_token="a`:                     {`oauth_token="a`},
		`OAuth oauth_token = "x"`:                  nil,
		`OAuth oauth_Token="x", oauth_t1="y"`:      nil,
		`OAuth oauth%5Ftoken="x"`:                  nil,
		`OAuth realm="r", foo="x"`:                 nil,
		`OAuth oauth_token="a+b%2B"`:               {"oauth_token=a b+"},
		`OAuth oauth_oauth_token="x"`:              {"oauth_oauth_token=x"},
		`OAuth oauth_="x"`:                         {"oauth_=x"},
		`OAuth oauth_x-y="1", oauth_signature="s"`: {"oauth_x-y=1"},
	} {
		if got := mediaWikiParams("", "", header); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

// mediaWikiVectors were made by the extension's own code.
var mediaWikiVectors = []struct {
	method, scheme, target, form, signature string
}{
	{"GET", "https", "/w/api.php?action=query&meta=userinfo&format=json", "", "ZL6qDoNGFocusRXt7hRiOnMl0XA="},
	{"POST", "https", "/w/api.php?a=1&a=2", "action=edit&b=z&b=x+y&text=%C3%A9%20%2B~", "AOtpx84p1z03FCljrUDXnJ80SVs="},
	{"GET", "https", "/w/api.php?a.b=1&c[]=3", "", "XOnFgM3jh/GARJEPZHOoSN+UaFE="},
	{"GET", "https", "/w/api.php?5=x&b=1&", "", "6oTuC95R/u5bqvgeIvjSVhp3xX4="},
}

func TestMediaWikiVectors(t *testing.T) {
	for _, v := range mediaWikiVectors {
		s := newScene()
		s.policy.Rules, s.policy.BaseScheme, s.policy.BaseHost = MediaWiki, "https", "wiki.example.org"
		s.unsigned = true
		s.form = v.form
		s.request = Request{Method: v.method, Scheme: "http", Host: "other.example", Target: v.target, Authorization: []string{mwHeader + recodeText(v.signature) + `"`}}
		if d := s.run(t); d.Verdict != Allow {
			t.Errorf("%s %s: %v", v.method, v.target, d.Reason)
		}
		s.request.Target += "&x=y"
		if d := s.run(t); d.Reason != BadSignature {
			t.Errorf("%s %s: %v, want %v", v.method, s.request.Target, d.Reason, BadSignature)
		}
	}
}

// mediaWiki puts a scene under MediaWiki's rules.
func mediaWiki(s *scene) *scene {
	s.policy.Rules, s.policy.BaseScheme, s.policy.BaseHost = MediaWiki, "https", "wiki.example.org"
	return s
}

// TestMediaWikiReads holds what MediaWiki's rules make of a request against
// what the standards do.
func TestMediaWikiReads(t *testing.T) {
	const anonymous, allowed = NoCredentials, OK
	for _, tt := range []struct {
		name                string
		scene               func() *scene
		change              func(s *scene)
		standard, mediaWiki Reason
	}{
		{"small letters", newScene, resigned("OAuth ", "oauth "), allowed, anonymous},
		{"tab", newScene, resigned("OAuth ", "OAuth\t"), MalformedHeader, anonymous},
		{"alone", newScene, header("OAuth"), MissingConsumerKey, anonymous},
		{"nothing but a realm", newScene, header(`OAuth realm="x"`), MissingConsumerKey, MissingConsumerKey},
		{"two lines", newScene, header("OAuth x", "Basic y"), SeveralCredentials, SeveralCredentials},
		{"bearer glued to its token", newBearerScene, header("BearerX"), MalformedHeader, MalformedToken},
		{"bearer in capitals", newBearerScene, header("BEARER x"), MalformedToken, anonymous},
		{"signature in the query alone", newScene, func(s *scene) { header()(s); s.url += "&oauth_signature=x" }, MissingConsumerKey, anonymous},
		{"semicolons", newScene, resigned(`", `, `"; `), MalformedHeader, allowed},
		{"blanks around =", newScene, resigned(`oauth_token=`, `oauth_token = `), MalformedHeader, MissingToken},
		{"token twice, the last one right", newScene, resigned("OAuth ", `OAuth oauth_token="x", `), DuplicateParameter, allowed},
		{"empty version", newScene, resigned(`"1.0"`, `""`), UnsupportedVersion, BadSignature},
		{"version 2", newScene, resigned(`"1.0"`, `"2.0"`), UnsupportedVersion, UnsupportedVersion},
		{"nonce 0", newScene, func(s *scene) { s.options.Nonce = "0" }, allowed, MissingNonce},
		{"timestamp with a fraction", newScene, func(s *scene) { s.options.Timestamp = "1700000000.5" }, MalformedTimestamp, allowed},
		{"timestamp in words", newScene, func(s *scene) { s.options.Timestamp = "now" }, MalformedTimestamp, MalformedTimestamp},
		{"timestamp 0", newScene, func(s *scene) { s.options.Timestamp = "0" }, MalformedTimestamp, MissingTimestamp},
		{"repeated name", newScene, func(s *scene) { s.url += "&a=1&a=2" }, allowed, BadSignature},
		{"form by PUT", newScene, func(s *scene) { s.request.Method, s.form = "PUT", "a=1" }, allowed, BadSignature},
		{"form type in capitals", newScene, func(s *scene) {
			s.request.Method, s.form, s.request.ContentType = "POST", "a=1", []string{"Application/x-www-form-urlencoded"}
		}, allowed, BadSignature},
		{"list in a form", newScene, func(s *scene) { s.request.Method, s.form = "POST", "oauth_nonce=1&oauth_nonce=2" }, DuplicateParameter, BadSignature},
		{"version 2 in the query, 1.0 in the form", newScene, func(s *scene) {
			s.request.Method, s.form = "POST", "oauth_version=1.0"
			resigned("oauth_version=", "version=")(s)
			s.url += "&oauth_version=2.0"
		}, SplitParameters, BadSignature},
		{"list in the query, text in the form", newScene, func(s *scene) {
			s.request.Method, s.form = "POST", "oauth_nonce=n"
			resigned("oauth_nonce=", "nonce=")(s)
			s.url += "&oauth_nonce[]=1"
		}, MissingNonce, BadSignature},
		{"path with two slashes", newScene, func(s *scene) { s.url = "https://wiki.example.org//w/api.php" }, allowed, BadSignature},
		{"body hash of another body", newScene, func(s *scene) {
			s.request.Method, s.form, s.request.ContentType = "POST", `{"a":1}`, []string{"application/json"}
			header(bodyHashHeader)(s)
		}, BadBodyHash, allowed},
		{"bearer from elsewhere", newBearerScene, func(s *scene) { s.facts.Consumer.Restrictions = only("198.51.100.0/24") }, AddressNotAllowed, allowed},
		{"signed from elsewhere", newScene, func(s *scene) { s.facts.Consumer.Restrictions = only("198.51.100.0/24") }, AddressNotAllowed, AddressNotAllowed},
		{"exp a text", newBearerScene, func(s *scene) { s.claims["exp"] = "1700003600" }, MalformedToken, allowed},
		{"exp in the past, a text", newBearerScene, func(s *scene) { s.claims["exp"] = "1600003600" }, MalformedToken, TokenExpired},
		{"exp null", newBearerScene, func(s *scene) { s.claims["exp"] = nil }, MalformedToken, MalformedToken},
		{"exp beyond PHP's clock", newBearerScene, func(s *scene) { s.claims["exp"] = 1e300 }, allowed, MalformedToken},
		{"nbf at the start of PHP's clock", newBearerScene, func(s *scene) { s.claims["nbf"] = math.MinInt64 }, allowed, allowed},
		{"nbf before PHP's clock", newBearerScene, func(s *scene) { s.claims["nbf"] = -1e19 }, allowed, MalformedToken},
		{"jti a number", newBearerScene, func(s *scene) { s.claims["jti"] = 0 }, MalformedToken, MalformedToken},
		{"two aud", newBearerScene, func(s *scene) { s.claims["aud"] = []string{clientKey, "x"} }, UnknownClient, UnknownClient},
		{"two aud, 1.46", newBearerScene, func(s *scene) {
			s.policy.Release, s.claims["aud"] = 46, []string{clientKey, "x"}
		}, UnknownClient, allowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for rules, want := range map[Rules]Reason{Standard: tt.standard, MediaWiki: tt.mediaWiki} {
				s := tt.scene()
				tt.change(s)
				if rules == MediaWiki {
					mediaWiki(s)
				}
				s.tokens = NewJWT(s.tokens.(*JWT).keys, s.policy)
				d := s.run(t)
				if d.Reason != want || (d.Verdict == Allow) != (want == OK) {
					t.Errorf("rules %d: %v, want %v", rules, d.Reason, want)
				}
			}
		})
	}
}

// TestMediaWikiOrder gives a request every fault at once, and takes one after
// the other away: each time the first failing check is the one that MediaWiki
// raises first.
func TestMediaWikiOrder(t *testing.T) {
	s := mediaWiki(newScene())
	good := s.facts
	disabled := *good.Consumer
	disabled.Stage, disabled.Wiki, disabled.Restrictions = Disabled, "dewiki", only("198.51.100.0/24")
	acceptance := *good.Acceptance
	acceptance.Wiki, acceptance.ConsumerID = "dewiki", 99
	user := *good.User
	user.Locked, user.Blocked = true, Never
	s.policy.BlockDisablesLogin = true
	s.now = testNow.Add(time.Hour)
	s.facts = Facts{}
	s.creds.ConsumerSecret = "wrong"
	version, method := "3.0", "PLAINTEXT"
	nonce := "" // sent as missing
	for _, step := range []struct {
		want Reason
		mend func()
	}{
		{UnsupportedVersion, func() { version = "1.0" }},
		{UnknownConsumer, func() { s.facts.Consumer = &disabled }},
		{UnknownToken, func() { s.facts.Acceptance = &acceptance }},
		{UnknownToken, func() { acceptance.ConsumerID = good.Consumer.ID }},
		{TimestampExpired, func() { s.now = testNow }},
		{MissingNonce, func() { nonce = "n" }},
		{UnsupportedMethod, func() { method = hmacSHA1 }},
		{BadSignature, func() { s.creds.ConsumerSecret = newScene().creds.ConsumerSecret }},
		{AddressNotAllowed, func() { disabled.Restrictions = anywhere() }},
		{WrongWiki, func() { acceptance.Wiki = "*" }},
		{UnknownUser, func() { s.facts.User = &user }},
		{UserLocked, func() { user.Locked = false }},
		{UserBlocked, func() { user.Blocked = 0 }},
		{ConsumerNotUsable, func() { disabled.Stage = Approved }},
		{ConsumerWrongWiki, func() { disabled.Wiki = "*" }},
		{OK, func() {}},
	} {
		s.policy.SharedUserIDs = true // so that an unknown user is refused
		s.unsigned, s.options.Nonce = false, "n"
		s.request.Authorization = nil
		r := s.ready(t)
		value := strings.Replace(r.Authorization[0], `oauth_version="1.0"`, `oauth_version="`+version+`"`, 1)
		value = strings.Replace(value, hmacSHA1, method, 1)
		r.Authorization = []string{strings.Replace(value, `oauth_nonce="n"`, `oauth_nonce="`+nonce+`"`, 1)}
		if d := s.verifier().Verify(t.Context(), r); d.Reason != step.want {
			t.Fatalf("%v, want %v", d.Reason, step.want)
		}
		step.mend()
	}
}

func TestProtocolRelativeBaseURL(t *testing.T) {
	for _, tt := range []struct {
		name      string
		rules     Rules
		scheme    string // of the request
		forwarded string
		signed    string
		want      Reason
	}{
		{"as the request", MediaWiki, "http", "", "http", OK},
		{"as the request, https", MediaWiki, "https", "", "https", OK},
		{"as anybody says", MediaWiki, "http", "https", "https", OK},
		{"as anybody says, signed otherwise", MediaWiki, "http", "https", "http", BadSignature},
		{"in another spelling", MediaWiki, "http", "HTTPS", "http", OK},
		{"anybody does not count by the standards", Standard, "http", "https", "http", OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			s.policy.Rules, s.policy.BaseHost = tt.rules, "wiki.example.org"
			s.url = tt.signed + apiURL[len("https"):]
			s.request.Scheme, s.request.Host, s.request.ForwardedProto = tt.scheme, "other:8080", tt.forwarded
			if d := s.run(t); d.Reason != tt.want {
				t.Errorf("%v, want %v", d.Reason, tt.want)
			}
		})
	}
}

// TestMediaWikiRSA takes the spellings of a signature that PHP's base64_decode
// takes.
func TestMediaWikiRSA(t *testing.T) {
	s := mediaWiki(newScene())
	s.creds = sign.Credentials{ConsumerKey: consumerKey, Token: accessToken, RSAKey: appKey()}
	for name, change := range map[string]func(string) string{
		"as sent":    func(sig string) string { return sig },
		"no padding": func(sig string) string { return strings.ReplaceAll(sig, "%3D", "") },
		"a blank":    func(sig string) string { return "%20" + sig },
		"other":      func(sig string) string { return sig + "%21%21" },
		"line break": func(sig string) string { return sig + "%0A" },
	} {
		r := s.ready(t)
		before, signature, _ := strings.Cut(r.Authorization[0], `oauth_signature="`)
		r.Authorization = []string{before + `oauth_signature="` + change(strings.TrimSuffix(signature, `"`)) + `"`}
		s.nonces = &fakeNonces{}
		if d := s.verifier().Verify(t.Context(), r); d.Verdict != Allow {
			t.Errorf("%s: %v", name, d.Reason)
		}
		s.policy.Rules = Standard
		s.nonces = &fakeNonces{}
		want := BadSignature
		if name == "as sent" {
			want = OK
		}
		if d := s.verifier().Verify(t.Context(), r); d.Reason != want {
			t.Errorf("%s, by the standards: %v, want %v", name, d.Reason, want)
		}
		s.policy.Rules = MediaWiki
	}
	r := s.ready(t)
	r.Method = http.MethodPost
	if d := s.verifier().Verify(t.Context(), r); d.Reason != BadSignature {
		t.Errorf("another method: %v", d.Reason)
	}
}
