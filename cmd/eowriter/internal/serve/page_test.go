package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1/eowriterv1connect"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// The page's files need no browser to be checked: if it fails, what a partition is called may run in the page, or other pages may show it.
func TestPageFiles(t *testing.T) {
	g := newRig(t, nil)
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(path string) (int, string, http.Header) {
		req, err := http.NewRequest(http.MethodGet, g.ports[0]+path, nil)
		require.NoError(t, err)
		return do(t, &client, req)
	}
	entries, err := pageFiles.ReadDir("page")
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	paths := map[string]string{"/": "text/html; charset=utf-8"}
	for _, e := range entries {
		paths["/page/"+e.Name()] = pageTypes[e.Name()[strings.LastIndexByte(e.Name(), '.'):]]
	}
	for path, typ := range paths {
		status, body, h := get(path)
		require.Equal(t, http.StatusOK, status, path)
		require.NotEmpty(t, typ, path)
		require.Equal(t, typ, h.Get("Content-Type"), path)
		require.Equal(t, pagePolicy, h.Get("Content-Security-Policy"), path)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		for _, never := range []string{"innerHTML", "insertAdjacentHTML", "document.write", "eval(", "https:", " style="} {
			require.NotContains(t, body, never, path)
		}
	}
	for _, path := range []string{"/page/", "/page/none.js", "/page/..%2fserve.go", "/page", "/index.html", "/favicon.ico"} {
		status, _, _ := get(path)
		require.Equal(t, http.StatusNotFound, status, path)
	}
}

// feed appends to partitions, every so often, each append again until it has landed. stop ends that, and returns how many rows each of
// them has.
func (g *rig) feed(names []string, every time.Duration) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	c := g.writer()
	var running sync.WaitGroup
	turns := 0
	running.Go(func() {
		for tick := time.Tick(every); ctx.Err() == nil; turns++ {
			var all errgroup.Group
			for _, name := range names {
				all.Go(func() error { return appendUntil(c, appendOne(name, turns)) })
			}
			if err := all.Wait(); err != nil {
				g.t.Error(err)
				return
			}
			<-tick
		}
	})
	return func() int { cancel(); running.Wait(); return turns }
}

// appendUntil appends until that has landed, for a minute.
func appendUntil(c eowriterv1connect.WriterClient, a *eowriterv1.AppendRequest) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		_, err := c.Append(ctx, connect.NewRequest(a))
		if code := connect.CodeOf(err); err == nil || code != connect.CodeUnavailable && code != connect.CodeResourceExhausted {
			return err
		}
	}
}

// numbered are n names.
func numbered(format string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(format, i)
	}
	return names
}

// Everything that needs the browser: it is started once.
func TestPage(t *testing.T) {
	browser := startChromium(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"list", testPageList}, {"keyboard", testPageKeyboard}, {"partition", testPagePartition}, {"names", testPageNames},
		{"many", testPageMany}, {"restart", testPageRestart}, {"killed", testPageKilled}, {"token", testPageToken}, {"looks", testPageLooks},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, browser) })
	}
}

// If it fails, an operator doesn't see what there is, or what has just happened.
func testPageList(t *testing.T, browser context.Context) {
	g := newRig(t, nil)
	p := openTab(t, browser, g.ports[0], "", 1400, 900)
	p.wait("document.querySelector('#none').innerText.startsWith('No partition yet')")
	c := g.writer()
	for n, name := range []string{"b", "a", "c"} {
		for row := range n + 1 {
			require.NoError(t, appendUntil(c, appendOne(name, row)))
		}
	}
	p.waitNames("a", "b", "c")
	require.Equal(t, "✓", eval[string](p, "getComputedStyle(document.querySelector('#verdict'), '::before').content.replaceAll('\"', '')"))
	require.Equal(t, "Nothing needs a person", p.text("#verdict"))
	p.wait("document.querySelector('#rate').innerText !== '0'")
	p.wait("document.querySelector('#rows tr:nth-child(3) td:nth-child(8)').innerText === '3'")

	acked := "[...document.querySelectorAll('#columns th')].find(h => h.innerText.startsWith('Acked'))"
	p.js(acked + ".firstChild.click()")
	p.waitNames("c", "a", "b")
	require.Equal(t, "descending", eval[string](p, acked+".getAttribute('aria-sort')"))
	p.js(acked + ".firstChild.click()")
	p.waitNames("b", "a", "c")

	p.fill("C")
	p.waitNames("c")
	require.Equal(t, "1 partition found", p.text("#live"))
	p.do(chromedp.Reload())
	p.waitNames("c")
	require.Equal(t, "C", eval[string](p, "document.querySelector('#text').value"), "the address has the filter")
	p.fill("zz")
	p.wait("document.querySelector('#none').innerText === 'No partition fits.'")
	p.do(chromedp.Navigate(g.ports[0] + "/#/?show=STATE_OPEN"))
	p.waitNames("a", "b", "c")
	p.js("[...document.querySelectorAll('#states button')].find(b => b.innerText.startsWith('Need a person')).click()")
	p.waitNames()

	require.NoError(t, appendUntil(c, appendOne("a", 2)))
	p.do(chromedp.Navigate(g.ports[0] + "/#/"))
	p.wait("document.querySelector('#rows tr:nth-child(1) td:nth-child(8)').innerText === '3'")
	p.allRequestsWorked()
}

// If it fails, who can't use a mouse can't use the page.
func testPageKeyboard(t *testing.T, browser context.Context) {
	g := newRig(t, nil)
	for _, name := range numbered("k-%d", 3) {
		require.NoError(t, appendUntil(g.writer(), appendOne(name, 0)))
	}
	p := openTab(t, browser, g.ports[0], "", 1400, 900)
	p.waitNames("k-0", "k-1", "k-2")
	focus := func(ok string) bool { return eval[bool](p, "(e => Boolean("+ok+"))(document.activeElement)") }
	tabTo := func(ok string) {
		for range 40 {
			if focus(ok) {
				require.True(t, focus("getComputedStyle(e).outlineStyle !== 'none'"), "what has the focus is seen")
				return
			}
			p.keys(kb.Tab)
		}
		require.Fail(t, "not reached with the Tab key", ok)
	}
	tabTo("e.id === 'skip'")
	p.slash()
	require.True(t, focus("e.id === 'text'"))
	p.keys("k", "-", "1")
	p.waitNames("k-1")
	p.keys(kb.Backspace)
	p.waitNames("k-0", "k-1", "k-2")
	tabTo("e.closest('th')?.innerText.startsWith('Partition')")
	p.keys(kb.Enter)
	p.keys(kb.Enter)
	p.waitNames("k-2", "k-1", "k-0")
	require.True(t, focus("e.closest('th')?.getAttribute('aria-sort') === 'descending'"), "the focus stays")
	tabTo("e.closest('tbody') && e.innerText === 'k-1'")
	p.keys(kb.Enter)
	p.wait("document.querySelector('#name')?.innerText === 'k-1' && document.activeElement.id === 'name'")
	tabTo("e.className === 'back'")
	p.keys(kb.Enter)
	p.waitNames("k-2", "k-1", "k-0")
	p.allRequestsWorked()
}

// A partition's page must have all that a person needs who has to decide something, in words. If it fails, it lacks some of that.
func testPagePartition(t *testing.T, browser context.Context) {
	g := newRig(t, func(o *Options) {
		writePast(t, o.Ledger, func(p past) { p.idle(5); p.troubled() })
	})
	p := openTab(t, browser, g.ports[0], "", 1400, 900)
	p.wait("document.querySelector('#verdict').innerText === '3 partitions need a person: 1 in doubt, 2 halted'")
	require.Equal(t, []string{"payments-7", "clicks-12", "clicks-13"}, p.names()[:3], "what needs a person comes first")
	p.wait("document.title === '3 partitions need a person · eowriter'")
	p.do(chromedp.Click(chromedp.CSS("#rows tr:nth-child(1) a")))
	p.wait("document.querySelectorAll('#partition table')[0].rows.length === 4")
	text := p.text("#partition")
	for _, want := range []string{"payments-7", "of p.d.t", "in doubt", "NOT_FOUND", "its stream is gone", "eowriter ledger resolve --partition payments-7 " + g.opt.Ledger,
		"3 open batches", "to be sent", "[20, 30)", "file-7:003000", "No stream before this one"} {
		require.Contains(t, text, want)
	}
	p.js("location.hash = " + strconv.Quote(hashOf("p.d.t", "returns-1")))
	p.wait("document.querySelectorAll('#partition table')[1].rows.length === 6")
	text = p.text("#partition")
	for _, want := range []string{"returns-1", "idle", "No open batch", "5 streams before this one", "its end could not be learnt in time", "the service refused rows",
		"the ledger was moved, copied or restored", "50 rows"} {
		require.Contains(t, text, want)
	}
	require.Less(t, strings.Index(text, "its end could not"), strings.Index(text, "the service refused rows"), "the newest first")
	p.allRequestsWorked()
	p.do(chromedp.NavigateBack())
	p.wait("document.querySelector('#name').innerText === 'payments-7'")
	p.do(chromedp.NavigateBack())
	p.wait("!document.querySelector('#list').hidden")
	p.js("location.hash = '#/partition/p.d.t/none'")
	p.wait("document.querySelector('#partition').innerText.includes('knows no partition')")
}

// Names are chosen by producers, and errors by whoever they come from. If it fails, they can do something to the page, or deceive.
func testPageNames(t *testing.T, browser context.Context) {
	names := map[string]string{ // and how they are seen
		evil:                         evil,
		"a'b\"c&lt;":                 "a'b\"c&lt;",
		"\u202egnp.exe":              "U+202Egnp.exe",
		"שלום":                       "שלום",
		"zero\u200bwidth\u00a0space": "zeroU+200BwidthU+00A0space",
		"slash/../%2F?#x=1":          "slash/../%2F?#x=1",
		" spaces  ":                  " spaces  ",
		strings.Repeat("long", 50):   strings.Repeat("long", 50),
	}
	g := newRig(t, func(o *Options) {
		writePast(t, o.Ledger, func(p past) {
			for name := range names {
				part := p.one(name, 0)
				p.halt(part, ledger.Conflict, "detail "+evil+"\x00\x1b[31m\u2028")
			}
		})
	})
	p := openTab(t, browser, g.ports[0], "", 1400, 900)
	p.wait("document.querySelectorAll('#rows tr').length === " + strconv.Itoa(len(names)))
	for name, seen := range names {
		p.wait(fmt.Sprintf("[...document.querySelectorAll('#rows bdi')].some(e => e.textContent === %s)", jsText(seen)))
		p.js(fmt.Sprintf("[...document.querySelectorAll('#rows bdi')].find(e => e.textContent === %s).click()", jsText(seen)))
		p.wait(fmt.Sprintf("document.querySelector('#name')?.textContent === %s && document.querySelectorAll('#partition .trouble section').length === 1", jsText(seen)))
		require.Contains(t, p.text("#partition .trouble"), "detail "+evil+"U+0000U+001B[31mU+2028", name)
		p.do(chromedp.NavigateBack())
		p.wait("!document.querySelector('#list').hidden")
	}
	require.Zero(t, eval[int](p, "document.querySelectorAll('main img, main script, main style').length"))
	require.Equal(t, "isolate", eval[string](p, "getComputedStyle(document.querySelector('#rows bdi')).unicodeBidi"))
	p.allRequestsWorked()
}

// jsText is a string in JavaScript.
func jsText(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
