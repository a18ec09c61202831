package issuing_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/sign"
)

// clientInput is what a client is told.
type clientInput struct {
	URL            string `json:"url"`
	Key            string `json:"key"`
	Secret         string `json:"secret"`
	Callback       string `json:"callback"`
	Flow           string `json:"flow,omitempty"`
	Authentication string `json:"authentication,omitempty"`
}

// clientOutput is a line that a client writes: the address that a browser is to
// open, or what it has in the end.
type clientOutput struct {
	Open        string
	Token       string
	TokenSecret string `json:"token_secret"`
	User, Sub   string

	Bearer string // the token after a refresh
	Before string // the token before it
	Own    string // the client's own
}

// TestClients has clients of others walk both flows, unchanged. Their tokens pass
// the directive oauth on the same Caddy.
func TestClients(t *testing.T) {
	f := readFixtures(t)
	s := startSites(t, f, "MariaDB").on["MariaDB"]
	base := s.urls["clients"]
	modules := nodeModules(t)
	python := pythonWith(t, "mwoauth, requests_oauthlib")
	for _, tt := range []struct {
		name    string
		program []string
		app     string
		clientInput
	}{
		{"mwoauth", []string{python, "testdata/clients/mwoauth_handshake.py"}, "pre", clientInput{Callback: "https://app.example/cb"}},
		{"passport-mediawiki-oauth", []string{"node", modules + "/passport_handshake.js"}, "plain", clientInput{Callback: "oob"}},
		{"requests-oauthlib, OAuth 1.0a", []string{python, "testdata/clients/requests_oauthlib_flows.py"}, "pre", clientInput{Callback: "https://app.example/cb?x=1", Flow: "oauth1"}},
		{"requests-oauthlib, OAuth 2", []string{python, "testdata/clients/requests_oauthlib_flows.py"}, "o2", clientInput{Callback: "https://app.example/o2cb", Flow: "oauth2"}},
		{"oauth4webapi, Basic", []string{"node", modules + "/oauth4webapi_flows.mjs"}, "o2", clientInput{Callback: "https://app.example/o2cb", Authentication: "basic"}},
		{"oauth4webapi, form", []string{"node", modules + "/oauth4webapi_flows.mjs"}, "o2", clientInput{Callback: "https://app.example/o2cb", Authentication: "post"}},
		{"oauth4webapi, public", []string{"node", modules + "/oauth4webapi_flows.mjs"}, "o2pub", clientInput{Callback: "https://app.example/o2cb", Authentication: "none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			app := f.Consumers[tt.app]
			tt.URL, tt.Key, tt.Secret = base, app.Key, app.Secret
			got := runClient(t, tt.program, tt.clientInput, func(address string) string {
				return consent(t, address, "Alice", f.Users["Alice"].Password)
			})
			if got.User != "" && (got.User != "Alice" || got.Sub != "3") {
				t.Errorf("/identify tells of %q with id %q", got.User, got.Sub)
			}
			if got.Token != "" {
				credentials := sign.Credentials{
					ConsumerKey: app.Key, ConsumerSecret: app.Secret, Token: got.Token, TokenSecret: got.TokenSecret,
				}
				header, err := sign.Header(credentials, http.MethodGet, base+"/api", nil, sign.Options{})
				if err != nil {
					t.Fatal(err)
				}
				wantIdentity(t, base, header, "Alice "+app.Key)
				withdraw(t, base, tt.app, "Alice", f.Users["Alice"].Password)
				if header, err = sign.Header(credentials, http.MethodGet, base+"/api", nil, sign.Options{}); err != nil {
					t.Fatal(err)
				}
				if status, _ := get(t, base+"/api", header); status != http.StatusUnauthorized {
					t.Errorf("the token gets status %d after the withdrawal", status)
				}
				return
			}
			wantIdentity(t, base, "Bearer "+got.Bearer, "Alice "+app.Key)
			if tt.Authentication != "none" && tt.Flow == "" {
				wantIdentity(t, base, "Bearer "+got.Own, " "+app.Key)
			}
			if status, _ := get(t, base+"/api", "Bearer "+got.Before); status != http.StatusUnauthorized {
				t.Errorf("the token before the refresh gets status %d", status)
			}
			withdraw(t, base, tt.app, "Alice", f.Users["Alice"].Password)
			if status, _ := get(t, base+"/api", "Bearer "+got.Bearer); status != http.StatusUnauthorized {
				t.Errorf("the token gets status %d after the withdrawal", status)
			}
		})
	}
}

// wantIdentity expects that the directive oauth lets a credential pass, as an
// identity.
func wantIdentity(t *testing.T, base, authorization, want string) {
	t.Helper()
	if status, body := get(t, base+"/api", authorization); status != http.StatusOK || body != want {
		t.Errorf("the gateway says %d %q, want %q", status, body, want)
	}
}

// get sends a request with an Authorization line.
func get(t *testing.T, target, authorization string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	response, text := send(t, r)
	return response.StatusCode, text
}

// send sends a request and reads the answer. It follows no redirect.
func send(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// consent opens the consent page as a browser and approves. It returns where the
// browser is sent.
func consent(t *testing.T, address, user, password string) string {
	t.Helper()
	page, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	page.SetBasicAuth(user, password)
	response, text := send(t, page)
	form := url.Values{"approve": {"1"}}
	for _, m := range hiddenField.FindAllStringSubmatch(text, -1) {
		form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	if response.StatusCode != http.StatusOK || len(form) < 2 {
		t.Fatalf("%s: no consent page: %d\n%s", address, response.StatusCode, text)
	}
	press, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	press.SetBasicAuth(user, password)
	press.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	press.Header.Set("Origin", page.URL.Scheme+"://"+page.URL.Host)
	press.Header.Set("Sec-Fetch-Site", "same-origin")
	response, text = send(t, press)
	if response.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s: no redirect: %d\n%s", address, response.StatusCode, text)
	}
	return response.Header.Get("Location")
}

// withdraw takes back what a user has allowed an app, on the page of apps. The very
// next request of the app is refused.
func withdraw(t *testing.T, base, app, user, password string) {
	t.Helper()
	address := base + "/oauth2/apps"
	page, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	page.SetBasicAuth(user, password)
	_, text := send(t, page)
	form := url.Values{"withdraw": {"1"}}
	for section := range strings.SplitSeq(text, "<section>") {
		if !strings.Contains(section, "<bdi>App "+app+"</bdi>") {
			continue
		}
		for _, m := range hiddenField.FindAllStringSubmatch(section, -1) {
			form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
		}
	}
	if len(form) < 2 {
		t.Fatalf("the page of apps has no form for %s:\n%s", app, text)
	}
	press, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	press.SetBasicAuth(user, password)
	press.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	press.Header.Set("Origin", press.URL.Scheme+"://"+press.URL.Host)
	press.Header.Set("Sec-Fetch-Site", "same-origin")
	if response, text := send(t, press); response.StatusCode != http.StatusOK {
		t.Fatalf("withdrawal of %s: %d\n%s", app, response.StatusCode, text)
	}
}

// runClient runs a client. Whenever it asks for a browser, open returns where the
// browser was sent.
func runClient(t *testing.T, program []string, input clientInput, open func(address string) string) clientOutput {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.Env = append(cmd.Environ(), "NO_PROXY=*", "no_proxy=*", "PYTHONDONTWRITEBYTECODE=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	to, lines := json.NewEncoder(stdin), bufio.NewScanner(stdout)
	if err := to.Encode(input); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		var out clientOutput
		if err := json.Unmarshal(lines.Bytes(), &out); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if out.Open == "" {
			return out
		}
		if err := to.Encode(map[string]string{"location": open(out.Open)}); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait()
	t.Fatalf("%q ended without a result:\n%s", program, stderr.String())
	return clientOutput{}
}

// pythonWith is a python3 that has modules of Debian's packages: Debian's own, when
// the one on the PATH has not.
func pythonWith(t *testing.T, modules string) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), name, "-c", "import "+modules).Run() == nil {
			return name
		}
	}
	t.Fatalf("no python3 has %s: apt-get install --no-install-recommends python3-mwoauth python3-requests-oauthlib", modules)
	return ""
}

// nodeModules installs what the lock file names, by its digests, and returns the
// directory, with the programs that use it.
func nodeModules(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v: apt-get install --no-install-recommends nodejs npm", err)
		}
	}
	dir := t.TempDir()
	files, err := filepath.Glob("testdata/clients/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return dir
}
