package issuing_test

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// asked is a step with what went before it.
type asked struct {
	*step
	c      *recorded
	f      fixtures
	index  int
	fields map[string]difference
}

// before reports whether an earlier step of the case is of a kind.
func (a *asked) before(is func(s *step) bool) bool { return a.count(is) > 0 }

// count returns how many earlier steps of the case are of a kind.
func (a *asked) count(is func(s *step) bool) (n int) {
	for i := range a.index {
		if is(&a.c.Steps[i]) {
			n++
		}
	}
	return n
}

// apps returns the apps that the case has named so far.
func (a *asked) apps() (apps []fixtureConsumer) {
	for i := range a.index + 1 {
		for _, m := range appNamed.FindAllStringSubmatch(a.c.Steps[i].text, -1) {
			if app, known := a.f.Consumers[m[1]+m[2]]; known {
				apps = append(apps, app)
			}
		}
	}
	return apps
}

var appNamed = regexp.MustCompile(`"consumer":"(\w+)"|[{:|]c:(\w+)\.`)

// unusable reports whether an app of the case may not be used here: suppressed, for
// another wiki, not approved, or disabled in between.
func (a *asked) unusable() bool {
	return a.before(func(s *step) bool { return disables.MatchString(s.SQL) }) ||
		slices.ContainsFunc(a.apps(), func(app fixtureConsumer) bool {
			return app.Stage > 1 || app.Stage == 0 && !a.before(func(s *step) bool { return s.Browser == app.Owner }) && a.Browser != app.Owner ||
				app.Deleted != 0 || app.Wiki != "*" && app.Wiki != a.f.Site.Wiki
		})
}

// disables matches a statement after which an app may not be used here.
var disables = regexp.MustCompile(`oarc_stage\s*=\s*'?[^1'\s]|oarc_deleted\s*=\s*'?1|oarc_wiki\s*=`)

// public reports whether an app of the case is a public client.
func (a *asked) public() bool {
	return slices.ContainsFunc(a.apps(), func(app fixtureConsumer) bool { return app.OAuthVersion == 2 && app.Confidential == 0 })
}

// asksInVain reports whether a request names scopes, and the app has none of them.
func (a *asked) asksInVain() bool {
	scope, _ := a.param("scope")
	if inForm := a.form("scope"); len(inForm) == 1 {
		scope = inForm[0]
	}
	asked := strings.Fields(strings.ReplaceAll(scope, "+", " "))
	for _, app := range a.apps() {
		for _, grant := range app.Grants {
			if slices.Contains(asked, cmp.Or(namesInUse[grant], grant)) {
				return false
			}
		}
	}
	return len(asked) > 0 && (a.grantType() != "client_credentials" || !slices.Contains(asked, "#default"))
}

// namesInUse are the names of grants that are stored under another one.
var namesInUse = map[string]string{"useoauth": "basic", "authonly": "mwoauth-authonly", "authonlyprivate": "mwoauth-authonlyprivate"}

// narrowed reports whether the user's approval was taken back, or replaced by one
// for other scopes.
func (a *asked) narrowed() bool {
	scopes := map[string]bool{}
	for i := range a.index {
		if s := &a.c.Steps[i]; s.Do == "browse" && s.Press == "accept" {
			scope, _ := s.param("scope")
			scopes[scope] = true
		}
	}
	return len(scopes) > 1 || a.before((*step).withdraws)
}

// namesOtherClient reports whether the form names another client than HTTP Basic.
func (a *asked) namesOtherClient() bool {
	id := a.form("client_id")
	return len(id) == 1 && !strings.Contains(a.header("Authorization"), "{{basic:"+strings.Trim(id[0], "{}")+"|")
}

// showsWrongSecret reports whether a client shows a secret that is not its own.
func (a *asked) showsWrongSecret() bool {
	if secret := a.form("client_secret"); len(secret) == 1 {
		id := a.form("client_id")
		return secret[0] != "" && (len(id) != 1 || secret[0] != strings.Replace(id[0], ".key}}", ".secret}}", 1))
	}
	m := basicTemplate.FindStringSubmatch(a.header("Authorization"))
	return m != nil && m[2] != "=" && m[2] != strings.TrimSuffix(m[1], ".key")+".secret"
}

var basicTemplate = regexp.MustCompile(`^Basic \{\{basic:([^|]*)\|([^}]*)\}\}$`)

// showsNoSecret reports whether a client shows no secret, or an empty one.
func (s *step) showsNoSecret() bool {
	secret := s.form("client_secret")
	basic := s.header("Authorization")
	return (len(secret) == 0 || secret[0] == "") && (basic == "" || strings.HasSuffix(basic, "|=}}"))
}

func (s *step) refreshes() bool { return len(s.form("refresh_token")) > 0 }

// echoesState reports whether the redirect in a field has the state that was sent,
// or none if none was.
func (a *asked) echoesState(field string) bool {
	d, differs := a.fields[field]
	state, sent := a.param("state")
	if decoded, err := url.QueryUnescape(state); a.RawQuery != "" && err == nil {
		state = decoded
	}
	want := "&state=" + strings.ReplaceAll(url.QueryEscape(state), "~", "%7E") + `"`
	return differs && sent == strings.Contains(d.got, "&state=") && (!sent || strings.Contains(d.got, want))
}

func (a *asked) tokenEndpoint() bool { return strings.HasSuffix(a.URL, "/oauth2/access_token") }
func (a *asked) resource() bool      { return strings.Contains(a.URL, "/oauth2/resource/") }
func (a *asked) authorize2() bool    { return strings.HasSuffix(a.URL, "/oauth2/authorize") }
func (a *asked) handshakePage() bool {
	return strings.Contains(a.URL, "{{oauth1:auth") || a.Page == "authorize" || a.Page == "authenticate"
}

// grantType returns the grant_type of a request to the token endpoint.
func (a *asked) grantType() string {
	if types := a.form("grant_type"); a.tokenEndpoint() && len(types) > 0 {
		return types[0]
	}
	return ""
}

func (a *asked) repeats() bool {
	for _, pairs := range [][][2]string{a.Form, a.Query} {
		seen := map[string]bool{}
		for _, pair := range pairs {
			if seen[pair[0]] {
				return true
			}
			seen[pair[0]] = true
		}
	}
	for _, text := range []string{a.Body, a.RawQuery} {
		seen := map[string]bool{}
		for pair := range strings.SplitSeq(text, "&") {
			name, _, found := strings.Cut(pair, "=")
			if found && seen[name] {
				return true
			}
			seen[name] = true
		}
	}
	return false
}

// revokes reports whether a step makes a token that MediaWiki leaves valid invalid
// here: a code is used again, or the token's row is revoked.
func (s *step) revokes() bool {
	return setsRevoked.MatchString(s.SQL) || strings.Contains(s.text, "Authorization code has been revoked") || s.Do == "parallel"
}

var setsRevoked = regexp.MustCompile(`oaat_revoked\s*=\s*'?1`)

// refusesClient reports whether a refresh was refused because of the app.
func (s *step) refusesClient() bool {
	return len(s.form("refresh_token")) > 0 && strings.Contains(s.text, "is not usable by user with ID")
}

// approvesTwice reports whether MediaWiki failed at a second approval of a request
// token that somebody had approved.
func (a *asked) approvesTwice() bool {
	return a.before(func(s *step) bool { return s.Do == "browse" && strings.Contains(s.text, `"outcome":"callback"`) }) &&
		a.before(func(s *step) bool {
			return s.Do == "browse" && strings.Contains(s.text, `"outcome":"page"`) && s.Press == "accept"
		})
}

// approvedBy reports whether a user was sent back to an app.
func (a *asked) approvedBy(user string) bool {
	return a.before(func(s *step) bool {
		return s.Do == "browse" && strings.Contains(s.text, `"outcome":"callback"`) && cmp.Or(s.ThenAs, s.Browser) == user
	})
}

// burnsNonce reports whether a signature or its method was refused. MediaWiki has
// used up the nonce by then.
func (s *step) burnsNonce() bool {
	return strings.Contains(s.text, "Invalid signature") || strings.Contains(s.text, "ignature method")
}

// burned reports whether MediaWiki refuses the step for its nonce.
func (a *asked) burned() bool {
	return strings.Contains(a.fields["json"].want+a.fields["body"].want, "Nonce already used")
}

// withdraws reports whether a step takes back what a user has allowed.
func (s *step) withdraws() bool { return strings.Contains(s.SQL, "oauth_accepted_consumer") }

func (s *step) deletes() bool { return strings.Contains(s.SQL, "DELETE FROM oauth_accepted_consumer") }

// wrongVerifier reports whether a verifier was refused.
func (s *step) wrongVerifier() bool {
	return strings.Contains(s.text, "mwoauthdatastore-bad-verifier") || strings.Contains(s.text, "The verification code provided was not valid")
}
