package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/browser"
)

// TestMain lets the test binary be the command itself, in a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_CADDY") != "" {
		main()
		return
	}
	browser.Main(m)
}

func caddy(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // for a command that should have ended
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, executable, args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "TEST_AS_CADDY=1", "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home, "TMPDIR="+home)
	return cmd
}

func TestModulesAreBuiltIn(t *testing.T) {
	out, err := caddy(t, "list-modules").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{"http.handlers.oauth", "http.handlers.oauth_server", "http.handlers.reverse_proxy"} {
		if !slices.Contains(strings.Fields(string(out)), module) {
			t.Errorf("list-modules lacks %s", module)
		}
	}
}

func TestDemoStaysOnLoopback(t *testing.T) {
	out, err := caddy(t, "oauth", "demo", "--listen", "0.0.0.0:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "want a loopback address") {
		t.Errorf("demo on all interfaces: %v, %s", err, out)
	}
}

// example is a line that the demonstration prints, with what it says of it.
type example struct{ status, reason, title, command string }

var (
	exampleTitle = regexp.MustCompile(`^# (?:passes|refused \((\d+) (\w+)\)): (.+)$`)
	issuingText  = "Tokens are issued here too."
	lastLine     = "Ctrl-C ends the demonstration"
)

// startDemo runs the demonstration and reads what it prints. Stop ends it and
// reports what was left behind.
func startDemo(t *testing.T, end os.Signal) (printed string, stop func() error) {
	t.Helper()
	cmd := caddy(t, "oauth", "demo", "--listen", "127.0.0.1:0")
	temp := strings.TrimPrefix(cmd.Env[len(cmd.Env)-1], "TMPDIR=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), lastLine) {
			return text.String(), func() error {
				if err := cmd.Process.Signal(end); err != nil {
					return err
				}
				if _, err := io.Copy(io.Discard, stdout); err != nil {
					return err
				}
				if err := cmd.Wait(); err != nil {
					return fmt.Errorf("%w\n%s", err, stderr.String())
				}
				if left, err := filepath.Glob(filepath.Join(temp, "caddy-oauth-demo-*")); err != nil || len(left) != 0 {
					return fmt.Errorf("left behind: %v, %w", left, err)
				}
				return nil
			}
		}
	}
	t.Fatalf("the demonstration ended: %v\n%s%s", cmd.Wait(), text.String(), stderr.String())
	return "", nil
}

func examples(t *testing.T, printed string) (list []example) {
	t.Helper()
	printed, _, _ = strings.Cut(printed, "\n"+issuingText)
	lines := strings.Split(printed, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		found := exampleTitle.FindStringSubmatch(line)
		if found == nil {
			t.Fatalf("title %q", line)
		}
		list = append(list, example{found[1], found[2], found[3], lines[i+1]})
	}
	return list
}

// paste runs a line as if it were pasted in a terminal.
func paste(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		t.Fatalf("%s\n%v: %s", line, err, exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestDemo pastes each line that the demonstration prints, and holds the answer
// against what it says.
func TestDemo(t *testing.T) {
	printed, stop := startDemo(t, os.Interrupt)
	list := examples(t, printed)
	users := map[string]string{
		"OAuth 1.0a with HMAC-SHA1, as Bob": "Bob", "OAuth 1.0a with RSA-SHA1, as Bob": "Bob",
		"an owner-only app, as Alice": "Alice", "OAuth 2, as Bob": "Bob",
		"claims to be Alice in a header, but the backend sees Bob": "Bob",
	}
	var reasons []string
	for _, e := range list {
		t.Run(e.title, func(t *testing.T) {
			answer := paste(t, e.command)
			var got struct {
				Status  int
				Reason  string
				Headers map[string]string
			}
			if err := json.Unmarshal([]byte(answer), &got); err != nil {
				t.Fatalf("%v: %s", err, answer)
			}
			if e.reason != "" {
				if got.Reason != e.reason || fmt.Sprint(got.Status) != e.status {
					t.Errorf("refused with %d %s, want %s %s", got.Status, got.Reason, e.status, e.reason)
				}
				return
			}
			want := users[e.title]
			if want == "" || got.Headers["X-Oauth-User-Name"] != want || got.Headers["X-Oauth-Wiki"] != "demowiki" {
				t.Errorf("the backend saw %v, want user %q", got.Headers, want)
			}
			for name, value := range got.Headers {
				if want == "Bob" && (strings.Contains(value, "Alice") || strings.Contains(value, "sysop")) {
					t.Errorf("the backend saw %s: %s", name, value)
				}
			}
			delete(users, e.title)
		})
		if e.reason != "" {
			reasons = append(reasons, e.reason)
		}
	}
	if len(users) != 0 {
		t.Errorf("no line shows %v", users)
	}
	want := []string{"no_credentials", "unknown_consumer", "bad_signature", "timestamp_expired", "nonce_used", "token_revoked"}
	if !slices.Equal(reasons, want) {
		t.Errorf("refusals shown: %v, want %v", reasons, want)
	}
	if got := paste(t, list[0].command); !strings.Contains(got, `"nonce_used"`) {
		t.Errorf("the first line, pasted again: %s", got)
	}
	t.Run("files", func(t *testing.T) { checkFiles(t, printed) })
	t.Run("fresh lines", func(t *testing.T) { checkFreshLines(t, printed) })
	if err := stop(); err != nil {
		t.Errorf("ending the demonstration: %v", err)
	}
}

// demoDirectory is where the demonstration has its files.
func demoDirectory(t *testing.T, printed string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^Secrets: +(.+)$`).FindStringSubmatch(printed)
	if found == nil {
		t.Fatal("no line names the secrets")
	}
	return filepath.Dir(found[1])
}

// checkFiles looks at who can read the files, most of which hold secrets.
func checkFiles(t *testing.T, printed string) {
	dir := demoDirectory(t, printed)
	missing := []string{"Caddyfile", "credentials", "site_key", "oauth2_private.pem", "rsa_app.pem", "wiki.sqlite", "app.curl", "bob.curl"}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("mode of %s: %v, want %v", path, info.Mode(), want)
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == entry.Name() })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(missing) != 0 {
		t.Errorf("files %v are missing", missing)
	}
}

// checkFreshLines signs with each section of the credentials file, by the
// command that the demonstration prints.
func checkFreshLines(t *testing.T, printed string) {
	command := regexp.MustCompile(`(?m)^('.*' oauth sign .*) --app ordinary ('http.*')$`).FindStringSubmatch(printed)
	if command == nil {
		t.Fatal("no line shows oauth sign")
	}
	t.Setenv("TEST_AS_CADDY", "1")
	for app, want := range map[string]string{
		"ordinary": `"X-Oauth-User-Name": "Bob"`, "owner-only": `"X-Oauth-User-Name": "Alice"`, "rsa": `"X-Oauth-User-Name": "Bob"`,
		"oauth2": `"X-Oauth-User-Name": "Bob"`, "oauth2-revoked": `"reason":"token_revoked"`,
	} {
		line := paste(t, command[1]+" --app "+app+" -d 'text=it'\\''s' "+command[2])
		if got := paste(t, line); !strings.Contains(got, want) {
			t.Errorf("%s\n%s: %s\nwant %s", line, app, got, want)
		}
	}
}

func TestDemoEndsAtSIGTERM(t *testing.T) {
	_, stop := startDemo(t, syscall.SIGTERM)
	if err := stop(); err != nil {
		t.Error(err)
	}
}
