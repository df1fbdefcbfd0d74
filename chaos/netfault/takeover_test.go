package netfault_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/netfault"
	"github.com/eowriter/eowriter/committed"
	"github.com/stretchr/testify/require"
)

// moment is when what a dead writer had sent arrives at last.
type moment struct {
	name  string
	moved bool // the ledger was moved meanwhile, so that the new writer takes the partition over
	arm   func(h *haunting)
}

// probeOffset is where probes are, and no rows.
const probeOffset = 1 << 62

var moments = []moment{
	{name: "before the new writer starts", arm: func(h *haunting) { h.release() }},
	{name: "before the probe is answered", arm: func(h *haunting) {
		h.onAppend = func(r emulator.Request) bool { return r.Offset == probeOffset }
	}},
	{name: "after the probe is answered", arm: func(h *haunting) { h.on(committed.O3, true) }},
	{name: "when the new writer has sent the same offsets", arm: func(h *haunting) {
		h.onAppend = func(r emulator.Request) bool { return r.Offset < probeOffset }
	}},
	{name: "between two of the same", arm: func(h *haunting) {
		h.onAppend = func(r emulator.Request) bool { return r.Offset < probeOffset && r.Offset > 3*batchRows }
	}},
	{name: "after the same have landed", arm: func(h *haunting) { h.on(committed.B6, true) }},
	{name: "after a rotation", arm: func(h *haunting) { h.aging = true; h.on(committed.R5, true) }},
	{name: "taken over: before the probe is answered", moved: true, arm: func(h *haunting) {
		h.onAppend = func(r emulator.Request) bool { return r.Offset == probeOffset }
	}},
	{name: "taken over: after the probe", moved: true, arm: func(h *haunting) { h.on(committed.R1, false) }},
	{name: "taken over: before the seal", moved: true, arm: func(h *haunting) { h.on(committed.R2, false) }},
	{name: "taken over: before Finalize", moved: true, arm: func(h *haunting) { h.on(committed.R3, false) }},
	{name: "taken over: after Finalize", moved: true, arm: func(h *haunting) { h.on(committed.R3, true) }},
	{name: "taken over: after the rest was sent to the successor", moved: true, arm: func(h *haunting) { h.on(committed.B6, true) }},
}

// haunting is a new writer with a dead one's bytes on the wire.
type haunting struct {
	*stage
	proxy  *netfault.Proxy // the dead writer's
	aging  bool            // the new writer's streams are replaced when it is quiet
	landed bool            // rows of the dead one have, by themselves

	step     committed.Step // of the new writer, before or after which it is time
	done     bool
	onAppend func(emulator.Request) bool // or a request at the service, for which it is
	armed    atomic.Bool                 // what is above is set
	once     sync.Once
	released atomic.Bool
}

func (h *haunting) on(s committed.Step, done bool) { h.step, h.done = s, done }

// release delivers what is on the wire, and waits a moment for the service to judge it.
func (h *haunting) release() {
	h.once.Do(func() {
		before := h.srv.Stats()
		h.released.Store(true)
		if n := h.proxy.ReleaseZombies(); n != 1 {
			h.Errorf("%d zombies were released", n)
		}
		for range 100 { // what is refused leaves no trace to wait for
			if h.srv.Stats().Rows > before.Rows {
				h.landed = true
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// If it fails, an append of a writer that is dead, delivered after a new one has taken over, lands a second time, or
// in between.
func TestZombieOfAnOldWriter(t *testing.T) {
	for name, faults := range map[string][]netfault.Fault{
		// The RPC that the appends were sent on is known at the service: the new writer's replaces it.
		"on the first connection": {{Kind: netfault.Zombie, After: 1, Frame: 2, Place: netfault.Before}},
		// The RPC is new to the service when the bytes come, and replaces the new writer's.
		"after a reconnect": {
			{Kind: netfault.RST, After: 1, Count: 1, Frame: 4, Place: netfault.Behind},
			{Kind: netfault.Zombie, After: 2, Count: 1, Frame: 1, Place: netfault.Before},
		},
		// Only the end of what was sent is late, from the middle of a request on.
		"torn": {{Kind: netfault.Zombie, After: 1, Frame: 9}},
	} {
		t.Run(name, func(t *testing.T) {
			landed := atomic.Int64{}
			t.Run("at", func(t *testing.T) {
				for _, m := range moments {
					for partition, mode := range []string{"replayable", "frozen"} {
						t.Run(m.name+"/"+mode, func(t *testing.T) {
							t.Parallel()
							if testZombie(t, m, faults, partition) {
								landed.Add(1)
							}
						})
					}
				}
			})
			require.NotZero(t, landed.Load(), "the dead writer's rows never were the ones that landed")
		})
	}
}

// testZombie says whether rows of the dead writer landed when they were delivered.
func testZombie(t *testing.T, m moment, faults []netfault.Fault, partition int) bool {
	h := &haunting{}
	h.stage = newStage(t, 2000, emulator.Options{OnAppend: func(r emulator.Request) {
		if h.armed.Load() && !h.released.Load() && h.onAppend != nil && h.onAppend(r) {
			h.release()
		}
	}})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h.leave(ctx, faults, partition)
	if m.moved {
		h.move()
	}
	m.arm(h)
	h.armed.Store(true)

	opt := committed.Options{WindowRequests: 8, Events: committed.Events{Step: func(e committed.StepEvent) {
		if h.step != "" && e.Step == h.step && e.Done == h.done {
			h.release()
		}
	}}}
	if h.aging {
		opt.StreamAge, opt.IdleTimeout = 30*time.Millisecond, 20*time.Millisecond
	}
	w := h.open(h.srv.Addr(), opt)
	p, err := h.partition(ctx, w, partition)
	require.NoError(t, err)
	if h.aging {
		require.Eventually(t, h.released.Load, patience, time.Millisecond)
	}
	require.NoError(t, h.write(ctx, p, partition))
	require.True(t, h.released.Load(), "the moment did not come")
	w.close(t)
	h.judge(partition)
	return h.landed
}

// leave has a writer bind a window full of batches and send them, and kills it while the proxy keeps some.
func (h *haunting) leave(ctx context.Context, faults []netfault.Fault, partition int) {
	h.proxy = h.stage.proxy(netfault.Options{Faults: faults})
	w := h.open(h.proxy.Addr(), committed.Options{WindowRequests: 8})
	p, err := h.partition(ctx, w, partition)
	require.NoError(h, err)
	filling, full := context.WithCancel(ctx)
	offered := make(chan error, 1)
	go func() {
		var err error
		for at := int64(0); err == nil && at < h.rows; at += batchRows {
			_, err = p.Append(filling, batch(partition, at, at+batchRows))
		}
		offered <- err
	}()
	for h.proxy.FaultCounts()["zombie"] == 0 || p.InFlight() < 8 {
		select {
		case err := <-offered:
			h.Fatalf("all was taken: %v", err)
		case <-ctx.Done():
			h.Fatalf("the window does not fill: %d in flight, %v, %+v, position %s", p.InFlight(), h.proxy.FaultCounts(), h.srv.Stats(), p.Position())
		case <-time.After(time.Millisecond):
		}
	}
	full()
	require.ErrorIs(h, <-offered, context.Canceled)
	h.proxy.ClearFaults()
	h.proxy.Inject(netfault.Fault{Kind: netfault.RST}) // it is dead: it does not come back
	h.proxy.Reset()
	require.Eventually(h, func() bool { return h.proxy.Zombies() == 1 }, patience, time.Millisecond)
	w.close(h)
}

// move puts the ledger into another place, as a move to another disk does.
func (h *haunting) move() {
	from, to := filepath.Dir(h.ledger), folder(h)
	require.NoError(h, os.CopyFS(to, os.DirFS(from)))
	require.NoError(h, filepath.WalkDir(to, func(name string, d fs.DirEntry, err error) error {
		mode := fs.FileMode(0o600)
		if err == nil && d.IsDir() {
			mode = 0o700
		}
		return errors.Join(err, os.Chmod(name, mode))
	}))
	require.NoError(h, os.RemoveAll(from))
	h.ledger = filepath.Join(to, filepath.Base(h.ledger))
}
