package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Keys for Press and Follow.
const (
	KeyTab   = kb.Tab
	KeyEnter = kb.Enter
	KeySpace = " "
)

// listen keeps what the browser asks for, and what it complains about.
func (tab *Tab) listen(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		r := Request{Method: e.Request.Method, URL: e.Request.URL}
		if e.RedirectResponse != nil {
			r.Status = e.RedirectResponse.Status
		}
		tab.requests = append(tab.requests, r)
	case *log.EventEntryAdded:
		tab.messages = append(tab.messages, e.Entry.Text)
	}
}

// Requests returns what the browser has asked for so far, in order.
func (tab *Tab) Requests() []Request {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.requests)
}

// Messages returns what the browser complained about, such as breaches of a
// policy.
func (tab *Tab) Messages() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.messages)
}

// Open opens an address, and returns the status of the page that it leads to.
func (tab *Tab) Open(t testing.TB, address string) int64 {
	t.Helper()
	return tab.follow(t, "opening "+address, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.Navigate, page.NavigateParams{URL: address})
		return err
	}))
}

// Click clicks the middle of the first element that a CSS selector matches.
func (tab *Tab) Click(t testing.TB, selector string) {
	t.Helper()
	x, y := tab.middle(t, selector)
	tab.do(t, "clicking "+selector, chromedp.MouseClickXY(x, y))
}

// ClickThrough clicks an element that leads to another page, and returns that
// page's status.
func (tab *Tab) ClickThrough(t testing.TB, selector string) int64 {
	t.Helper()
	x, y := tab.middle(t, selector)
	return tab.follow(t, "clicking "+selector, chromedp.MouseClickXY(x, y))
}

func (tab *Tab) middle(t testing.TB, selector string) (x, y float64) {
	t.Helper()
	var at []float64
	tab.Eval(t, fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		if (!e) return null;
		e.scrollIntoView({block: "center"});
		const r = e.getBoundingClientRect();
		return [r.x + r.width / 2, r.y + r.height / 2];
	})()`, selector), &at)
	if len(at) != 2 {
		t.Fatalf("no element %s at %s", selector, tab.URL(t))
	}
	return at[0], at[1]
}

// Press presses keys.
func (tab *Tab) Press(t testing.TB, keys string) {
	t.Helper()
	tab.do(t, "pressing a key", chromedp.KeyEvent(keys))
}

// PressThrough presses a key that leads to another page, and returns that page's
// status.
func (tab *Tab) PressThrough(t testing.TB, keys string) int64 {
	t.Helper()
	return tab.follow(t, "pressing a key", chromedp.KeyEvent(keys))
}

// URL returns the address of the page.
func (tab *Tab) URL(t testing.TB) string {
	t.Helper()
	var out string
	tab.Eval(t, "location.href", &out)
	return out
}

// Text returns the text of the page as a person sees it.
func (tab *Tab) Text(t testing.TB) string {
	t.Helper()
	var out string
	tab.Eval(t, "document.body.innerText", &out)
	return out
}

// Eval evaluates an expression in the page, waits for a promise, and decodes the
// value into out, which may be nil.
func (tab *Tab) Eval(t testing.TB, expression string, out any) {
	t.Helper()
	yes := true
	tab.do(t, "evaluating", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		result, err := cdp.Call(ctx, target, runtime.Evaluate, runtime.EvaluateParams{
			Expression: expression, ReturnByValue: &yes, AwaitPromise: &yes,
		})
		switch {
		case err != nil:
			return err
		case result.ExceptionDetails != nil:
			return fmt.Errorf("%s: %+v", result.ExceptionDetails.Text, result.ExceptionDetails.Exception)
		case out == nil:
			return nil
		}
		return json.Unmarshal(result.Result.Value, out)
	}))
}

// SetCookie sets a cookie for the site of an https address. The browser sends it
// with the requests of every site, so that it protects nothing by itself.
func (tab *Tab) SetCookie(t testing.TB, address, name, value string) {
	t.Helper()
	params := network.SetCookieParams{Name: name, Value: value, URL: address}
	if strings.HasPrefix(address, "https:") {
		secure := true
		params.Secure, params.SameSite = &secure, network.CookieSameSiteNone
	}
	tab.do(t, "setting a cookie", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.SetCookie, params)
		return err
	}))
}

// Screenshot returns a picture of the page as a PNG, as high as the page. The
// window gets that height, because a picture of more than the window shows pages
// that are read from right to left in the wrong place.
func (tab *Tab) Screenshot(t testing.TB) []byte {
	t.Helper()
	var size []int64
	tab.Eval(t, "[innerWidth, Math.ceil(document.body.getBoundingClientRect().height)]", &size)
	tab.do(t, "changing the window", chromedp.EmulateViewport(size[0], size[1]))
	ctx, cancel := context.WithTimeout(tab.context, pageTime)
	defer cancel()
	out, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Await waits until a condition holds.
func (tab *Tab) Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(pageTime); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s has not come: %+v, %q", what, tab.Requests(), tab.Messages())
		}
	}
}

func (tab *Tab) do(t testing.TB, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab.context, pageTime)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// follow does something that leads to another page, and returns its status.
func (tab *Tab) follow(t testing.TB, what string, steps ...chromedp.Action[chromedp.Void]) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab.context, pageTime)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		t.Fatalf("%s: %v: %+v, %q", what, err, tab.Requests(), tab.Messages())
	}
	return response.Status
}
