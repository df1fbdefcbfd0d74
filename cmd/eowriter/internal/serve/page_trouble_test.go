package serve

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/netfault"
	"github.com/stretchr/testify/require"
)

// The sidecar is stopped while its page is watched, and started again. If it fails, an operator believes what isn't so any more, or
// has to know that the page must be loaded anew.
func testPageRestart(t *testing.T, browser context.Context) {
	g := newRig(t, nil)
	require.NoError(t, appendUntil(g.writer(), appendOne("a", 0)))
	p := openTab(t, browser, g.ports[0], "", 1400, 900)
	p.waitNames("a")
	require.Equal(t, "live", p.text("#connection"))
	g.opt.Listen = strings.TrimPrefix(g.ports[0], "http://")
	require.NoError(t, g.stop())
	p.wait("!document.querySelector('#lost').hidden && document.body.classList.contains('lost')")
	require.Contains(t, p.text("#lost"), "What is shown is old: nothing was heard of the sidecar since 20")
	require.Equal(t, "not connected", p.text("#connection"))
	require.Equal(t, []string{"a"}, p.names(), "what was known stays")
	p.shot("lost")
	g.start()
	require.NoError(t, appendUntil(g.writer(), appendOne("a", 1)))
	p.wait("document.querySelector('#lost').hidden && !document.body.classList.contains('lost')")
	p.wait("document.querySelector('#rows td:nth-child(8)').innerText === '2'")
	require.Equal(t, "live", p.text("#connection"))
}

// Connections are being reset, the page's and the sidecar's own, while rows are written and the page is watched. If it fails, the
// page shows something wrong in the end, or breaks on the way.
func testPageKilled(t *testing.T, browser context.Context) {
	g := newRig(t, nil)
	proxy, err := netfault.Start(strings.TrimPrefix(g.ports[0], "http://"), netfault.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, proxy.Close()) }()
	p := openTab(t, browser, "http://"+proxy.Addr(), "", 1400, 900)
	names := numbered("orders-%d", 5)
	stop := g.feed(names, 20*time.Millisecond)
	p.waitNames(names...)
	g.srv.Inject(emulator.Fault{Kind: emulator.ResetAfter, Every: 20})
	resets := 0
	for range 60 {
		resets += proxy.Reset()
		g.srv.ResetConnections()
		time.Sleep(50 * time.Millisecond) // this is how often, not a wait for something
	}
	require.Positive(t, resets)
	g.srv.ClearFaults()
	rows := stop()
	p.wait(fmt.Sprintf("[...document.querySelectorAll('#rows tr')].map(r => r.children[7].innerText.replaceAll(',', '')).join() === %q",
		strings.Join(slices.Repeat([]string{strconv.Itoa(rows)}, len(names)), ",")))
	require.True(t, eval[bool](p, "document.querySelector('#lost').hidden"))
	require.Len(t, g.numbers(), rows*len(names))
	t.Logf("%d connections of the page were reset while %d rows landed", resets, rows*len(names))
}

// If it fails, the page can't be used with a sidecar that wants tokens, or gives its token to others.
func testPageToken(t *testing.T, browser context.Context) {
	g := newRig(t, nil)
	require.NoError(t, appendUntil(g.writer(), appendOne("a", 0)))
	sidecar, err := url.Parse(g.ports[0])
	require.NoError(t, err)
	pass := httputil.NewSingleHostReverseProxy(sidecar)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	pass.Transport = transport
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/eowriter.v1.") && r.Header.Get("Authorization") != "Bearer right" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	defer front.Close()
	p := openTab(t, browser, front.URL, "", 1400, 900)
	p.wait("document.querySelector('#ask').open && document.activeElement.id === 'token'")
	p.shot("token")
	p.do(chromedp.SendKeys(chromedp.CSS("#token"), "wrong"+kb.Enter))
	p.wait("document.querySelector('#ask').open && document.querySelector('#ask-why').innerText.includes('did not take')")
	p.do(chromedp.SendKeys(chromedp.CSS("#token"), "right"+kb.Enter))
	p.waitNames("a")
	p.do(chromedp.Reload())
	p.waitNames("a")
	require.False(t, eval[bool](p, "document.querySelector('#ask').open"))
	require.Equal(t, "", eval[string](p, "document.cookie"))
	require.Zero(t, eval[int](p, "localStorage.length"))
}

// A sidecar with 5,000 partitions, of which 50 are written to all the time. If it fails, the page doesn't show them, or not all. How
// long it takes is told, not judged: the machine may have other things to do.
func testPageMany(t *testing.T, browser context.Context) {
	const n = 5000
	g := newRig(t, func(o *Options) {
		o.Ingest.MaxPartitions = 2 * n
		writePast(t, o.Ledger, func(p past) { p.idle(n - 50) })
	})
	names := numbered("busy-%02d", 50)
	stop := g.feed(names, 100*time.Millisecond)
	defer stop()
	p := openTab(t, browser, g.ports[0], "#/?order=ORDER_RATE", 1400, 900)
	p.wait("document.querySelectorAll('#rows tr').length === 100 && document.querySelector('#range').innerText === '1–100 of 5,000'")
	p.wait("took.paint.length > 0")
	first := eval[float64](p, "took.paint[0].startTime + took.paint[0].duration")
	contentful := eval[float64](p, "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
	p.js("gap = 0; took.draw.length = took.paint.length = 0")
	p.wait("took.draw.length >= 5 && took.paint.length >= 5")
	t.Logf("5,000 partitions, 50 busy: first contentful paint after %.0f ms, list painted after %.0f ms; each second: drawn in %v ms, painted after %v ms, longest frame %.0f ms",
		contentful, first, eval[[]float64](p, "took.draw.map(e => Math.round(e.duration * 10) / 10)"),
		eval[[]float64](p, "took.paint.map(e => Math.round(e.duration * 10) / 10)"), eval[float64](p, "gap"))
	require.True(t, eval[bool](p, "[...document.querySelectorAll('#rows bdi')].slice(0, 50).every(e => e.textContent.startsWith('busy-'))"), "the fastest first")
	p.shot("many")
	p.do(chromedp.Click(chromedp.CSS("#after")))
	p.wait("document.querySelector('#range').innerText === '101–200 of 5,000'")
	p.fill("orders-49")
	p.wait("document.querySelectorAll('#rows tr').length === 50 && document.querySelector('#pages').hidden")
	p.do(chromedp.Navigate(g.ports[0] + "/#/?page=4000"))
	p.wait("document.querySelector('#range').innerText === '4,901–5,000 of 5,000'")
	p.allRequestsWorked()
}

// How the page looks is for people to judge; here it must hold together: nothing sticks out of the window, and nothing breaks the
// rules for who can't see it, if there is npm to get them with.
func testPageLooks(t *testing.T, browser context.Context) {
	g := newRig(t, func(o *Options) {
		writePast(t, o.Ledger, func(p past) { p.idle(30); p.troubled() })
	})
	require.NoError(t, appendUntil(g.writer(), appendOne("clicks-40", 0)))
	stop := g.feed(numbered("orders-eu-%d", 6), 30*time.Millisecond)
	defer stop()
	rules := axeRules(t)
	for _, window := range []struct {
		name          string
		width, height int64
	}{{"wide", 1600, 1000}, {"narrow", 390, 844}} {
		for _, scheme := range []string{"light", "dark"} {
			p := openTab(t, browser, g.ports[0], "", window.width, window.height)
			p.scheme(scheme)
			p.wait("document.querySelectorAll('#rows tr').length > 40")
			p.wait("took.paint.length > 2")
			p.check(rules)
			p.shot("list-" + window.name + "-" + scheme)
			p.js("location.hash = " + strconv.Quote(hashOf("p.d.t", "clicks-12")))
			p.wait("document.querySelectorAll('#partition table')[0].rows.length === 3")
			if window.name == "narrow" {
				p.fits()
			} else {
				p.check(rules)
			}
			p.shot("partition-" + window.name + "-" + scheme)
			if scheme == "dark" {
				continue
			}
			p.js("location.hash = " + strconv.Quote(hashOf("p.d.t", "returns-1")))
			p.wait("document.querySelectorAll('#partition table')[1].rows.length === 6")
			p.shot("history-" + window.name)
		}
	}
}
