package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-mwoauth/caddy-mwoauth/validator"
)

// signApp is the app of the sign tests, on a wiki without a site key, so that
// stored secrets are what clients sign with.
const (
	signKey         = "0123456789abcdef0123456789abcdef"
	signSecret      = "11112222333344445555666677778888"
	signToken       = "fedcba9876543210fedcba9876543210"
	signTokenSecret = "88887777666655554444333322221111"
	signFile        = "consumer_key = " + signKey + "\nconsumer_secret=" + signSecret + "\naccess_token =" + signToken + "\naccess_secret= " + signTokenSecret + "\n"
)

// signedRequest is what the wiki of the sign tests saw.
type signedRequest struct {
	Method, Target, Body, Authorization, Type, Reason string
}

// newSignWiki starts a server that verifies requests of the sign app with the
// validator, and answers what it saw.
func newSignWiki(t *testing.T, key *rsa.PublicKey) *httptest.Server {
	t.Helper()
	everywhere := validator.ParseRestrictions([]byte(`{"IPAddresses":["0.0.0.0/0","::/0"]}`), validator.Release147)
	consumer := &validator.Consumer{
		ID: 1, Key: signKey, Wiki: "*", Version: 1, Stage: validator.Approved,
		Secret: signSecret, RSAKey: key, Restrictions: everywhere,
	}
	facts := validator.Facts{
		Consumer: consumer, Accepted: consumer,
		Acceptance: &validator.Acceptance{ID: 1, ConsumerID: 1, UserID: 7, Wiki: "*", Secret: signTokenSecret, Grants: []string{"basic"}},
		User:       &validator.User{CentralID: 7, Name: "Ada", Local: true, Attached: true},
	}
	v := validator.New(validator.Policy{Wiki: "enwiki", Release: validator.Release147}, signStore{facts}, &signNonces{}, validator.NewJWT(nil, validator.Policy{}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := v.Verify(r.Context(), validator.FromHTTP(nil, r))
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := json.NewEncoder(w).Encode(signedRequest{
			Method: r.Method, Target: r.RequestURI, Body: string(body), Type: r.Header.Get("Content-Type"),
			Authorization: r.Header.Get("Authorization"), Reason: d.Reason.String(),
		}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

type signStore struct{ facts validator.Facts }

func (s signStore) Lookup(_ context.Context, key validator.Key) (validator.Facts, error) {
	if key.Consumer != signKey || key.Token != signToken {
		return validator.Facts{}, nil
	}
	return s.facts, nil
}

type signNonces struct{ seen sync.Map }

func (n *signNonces) Use(_ context.Context, use validator.NonceUse) (bool, error) {
	_, seen := n.seen.LoadOrStore(use.Nonce, true)
	return !seen, nil
}

// runSign runs the command and returns what it printed.
func runSign(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return runSignInput(t, "", args...)
}

func runSignInput(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := newSignCommand()
	cmd.SetIn(strings.NewReader(stdin))
	var out, diagnostics bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&diagnostics)
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.Execute()
	return out.String(), diagnostics.String(), err
}

// paste runs a line as if it were pasted in a terminal.
func paste(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v: %s", line, err, out)
	}
	return string(out)
}

func writeSecret(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSignedLinesPassWhenPasted(t *testing.T) {
	wiki := newSignWiki(t, nil)
	file := writeSecret(t, "credentials", "# an app\n\n"+signFile)
	form := writeSecret(t, "it's a form", "b=%2B&a=x+y&a=\xff%20")
	tests := []struct {
		name         string
		args         []string // the last one is the URL, below the wiki's
		method, body string
	}{
		{"plain", []string{"/w/api.php?action=query&meta=userinfo"}, "GET", ""},
		{"no path", []string{""}, "GET", ""},
		{"dots, lower-case hex and brackets", []string{"/w/%7e/../{a,b}/./x;y?titles[]=[1-3]&x=%c3%a9"}, "GET", ""},
		{"shell signs", []string{"/w/$HOME`id`'\"\\!?a='$(id)'&b=;|&c=*"}, "GET", ""},
		{"fragment", []string{"/w/#top"}, "GET", ""},
		{"form", []string{"-d", "action=edit", "-d", "text=it's 5 + 5 = 10 & ü\n~", "-d", "empty=", "/w/api.php?a=1"}, "POST", "action=edit&text=it%27s%205%20%2B%205%20%3D%2010%20%26%20%C3%BC%0A~&empty="},
		{"form that begins with @", []string{"-d", "@=@", "/w/"}, "POST", "%40=%40"},
		{"form of a file", []string{"--form-file", form, "/w/"}, "POST", "b=%2B&a=x+y&a=\xff%20"},
		{"form with PUT", []string{"-X", "PUT", "-d", "a=1", "/w/"}, "PUT", "a=1"},
		{"form with GET", []string{"-X", "GET", "-d", "a=1", "/w/"}, "GET", "a=1"},
		{"empty POST", []string{"-X", "POST", "/w/"}, "POST", ""},
		{"DELETE", []string{"-X", "DELETE", "/w/"}, "DELETE", ""},
		{"a method that is encoded", []string{"-X", "it's", "/w/"}, "it's", ""},
		{"realm", []string{"--realm", `it's "a" wiki`, "/w/"}, "GET", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			last := len(test.args) - 1
			target := test.args[last]
			args := append([]string{"--credentials", file}, test.args...)
			args[len(args)-1] = wiki.URL + target
			line, diagnostics, err := runSign(t, args...)
			if err != nil || diagnostics != "" || strings.Count(line, "\n") != 1 {
				t.Fatalf("sign: %v, stderr %q, stdout %q", err, diagnostics, line)
			}
			if strings.Contains(line, signSecret) || strings.Contains(line, signTokenSecret) {
				t.Errorf("the line holds a secret: %s", line)
			}
			got := decodeSeen(t, paste(t, line))
			target, _, _ = strings.Cut(target, "#")
			want := signedRequest{Method: test.method, Target: target, Body: test.body, Reason: "ok", Authorization: got.Authorization, Type: got.Type}
			if want.Target == "" {
				want.Target = "/"
			}
			want.Body = strings.ToValidUTF8(want.Body, "\ufffd") // as JSON brought it here
			if got != want {
				t.Errorf("%sthe wiki saw  %+v\nit should see %+v", line, got, want)
			}
			if got := decodeSeen(t, paste(t, line)); got.Reason != "nonce_used" {
				t.Errorf("pasted again: %s, want nonce_used", got.Reason)
			}
		})
	}
}

func decodeSeen(t *testing.T, text string) signedRequest {
	t.Helper()
	var seen signedRequest
	if err := json.Unmarshal([]byte(text), &seen); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	return seen
}

func TestSignHead(t *testing.T) {
	wiki := newSignWiki(t, nil)
	line, _, err := runSign(t, "-c", writeSecret(t, "c", signFile), "-X", "HEAD", wiki.URL+"/w/")
	if err != nil {
		t.Fatal(err)
	}
	if out := paste(t, line); !strings.HasPrefix(out, "HTTP/1.1 200 OK") {
		t.Errorf("%s: %s", line, out)
	}
}

func TestSignWithRSAKeyAndBearer(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	wiki := newSignWiki(t, &key.PublicKey)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"pkcs1.pem": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		"pkcs8.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
		"apps": "consumer_key = unused\n[one]\nconsumer_key=" + signKey + "\naccess_token=" + signToken + "\nrsa_key_file=pkcs1.pem\n" +
			"[eight]\nconsumer_key=" + signKey + "\naccess_token=" + signToken + "\nrsa_key_file=" + filepath.Join(dir, "pkcs8.pem") + "\n" +
			"[two]\nbearer_token = a.b-_=.c\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for app, method := range map[string]string{"one": "RSA-SHA1", "eight": "RSA-SHA1"} {
		line, _, err := runSign(t, "--credentials", filepath.Join(dir, "apps"), "--app", app, wiki.URL+"/w/?a=1")
		if err != nil {
			t.Fatal(err)
		}
		if got := decodeSeen(t, paste(t, line)); got.Reason != "ok" || !strings.Contains(got.Authorization, method) {
			t.Errorf("[%s]: the wiki saw %+v", app, got)
		}
	}
	line, _, err := runSign(t, "--credentials", filepath.Join(dir, "apps"), "--app", "two", "-d", "a=1", wiki.URL+"/w/?a=1")
	if err != nil {
		t.Fatal(err)
	}
	if _, arguments, found := strings.Cut(line, " | curl "); !found || strings.Contains(arguments, "a.b-_=.c") || !strings.HasPrefix(line, "printf ") {
		t.Errorf("the token is an argument of a process, which other users can see: %s", line)
	}
	if got := decodeSeen(t, paste(t, line)); got.Authorization != "Bearer a.b-_=.c" || got.Body != "a=1" {
		t.Errorf("[two]: the wiki saw %+v", got)
	}
}

func TestSignFromTheEnvironment(t *testing.T) {
	wiki := newSignWiki(t, nil)
	t.Setenv("OAUTH_CONSUMER_KEY", signKey)
	t.Setenv("OAUTH_CONSUMER_SECRET", signSecret)
	t.Setenv("OAUTH_ACCESS_TOKEN", signToken)
	t.Setenv("OAUTH_ACCESS_SECRET", signTokenSecret)
	header, _, err := runSign(t, "--header-only", wiki.URL+"/w/?a=1")
	if err != nil {
		t.Fatal(err)
	}
	got := decodeSeen(t, paste(t, "curl -sS -H "+shellQuote(strings.TrimSpace(header))+" "+wiki.URL+"/w/?a=1"))
	if got.Reason != "ok" {
		t.Errorf("the wiki saw %+v", got)
	}
}

// The steps of the handshake: the token is that of the wiki's answer, which other
// users cannot see.
func TestSignHandshake(t *testing.T) {
	wiki := newSignWiki(t, nil)
	app := writeSecret(t, "app", "consumer_key = "+signKey+"\nconsumer_secret = "+signSecret+"\n")
	answer := "oauth_token=" + signToken + "&oauth_token_secret=" + signTokenSecret + "&oauth_callback_confirmed=true\n"
	file := writeSecret(t, "answer", answer)

	line, _, err := runSign(t, "-c", app, "--callback", "https://app.example/?a=b", wiki.URL+"/oauth/initiate")
	if err != nil {
		t.Fatal(err)
	}
	if got := decodeSeen(t, paste(t, line)); got.Reason != "missing_token" ||
		!strings.Contains(got.Authorization, `oauth_callback="https%3A%2F%2Fapp.example%2F%3Fa%3Db"`) {
		t.Errorf("/initiate: the wiki saw %+v", got)
	}
	for name, args := range map[string][]string{"file": {"--token-file", file}, "standard input": {"--token-file", "-"}} {
		for _, credentials := range []string{app, writeSecret(t, "own", strings.ReplaceAll(signFile, signTokenSecret, signSecret))} {
			args := append([]string{"-c", credentials, "--verifier", "abc"}, args...)
			line, diagnostics, err := runSignInput(t, answer, append(args, wiki.URL+"/oauth/token")...)
			if err != nil || diagnostics != "" {
				t.Fatal(err, diagnostics)
			}
			if strings.Contains(line, signTokenSecret) {
				t.Errorf("%s: the line holds a secret: %s", name, line)
			}
			if got := decodeSeen(t, paste(t, line)); got.Reason != "ok" || !strings.Contains(got.Authorization, `oauth_verifier="abc"`) {
				t.Errorf("%s: the wiki saw %+v", name, got)
			}
		}
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, diagnostics, _ := runSign(t, "-c", app, "--token-file", file, wiki.URL); !strings.Contains(diagnostics, "others can read "+file) {
		t.Errorf("no warning that others can read the token: %q", diagnostics)
	}
}

func TestSignWarnsOfReadableSecrets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Fatal("run the tests on a system with file modes")
	}
	file := writeSecret(t, "c", signFile)
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	_, diagnostics, err := runSign(t, "-c", file, "http://127.0.0.1/")
	want := fmt.Sprintf("warning: others can read %s (mode 0640): chmod 600 '%[1]s'\n", file)
	if err != nil || diagnostics != want {
		t.Errorf("err %v, stderr %q, want %q", err, diagnostics, want)
	}
}

func TestSignRefuses(t *testing.T) {
	good := writeSecret(t, "good", signFile)
	notAKey := writeSecret(t, "key.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
	file := func(text string) []string {
		return []string{"-c", writeSecret(t, "c", text), "http://127.0.0.1/"}
	}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no url", []string{"-c", good}, "accepts 1 arg(s), received 0"},
		{"relative url", []string{"-c", good, "/w/"}, `does not begin with http:// or https://`},
		{"an option as url", []string{"-c", good, "--", "-o/tmp/x"}, "does not begin with http:// or https://"},
		{"user in url", []string{"-c", good, "http://a:b@127.0.0.1/"}, "user information is not allowed"},
		{"no credentials", []string{"http://127.0.0.1/"}, "no credentials: want consumer_key"},
		{"no file", []string{"-c", good + "x", "http://127.0.0.1/"}, "no such file"},
		{"section without file", []string{"--app", "x", "http://127.0.0.1/"}, "--credentials is missing"},
		{"no section chosen", file("[a]\n" + signFile + "[b]\n"), "want --app with one of its sections: a, b"},
		{"unknown section", []string{"-c", good, "--app", "x", "http://127.0.0.1/"}, "no section [x]"},
		{"method", []string{"-c", good, "-X", "GET /", "http://127.0.0.1/"}, `is not a request method`},
		{"HEAD with a form", []string{"-c", good, "-X", "HEAD", "-d", "a=1", "http://127.0.0.1/"}, "no form with HEAD"},
		{"data without a name", []string{"-c", good, "-d", "a", "http://127.0.0.1/"}, `--data: "a": use name=value`},
		{"two forms", []string{"-c", good, "-d", "a=1", "--form-file", good, "http://127.0.0.1/"}, "want one of them"},
		{"no form file", []string{"-c", good, "--form-file", good + "x", "http://127.0.0.1/"}, "no such file"},
		{"a line that is none", file("consumer_key = a\nsecret\n"), "line 2: want name = value"},
		{"unknown name", file("consumer_key = a\npassword = secret\n"), `line 2: unknown name "password"`},
		{"unknown name elsewhere", file(signFile + "[b]\npassword = secret\n"), `line 6: unknown name "password"`},
		{"no secret", file("consumer_key = a\n"), "without consumer_secret or rsa_key_file"},
		{"both protocols", file(signFile + "bearer_token = secret\n"), "bearer_token stands alone"},
		{"broken bearer token", file("bearer_token = secret and more\n"), "characters that no token has"},
		{"no key file", file("consumer_key = a\nrsa_key_file = absent.pem\n"), "absent.pem: no such file"},
		{"not a key", file("consumer_key = a\nrsa_key_file = " + good + "\n"), "no PEM block found"},
		{"no token file", []string{"-c", good, "--token-file", good + "x", "http://127.0.0.1/"}, "--token-file: open "},
		{"no token", []string{"-c", good, "--token-file", writeSecret(t, "t", `{"error":"secret and more"}`), "http://127.0.0.1/"}, "--token-file: no token: want oauth_token="},
		{"no token secret", []string{"-c", good, "--token-file", writeSecret(t, "t", "oauth_token=secret\n"), "http://127.0.0.1/"}, "--token-file: no token: want oauth_token="},
		{"malformed token", []string{"-c", good, "--token-file", writeSecret(t, "t", "oauth_token=a&oauth_token_secret=b&%zz"), "http://127.0.0.1/"}, "--token-file: no token: want oauth_token="},
		{"verifier with a bearer token", append([]string{"--verifier", "a"}, file("bearer_token = secret\n")...), "are for OAuth 1.0a"},
		{"callback with a bearer token", append([]string{"--callback", "oob"}, file("bearer_token = secret\n")...), "are for OAuth 1.0a"},
		{"token with a bearer token", append([]string{"--token-file", good}, file("bearer_token = secret\n")...), "are for OAuth 1.0a"},
		{"not a private key", file("consumer_key = a\nrsa_key_file = " + notAKey + "\n"), `PEM block "PUBLIC KEY": want an RSA private key`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, _, err := runSign(t, test.args...)
			if err == nil || !strings.Contains(err.Error(), test.want) || out != "" {
				t.Errorf("stdout %q, error %v, want %q", out, err, test.want)
			}
			for _, secret := range []string{"secret\n", "secret and more", signSecret, signTokenSecret} {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("the error quotes a secret: %v", err)
				}
			}
		})
	}
}

// TestSignHasNoSecretFlags: what is an argument can be read by every user of
// the machine.
func TestSignHasNoSecretFlags(t *testing.T) {
	known := map[string]bool{
		"method": true, "data": true, "form-file": true, "credentials": true, "app": true, "realm": true, "header-only": true,
		"callback": true, "token-file": true,
		"verifier": true, // it is of use with the app's secret alone, and once
	}
	usage := newSignCommand().Flags().FlagUsages()
	for line := range strings.Lines(usage) {
		_, name, found := strings.Cut(line, "--")
		if !found {
			continue
		}
		name, _, _ = strings.Cut(name, " ")
		if !known[name] {
			t.Errorf("flag --%s is not known to this test: does it take a secret?", name)
		}
		delete(known, name)
	}
	if len(known) != 0 {
		t.Errorf("flags %v are gone", known)
	}
}
