package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/ledger"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
)

// tellEvery is how often the manager is told how the sidecar does, or oftener if it wants signs of life.
const tellEvery = 10 * time.Second

// manager is systemd, or whoever else started the sidecar and listens as sd_notify(3) has it: it is told when requests are
// taken, how the sidecar does, and when it ends. If it watches over the sidecar it gets a sign of life for as long as there is
// work being done: a sidecar whose ledger hangs is of no use until it is started again.
type manager struct {
	works    func() (status string, err error)
	log      *slog.Logger
	deadline time.Duration // for the next sign of life; 0: nobody waits for one
	stopping atomic.Bool

	end  context.CancelFunc
	done sync.WaitGroup
}

// tellManager tells the manager that requests are taken, and then how the sidecar does, until close. Without a manager it does
// nothing.
func tellManager(led *ledger.Ledger, in *ingest.Ingest, log *slog.Logger) *manager {
	m := &manager{log: log}
	var err error
	if m.deadline, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("WATCHDOG_USEC is not understood: no signs of life are given", "error", err)
	}
	m.works = func() (string, error) { return works(led, in, m.deadline/2) }
	ctx, cancel := context.WithCancel(context.Background())
	m.end = cancel
	if m.tell("READY=1", "STATUS=serving") {
		m.done.Go(func() { m.run(ctx) })
	}
	return m
}

// tell says whether there is a manager.
func (m *manager) tell(states ...string) bool {
	sent, err := daemon.SdNotify(false, strings.Join(states, "\n"))
	if err != nil {
		m.log.Warn("the service manager can't be told how the sidecar does", "error", err)
	}
	return sent
}

// run gives signs of life, three in the time that there is for one. Should what it asks hang, so does it: that is the point.
func (m *manager) run(ctx context.Context) {
	every := tellEvery
	if m.deadline > 0 {
		every = min(every, m.deadline/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		status, err := m.works()
		switch {
		case err != nil:
			m.log.Error("no sign of life is given to the service manager", "error", err)
			m.tell("STATUS=" + err.Error())
		case m.stopping.Load():
			m.tell("STATUS=draining: "+status, "WATCHDOG=1")
		default:
			m.tell("STATUS="+status, "WATCHDOG=1")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// stop tells the manager that the sidecar is ending. Signs of life go on until close.
func (m *manager) stop() {
	m.stopping.Store(true)
	m.tell("STOPPING=1", "STATUS=draining")
}

func (m *manager) close() {
	m.end()
	m.done.Wait()
}

// works says in a line how the sidecar does, or why it does nothing: the ledger has failed, or takes longer than patience, if
// that isn't 0, over a commit. It asks for every lock that an append needs.
func works(led *ledger.Ledger, in *ingest.Ingest, patience time.Duration) (status string, err error) {
	if led.Err() != nil {
		return "", errors.New("the ledger has failed")
	}
	if since := led.Committing(); patience > 0 && !since.IsZero() && time.Since(since) > patience {
		return "", fmt.Errorf("the ledger's disk hangs: a commit has taken %v", time.Since(since).Round(time.Millisecond))
	}
	o, err := in.Overview()
	if err != nil {
		return "", err
	}
	t := o.Totals
	status = fmt.Sprintf("partitions: %d, appends that have not landed: %d", len(o.Partitions), t.QueuedAppends+t.OpenAppends)
	for _, c := range t.Attention {
		status += fmt.Sprintf(", %s: %d", attention[c.Attention], c.Partitions)
	}
	return status, nil
}

var attention = map[eowriterv1.Attention]string{
	eowriterv1.Attention_ATTENTION_WAITING:  "waiting",
	eowriterv1.Attention_ATTENTION_HALTED:   "halted",
	eowriterv1.Attention_ATTENTION_IN_DOUBT: "in doubt",
}
