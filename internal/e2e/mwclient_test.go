package e2e_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/wikidb"
)

// actionAPI is as much of an api.php as mwclient asks for: who its user is
// comes from the gateway alone.
type actionAPI struct {
	mu      sync.Mutex
	written []written
}

// written is an edit or an upload, and who made it.
type written struct{ User, Action, Title, Text string }

const (
	editToken    = `token+\`
	awkwardTitle = "Été ☃ A&B"
	awkwardText  = "é\r\n☃ 😀 +%3D=&~*'()"
)

func (api *actionAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := r.Header.Get("X-OAuth-User-Name")
	if err := r.ParseMultipartForm(1 << 20); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := map[string]any{}
	switch action := r.FormValue("action"); {
	case r.URL.Path != "/w/api.php" || user == "":
		http.Error(w, "no such thing", http.StatusNotFound)
		return
	case action == "query" && r.Method == "GET":
		answer["query"] = map[string]any{
			"general":    map[string]any{"generator": "MediaWiki 1.39.0", "writeapi": ""},
			"namespaces": map[string]any{"0": map[string]any{"id": 0, "*": ""}, "6": map[string]any{"id": 6, "*": "File"}},
			"userinfo":   map[string]any{"id": 7, "name": user, "groups": []string{"*", "user"}, "rights": []string{"read", "edit", "upload"}},
			"pages":      map[string]any{"-1": map[string]any{"ns": 0, "title": r.FormValue("titles"), "missing": ""}},
			"tokens":     map[string]any{"csrftoken": editToken},
		}
	case r.Method == "POST" && r.PostFormValue("token") == editToken:
		made := written{User: user, Action: action, Title: r.PostFormValue("title"), Text: r.PostFormValue("text")}
		if file, _, err := r.FormFile("file"); err == nil {
			content, _ := io.ReadAll(file) // what is missing is not what the test wants
			made.Title, made.Text = r.PostFormValue("filename"), string(content)
		}
		api.mu.Lock()
		api.written = append(api.written, made)
		api.mu.Unlock()
		answer[action] = map[string]any{"result": "Success"}
	default:
		answer["error"] = map[string]any{"code": "badtoken", "info": "Invalid token", "*": ""}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the gateway has hung up
}

// take is what was written since the last call.
func (api *actionAPI) take() []written {
	api.mu.Lock()
	defer api.mu.Unlock()
	taken := api.written
	api.written = nil
	return taken
}

// mwclientInput is what the script is handed.
type mwclientInput struct {
	clientInput
	Host    string   `json:"host"`
	Title   string   `json:"title"`
	Text    string   `json:"text"`
	Summary string   `json:"summary"`
	Repeat  []string `json:"repeat"` // steps whose first request has the nonce of the request before
}

// mwclientOutput is what became of it.
type mwclientOutput struct {
	User, Edit, Upload string
	Warnings           []string
	Error              []string // class and code
}

func mwclient(t *testing.T, python3 string, g *harness.Gateway, app harness.App, repeat ...string) mwclientOutput {
	t.Helper()
	input := mwclientInput{
		clientInput: newClientInput(t, g, app), Host: g.HTTP, Repeat: append([]string{}, repeat...),
		Title: awkwardTitle, Text: awkwardText, Summary: "é+é",
	}
	input.Requests = nil
	var output mwclientOutput
	runClient(t, exec.CommandContext(t.Context(), python3, "testdata/clients/mwclient_session.py"), input, &output)
	return output
}

// TestMwclient lets mwclient edit and upload, and get past a nonce that was
// used already: it asks again when it finds MediaWiki's words for that.
func TestMwclient(t *testing.T) {
	python3 := pythonWith(t, "mwclient", "python3-mwclient")
	for _, settings := range [][]string{
		{"rules standard", "errors mediawiki"},
		{"rules mediawiki", "errors mediawiki"},
	} {
		t.Run(settings[0], func(t *testing.T) {
			api := new(actionAPI)
			g := harness.New(t, harness.Options{Backend: api, Settings: settings})
			for _, app := range []harness.App{g.Wiki.HMAC, g.Wiki.RSA} {
				for _, repeat := range [][]string{nil, {"site", "page", "edit", "upload"}} {
					t.Run(cmp.Or(strings.Join(repeat, ","), "no")+" nonce twice, "+app.Consumer.Name, func(t *testing.T) {
						api.take()
						before := noncesUsed(t, g)
						out := mwclient(t, python3, g, app, repeat...)
						if out.Error != nil || out.User != "Alice" || out.Edit != "Success" || out.Upload != "Success" {
							t.Errorf("it could not: %+v", out)
						}
						want := []written{{"Alice", "edit", awkwardTitle, awkwardText}, {"Alice", "upload", awkwardTitle, awkwardText}}
						if got := api.take(); !slices.Equal(got, want) {
							t.Errorf("written:\n%q\nwant:\n%q", got, want)
						}
						if refused := noncesUsed(t, g) - before; refused != len(repeat) || len(out.Warnings) != len(repeat) {
							t.Errorf("%d refusals, %d retries of %d: %q", refused, len(out.Warnings), len(repeat), out.Warnings)
						}
						for _, w := range out.Warnings {
							if !strings.Contains(w, "Retrying due to nonce error") {
								t.Errorf("a warning: %s", w)
							}
						}
					})
				}
			}
			stranger := g.Wiki.HMAC
			stranger.Credentials.ConsumerSecret = "x"
			elsewhere := g.Wiki.NewApp(t, g.Wiki.Alice, func(c *wikidb.Consumer) { c.Wiki = "dewiki" })
			for _, refused := range []struct {
				name string
				app  harness.App
				want []string
			}{
				{"another secret", stranger, []string{"OAuthAuthorizationError", "mwoauth-invalid-authorization"}},
				{"an app of another wiki", elsewhere, []string{"APIError", "mwoauth-invalid-authorization-wrong-wiki"}},
			} {
				t.Run(refused.name, func(t *testing.T) {
					if out := mwclient(t, python3, g, refused.app); !slices.Equal(out.Error, refused.want) || len(out.Warnings) != 0 {
						t.Errorf("%+v, want the error %v", out, refused.want)
					}
				})
			}
		})
	}
}

var nonceUsedLine = regexp.MustCompile(`(?m)^caddy_oauth_decisions_total\{.*reason="nonce_used".*\} (\d+)$`)

// noncesUsed is how often the gateway has refused a nonce.
func noncesUsed(t *testing.T, g *harness.Gateway) int {
	t.Helper()
	found := nonceUsedLine.FindStringSubmatch(g.Metrics(t))
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
