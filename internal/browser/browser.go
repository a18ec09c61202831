// Package browser drives a headless Chromium for tests of the pages for people.
// It is Debian's package chromium; axe-core, which looks for barriers to people
// with disabilities, comes from npm.
//
// A package whose tests use it ends the browser in its TestMain:
//
//	func TestMain(m *testing.M) { browser.Main(m) }
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// startTime is how long a browser may take to start on a busy machine.
const startTime = 60 * time.Second

// flags keep Chromium from asking anything of the network. A name that ends in
// .test or .localhost is this machine, whatever its certificate, and every other name is
// unknown.
var flags = map[string]any{
	"headless":                      true,
	"no-sandbox":                    true,
	"disable-gpu":                   true,
	"disable-quic":                  true,
	"no-first-run":                  true,
	"disable-background-networking": true,
	"disable-component-update":      true,
	"disable-sync":                  true,
	"disable-extensions":            true,
	"disable-dev-shm-usage":         true,
	"hide-scrollbars":               true,
	"force-color-profile":           "srgb",
	"disable-features":              "Translate,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
	"no-proxy-server":               true,
	"ignore-certificate-errors":     true,
	"host-resolver-rules":           "MAP *.test 127.0.0.1, MAP *.localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
}

// instance is a browser that runs, or the reason why it does not.
type instance struct {
	context context.Context //nolint:containedctx // it stands for the browser
	stop    func()
	err     error
}

// shared is the browser of all tests of a process. The first test that needs it
// starts it.
var (
	shared   *instance
	sharedMu sync.Mutex
)

// Main runs the tests, and then ends the browser.
func Main(m *testing.M) {
	code := m.Run()
	Stop()
	os.Exit(code)
}

// Stop ends the browser, if one was started.
func Stop() {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared != nil && shared.err == nil {
		shared.stop()
	}
	shared = nil
}

// running returns the context of the browser.
func running(t testing.TB) context.Context {
	t.Helper()
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared == nil {
		ctx, stop, err := start()
		shared = &instance{ctx, stop, err}
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.context
}

func start() (context.Context, func(), error) {
	program, err := find()
	if err != nil {
		return nil, nil, err
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program)}
	for name, value := range flags {
		options = append(options, chromedp.Flag(name, value))
	}
	var output strings.Builder
	options = append(options, chromedp.CombinedOutput(&output))
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocator)
	stop := func() {
		end()
		endAllocator()
	}
	timer := time.AfterFunc(startTime, end)
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, nil, fmt.Errorf("%s: %w\n%s", program, err, &output)
	}
	timer.Stop()
	return ctx, stop, nil
}

// find returns the path of Chromium.
func find() (string, error) {
	for _, name := range []string{"/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("chromium is missing: apt-get install --no-install-recommends chromium")
}
