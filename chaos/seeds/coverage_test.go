package seeds

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
)

// coverage counts what happened, by a name for people.
type coverage struct {
	mu sync.Mutex // guards n; a leaf
	n  map[string]int
}

func newCoverage() *coverage { return &coverage{n: map[string]int{}} }

func (c *coverage) count(what string) { c.add(what, 1) }

func (c *coverage) add(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[what] += n
}

func (c *coverage) merge(other *coverage) {
	for what, n := range other.n {
		c.add(what, n)
	}
}

// table is the coverage for people.
func (c *coverage) table() string {
	var b strings.Builder
	b.WriteString("what happened, and how often:\n")
	for _, what := range slices.Sorted(maps.Keys(c.n)) {
		fmt.Fprintf(&b, "%8d  %s\n", c.n[what], what)
	}
	return b.String()
}

const (
	coveringSeeds  = 2000 // so many seeds must make everything happen
	happensAtLeast = 3    // times
)

// mustHappen is what the seeds are there for: every fault, every wait, every reason to replace a stream, a death at
// every step, and everything that time alone brings about.
func mustHappen() []string {
	all := []string{
		waits[recovery.Backoff], waits[recovery.Lag], waits[recovery.Propagation], createWait,
		answerTimeout, idleByWriter, idleByService, expiredIdle, yielded,
		"ambiguous answer settled", "replay", "zombie connection", "table altered", "schema followed", "silence between runs",
		"ledger moved", "ledger restored", "doubt resolved", "batch skipped", "partition opened again", "letters delivered", "partition retired", "rows of somebody else",
	}
	for _, k := range emulator.KindList() {
		all = append(all, "fault "+string(k.Kind))
	}
	for _, s := range committed.Steps {
		all = append(all, "killed at "+string(s))
	}
	for _, r := range []ledger.Reason{ledger.TakeOver, ledger.Aging, ledger.RowErrors, ledger.TooLarge, ledger.Encoding, ledger.Lagging, ledger.Resolved, ledger.Finished} {
		all = append(all, "stream replaced: "+r.String())
	}
	for _, c := range []ledger.HaltCause{ledger.Conflict, ledger.Fenced, ledger.InDoubt} {
		all = append(all, "halted: "+c.String())
	}
	for _, how := range []ending{drained, closed, killed} {
		all = append(all, "run "+string(how))
	}
	return all
}

// What is counted in one place and asked for in another.
const (
	createWait    = "wait: create rate"
	answerTimeout = "answer timeout"
	idleByWriter  = "idle close by the writer"
	idleByService = "idle close by the service"
	expiredIdle   = "expired, nothing open"
	yielded       = "connection yielded"
)
