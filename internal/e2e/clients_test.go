package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dghubble/oauth1"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/e2e/harness"
)

// clientRequest is what an app has its client library send.
type clientRequest struct {
	Name     string      `json:"-"`
	Method   string      `json:"method"`
	Path     string      `json:"path"`
	Query    [][2]string `json:"query,omitempty"`
	Form     [][2]string `json:"form,omitempty"`
	JSON     string      `json:"json,omitempty"`
	BodyHash bool        `json:"body_hash,omitempty"` // the client adds an oauth_body_hash
	Swapped  string      `json:"swapped,omitempty"`   // the body that is sent in place of the signed one

	Standard  string `json:"-"` // what comes of it; empty: it passes
	MediaWiki string `json:"-"`
}

var clientRequests = []clientRequest{
	{Name: "GET", Method: "GET", Path: "/w/api.php", Query: [][2]string{{"action", "query"}, {"meta", "siteinfo|userinfo"}}},
	{Name: "GET without a query", Method: "GET", Path: "/wiki/%C3%89t%C3%A9_%E2%98%83"},
	{Name: "Unicode in the query", Method: "GET", Path: "/w/api.php", Query: [][2]string{
		{"titles", "Été ☃ 😀|e\u0301"}, {"reserved", "a+b ~*'()!%25&=;/?#c"}, {"empty", ""},
	}},
	{Name: "a name twice in the query", Method: "GET", Path: "/w/api.php", Query: [][2]string{{"a", "2"}, {"a", "1"}}, MediaWiki: "bad_signature"},
	{Name: "DELETE", Method: "DELETE", Path: "/w/rest.php/v1/x", Query: [][2]string{{"a", "1"}}},
	{Name: "POST without a body", Method: "POST", Path: "/w/index.php", Query: [][2]string{{"title", "Special:OAuth/identify"}}},
	{Name: "form", Method: "POST", Path: "/w/api.php", Form: [][2]string{{"action", "edit"}, {"token", "+\\"}}},
	{Name: "Unicode in the form", Method: "POST", Path: "/w/api.php", Form: [][2]string{
		{"text", "Été ☃ 😀\r\n~*'()!%25&=;/?#c"}, {"é", "name"}, {"empty", ""},
	}},
	{Name: "a name twice in the form", Method: "POST", Path: "/w/api.php", Form: [][2]string{{"a", "1"}, {"a", "2"}, {"b.c", "3"}}},
	{Name: "query and form", Method: "POST", Path: "/w/api.php", Query: [][2]string{{"format", "json"}}, Form: [][2]string{{"action", "edit"}, {"text", "☃ x"}}},
	{Name: "another form than the signed one", Method: "POST", Path: "/w/api.php", Form: [][2]string{{"text", "a"}}, Swapped: "text=b", Standard: "bad_signature", MediaWiki: "bad_signature"},
	{Name: "JSON", Method: "POST", Path: "/w/rest.php/v1/page", JSON: `{"source": "é ☃", "a": "b=c&d"}`},
	{Name: "JSON with its hash", Method: "POST", Path: "/w/rest.php/v1/page", Query: [][2]string{{"x", "é"}}, JSON: `{"source": "é ☃", "a": "b=c&d"}`, BodyHash: true},
	{Name: "JSON with its hash, by PUT", Method: "PUT", Path: "/w/rest.php/v1/page/A", JSON: `{"source": "é"}`, BodyHash: true},
	{Name: "JSON with the hash of another", Method: "POST", Path: "/w/rest.php/v1/page", JSON: `{"source": "é"}`, BodyHash: true, Swapped: `{"source": "e"}`, Standard: "bad_body_hash"},
}

// clientInput is what a client in another language is handed.
type clientInput struct {
	URL            string          `json:"url"`
	ConsumerKey    string          `json:"consumer_key"`
	ConsumerSecret string          `json:"consumer_secret"`
	Token          string          `json:"token"`
	TokenSecret    string          `json:"token_secret"`
	RSAKey         string          `json:"rsa_key"`
	Requests       []clientRequest `json:"requests"`
}

func newClientInput(t *testing.T, g *harness.Gateway, app harness.App) clientInput {
	t.Helper()
	c := app.Credentials
	return clientInput{
		URL: g.URL(""), ConsumerKey: c.ConsumerKey, ConsumerSecret: c.ConsumerSecret,
		Token: c.Token, TokenSecret: c.TokenSecret, RSAKey: privatePEM(t, c.RSAKey),
	}
}

// clientAnswer is what a client in another language got.
type clientAnswer struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func (a clientAnswer) read(t *testing.T) *harness.Answer {
	t.Helper()
	header := http.Header{}
	for name, value := range a.Headers {
		header.Set(name, value)
	}
	answer, err := harness.ReadAnswer(&http.Response{StatusCode: a.Status, Header: header, Body: io.NopCloser(strings.NewReader(a.Body))})
	if err != nil {
		t.Fatalf("%v\n%s", err, a.Body)
	}
	return answer
}

// runClient has a program read the input and decodes what it writes.
func runClient(t *testing.T, cmd *exec.Cmd, input, output any) {
	t.Helper()
	in, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	cmd.Env = append(cmd.Environ(), "NO_PROXY=*", "no_proxy=*", "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, &stderr)
	}
	if err := json.Unmarshal(out, output); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// pythonWith is a python3 that has a module of a Debian package: Debian's, when
// the one on the PATH has not.
func pythonWith(t *testing.T, module, debianPackage string) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), name, "-c", "import jwt, cryptography, "+module).Run() == nil {
			return name
		}
	}
	t.Fatalf("no python3 has %s: apt-get install --no-install-recommends %s", module, debianPackage)
	return ""
}

// nodeModules installs what the lock file names, by its digests, and is where
// it then is.
func nodeModules(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v: apt-get install --no-install-recommends nodejs npm", err)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := os.ReadFile(filepath.Join("testdata/clients", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return filepath.Join(dir, "node_modules")
}

// goClient sends what dghubble/oauth1 signs, which knows no oauth_body_hash.
func goClient(t *testing.T, g *harness.Gateway, app harness.App, requests []clientRequest) []*harness.Answer {
	t.Helper()
	config := oauth1.NewConfig(app.Credentials.ConsumerKey, app.Credentials.ConsumerSecret)
	if app.Credentials.RSAKey != nil {
		config.Signer = &oauth1.RSASigner{PrivateKey: app.Credentials.RSAKey}
	}
	swap := new(swapper)
	ctx := context.WithValue(t.Context(), oauth1.HTTPClient, &http.Client{Transport: swap})
	client := config.Client(ctx, oauth1.NewToken(app.Credentials.Token, app.Credentials.TokenSecret))
	var answers []*harness.Answer
	for _, c := range requests {
		target, body, contentType := g.URL(c.Path), c.JSON, "application/json"
		if c.Query != nil {
			target += "?" + values(c.Query).Encode()
		}
		if c.Form != nil {
			body, contentType = values(c.Form).Encode(), formType
		}
		r, err := http.NewRequestWithContext(t.Context(), c.Method, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			r.Header.Set("Content-Type", contentType)
		}
		swap.body = c.Swapped
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a, err := harness.ReadAnswer(response)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	return answers
}

// swapper sends another body than the one that was signed.
type swapper struct{ body string }

func (s *swapper) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s.body)), int64(len(s.body))
	}
	return http.DefaultTransport.RoundTrip(r)
}

func values(pairs [][2]string) url.Values {
	v := url.Values{}
	for _, pair := range pairs {
		v.Add(pair[0], pair[1])
	}
	return v
}

// rules are the two ways of reading and signing.
var rules = []string{"standard", "mediawiki"}

// TestClients lets libraries that apps are made of sign and send requests, each
// as it encodes them.
func TestClients(t *testing.T) {
	modules, python3 := nodeModules(t), pythonWith(t, "requests_oauthlib", "python3-requests-oauthlib")
	inOtherLanguage := func(run func(t *testing.T, input, output any)) func(*testing.T, *harness.Gateway, harness.App, []clientRequest) []*harness.Answer {
		return func(t *testing.T, g *harness.Gateway, app harness.App, requests []clientRequest) []*harness.Answer {
			input := newClientInput(t, g, app)
			input.Requests = requests
			var output []clientAnswer
			run(t, input, &output)
			var answers []*harness.Answer
			for _, a := range output {
				answers = append(answers, a.read(t))
			}
			return answers
		}
	}
	clients := []struct {
		name  string
		lacks func(clientRequest) bool
		send  func(*testing.T, *harness.Gateway, harness.App, []clientRequest) []*harness.Answer
	}{
		{
			name: "requests-oauthlib",
			send: inOtherLanguage(func(t *testing.T, input, output any) {
				runClient(t, exec.CommandContext(t.Context(), python3, "testdata/clients/requests_client.py"), input, output)
			}),
		},
		{
			name: "oauth-1.0a",
			send: inOtherLanguage(func(t *testing.T, input, output any) {
				cmd := exec.CommandContext(t.Context(), "node", "testdata/clients/oauth10a.js")
				cmd.Env = append(cmd.Environ(), "NODE_PATH="+modules)
				runClient(t, cmd, input, output)
			}),
		},
		{
			name: "dghubble",
			// It makes no oauth_body_hash, and signs one value of a name.
			lacks: func(c clientRequest) bool {
				return c.BodyHash || len(values(c.Query)) < len(c.Query) || len(values(c.Form)) < len(c.Form)
			},
			send: goClient,
		},
	}
	for _, rules := range rules {
		t.Run(rules, func(t *testing.T) {
			g := harness.New(t, harness.Options{Settings: []string{"rules " + rules}})
			stranger := g.Wiki.HMAC
			stranger.Consumer.Name = "stranger"
			stranger.Credentials.ConsumerSecret = "x"
			for _, client := range clients {
				requests := slices.Clone(clientRequests)
				if client.lacks != nil {
					requests = slices.DeleteFunc(requests, client.lacks)
				}
				for _, app := range []harness.App{g.Wiki.HMAC, g.Wiki.RSA} {
					t.Run(client.name+" "+app.Consumer.Name, func(t *testing.T) {
						answers := client.send(t, g, app, requests)
						if len(answers) != len(requests) {
							t.Fatalf("%d answers to %d requests", len(answers), len(requests))
						}
						for i, c := range requests {
							t.Run(c.Name, func(t *testing.T) {
								want := c.Standard
								if rules == "mediawiki" {
									want = c.MediaWiki
								}
								checkClient(t, g, c, answers[i], cmp.Or(want, "ok"))
							})
						}
					})
				}
				t.Run(client.name+" with another secret", func(t *testing.T) {
					for _, a := range client.send(t, g, stranger, requests[:1]) {
						a.Want(t, "bad_signature")
					}
				})
			}
		})
	}
}

// checkClient holds what the backend was sent against what the app wanted to
// say, and sends it once more.
func checkClient(t *testing.T, g *harness.Gateway, c clientRequest, a *harness.Answer, want string) {
	t.Helper()
	a.Want(t, want)
	if a.Seen == nil {
		return
	}
	if id := a.Identity("User-Id"); id != "7" {
		t.Errorf("user %q", id)
	}
	path, query, _ := strings.Cut(a.Seen.Target, "?")
	if got, err := url.ParseQuery(query); path != c.Path || err != nil || !reflect.DeepEqual(got, values(c.Query)) {
		t.Errorf("the backend was sent %s", a.Seen.Target)
	}
	if c.Form != nil {
		if got, err := url.ParseQuery(string(a.Seen.Body)); err != nil || !reflect.DeepEqual(got, values(c.Form)) {
			t.Errorf("the backend was sent %s", a.Seen.Body)
		}
	} else if string(a.Seen.Body) != cmp.Or(c.Swapped, c.JSON) {
		t.Errorf("the backend was sent %s", a.Seen.Body)
	}
	header := a.Seen.Header
	if hashed := strings.Contains(header.Get("Authorization"), "oauth_body_hash="); hashed != c.BodyHash {
		t.Errorf("the client sent %s", header.Get("Authorization"))
	}
	again := g.Request(t, c.Method, g.URL(a.Seen.Target), string(a.Seen.Body), "Authorization", header.Get("Authorization"))
	again.Header.Set("Content-Type", header.Get("Content-Type"))
	g.Do(t, again).Want(t, "nonce_used")
}
