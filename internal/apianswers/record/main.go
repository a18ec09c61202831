// Command record installs a MediaWiki in a directory of its own, lets its API
// fail in many formats, and writes the answers to the testdata of apianswers. It
// needs the Debian packages mediawiki, php-cli, php-sqlite3, php-mbstring,
// php-xml and php-intl, and is run by hand in the root of the module:
//
//	go run ./internal/apianswers/record
//
// The errors are thrown where the OAuth extension throws its own, in the hook
// ApiBeforeMain, with its messages. The text behind each error that names the
// API's address and a mailing list is replaced by the gateway's own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/caddy-mwoauth/caddy-mwoauth/internal/apianswers"
	"github.com/caddy-mwoauth/caddy-mwoauth/internal/loopback"
)

const (
	mediaWiki = "/usr/share/mediawiki"
	output    = "internal/apianswers/testdata/mediawiki-1.39.json"
)

const messages = `{
"record-docref": "See https://www.mediawiki.org/wiki/OAuth for how requests are authorized.",
"record-empty": "",
"mwoauth-invalid-authorization": "The authorization headers in your request are not valid: $1",
"mwoauth-invalid-authorization-wrong-wiki": "The authorization headers in your request are not valid for $1",
"mwoauth-invalid-authorization-blocked-user": "The authorization headers in your request are for a user who is blocked"
}`

const settings = `
$wgMessagesDirs['record'] = __DIR__ . '/i18n';
$wgShowHostnames = false;
$wgHooks['MessageCache::get'][] = static function ( &$key ) {
	$other = [ 'api-usage-docref' => 'record-docref', 'api-usage-mailinglist-ref' => 'record-empty' ];
	$key = $other[$key] ?? $key;
};
$wgHooks['ApiBeforeMain'][] = static function () {
	$error = json_decode( $_SERVER['HTTP_X_RECORD_ERROR'] ?? 'null', true );
	if ( $error ) {
		throw ApiUsageException::newWithMessage( null, $error );
	}
};
`

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal("record: ", err)
	}
}

func run() (err error) {
	dir, err := os.MkdirTemp("", "record")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	addr, err := loopback.FreeAddr()
	if err != nil {
		return err
	}
	if err := install(dir, addr); err != nil {
		return err
	}
	server := exec.CommandContext(context.Background(), "php", "-S", addr, "-t", mediaWiki) //nolint:gosec // an address of our own
	server.Env = append(os.Environ(), "MW_CONFIG_FILE="+filepath.Join(dir, "LocalSettings.php"))
	if err := server.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Process.Kill()); _ = server.Wait() }()
	api := "http://" + addr + "/api.php"
	version, err := waitForVersion(api)
	if err != nil {
		return err
	}
	recording := apianswers.Recording{MediaWiki: version}
	seen := map[string]int{}
	for _, c := range cases() {
		answer, err := ask(api, c)
		if err != nil {
			return err
		}
		key, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		i, found := seen[string(key)]
		if !found {
			i = len(recording.Answers)
			seen[string(key)] = i
			recording.Answers = append(recording.Answers, answer)
		}
		recording.Answers[i].Requests = append(recording.Answers[i].Requests, c.request)
	}
	return write(recording)
}

// write puts each request on a line of its own.
func write(recording apianswers.Recording) error {
	text, err := json.Marshal(recording)
	if err != nil {
		return err
	}
	lines := strings.NewReplacer(`{"Method":`, "\n"+`{"Method":`, `{"Status":`, "\n"+`{"Status":`).Replace(string(text))
	return os.WriteFile(output, []byte(lines+"\n"), 0o600)
}

func install(dir, addr string) error {
	cmd := exec.CommandContext(context.Background(), "php", mediaWiki+"/maintenance/install.php", "--dbtype", "sqlite", "--dbpath", dir, "--dbname", "wiki", //nolint:gosec // a directory of our own
		"--server", "http://"+addr, "--scriptpath", "", "--pass", "of-no-use-to-anybody", "--confpath", dir, "--skins", "", "Wiki", "Admin")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	i18n := filepath.Join(dir, "i18n")
	if err := os.Mkdir(i18n, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(i18n, "en.json"), []byte(messages), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "LocalSettings.php"), os.O_APPEND|os.O_WRONLY, 0) //nolint:gosec // a directory of our own
	if err != nil {
		return err
	}
	_, err = f.WriteString(settings)
	return errors.Join(err, f.Close())
}

// waitForVersion returns MediaWiki's version once the server answers.
func waitForVersion(api string) (string, error) {
	var last error
	for range 50 {
		body, err := get(api + "?action=query&meta=siteinfo&format=json")
		var info struct {
			Query struct{ General struct{ Generator string } }
		}
		if err == nil {
			err = json.Unmarshal(body, &info)
		}
		if err == nil && info.Query.General.Generator != "" {
			return info.Query.General.Generator, nil
		}
		last = err
		time.Sleep(100 * time.Millisecond)
	}
	return "", fmt.Errorf("the wiki does not answer: %w", last)
}

func get(url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	return body, errors.Join(err, response.Body.Close())
}

var (
	content      = regexp.MustCompile(`(?s)<pre class="api-pretty-content">(.*?)</pre>`)
	curTimestamp = regexp.MustCompile(`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
)

// ask sends a request, and returns the answer without the time.
func ask(api string, c errorCase) (apianswers.Answer, error) {
	answer := apianswers.Answer{Header: map[string]string{}, Error: c.thrown}
	request, err := c.request.HTTP(context.Background(), api)
	if err != nil {
		return answer, err
	}
	thrown, err := json.Marshal(c.thrown)
	if err != nil {
		return answer, err
	}
	request.Header.Set("X-Record-Error", string(thrown))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer, err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return answer, err
	}
	answer.Status, answer.Body = response.StatusCode, string(body)
	for _, name := range []string{
		"Content-Type", "Content-Disposition", "MediaWiki-API-Error", "MediaWiki-Login-Suppressed", "X-Content-Type-Options", "X-Frame-Options",
	} {
		if value := response.Header.Get(name); value != "" {
			answer.Header[name] = value
		}
	}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		answer.Page = true
		if found := content.FindStringSubmatch(answer.Body); found != nil {
			answer.Body = html.UnescapeString(found[1])
		} else if c.request.Method != http.MethodHead {
			return answer, fmt.Errorf("%+v: the page shows no answer", c.request)
		}
	}
	answer.Body = curTimestamp.ReplaceAllString(answer.Body, "2001-02-03T04:05:06Z")
	return answer, nil
}
