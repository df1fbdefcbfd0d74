package serve

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// startChromium starts a browser. It isn't everywhere: the test is asked for by a variable, and then it must be there.
func startChromium(t *testing.T) context.Context {
	if os.Getenv("EOWRITER_TEST_CHROMIUM") == "" {
		t.Skip("set EOWRITER_TEST_CHROMIUM=1 to run it: it needs Chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute))
	if os.Geteuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	browser, end := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(browser) // waits until it has ended
		end()
		cancel()
	})
	require.NoError(t, chromedp.Do(browser))
	return browser
}

// tab is a page that is looked at. What must never happen in it is collected.
type tab struct {
	t      *testing.T
	ctx    context.Context
	origin string

	mu       sync.Mutex // guards what follows
	errors   []string   // exceptions, and what was written to the console
	requests []string   // that failed
	foreign  []string   // requests to other places
}

// openTab shows the page at origin + "/" + hash, in a window of this size.
func openTab(t *testing.T, browser context.Context, origin, hash string, width, height int64) *tab {
	p := &tab{t: t, origin: origin}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.heard))
	p.ctx = ctx
	t.Cleanup(func() {
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		require.Empty(t, p.errors, "in the page's console")
		require.Empty(t, p.foreign, "requests to others")
	})
	require.NoError(t, chromedp.Do(ctx)) // makes the tab, which ends with this context
	_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: observer})
	require.NoError(t, err)
	p.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(origin+"/"+hash))
	return p
}

// observer collects what the page measures, and how long the longest frame was.
const observer = `window.took = {draw: [], paint: []}; window.gap = 0;
new PerformanceObserver(l => l.getEntries().forEach(e => took[e.name]?.push(e))).observe({entryTypes: ['measure']});
let before = 0; (function frame(now) { if (before) gap = Math.max(gap, now - before); before = now; requestAnimationFrame(frame) })();`

func (p *tab) heard(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		d := e.ExceptionDetails
		text := d.Text
		if d.Exception != nil {
			text += " " + d.Exception.Description
		}
		p.errors = append(p.errors, text)
	case *runtime.EventConsoleAPICalled:
		p.errors = append(p.errors, fmt.Sprintf("%s: %v", e.Type, e.Args))
	case *log.EventEntryAdded:
		if e.Entry.Source == log.EntrySourceNetwork {
			p.requests = append(p.requests, e.Entry.Text) // the browser tells of every one, whether the page minds or not
		} else {
			p.errors = append(p.errors, e.Entry.Text)
		}
	case *page.EventJavascriptDialogOpening:
		p.errors = append(p.errors, "a dialog: "+e.Message)
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, p.origin+"/") {
			p.foreign = append(p.foreign, e.Request.URL)
		}
	}
}

// allRequestsWorked says that none has failed.
func (p *tab) allRequestsWorked() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(p.t, p.requests)
}

// do runs actions, one after the other.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Minute) // for a test that fails
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, actions...))
}

// eval is the value of an expression.
func eval[T any](p *tab, expression string, opts ...chromedp.EvaluateOption) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, opts...))
	require.NoError(p.t, err, expression)
	return v
}

// js runs statements.
func (p *tab) js(statements string) {
	p.t.Helper()
	eval[chromedp.Void](p, statements)
}

// wait waits until an expression is true; one that throws isn't yet.
func (p *tab) wait(expression string) {
	p.t.Helper()
	now := chromedp.Evaluate[bool]("(() => { try { return Boolean(" + expression + ") } catch { return false } })()")
	require.Eventually(p.t, func() bool {
		is, err := chromedp.Run(p.ctx, now)
		return err == nil && is // an error: the page is being loaded anew
	}, time.Minute, 20*time.Millisecond, "%s\n\n%s", expression, lazy(func() string { return p.text("body") }))
}

// lazy is text that is made when it is needed.
type lazy func() string

func (f lazy) String() string { return f() }

// text is what an element says.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// names are the names in the list.
func (p *tab) names() []string {
	p.t.Helper()
	return eval[[]string](p, "[...document.querySelectorAll('#rows tr:not([hidden]) bdi')].map(e => e.textContent)")
}

// waitNames waits until the list has these names, in this order.
func (p *tab) waitNames(names ...string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("[...document.querySelectorAll('#rows bdi')].map(e => e.textContent).join('|') === %q", strings.Join(names, "|")))
}

// keys presses keys, one after the other.
func (p *tab) keys(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		p.do(chromedp.KeyEvent(k))
	}
}

// slash presses the key whose letter the page takes for itself: it is sent as a keyboard does it.
func (p *tab) slash() {
	p.t.Helper()
	for _, typ := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		e := input.DispatchKeyEventParams{Type: typ, Key: "/", Code: "Slash", WindowsVirtualKeyCode: 191}
		if typ == input.DispatchKeyEventTypeKeyDown {
			e.Text = "/"
		}
		_, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, e)
		require.NoError(p.t, err)
	}
}

// fill types over what the filter has.
func (p *tab) fill(text string) {
	p.t.Helper()
	p.js("document.querySelector('#text').select()")
	p.keys(kb.Delete)
	p.keys(strings.Split(text, "")...)
}

// scheme has the machine prefer dark pages, or light ones.
func (p *tab) scheme(name string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	require.NoError(p.t, err)
}

// shot writes a screenshot, if somebody wants them.
func (p *tab) shot(name string) {
	p.t.Helper()
	dir := os.Getenv("EOWRITER_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	require.NoError(p.t, err)
	require.NoError(p.t, os.MkdirAll(dir, 0o777))
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o666))
}

// hashOf is the address of a partition's page, behind the origin.
func hashOf(table, partition string) string {
	return "#/partition/" + url.PathEscape(table) + "/" + url.PathEscape(partition)
}
