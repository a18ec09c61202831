package browser

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// pageTime is how long a page may take on a busy machine.
const pageTime = 30 * time.Second

// Options are what a person has set in their browser.
type Options struct {
	Language string // Accept-Language
	Dark     bool
	Width    int64 // in CSS pixels; 0: 800
	NoScript bool
}

// Request is a request that the browser made, or an address that it was sent to.
type Request struct {
	Method, URL string
	// Status is that of the redirect which led here, or 0.
	Status int64
}

// Tab is a tab with cookies and a cache of its own.
type Tab struct {
	context  context.Context //nolint:containedctx // it stands for the tab
	mu       sync.Mutex
	requests []Request
	messages []string
}

// NewTab opens a tab, which is closed at the end of the test.
func NewTab(t testing.TB, o Options) *Tab {
	t.Helper()
	parent := running(t)
	tab := &Tab{}
	ctx, end := chromedp.NewContext(parent, chromedp.WithNewBrowserContext(), chromedp.WithListener(tab.listen))
	t.Cleanup(end)
	tab.context = ctx
	if o.Width == 0 {
		o.Width = 800
	}
	theme := "light"
	if o.Dark {
		theme = "dark"
	}
	set := func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
		})
		if err == nil && o.Language != "" {
			_, err = cdp.Call(ctx, target, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
				Headers: network.Headers{"Accept-Language": o.Language},
			})
		}
		if err == nil && o.NoScript {
			_, err = cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		}
		return err
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(o.Width, 900), chromedp.Func(set)); err != nil {
		t.Fatal(err)
	}
	return tab
}
