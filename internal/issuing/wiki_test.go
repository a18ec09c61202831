package issuing_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
)

// fixtures is what the recorded wiki was configured with.
type fixtures struct {
	Site struct {
		Wiki           string
		OAuthSecretKey string `json:"oauth_secret_key"`
	}
	Users     map[string]fixtureUser
	Consumers map[string]fixtureConsumer
	Keys      map[string]string
	Variants  map[string]string
}

type fixtureUser struct {
	ID        uint64
	Password  string
	Groups    []string
	EditCount int64
}

type fixtureConsumer struct {
	Key, Secret    string
	Wiki, Owner    string
	Grants         []string
	Stage, Deleted int
	Confidential   int
	OAuthVersion   int    `json:"oauth_version"`
	CallbackURL    string `json:"callback_url"`
}

func readFixtures(t testing.TB) (f fixtures) {
	t.Helper()
	readJSON(t, "testdata/fixtures.json", &f)
	return f
}

func readJSON(t testing.TB, file string, value any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, value)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// groupRights are the rights of groups of MediaWiki 1.39 and its OAuth extension
// ($wgGroupPermissions), in MediaWiki's order.
var groupRights = map[string]string{
	"bureaucrat":      "userrights noratelimit",
	"interface-admin": "editinterface editsitecss editsitejson editsitejs editusercss edituserjson edituserjs",
	"sysop": "block createaccount delete bigdelete deletedhistory deletedtext undelete editinterface editsitejson edituserjson import importupload " +
		"move move-subpages move-rootuserpages move-categorypages patrol autopatrol protect editprotected rollback upload reupload " +
		"reupload-shared unwatchedpages autoconfirmed editsemiprotected ipblock-exempt blockemail markbotedits apihighlimits browsearchive " +
		"noratelimit movefile unblockself suppressredirect mergehistory managechangetags deletechangetags " +
		"mwoauthmanageconsumer mwoauthsuppress mwoauthviewsuppressed",
	"bot": "bot autoconfirmed editsemiprotected nominornewtalk autopatrol suppressredirect apihighlimits writeapi",
	"*": "createaccount read edit createpage createtalk writeapi viewmywatchlist editmywatchlist viewmyprivateinfo editmyprivateinfo " +
		"editmyoptions",
	"user": "move move-subpages move-rootuserpages move-categorypages movefile read edit createpage createtalk writeapi upload reupload " +
		"reupload-shared minoredit editmyusercss editmyuserjson editmyuserjs editmyuserjsredirect purge sendemail applychangetags " +
		"changetags editcontentmodel mwoauthproposeconsumer mwoauthupdateownconsumer mwoauthmanagemygrants",
	"autoconfirmed": "autoconfirmed editsemiprotected",
}

// publicUser is an entry of MediaWiki's answer to list=users.
type publicUser struct {
	UserID    uint64   `json:"userid"`
	Name      string   `json:"name"`
	EditCount int64    `json:"editcount"`
	Groups    []string `json:"groups"`
	Rights    []string `json:"rights"`
}

// public is what list=users of the recorded wiki told of the user: groups that were
// given come first, sorted; of rights that several groups give the first counts.
func (u fixtureUser) public(name string) publicUser {
	out := publicUser{UserID: u.ID, Name: name, EditCount: u.EditCount}
	out.Groups = append(slices.Sorted(slices.Values(u.Groups)), "*", "user", "autoconfirmed")
	for _, group := range out.Groups {
		for right := range strings.FieldsSeq(groupRights[group]) {
			if !slices.Contains(out.Rights, right) {
				out.Rights = append(out.Rights, right)
			}
		}
	}
	return out
}

// startWikiAPI starts a server that answers list=users and meta=userinfo as the
// recorded wiki's api.php, and returns its URL.
func startWikiAPI(t testing.TB, f fixtures) string {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		nobody := q.Get("meta") == "userinfo"
		if r.URL.Path != "/w/api.php" || q.Get("action") != "query" || q.Get("list") != "users" && !nobody || len(r.Header["Cookie"])+len(r.Header["Authorization"]) > 0 {
			http.Error(w, "only list=users and meta=userinfo are answered, as public data", http.StatusBadRequest)
			return
		}
		users := []any{}
		for name := range strings.SplitSeq(q.Get("ususers"), "|") {
			if u, known := f.Users[name]; known {
				users = append(users, u.public(name))
			} else {
				users = append(users, map[string]any{"name": name, "missing": true})
			}
		}
		query := map[string]any{"users": users}
		if nobody {
			query = map[string]any{"userinfo": map[string]any{"id": 0, "name": "127.0.0.1", "anon": true, "rights": strings.Fields(groupRights["*"])}}
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if err := json.NewEncoder(w).Encode(map[string]any{"batchcomplete": true, "query": query}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(api.Close)
	return api.URL + "/w/api.php"
}
