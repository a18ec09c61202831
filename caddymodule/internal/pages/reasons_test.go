package pages

import (
	"strings"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/authserver"
)

// machinesOnly are the reasons that no page tells: the answer is JSON, or the
// browser is sent back to the app.
var machinesOnly = map[authserver.Reason]bool{
	authserver.NoReason:                 true,
	authserver.SeveralClientCredentials: true,
	authserver.CodeUnreadable:           true,
	authserver.CodeMalformed:            true,
	authserver.CodeExpired:              true,
	authserver.CodeUsed:                 true,
	authserver.CodeOfOtherClient:        true,
	authserver.WrongRedirectURI:         true,
	authserver.MalformedVerifier:        true,
	authserver.WrongCodeVerifier:        true,
	authserver.SuperfluousVerifier:      true,
	authserver.RefreshUnreadable:        true,
	authserver.RefreshOfOtherClient:     true,
	authserver.RefreshExpired:           true,
	authserver.RefreshUsed:              true,
	authserver.UnknownScope:             true,
	authserver.NoScopesLeft:             true,
	authserver.UserNotUsable:            true,
	authserver.ApprovalMissing:          true,
	authserver.OwnerOnlyToken:           true,
	authserver.UserDenied:               true,
	authserver.TokenMissing:             true,
	authserver.TokenMalformed:           true,
	authserver.TokenUnverified:          true,
	authserver.TokenRevoked:             true,
}

// Each refusal that a page tells has a text of its own in each language.
func TestReasonsHaveTexts(t *testing.T) {
	for _, lang := range all {
		told := map[string]bool{"title": true, "code": true, "general": true}
		for _, reason := range authserver.Reasons() {
			told[reason.String()] = !machinesOnly[reason]
			if _, ok := lang.texts["error."+reason.String()]; ok == machinesOnly[reason] {
				t.Errorf("%s: error.%s: has a text: %t", lang.tag, reason, ok)
			}
		}
		for key := range lang.texts {
			if reason, ok := cutAny(key, "error.", "title."); ok && !told[reason] {
				t.Errorf("%s: %s is for no refusal of a page", lang.tag, key)
			}
		}
	}
}

// cutAny cuts one of the prefixes from a text.
func cutAny(text string, prefixes ...string) (rest string, found bool) {
	for _, prefix := range prefixes {
		if rest, found = strings.CutPrefix(text, prefix); found {
			return rest, true
		}
	}
	return text, false
}

// The name of a button that a screen reader reads holds the text that is seen, so
// that it can be pressed by voice (WCAG 2.5.3), and names the app.
func TestButtonsAreNamed(t *testing.T) {
	for _, lang := range all {
		for _, key := range []string{"consent.approve", "consent.cancel", "apps.withdraw"} {
			seen, read := lang.texts[key], lang.texts[key+".label"]
			if !strings.HasPrefix(read, seen) || !strings.Contains(read, "$1") {
				t.Errorf("%s: %s: %q is not %q with the app", lang.tag, key, read, seen)
			}
		}
	}
}
